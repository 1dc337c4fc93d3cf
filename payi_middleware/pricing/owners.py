"""What the application's owner says of prices: rates and factors of their own, and what a name is to be priced as.

A TOML file, or the same as a mapping. `[[rate]]` and `[[factor]]` are as in `rows`, come before everything that is published, and
may ask for `account:NAME` in `when`. Besides:

    [[mapping]]
    model = "our-deployment"            # as the answer or the request names it
    provider = "azure"                  # optional: only there
    price_as = "system.openai/gpt-4o"   # category/resource, or a resource of the same provider
    resource_scope = "datazone"         # optional: global, datazone, region, or one of them with a name
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import SettingsError

if TYPE_CHECKING:
    from .rows import Entry

__all__ = ["NOBODYS", "Owners", "PricedAs", "owners"]

_MUST = {"model", "price_as"}
_MAY = _MUST | {"provider", "resource_scope"}


class PricedAs(NamedTuple):
    """By what a model is priced."""

    price_as: str
    resource_scope: str | None


class Owners(NamedTuple):
    """The owner's part of the prices."""

    entries: tuple[Entry, ...]
    mappings: Mapping[tuple[str | None, str], PricedAs]
    """(provider or None for any, model in lower case) -> by what it is priced."""

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts that have rates of their own."""
        named = (term.partition(":") for entry in self.entries for term in entry.when)
        return frozenset(value for kind, _, value in named if kind == "account")


NOBODYS = Owners((), {})


def owners(given: str | os.PathLike[str] | Mapping[str, Any] | None) -> Owners:
    """What a setting `prices` says: the path of a file, or what is in one.

    Raises:
        SettingsError: The file cannot be read, or something in it is unknown or malformed.
    """
    if given is None:
        return NOBODYS
    if isinstance(given, Mapping):
        return _owners(dict(given), "setting prices")
    try:
        import tomllib  # who has no file need not load what reads it

        document = tomllib.loads(Path(given).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"setting prices={os.fspath(given)!r} cannot be read: {error}") from None
    return _owners(document, os.fspath(given))


def _owners(document: dict[str, Any], where: str) -> Owners:
    mappings: dict[tuple[str | None, str], PricedAs] = {}
    tables = document.pop("mapping", [])
    if not isinstance(tables, list):
        raise SettingsError(f"{where}: mapping is written [[mapping]], once for each entry")
    for number, table in enumerate(tables, 1):
        place = f"{where}, [[mapping]] {number}"
        wrong = _MUST - table.keys() or table.keys() - _MAY
        if wrong or not all(isinstance(value, str) and value for value in table.values()):
            raise SettingsError(
                f"{place}: model and price_as are needed, provider and resource_scope may be given, all as texts"
            )
        key = table.get("provider"), table["model"].lower()
        mappings[key] = PricedAs(table["price_as"], table.get("resource_scope"))
    from .rows import parsed

    entries = tuple(entry._replace(replaces=True) for entry in parsed(document, where))
    return Owners(entries, mappings)
