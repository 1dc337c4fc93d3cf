"""Dimensions that came later than their store, filled in a day at a time, from the newest back.

What comes in is added to them from the hour in `filled` on; of the hours before they have nothing yet, and reports read what
they read before. Where the calls of a day were pruned, there is no more telling which of them took which route, so the
dimension of routes ends there.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from . import corrections
from .adding import MEASURES
from .connection import Connection
from .filled import filled
from .fold import add_up, gather, name, narrow, prepare, spill
from .keeping import kept
from .schema import CORRECTED, EVER, HOUR, NARROW, ROUTED, WIDE

__all__ = ["fill_day"]

_WIDES = f"dim IN ({WIDE}, {WIDE | CORRECTED})"
_NEWEST = f"""
SELECT max(hour) FROM (
    SELECT max(hour) AS hour FROM events WHERE hour < :end
    UNION ALL SELECT max(period) AS hour FROM rollup WHERE dim = {WIDE} AND grain = {HOUR} AND period < :end
) AS hours
"""
_GATHER_WIDE = f"""
INSERT INTO temp.delta SELECT dim, period, key, kind, {MEASURES} FROM rollup
WHERE {_WIDES} AND grain = {HOUR} AND period >= ? AND period < ?
"""
_NO_WIDE = f"DELETE FROM temp.delta WHERE {_WIDES}"
_GATHER_ROUTED = gather(ROUTED, "hour >= ? AND hour < ? AND id <= (SELECT event FROM folded)")
_GATHER_CORRECTED = [corrections.gather(ROUTED, "e.hour >= ? AND e.hour < ?", after=after) for after in (False, True)]


def fill_day(connection: Connection, most_keys: int) -> int | None:
    """Fill in the newest day that lacks; None if none does. Within a transaction that writes."""
    end = max(filled(connection)[dim] for dim in NARROW)
    if end == EVER:
        return None
    hour: int | None = connection.execute(_NEWEST, {"end": end}).fetchone()[0]
    before = kept(connection).before_hour
    if hour is None:
        _fill(connection, EVER, is_routed=before is None)
        return None
    day = hour // 24
    is_routed = before is None or day * 24 >= before
    _gather(connection, (day * 24, day * 24 + 24), is_routed)
    spill(connection, most_keys)
    corrections.to_other(connection)
    _fill(connection, day * 24, is_routed=is_routed)
    add_up(connection)
    return day


def _gather(connection: Connection, hours: tuple[int, int], is_routed: bool) -> None:
    prepare(connection)
    connection.execute(_GATHER_WIDE, hours)
    name(connection)
    narrow(connection)
    connection.execute(_NO_WIDE)
    if is_routed:
        for statement in (_GATHER_ROUTED, *_GATHER_CORRECTED):
            connection.execute(statement, hours)


def _fill(connection: Connection, hour: int, *, is_routed: bool) -> None:
    for dim in (*NARROW, ROUTED) if is_routed else NARROW:
        connection.execute("UPDATE filled SET from_hour = ? WHERE dim = ? AND from_hour > ?", (hour, dim, hour))
