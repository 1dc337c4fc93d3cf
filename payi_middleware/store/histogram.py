"""Histograms of durations that add by being joined end to end, so that the database merges them without asking us.

A histogram is a row of bytes: one letter a bucket, 0x40 and up, and after it how often, in decimal digits, unless once.
Joining two histograms gives their sum; `packed` gives the shortest spelling of the same sum. What is taken away has a minus
before how often. Buckets are 9 % wide (eight to the octave), from 0.25 ms to 70 minutes.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping
from math import ceil

__all__ = ["FIRSTS", "LETTERS", "less", "letter", "negated", "packed", "quantiles"]

_FIRST_NS = 250_000
_PER_OCTAVE = 8
_LETTERS = [bytes((0x40 + n,)) for n in range(192)]
_BOUNDS_MS = [0.0] + [0.25 * 2 ** (n / _PER_OCTAVE) for n in range(192)]
FIRSTS = [_FIRST_NS + 1, *(ceil(_FIRST_NS * 2 ** (n / _PER_OCTAVE)) for n in range(1, 191))]
"""The first whole nanosecond of each bucket but the lowest: as many as are not above a duration is its bucket's number."""
LETTERS = [bytearray(letter) for letter in _LETTERS]
"""The histogram of one duration, by its bucket's number, for statements: see `pack.py`."""
_BUCKET = re.compile(rb"[\x40-\xff][-0-9]*")
_COUNTS = b"-0123456789"
_SHORT = 1000  # bytes
_FEW = 8  # bytes


def letter(duration_ns: int) -> bytes:
    """The histogram of one duration, nanoseconds."""
    return _LETTERS[bisect_right(FIRSTS, duration_ns)]


def packed(joined: bytes) -> bytes:
    """The shortest spelling of the same histogram."""
    return _spelt(_counts(joined))


def less(joined: bytes, gone: bytes) -> bytes:
    """What is left of a histogram without another one that was added to it before."""
    if len(gone) <= _FEW and _is_plain(gone) and _is_plain(joined):  # most are of a call or two
        for code in gone:
            joined = joined.replace(_LETTERS[code - 0x40], b"", 1)
        return joined
    counts = Counter(_counts(joined))
    counts.subtract(_counts(gone))
    return _spelt(counts)


def negated(joined: bytes) -> bytes:
    """The histogram that takes this one away when it is added."""
    return _spelt({code: -n for code, n in _counts(joined).items()})


def _spelt(counts: Mapping[int, int]) -> bytes:
    return b"".join(
        _LETTERS[code - 0x40] + (str(n).encode() if n != 1 else b"") for code, n in sorted(counts.items()) if n
    )


def quantiles(joined: bytes, *shares: float) -> tuple[float | None, ...]:
    """The durations, milliseconds, below which these shares (ascending, above 0) of the calls lie; None without any."""
    if not joined:
        return (None,) * len(shares)
    if len(joined) <= _SHORT and _is_plain(joined):
        return _quantiles_of_short(sorted(joined), shares)
    counts = sorted(item for item in _counts(joined).items() if item[1] > 0)
    if not counts:
        return (None,) * len(shares)
    total = sum([n for _, n in counts])
    found: list[float] = []
    passed = at = 0
    for share in shares:
        rank = share * total
        while at < len(counts) and passed + counts[at][1] < rank:
            passed += counts[at][1]
            at += 1
        found.append(_within(*counts[at], rank - passed))
    return tuple(found)


def _quantiles_of_short(ordered: list[int], shares: tuple[float, ...]) -> tuple[float, ...]:
    """The same where each call has a letter of its own; a report has thousands of these, and it is twice as fast."""
    found: list[float] = []
    for share in shares:
        rank = share * len(ordered)
        code = ordered[ceil(rank) - 1]
        first = bisect_left(ordered, code)
        found.append(_within(code, bisect_right(ordered, code) - first, rank - first))
    return tuple(found)


def _within(code: int, n: int, rank: float) -> float:
    """The place of the `rank`-th of a bucket's `n` calls, as if they lay evenly in it; milliseconds."""
    low, high = _BOUNDS_MS[code - 0x40 : code - 0x40 + 2]
    return round(low + (high - low) * rank / n, 3 if high < 10 else 1)


def _counts(joined: bytes) -> dict[int, int]:
    if _is_plain(joined):
        return Counter(joined)
    counts: Counter[int] = Counter()
    for bucket, times in Counter(_BUCKET.findall(joined)).items():  # the same ones come again and again
        counts[bucket[0]] += int(bucket[1:] or 1) * times
    return counts


def _is_plain(joined: bytes) -> bool:
    """Whether each call has a letter of its own."""
    return len(joined.translate(None, _COUNTS)) == len(joined)
