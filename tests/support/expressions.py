"""PromQL, as far as it takes to see which metrics and labels an expression asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Exposed", "exposed", "unknown"]

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:{(?P<labels>[^}]*)})? ", re.MULTILINE)
_NAME = re.compile(r"\b(?:payi_\w+|job\w*:[\w:]+)")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_BY = re.compile(r"\bby\s*\(([^)]*)\)")
_OF_SCRAPES = frozenset(("job", "instance"))  # what Prometheus adds to all it scrapes


class Exposed(NamedTuple):
    """Metrics and their labels."""

    names: frozenset[str]
    labels: frozenset[str]


def exposed(text: str) -> Exposed:
    """What a server tells in Prometheus' text format."""
    found = [match.groupdict() for match in _SAMPLE.finditer(text)]
    labels = {label for one in found for label in re.findall(r'(\w+)="', one["labels"] or "")}
    return Exposed(frozenset(one["name"] for one in found), frozenset(labels) | _OF_SCRAPES)


def unknown(expressions: Iterable[str], there: Exposed) -> set[str]:
    """The metrics and labels that expressions ask for and nobody tells."""
    missing: set[str] = set()
    for expression in expressions:
        by = [label.strip() for group in _BY.findall(expression) for label in group.split(",")]
        missing |= set(_NAME.findall(expression)) - there.names
        missing |= {*by, *_MATCHER.findall(expression)} - there.labels
    return missing
