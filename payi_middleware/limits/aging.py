"""When a row is over: it is told as history then, and may be deleted some time later."""

from __future__ import annotations

from .rows import Known, Row

__all__ = ["is_history", "is_over", "may_go"]


def may_go(known: Known, gone_ns: int | None, row: Row, now_ns: int, before_ns: int) -> bool:
    """Whether a row was over by a time; of dated accounts, of which none is, whether it was begun by then and holds nothing."""
    if known.dated and gone_ns is None:
        return 0 < row.ends_ns <= before_ns and not row.held
    if not is_over(known, gone_ns, row, now_ns):
        return False
    return min((row.ends or now_ns) + known.rolling, gone_ns or now_ns) <= before_ns


def is_over(known: Known, gone_ns: int | None, row: Row, now_ns: int) -> bool:
    """Whether a row is over: slices of a rolling window never are while there is their limit, they only cease to count."""
    if gone_ns is not None:
        return True
    return not known.rolling and not known.is_live(row, now_ns)


def is_history(known: Known, gone_ns: int | None, row: Row, now_ns: int) -> bool:
    """Whether a row is to be told as such: not a slice that had ceased to count when its limit went, and may be there or not."""
    if gone_ns is not None and known.rolling and not known.is_live(row, gone_ns):
        return False
    return is_over(known, gone_ns, row, now_ns)
