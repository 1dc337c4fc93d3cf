"""Steps as the server's scripts read them, and what those answer. Pure.

Times are microseconds there, and seconds where windows begin and end; what is counted is decimal text, since Lua's numbers are
exact to 2^53 only.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from ..ledger import (
    NEW,
    Account,
    Admitted,
    Alert,
    Amount,
    Answer,
    Blocked,
    Crossed,
    Extend,
    Held,
    Past,
    Release,
    Renew,
    Reserve,
    Settle,
    Settled,
    Standing,
    State,
    Totals,
)
from ..rows import Known, Row, Terms, Turn
from .terms import share_of

__all__ = [
    "COUNTED",
    "DATED",
    "FULL",
    "Window",
    "alert_of",
    "alone",
    "event_of",
    "event_text",
    "found",
    "held_of",
    "is_usual",
    "past_of",
    "read_answer",
    "row_of",
    "states_of",
    "turns_of",
    "written",
]

FULL: Final = 2**63 - 1
_MOST_HELD: Final = 10**15
"""Of a call, in any unit: so that what thousands hold stays within 64 bits, and one is exact as a double."""
_LETTERS: Final[dict[str, State]] = {
    "o": "ok",
    "e": "exceeded",
    "v": "overrun",
    "b": "blocked",
    "x": "blocked_external",
}
COUNTED: Final = ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
_EVER: Final = (0, 0)
"""When a row begins and ends without a window of the calendar; a rolling one's slices are found by the server."""
DATED: Final = (0, -1)
"""The same of one that is to tell, in the place of its end, when it was begun."""
_FEW: Final = 16
_US: Final = 1_000
_NS: Final = 10**9


