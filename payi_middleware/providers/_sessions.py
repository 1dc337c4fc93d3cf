"""Sessions of Anthropic's managed agents: what they consumed is told by the session, and final once it is over.

What is sent to a session tells nothing, and a session tells its sums whenever it is asked, so they are counted when it
has ended or was archived, once.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

import msgspec

from ..events import TICKS_PER_USD, Unpriced
from ._json import BAD, Name, Sum, lenient
from ._messages_usage import Creation, Usage, units_of
from ._openai_usage import COUNTS_NOTHING
from .base import Asked, Endpoint, Reading

__all__ = ["SENT", "SESSION"]

_LATER: Final = "the usage of a session is told by the session, once it is over"
_MOST_SECONDS: Final = 10**8
_TICKS_PER_CENT: Final = TICKS_PER_USD // 100
_CENTS: Final = re.compile(r"\d{1,10}")


class _Money(msgspec.Struct, gc=False):
    amount: Name | None = None
    currency: Name | None = None


class _Written(Creation, gc=False):
    ephemeral_5m_input_tokens: Sum | None = None
    ephemeral_1h_input_tokens: Sum | None = None


class _Sums(Usage, gc=False):
    """The counts of all answers of a session, each of which reads the cache anew."""

    input_tokens: Sum | None = None
    cache_creation_input_tokens: Sum | None = None
    cache_read_input_tokens: Sum | None = None
    cache_creation: _Written | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    output_tokens: Sum | None = None
    active_seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST_SECONDS)] | None = None
    list_cost: _Money | None = None


class _Model(msgspec.Struct, gc=False):
    id: Name | None = None


class _Agent(msgspec.Struct, gc=False):
    model: _Model | Name | None = None


class _Session(msgspec.Struct, gc=False):
    id: Name | None = None
    agent: _Agent | None = None
    status: Name | None = None
    archived_at: Name | None = None
    usage: _Sums | None = None


_decode = msgspec.json.Decoder(_Session).decode


def read(body: bytes) -> Reading:
    """Reads a session; one that is not over tells nothing yet."""
    wrong = None
    try:
        session: _Session | None = _decode(body)
    except BAD:
        session, wrong = lenient(body, _Session)
    if session is None:
        return Reading(complete=False, reason=wrong)
    if session.status != "terminated" and session.archived_at is None:
        return Reading(reason=wrong or _LATER, pending=True, untold=wrong is None)
    return _over(session, wrong)


def _over(session: _Session, wrong: str | None) -> Reading:
    model = None if session.agent is None else session.agent.model
    name = model.id if isinstance(model, _Model) else model
    usage, once = session.usage, session.id
    if usage is None:
        return Reading(name, session.id, reason=wrong or "usage is missing", once=once)
    faults: list[str] = []
    told = units_of(usage, faults)
    units = told if any(map(any, told.values())) else None
    unpriced: tuple[Unpriced, ...] = ()
    if usage.active_seconds:
        seconds = math.ceil(usage.active_seconds)
        unpriced = (Unpriced("session_second", seconds, "the running time of a session has a fee of its own"),)
    if units is None:
        faults = [COUNTS_NOTHING]
    stated = _ticks(usage.list_cost)
    reason = wrong or "; ".join(faults) or None
    return Reading(name, session.id, units, stated_ticks=stated, reason=reason, unpriced=unpriced, once=once)


def _ticks(money: _Money | None) -> int | None:
    """The cost at list rates as the session states it, runtime included: whole cents, and so nothing below one."""
    if money is None or (money.currency or "USD").upper() != "USD" or not _CENTS.fullmatch(money.amount or ""):
        return None
    assert money.amount is not None
    return int(money.amount) * _TICKS_PER_CENT or None


def _cut(head: bytes, tail: bytes) -> Reading:
    return Reading(complete=False, reason="the session is too large to be kept", untold=True)


def _stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    return _cut(head, tail) if tail else read(head)


def _sent(*answer: Any) -> Reading:
    return Reading(reason=_LATER, pending=True)


def _ask(body: bytes) -> Asked:
    return Asked()


SESSION: Final = Endpoint("/v1/sessions/{id}", _ask, read, _cut, _stream, repeats=True)
SENT: Final = Endpoint("/v1/sessions/{id}/events", _ask, _sent, _sent, _sent)
