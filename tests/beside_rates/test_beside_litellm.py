"""Our rates beside litellm's published table: every difference is explained, and every explanation still needed.

Run by `tox run -e rates`, which installs litellm; the table is read where it lies and no part of it is kept here.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest
from litellm_table import Cell, cells, is_installed, table

from payi_middleware.events import Side
from payi_middleware.pricing import Prices, Rate

pytestmark = pytest.mark.skipif(not is_installed(), reason="litellm is not installed: tox run -e rates")

EXPLAINED = Path(__file__).with_name("explained.toml")
AT = int(datetime.datetime(2026, 11, 25, 2, tzinfo=datetime.UTC).timestamp()) * 10**9
"""A moment of DeepSeek's dearer hours, which alone the table has."""
NEAR, ROUNDED = Decimal("0.04"), Decimal("0.1")
"""Both lists round, at times twice: 0.1375 of the one is 0.14 or 0.143 in the other."""


class Difference(NamedTuple):
    """What the two say of one unit."""

    cell: Cell
    ours: Decimal | None
    """USD for one unit; None where we have no rate, and say so."""

    def __str__(self) -> str:
        when = " ".join(filter(None, (self.cell.tier, *self.cell.terms, self.cell.above > 0 and f">{self.cell.above}")))
        ours = "nothing" if self.ours is None else f"{self.ours.normalize():f}"
        return f"{self.cell.key} [{self.cell.provider}] {self.cell.unit} {when}: {self.cell.usd:f}, we {ours}"


class Explanation(NamedTuple):
    """Why some of the differences are right as they are."""

    providers: tuple[str, ...]
    keys: tuple[str, ...]
    """Patterns of the table's keys."""
    units: tuple[str, ...]
    when: tuple[str, ...]
    """Patterns of the tiers and terms, of which one must match; none for any."""
    missing: bool
    """Whether we have no rate at all, and not another one."""
    times: Decimal | None
    """How many times the table's our rate must be; None for any."""
    reason: str

    def explains(self, difference: Difference) -> bool:
        cell = difference.cell
        told = (cell.tier or "", *cell.terms, f"above:{cell.above}" if cell.above > 0 else "")
        return (
            self.missing == (difference.ours is None)
            and (self.times is None or is_near(difference.ours or Decimal(0), cell.usd * self.times))
            and _matches(cell.provider, self.providers)
            and _matches(cell.key.lower(), self.keys)
            and _matches(cell.unit, self.units)
            and (not self.when or any(_matches(term, self.when) for term in told if term))
        )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def explanations() -> list[Explanation]:
    return [
        Explanation(
            tuple(entry["providers"]),
            tuple(entry.get("keys", ["*"])),
            tuple(entry.get("units", ["*"])),
            tuple(entry.get("when", [])),
            entry.get("missing", False),
            Decimal(entry["times"]) if "times" in entry else None,
            entry["reason"],
        )
        for entry in tomllib.loads(EXPLAINED.read_text("utf-8"))["difference"]
    ]


def ours(prices: Prices, cell: Cell) -> Rate | None:
    """Our rate for what a price of the table is for; None where we say that there is none."""
    plan = prices.plan(cell.provider, cell.model, AT, cell.tier, cell.terms)
    if plan is None or any("standard rate used" in note.reason for note in plan.notes):
        return None
    unit, _, side = cell.unit.rpartition(".")
    key: tuple[str, Side] = (unit, "input" if side == "input" else "output")
    rates = next(table.rates for table in reversed(plan.tables) if table.above <= cell.above)
    rate = rates.get(key)
    return rate if rate is None or rate.doubt is None else None


def differences(prices: Prices) -> list[Difference]:
    found = []
    for cell in cells(table()):
        rate = ours(prices, cell)
        usd = None if rate is None else rate.usd / rate.per
        free = cell.usd == 0 and usd is None  # what costs nothing needs no rate
        if not free and (usd is None or not is_near(usd, cell.usd)):
            found.append(Difference(cell, usd))
    return found


def is_near(ours: Decimal, theirs: Decimal) -> bool:
    """Whether the two are one figure, if need be rounded to as many digits as the table has."""
    apart = abs(ours - theirs) / max(ours, theirs, Decimal("1E-18"))
    digits = len(theirs.normalize().as_tuple().digits)
    return apart <= NEAR or (apart <= ROUNDED and Context(digits, ROUND_HALF_UP).create_decimal(ours) == theirs)


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


@pytest.fixture(scope="module")
def found(prices: Prices) -> list[Difference]:
    return differences(prices)


def test_every_difference_is_explained(found: list[Difference]) -> None:
    """What is left over is to be mended in `pricing/data`, or explained beside this file."""
    known = explanations()
    unexplained = [str(one) for one in found if not any(entry.explains(one) for entry in known)]

    assert unexplained == [], f"{len(unexplained)} unexplained:\n" + "\n".join(unexplained)


def test_every_explanation_is_needed(found: list[Difference]) -> None:
    """One that explains nothing any more is to go."""
    idle = [entry.reason for entry in explanations() if not any(entry.explains(one) for one in found)]

    assert idle == []


def test_the_two_agree_on_nearly_all(prices: Prices, found: list[Difference]) -> None:
    """A table that is read wrongly would differ everywhere, and explanations by class would hide it."""
    compared = sum(1 for _ in cells(table()))

    assert compared > 8_000
    assert len(found) < compared * 0.1
