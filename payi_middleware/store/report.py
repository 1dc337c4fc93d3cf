"""Reports: who spent what on what, in a range of time."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ..events import format_time
from .connection import Connection
from .dearest import dearest
from .interned import Names
from .periods import HOUR_NS, day_of_month, month_of_hour
from .query import Extent, Group, Grouping, extent, grouping, pieces, read
from .schema import DAY, DIMENSIONS, OTHER
from .sums import Sums, money

__all__ = ["SCHEMA", "Report", "ReportRow", "failures", "report"]

SCHEMA = 1
"""Version of the JSON form of a report."""

Key = tuple[str | None, ...]
_FARTHEST = (1 << 63) - 1
_LONG = 0.3
"""Seconds from which it is told how long a report took."""
_FEW = 7
"""Days to be read beside a running sum where one is near."""
_MOST_SOUGHT = 1_000
"""Rows up to which it is worth looking first which they are."""


class ReportRow(NamedTuple):
    """One group of calls."""

    key: Key
    """A value for each member of `by`; None for calls without one."""
    sums: Sums


class Report(NamedTuple):
    """A report's rows and their total; by tag, rows overlap."""

    by: tuple[str, ...]
    since_ns: int | None
    until_ns: int | None
    timezone: str
    rows: list[ReportRow]
    size: int
    """How many rows there are, of which `rows` may have only some."""
    total: Sums
    unpriced: dict[str | None, int]
    """Model -> calls whose cost leaves something out."""
    seconds: float
    """How long the questions took."""
    note: str | None
    """Why more was read than a few sums, and how long it took; and `lacking`."""
    lacking: str | None = None
    """What the report cannot tell any more."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract: money as decimal strings, times as RFC 3339 in UTC."""
        return {
            "schema": SCHEMA,
            "since": _told(self.since_ns),
            "until": _told(self.until_ns),
            "timezone": self.timezone,
            "by": list(self.by),
            "rows": [
                {"key": row.key[0] if len(row.key) == 1 else list(row.key)} | row.sums.to_dict() for row in self.rows
            ],
            "total": self.total.to_dict(),
            "unpriced": [{"model": model, "calls": calls} for model, calls in self.unpriced.items()],
            "unattributed": {"calls": self.total.unattributed_calls, "cost": money(self.total.unattributed_ticks)},
            "note": self.note,
        }


def report(
    connection: Connection,
    by: tuple[str, ...],
    since_ns: int | None,
    until_ns: int | None,
    timezone: str,
    *,
    as_recorded: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> Report:
    """Calls that began in [since, until), grouped; dearest first, days in their order.

    Args:
        connection: A store, within one snapshot.
        by: Members of `query.BY`.
        since_ns: Nanoseconds since the epoch; None for the first call.
        until_ns: None for the last call.
        timezone: In which days begin, an IANA name.
        as_recorded: Whether to pass over corrections of costs.
        limit: Rows, at most; None for all.
        offset: Rows before the first.
    """
    began = time.perf_counter()
    held = extent(connection, as_recorded=as_recorded)
    if held is None:
        return Report(by, since_ns, until_ns, timezone, [], 0, Sums(), {}, time.perf_counter() - began, None)
    low, high = _range(held, since_ns, until_ns)
    how = grouping(tuple(name for name in by if name != "day"), held, low)
    total, unpriced = _total(connection, low, high, held)
    parts = list(_days(low, high, timezone)) if "day" in by else [("", low, high)]
    asked = _Asked(connection, by, how, parts, held, Names(connection))
    end = None if limit is None else offset + limit
    if end is not None and end <= _MOST_SOUGHT and how.dim in DIMENSIONS and "day" not in by:
        rows, size = _some(asked, offset, end)
    else:
        rows = _all(asked)
        rows, size = rows[offset:end], len(rows)
    seconds = time.perf_counter() - began
    lacking = _lacking(how, parts, held)
    note = "; ".join(filter(None, [_note(asked, seconds), lacking])) or None
    return Report(by, since_ns, until_ns, timezone, rows, size, total, unpriced, seconds, note, lacking)


class _Asked(NamedTuple):
    """What is asked for, of what there is."""

    connection: Connection
    by: tuple[str, ...]
    how: Grouping
    parts: list[tuple[str, int, int]]
    """Days, or the whole range: name, first nanosecond, and the one after the last."""
    held: Extent
    names: Names


def _all(asked: _Asked) -> list[ReportRow]:
    rows: list[ReportRow] = []
    for day, first, end in asked.parts:
        groups = _collect(read(asked.connection, asked.how, first, end, asked.held), len(asked.how.by))
        rows += _named(groups, asked.how, asked.names, asked.by, day)
    rows.sort(key=_order(asked.by))
    return rows


def _some(asked: _Asked, offset: int, end: int) -> tuple[list[ReportRow], int]:
    """Some rows, and how many there are: first which values they are of, then what there is of those."""
    connection, _, how, [(_, low, high)], held, names = asked
    keys, size = dearest(connection, how, low, high, held, names, end)
    if not keys[offset:]:
        return [], size
    groups = _collect(read(connection, how, low, high, held, keys[offset:]), len(how.by))
    return sorted(_named(groups, how, names, asked.by, ""), key=_order(asked.by)), size


def failures(
    connection: Connection,
    since_ns: int | None,
    until_ns: int | None,
    timezone: str,
    *,
    as_recorded: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> Report:
    """What failed or was tried again, by kind: outcome, HTTP status, error type, provider, model."""
    found = report(
        connection, ("failure",), since_ns, until_ns, timezone, as_recorded=as_recorded, limit=limit, offset=offset
    )
    rows = [ReportRow(tuple(msgspec.json.decode(row.key[0] or "[]")), row.sums) for row in found.rows]
    return found._replace(by=("outcome", "http_status", "error_type", "provider", "model"), rows=rows)


def _range(held: Extent, since_ns: int | None, until_ns: int | None) -> tuple[int, int]:
    """The range within what is held; where it goes beyond, out to whole months, of which there are sums."""
    first, last = month_of_hour(held.first_hour), month_of_hour(held.end_hour - 1)
    begin, end = day_of_month(first) * 24 * HOUR_NS, day_of_month(last + 1) * 24 * HOUR_NS
    low = begin if since_ns is None else min(max(since_ns, begin), end)
    high = end if until_ns is None else min(max(until_ns, low), end)
    return low, high


def _total(connection: Connection, low: int, high: int, held: Extent) -> tuple[Sums, dict[str | None, int]]:
    total, by_model = Sums(), dict[str | None, Sums]()
    for group in read(connection, grouping(("model",), held, low), low, high, held):
        total.add(*group[1:])
        by_model.setdefault(group[0], Sums()).add(*group[1:])
    unpriced = {model: sums.unpriced_calls for model, sums in by_model.items() if sums.unpriced_calls}
    return total, dict(sorted(unpriced.items(), key=lambda item: -item[1]))


def _days(low: int, high: int, timezone: str) -> Iterator[tuple[str, int, int]]:
    """The local days of a range, cut to it: name, first and end nanosecond."""
    zone = ZoneInfo(timezone)
    day = datetime.datetime.fromtimestamp(low // 10**9, zone).date()
    first = _midnight(day, zone)
    while first < high:
        following = day + datetime.timedelta(days=1)
        end = _midnight(following, zone)
        yield day.isoformat(), max(first, low), min(end, high)
        day, first = following, end


def _midnight(day: datetime.date, zone: ZoneInfo) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), zone).timestamp()) * 10**9


