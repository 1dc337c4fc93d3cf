"""What a ledger keeps, as its rules see it: rows, records of calls, and limits with what is asked of them computed once. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
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
    "OUTBOX_NS",
    "SETTLED",
    "SETTLED_NS",
    "SLICES",
    "Known",
    "Place",
    "Record",
    "Row",
    "Terms",
    "Turn",
    "held_of",
    "merged",
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
OUTBOX_NS: Final = 14 * DAY_NS
"""How long an alert waits that nobody tells: after that it is of no use."""
SLICES: Final = 60
"""Of a rolling window: so finely room returns."""
_EVER: Final = 2**63 - 1
_US: Final = 1_000
_MOST_TURNS: Final = 500
"""Of a limit that are kept: an account that nobody looked at through more of them has gone through the oldest that is left."""
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
    turn: int = 0
    """The number of the last of its limit's turns that it has gone through."""

    @property
    def place(self) -> Place:
        """Where it is kept."""
        return self.number, self.key, self.starts_ns

    @property
    def is_blank(self) -> bool:
        """Whether nothing was counted in it; something may be held."""
        requests = self.ok or self.exceeded or self.overrun or self.blocked or self.blocked_external or self.failed
        return not (self.spent or self.input_ticks or self.output_ticks or requests)

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


class Turn(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """All accounts of a limit are reset, or its windows are others from now on: in one instant, however many accounts there are.

    It is noted with the limit. Each row goes through it when it is next looked at; until then it stands as it did in that instant.
    """

    number: int
    at_ns: int
    """A microsecond after all that was done with the limit before, as the clock may stand still."""
    starts_ns: int
    """Of the window that ran then; of a rolling one, of the slice."""
    ends_ns: int
    rolling_ns: int
    most: int
    is_reset: bool

    def is_of(self, row: Row) -> bool:
        """Whether a row counted then."""
        if self.rolling_ns:
            return row.ends_ns > self.at_ns - self.rolling_ns and row.ends_ns - row.starts_ns <= self.rolling_ns
        return row.starts_ns == self.starts_ns

    def past_of(self, row: Row) -> Past:
        """What a row had come to then."""
        return Past(_totals(row, row.began, self.ends_ns), self.most, self.at_ns, reset=True)


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
        "turn",
        "turns",
        "type",
        "unit",
        "until_ns",
        "window",
    )

    def __init__(self, number: int, definition: Definition, turns: Sequence[Turn] = ()) -> None:
        limit = definition.limit
        self.number = number
        """Its own in this ledger: a limit that is deleted and made again has another."""
        self.definition = definition
        self.turns = tuple(turns)
        self.turn = turns[-1].number if turns else 0
        """The number of the last: a row that has another is behind."""
        self.limit_id = definition.limit_id
        self.name = limit.name
        self.type = limit.type
        self.unit: Unit = limit.unit
        self.at = _AT[limit.unit]
        self.most = limit.most
        self.blocks = limit.type == "block"
        self.strict = limit.strict
        self.dated = limit.is_dated
        self.exceeded_from = self.most if limit.threshold is None else _share(limit.threshold, self.most)
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

    def turned(self, at_ns: int, *, is_reset: bool) -> Known:
        """The limit after all of its accounts were reset, or after its windows became these."""
        starts, ends = self.window_at(at_ns)
        at = max(at_ns, self.turns[-1].at_ns if self.turns else 0) + _US
        turn = Turn(self.turn + 1, at, starts, ends, self.rolling, self.most, is_reset)
        return Known(self.number, self.definition, (*self.turns, turn)[-_MOST_TURNS:])

    def through(self, row: Row) -> list[Past]:
        """Take a row through the turns that it has missed; what it had come to at those that reset it.

        Where a new window began at the same time as an older one, the row is the same, and ends when the new one does.
        """
        past: list[Past] = []
        for turn in self.turns:
            if turn.number <= row.turn:
                continue
            if turn.is_reset and turn.is_of(row):
                if not row.is_blank:
                    past.append(turn.past_of(row))
                row.begin_anew()
            if row.starts_ns and row.starts_ns == turn.starts_ns:
                row.ends_ns = turn.ends_ns
        row.turn = self.turn
        return past

    def seen(self, row: Row) -> tuple[Row, list[Past]]:
        """The same for who only looks: the row as it stands now, and what it was, without a change of it."""
        if row.turn >= self.turn:
            return row, []
        row = copy.copy(row)
        past = self.through(row)
        return row, past

    def counting(self, now_ns: int) -> tuple[int, int]:
        """Rows may count now that end after the first, or begin with the second."""
        return (now_ns - self.rolling, -1) if self.rolling else (_EVER, self.window_at(now_ns)[0])

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


def merged(past: Iterable[Past]) -> list[Past]:
    """What accounts had come to at resets, from what each of their rows had: of a rolling window the slices went by themselves."""
    found: dict[tuple[str, int], list[Past]] = {}
    for one in past:
        found.setdefault((one.totals.key, one.closed_ns), []).append(one)
    return [some[0] if len(some) == 1 else some[0]._replace(totals=_sum(some)) for some in found.values()]


def _sum(past: Sequence[Past]) -> Totals:
    every = [one.totals for one in past]
    return Totals(
        every[0].key,
        sum(one.spent for one in every),
        sum(one.held for one in every),
        sum(one.input_ticks for one in every),
        sum(one.output_ticks for one in every),
        {state: sum(one.requests.get(state, 0) for one in every) for state in STATES},
        min((one.starts_ns for one in every if one.starts_ns is not None), default=None),
        max((one.ends_ns for one in every if one.ends_ns is not None), default=None),
    )


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