class Window:
    """The time in which all windows hold that steps were written for, seconds."""

    __slots__ = ("ends", "now_ns", "starts")

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.starts = 0
        self.ends = 2**52 // 10**6  # no end

    def of(self, known: Known, at_ns: int | None = None) -> tuple[int, int]:
        """When the row begins and ends that an instant belongs to, now if none is told."""
        starts, ends = known.window_at(self.now_ns)
        self.starts = max(self.starts, starts // _NS)
        self.ends = min(self.ends, ends // _NS)
        if at_ns is not None and at_ns < starts:
            starts, ends = known.window_at(max(0, at_ns))
        return starts // _NS, ends // _NS


def found(terms: Terms, accounts: Sequence[Account]) -> list[tuple[Known, str]]:
    """The limits of accounts, each once, but for those that are gone."""
    by_id = terms.by_id
    if len(accounts) == 1:
        limit_id, key = accounts[0]
        return [(by_id[limit_id], key)] if limit_id in by_id else []
    return [(by_id[limit_id], key) for limit_id, key in dict.fromkeys(accounts) if limit_id in by_id]


def event_text(event_id: bytes) -> str:
    """An event's id as keys have it: 22 letters for 16 bytes."""
    text = b2a_base64(event_id, newline=False)
    return (text[:22] if len(event_id) == 16 else text.rstrip(b"=")).decode()


def event_of(text: str) -> bytes:
    """The id, of its text."""
    return a2b_base64(text + "=" * (-len(text) % 4))


def written(step: Any, charged: Sequence[tuple[Known, str]], window: Window) -> list[Any]:
    """A step for the server; `charged` are the accounts that it is about."""
    write: Callable[[Any, Any, Any], list[Any]] = _WRITING[type(step)]
    return write(step, charged, window)


def is_usual(charged: Sequence[tuple[Known, str]]) -> bool:
    """Whether a step about these accounts may be done alone: they are few, each of another limit, and none is of a rolling one."""
    if len(charged) == 1:
        return not charged[0][0].rolling
    if not 0 < len(charged) <= _FEW or any(known.rolling for known, _ in charged):
        return False
    return len({known.number for known, _ in charged}) == len(charged)


def alone(limits: Sequence[msgspec.Raw], step: list[Any]) -> list[Any]:
    """What is sent of a step that is written: of how many accounts, of each its limit and the name of its row, and the step."""
    told: list[Any] = [len(limits)]
    place = len(step) - 4 * len(limits)
    for limit in limits:
        told += (limit, f"{step[place]}:{step[place + 2]}:{step[place + 1]}")
        place += 4
    told += step
    return told


def _reserve(step: Reserve, charged: Sequence[tuple[Known, str]], window: Window) -> list[Any]:
    told = ["reserve", step.application, *_amounts(step.hold)]
    for known, key in charged:
        told += (known.number, key, *(window.of(known) if known.window else DATED if known.dated else _EVER))
    return told


def _settle(step: Settle, charged: Sequence[tuple[Known, str]], window: Window) -> list[Any]:
    text = _text if step.counts else _signed
    told: list[Any] = [
        "settle",
        max(0, step.at_ns) // _NS,
        text(step.input_ticks),
        text(step.output_ticks),
        text(step.input_ticks + step.output_ticks),
        text(step.tokens),
        step.failed,
        step.known,
        step.counts,
    ]
    for known, key in charged:
        bounds = window.of(known, step.at_ns) if known.window else DATED if known.dated else _EVER
        told += (known.number, key, *bounds)
    return told


def _release(step: Release, charged: object, window: object) -> list[Any]:
    return ["release"]


def _extend(step: Extend, charged: object, window: object) -> list[Any]:
    return ["extend", *_amounts(step.hold)]


def _renew(step: Renew, charged: object, window: object) -> list[Any]:
    return ["renew", *map(event_text, step.event_ids)]


_WRITING: Final[dict[type, Callable[..., list[Any]]]] = {
    Reserve: _reserve,
    Settle: _settle,
    Release: _release,
    Extend: _extend,
    Renew: _renew,
}


def _amounts(hold: Amount) -> Sequence[int]:
    ticks, tokens, calls = hold
    if 0 <= ticks <= _MOST_HELD and 0 <= tokens <= _MOST_HELD and 0 <= calls <= _MOST_HELD:  # as nearly always
        return hold
    return [min(max(0, amount), _MOST_HELD) for amount in hold]


def _signed(amount: int) -> str:
    return str(min(max(-FULL, amount), FULL))


def _text(amount: int) -> str:
    return str(amount if 0 <= amount <= FULL else min(max(0, amount), FULL))


def read_answer(told: Any, charged: Sequence[tuple[Known, str]], limit_ids: dict[int, str]) -> Answer:
    """What a step is answered; `limit_ids` by number."""
    if told[0] == "settled":
        return _settled(told, limit_ids)
    if told[0] == "admitted":
        if len(charged) == 1:
            return Admitted((_standing(charged[0], told, 1),))
        return Admitted(tuple([_standing(one, told, 4 * n + 1) for n, one in enumerate(charged)]))
    states = {limit_ids[number]: state for number, state in states_of(told[1]).items()}
    # At first by account; asked again, by limit.
    by_account = [_LETTERS[letter] for letter in told[2]] or [
        states.get(known.limit_id, "blocked_external") for known, _ in charged
    ]
    return Blocked(
        tuple(
            _standing(one, told, 4 * n + 3)._replace(state=state)
            for n, (one, state) in enumerate(zip(charged, by_account, strict=True))
        )
    )


def _standing(charged: tuple[Known, str], told: Sequence[Any], place: int) -> Standing:
    known, key = charged
    spent = int(told[place])
    held, starts, resets = int(told[place + 1]), told[place + 2] * _US or None, told[place + 3] * _US or None
    if starts is None:
        resets = None
    state = known.state(spent)
    # Past its own `__new__`, as in `book`.
    return tuple.__new__(
        Standing,
        (known.limit_id, known.name, key, known.type, known.unit, state, known.most, spent, held, starts, resets),
    )


def _settled(told: Any, limit_ids: dict[int, str]) -> Settled:
    states: dict[str, str] = {limit_ids[number]: state for number, state in states_of(told[2]).items()}
    return Settled(states, told[1], _crossed(told[3], limit_ids) if told[3] else ())


def _crossed(told: Any, limit_ids: dict[int, str]) -> tuple[Crossed, ...]:
    return tuple(
        Crossed(limit_ids[number], key, share_of(share), int(spent), starts * _US or None)
        for number, key, share, spent, starts in told
    )


@lru_cache(maxsize=1024)
def states_of(text: str) -> dict[int, State]:
    """How a call left its limits, by number: `s1o,12e` is of a settled one."""
    return {int(one[:-1]): _LETTERS[one[-1]] for one in text[1:].split(",") if one}


def row_of(number: int, told: Sequence[Any]) -> Row:
    """A row, without the alerts that were told."""
    key, starts, ends, most, spent, held, input_ticks, output_ticks, *requests, turn = told
    row = Row(
        number,
        key,
        int(starts) * _NS,
        int(ends) * _NS,
        int(most),
        int(spent),
        int(held),
        int(input_ticks),
        int(output_ticks),
        turn=int(turn),
    )
    for state, count in zip(COUNTED, requests, strict=True):
        setattr(row, state, int(count))
    return row


def turns_of(told: Any) -> list[Turn]:
    """What all accounts of a limit go through."""
    return [
        Turn(number, at * _US, starts * _NS, ends * _NS, rolling * _NS, int(most), is_reset)
        for number, at, starts, ends, rolling, most, is_reset in told or ()
    ]


def past_of(told: Sequence[Any]) -> Past:
    """What an account had come to when it was reset."""
    key, most, closed, starts, ends, spent, input_ticks, output_ticks, *requests, held = told
    totals = Totals(
        key,
        int(spent),
        int(held),
        int(input_ticks),
        int(output_ticks),
        dict(zip(COUNTED, map(int, requests), strict=True)),
        starts * _NS or None,
        ends * _NS or None,
    )
    return Past(totals, int(most), closed * _US, reset=True)


def held_of(told: Sequence[Any]) -> Held:
    """A call that is held."""
    event, application, places, hold, lease = told
    accounts = tuple(Account(limit_id, key) for limit_id, key in places if limit_id)
    return Held(event_of(event), application, accounts, Amount(*hold), lease * _US)


def alert_of(told: Sequence[Any]) -> Alert:
    """An alert that waits to be told."""
    alert_id, (application, limit_id, name, key, share, unit, spent, most, window, starts, at, *noted) = told
    return Alert(
        alert_id,
        application,
        limit_id,
        name,
        key,
        share_of(share),
        unit,
        int(spent),
        int(most),
        window or None,
        starts * _US or None,
        at * _US,
        noted[0] if noted else NEW,
    )
