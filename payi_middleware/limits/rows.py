"""What a ledger keeps, as its rules see it: rows, records of calls, and limits with what is asked of them computed once. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, TypeAlias

import msgspec

from .ledger import SETTLED_DAYS, STATES, Account, Amount, Definitions, Held, Past, State, Totals, Unreadable
from .limit import FORECAST, Definition, Limit, Unit, rolling_ns
from .windows import span

__all__ = [
    "BLOCKED",
    "DAY_NS",
    "HELD",
    "LAPSED",
    "SETTLED",
    "SETTLED_NS",
    "SLICES",
    "Known",
    "Place",
    "Record",
    "Row",
    "Terms",
    "held_of",
    "past_of",
    "totals_of",
]

Place: TypeAlias = "tuple[int, str, int]"
"""Which row: the number of its limit, the key of its account, and when its window began (0 without a window)."""

HELD, LAPSED, SETTLED, BLOCKED = range(4)
"""What became of a call: it runs, its lease ended, it is counted, it was refused."""

DAY_NS: Final = 86_400 * 10**9
SETTLED_NS: Final = SETTLED_DAYS * DAY_NS
"""How long a record is kept after its call."""
SLICES: Final = 60
"""Of a rolling window: so finely room returns."""
_EVER: Final = 2**63
_KEPT_DAYS: Final = {"hour": 35, "day": 400}
_KEPT_DAYS_OF_LONGER: Final = 1_830  # five years
_AT: Final = {"usd": 0, "tokens": 1, "calls": 2}  # places in an `Amount`


class Row(msgspec.Struct, gc=False):
    """What was counted in one window of one account; of a rolling window, in one slice."""

    number: int
    key: str
    starts_ns: int
    ends_ns: int
    """0 without a window; if its account is dated (`Limit.is_dated`), when it was begun. See `ends`."""
    most: int = 0
    """Of its limit when it was last written."""
    spent: int = 0
    held: int = 0
    input_ticks: int = 0
    output_ticks: int = 0
    ok: int = 0
    exceeded: int = 0
    overrun: int = 0
    blocked: int = 0
    blocked_external: int = 0
    failed: int = 0
    told: tuple[float | str, ...] = ()
    """Alerts of this window that have been given out."""

    @property
    def place(self) -> Place:
        """Where it is kept."""
        return self.number, self.key, self.starts_ns

    @property
    def began(self) -> int:
        """When its window began, or its dated account; 0 if nobody knows."""
        return self.starts_ns or self.ends_ns

    @property
    def ends(self) -> int:
        """When its window ends; 0 without one."""
        return self.ends_ns if self.starts_ns else 0

    def begin_anew(self) -> None:
        """After a reset: only what is held stays."""
        self.spent = self.input_ticks = self.output_ticks = 0
        self.ok = self.exceeded = self.overrun = self.blocked = self.blocked_external = self.failed = 0
        self.told = ()

    def take(self, totals: Totals) -> None:
        """Count what is told instead of what was counted."""
        self.spent, self.input_ticks, self.output_ticks = totals.spent, totals.input_ticks, totals.output_ticks
        for state in STATES:
            setattr(self, state, totals.requests.get(state, 0))


class Record(msgspec.Struct, array_like=True, gc=False):
    """What a ledger knows of one call."""

    state: int
    due_ns: int
    """When its lease ends; of one that does not run, when it may be forgotten."""
    application: str
    places: tuple[tuple[Place, int], ...]
    """The rows that hold it, each with the place in `hold` that its limit counts."""
    hold: Amount
    states: dict[str, str]
    """Of a call that was counted or refused, by limit id."""


class Known:
    """A limit of which the rules ask often."""

    __slots__ = (
        "alerts",
        "at",
        "blocks",
        "dated",
        "definition",
        "ends_ns",
        "exceeded_from",
        "limit_id",
        "most",
        "name",
        "number",
        "rolling",
        "slice",
        "starts_ns",
        "strict",
        "timezone",
        "type",
        "unit",
        "until_ns",
        "window",
    )

    def __init__(self, number: int, definition: Definition) -> None:
        limit = definition.limit
        self.number = number
        """Its own in this ledger: a limit that is deleted and made again has another."""
        self.definition = definition
        self.limit_id = definition.limit_id
        self.name = limit.name
        self.type = limit.type
        self.unit: Unit = limit.unit
        self.at = _AT[limit.unit]
        self.most = limit.most
        self.blocks = limit.type == "block"
        self.strict = limit.strict
        self.dated = limit.is_dated
        self.exceeded_from = self.most + 1 if limit.threshold is None else _share(limit.threshold, self.most)
        self.alerts = _alerts(limit, self.most)
        self.timezone = limit.timezone
        self.rolling = rolling_ns(limit.window) or 0
        self.slice = self.rolling // SLICES
        self.window = None if self.rolling else limit.window
        self.starts_ns = self.ends_ns = (
            0  # the window that was last asked for, and up to when the next asks for the same
        )
        self.until_ns = 0 if self.rolling or self.window else _EVER

    def state(self, spent: int) -> State:
        """As `ledger.state_of`."""
        return "overrun" if spent > self.most else "exceeded" if spent >= self.exceeded_from else "ok"

    def window_at(self, at_ns: int) -> tuple[int, int]:
        """When the row begins and ends that an instant belongs to; (0, 0) without a window."""
        if not self.starts_ns <= at_ns < self.until_ns:
            if self.rolling:
                self.starts_ns = at_ns - at_ns % self.slice
                self.ends_ns = self.until_ns = self.starts_ns + self.slice
            else:
                assert self.window is not None
                self.starts_ns, self.ends_ns = span(self.window, self.timezone, at_ns)
                self.until_ns = self.ends_ns
        return self.starts_ns, self.ends_ns

    def is_live(self, row: Row, now_ns: int) -> bool:
        """Whether a row counts now. A slice counts until all of it is out of the window, so that no window is passed."""
        if self.rolling:
            return row.ends_ns > now_ns - self.rolling and row.ends_ns - row.starts_ns <= self.rolling
        return row.starts_ns == self.window_at(now_ns)[0]

    def outdated_at(self, now_ns: int) -> int:
        """Of its accounts in use, rows that ended by then may go. Slices are no history: they go when they do not count."""
        if self.rolling:
            return now_ns - 2 * self.rolling
        return now_ns - _KEPT_DAYS.get(self.window or "", _KEPT_DAYS_OF_LONGER) * DAY_NS


class Terms:
    """The limits of an application, as the rules look for them."""

    def __init__(
        self, version: int, limits: Iterable[Known], unreadable: Mapping[int, Unreadable] | None = None
    ) -> None:
        self.version = version
        self.by_id = {known.limit_id: known for known in limits}
        self.unreadable: Mapping[int, Unreadable] = unreadable or {}
        """By number."""
        self.numbers = {known.number: known for known in self.by_id.values()}
        self._told: Definitions | None = None

    def told(self) -> Definitions:
        """For whoever asks; the same object each time, by which others know what they have looked at already."""
        if self._told is None:
            limits = tuple(known.definition for known in self.by_id.values())
            self._told = Definitions(self.version, limits, tuple(self.unreadable.values()))
        return self._told

    def number_of(self, limit_id: str) -> int | None:
        """Of a limit, readable or not."""
        known = self.by_id.get(limit_id)
        if known is not None:
            return known.number
        return next((number for number, one in self.unreadable.items() if one.limit_id == limit_id), None)

    def giving_way(self, definition: Definition) -> list[int]:
        """The numbers of those that cannot be read and have a definition's id or name."""
        named = (definition.limit_id, definition.limit.name)
        return [number for number, one in self.unreadable.items() if one.limit_id == named[0] or one.name == named[1]]