def _collect(groups: Iterable[Group], width: int) -> dict[Group, Sums]:
    """Sums by key, of which the first `width` members of each group are."""
    found: dict[Group, Sums] = {}
    for group in groups:
        key = group[:width]
        sums = found.get(key)
        if sums is None:
            sums = found[key] = Sums()
        sums.add(*group[width:])
    return {key: sums for key, sums in found.items() if sums.calls}  # others were taken away again


def _named(found: dict[Group, Sums], how: Grouping, names: Names, by: tuple[str, ...], day: str) -> Iterator[ReportRow]:
    names.texts([number for key in found for number, is_one in zip(key, how.numbered, strict=True) if is_one])
    for key, sums in found.items():
        values = (_value(names, value, is_number) for value, is_number in zip(key, how.numbered, strict=True))
        yield ReportRow(tuple([day if name == "day" else next(values) for name in by]), sums)


def _value(names: Names, value: Any, is_number: bool) -> str | None:
    if not is_number:
        text: str | None = value
        return text
    return "(other)" if value == OTHER else names.text(value)


def _order(by: tuple[str, ...]) -> Callable[[ReportRow], tuple[Any, ...]]:
    """The order of rows: days as they come, then by cost."""
    days = [n for n, name in enumerate(by) if name == "day"]

    def order(row: ReportRow) -> tuple[Any, ...]:
        key, sums = row
        return (*[key[n] for n in days], -sums.cost_ticks, -sums.calls, [value or "" for value in key])

    return order


def _note(asked: _Asked, seconds: float) -> str | None:
    how, parts = asked.how, asked.parts
    if how.dim is None:
        what = " and ".join(how.by)
        return f"there are no sums by {what}: every event of the range was read, which took {seconds:.2f} s"
    if not any(first % HOUR_NS or end % HOUR_NS for _, first, end in parts):
        return _slow(asked, seconds)
    what = "days of the range cut" if parts[0][0] else "the range cuts"
    return f"{what} an hour: the events of its edges were read, which took {seconds:.2f} s"


def _slow(asked: _Asked, seconds: float) -> str | None:
    """That it took long to add up sums alone."""
    if seconds < _LONG:
        return None
    spans = [span for _, low, high in asked.parts for span in pieces(low, high, asked.held).spans]
    days = sum(span.end - span.first for span in spans if span.grain == DAY)
    if days <= _FEW or "day" in asked.by:
        return f"to add up the sums took {seconds:.2f} s"
    return f"no running sum is near the range: the sums of {days:,} days were added up, which took {seconds:.2f} s"


def _lacking(how: Grouping, parts: list[tuple[str, int, int]], held: Extent | None) -> str | None:
    """That events which would have been read were removed; sums alone lack nothing."""
    if held is None or held.before_hour is None:
        return None
    before = held.before_hour * HOUR_NS
    read_at = [low if how.dim is None else edge for _, low, high in parts for edge in (low, high)]
    if not any(moment < before and (how.dim is None or moment % HOUR_NS) for moment in read_at):
        return None
    return f"events before {format_time(before)[:10]} were pruned: calls that began before are missing here"


def _told(ns: int | None) -> str | None:
    """A time, or the farthest one that 64 bits can tell."""
    return None if ns is None else format_time(min(max(ns, -_FARTHEST), _FARTHEST))
