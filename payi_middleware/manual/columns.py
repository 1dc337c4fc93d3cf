"""Rows of a CSV file as items of Pay-i's shape.

The header names the fields; units have a column a side (`units.text.input`), properties one a key (`properties.team`), and lists
are told in one cell, by commas or semicolons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .. import health
from ..exceptions import EventError
from .items import BulkItem

__all__ = ["Columns"]

_LISTS = frozenset(("request_tags", "limit_ids"))
_MAPS = ("properties", "use_case_properties")
_PASSED_OVER = re.compile(r"provider_(re(quest|sponse)_\w+(json|headers|calls)|uri)")
"""What is dropped of an item of Pay-i's, so that a column of it need not be taken out of a file."""
_PLAIN = tuple(
    name
    for name in BulkItem.__struct_fields__
    if name not in _LISTS and name not in _MAPS and name != "units" and not _PASSED_OVER.fullmatch(name)
)
_UNIT = re.compile(r"units\.(.+)\.(input|output)")
_SEPARATORS = re.compile(r"[,;]")

_Place = Callable[[dict[str, Any], str], None]


class Columns:
    """What each column of a file is.

    Args:
        header: The cells of the first row.

    Raises:
        EventError: One is unknown, stands twice or is missing.
    """

    def __init__(self, header: Sequence[str]) -> None:
        names = [name.strip() for name in header]
        twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if twice is not None:
            raise EventError(f"the column {health.shown(twice)} stands twice in the first line")
        self._places = [_place(name) for name in names]
        if "category" not in names or not any(map(_UNIT.fullmatch, names)):
            raise EventError(
                "the first line names the columns: `category` is needed, and a unit such as `units.text.input`"
            )

    def item(self, cells: Sequence[str]) -> BulkItem:
        """The item of a row; an empty cell tells nothing.

        Raises:
            EventError: It has more cells than there are columns.
            msgspec.ValidationError: A cell is not what its column takes.
        """
        if len(cells) > len(self._places):
            raise EventError(f"{len(cells)} cells in {len(self._places)} columns")
        told: dict[str, Any] = {"units": {}}
        for place, cell in zip(self._places, cells, strict=False):
            text = cell.strip()
            if text:
                place(told, text)
        return msgspec.convert(told, BulkItem, strict=False)


def _place(name: str) -> _Place:
    """How a cell of a column gets into an item."""
    if name in _PLAIN:
        return lambda told, text: told.__setitem__(name, text)
    if name in _LISTS:
        return lambda told, text: told.__setitem__(name, [part.strip() for part in _SEPARATORS.split(text)])
    if _PASSED_OVER.fullmatch(name):
        return lambda told, text: None
    unit = _UNIT.fullmatch(name)
    if unit is not None:
        key, side = unit.groups()
        return lambda told, text: told["units"].setdefault(key, {}).__setitem__(side, text)
    kind, dot, key = name.partition(".")
    if kind in _MAPS and dot and key:
        return lambda told, text: told.setdefault(kind, {}).__setitem__(key, text)
    raise EventError(
        f"the column {health.shown(name)} is unknown; there are {', '.join(_PLAIN)}, {', '.join(sorted(_LISTS))}, "
        "units.NAME.input, units.NAME.output, properties.KEY and use_case_properties.KEY"
    )