def totals_of(known: Known, key: str, rows: Iterable[Row], now_ns: int) -> Totals:
    """The rows of an account that count now, as one."""
    found = list(rows)
    starts, ends = known.window_at(now_ns)
    if len(found) == 1 and not known.rolling:  # nearly always, where there are many accounts
        return _totals(found[0], starts or found[0].began, ends)
    if known.rolling:
        starts = min((row.starts_ns for row in found), default=starts)
    return Totals(
        key,
        sum(row.spent for row in found),
        sum(row.held for row in found),
        sum(row.input_ticks for row in found),
        sum(row.output_ticks for row in found),
        {state: sum(getattr(row, state) for row in found) for state in STATES},
        starts or None,
        ends or None,
    )


def _totals(row: Row, starts_ns: int, ends_ns: int) -> Totals:
    requests = {
        "ok": row.ok,
        "exceeded": row.exceeded,
        "overrun": row.overrun,
        "blocked": row.blocked,
        "blocked_external": row.blocked_external,
        "failed": row.failed,
    }
    return Totals(
        row.key,
        row.spent,
        row.held,
        row.input_ticks,
        row.output_ticks,
        requests,
        starts_ns or None,
        ends_ns or None,
    )


def past_of(row: Row, closed_ns: int) -> Past:
    """A row whose window ended, or whose limit is gone."""
    totals = _totals(row, row.began, row.ends)
    return Past(totals, row.most, closed_ns, reset=False)


def held_of(event_id: bytes, record: Record, limit_ids: dict[int, str]) -> Held:
    """A call that is held, for whoever asks; `limit_ids` by number."""
    accounts = tuple(Account(limit_ids[place[0]], place[1]) for place, _ in record.places if place[0] in limit_ids)
    lease_ns = record.due_ns if record.state == HELD else record.due_ns - SETTLED_NS
    return Held(event_id, record.application, accounts, record.hold, lease_ns)


def _alerts(limit: Limit, most: int) -> tuple[tuple[float | str, int], ...]:
    """Each with the amount from which it is told; the forecast's is none."""
    return tuple((share, 0 if share == FORECAST else _share(share, most)) for share in limit.alerts)


def _share(share: Any, most: int) -> int:
    """The least whole amount that is such a share, as it was written: 0.8 is four fifths, not the nearest binary fraction."""
    return math.ceil(Fraction(str(share)) * most)
