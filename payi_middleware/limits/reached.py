"""What an application learns of a call that a limit refused: from the exception that its SDK raised.

A refused call never went out. The SDK got an HTTP answer of 400, which it raises as its own error; `LimitReached.of` finds in
that error which limits refused and how they stand: in the answer's extensions where its library has such, else in a header
of ours, else in the body, which has the shape that Pay-i's proxy answers with.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..values import plain, usd
from .ledger import Amount, Standing
from .places import EXTENSION, HEADER

__all__ = ["CODES", "LimitReached", "ReachedLimit", "Reason", "Why", "amount_of", "reached", "shown", "told"]

Why: TypeAlias = Literal["reached", "unavailable", "unpriced"]
"""The limit is reached; its ledger is out of reach and nothing is let through meanwhile; the model's price is unknown."""
Reason: TypeAlias = Literal["spent", "held", "size"]
"""What leaves no room: what was spent; what is held for calls that run, and free when they ended; or the call itself, which
is larger than the whole limit."""

_MOST: Final = 8
"""Limits that are told of one call: a header has bounds, and who refuses is told by the first."""
_DEEPEST: Final = 32
"""Exceptions that are walked: a chain may be a circle."""
_HOLDERS: Final = ("response", "raw_response", "body", "details", "headers")
"""Where SDKs keep what was answered: openai, anthropic, groq, google-genai, boto3, cohere, mistralai, requests, aiohttp."""


class ReachedLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that refused a call, as it stood for whom the call was made."""

    limit_id: str
    name: str
    unit: str
    """`usd`, `calls` or `tokens`."""
    spent: Decimal | None
    """USD, calls or tokens; None where it is not known."""
    max: Decimal | None
    resets_at: datetime.datetime | None
    """When it starts anew, UTC; None if only a reset does that, or if that is not what to wait for (`reason`)."""
    held: Decimal | None = None
    """By calls that run; None where it is not known."""
    wanted: Decimal | None = None
    """What was to be held for this call: of a strict limit the most that it can take."""
    reason: Reason = "spent"
    own: bool = False
    """Whether it counts the user or the customer alone: else what is spent is what others spent, too."""


class LimitReached(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call was refused. Not an exception: the SDK raised its own, from which `of` finds this."""

    request_id: str
    """The id of the call's event."""
    message: str
    """In plain words."""
    limits: tuple[ReachedLimit, ...]
    """That refused it, one at least; others that apply are not told."""
    why: Why = "reached"

    @property
    def limit(self) -> ReachedLimit:
        """The first of them."""
        return self.limits[0]

    @property
    def resets_at(self) -> datetime.datetime | None:
        """When all of them have started anew; None if one does so by a reset alone, or if that is not what to wait for."""
        moments = [limit.resets_at for limit in self.limits if limit.reason != "held"]
        return max([moment for moment in moments if moment is not None], default=None) if None not in moments else None

    @property
    def passes(self) -> bool:
        """Whether there may be room again as soon as calls ended that run now."""
        return self.why == "reached" and all(limit.reason == "held" for limit in self.limits)

    @staticmethod
    def of(error: BaseException | None) -> LimitReached | None:
        """What an exception tells of a refused call, looking at its causes and contexts too; None if it is about another thing."""
        for one in _chain(error):
            for name in ("", *_HOLDERS):
                found = _found(getattr(one, name, None) if name else one)
                if found is not None:
                    return found
        return None


def reached(
    request_id: str,
    standings: Iterable[Standing],
    why: Why = "reached",
    *,
    own: Collection[str] = (),
    strict: Collection[str] = (),
    wanted: Amount | None = None,
    cure: str = "",
    message: str | None = None,
) -> LimitReached:
    """What is told of a call that these standings, of which at least one is `blocked`, refused.

    Args:
        request_id: Of the call.
        standings: Of all limits that apply, as they were when it was refused.
        why: Why it was refused.
        own: The ids of limits that count users or customers apart.
        strict: The ids of those that no call may pass.
        wanted: What was to be held for the call; None if that is not known.
        cure: What would make that less.
        message: In other words than these tell.
    """
    blocked = [standing for standing in standings if standing.state == "blocked"][:_MOST]
    if why != "reached" or wanted is None:
        wanted = None
    limits = [
        _limit(one, wanted, is_known=why == "reached", is_strict=one.limit_id in strict, own=one.limit_id in own)
        for one in blocked
    ]
    told = message or "; ".join(map(shown, limits))
    if cure and any(limit.unit != "calls" and _is_short(limit) for limit in limits):
        told = f"{told}; {cure}"
    return LimitReached(request_id=request_id, message=told, limits=tuple(limits), why=why)


def told(told: LimitReached) -> str:
    """The header's value: ASCII, as headers have to be."""
    return json.dumps(msgspec.to_builtins(told), separators=(",", ":"))


def _limit(standing: Standing, wanted: Amount | None, *, is_known: bool, is_strict: bool, own: bool) -> ReachedLimit:
    takes = None if wanted is None else wanted.of(standing.unit)
    reason = _reason(standing, takes if is_strict else None) if is_known else "spent"
    resets = standing.resets_ns if reason == "spent" else None
    return ReachedLimit(
        limit_id=standing.limit_id,
        name=standing.name,
        unit=standing.unit,
        spent=amount_of(standing.unit, standing.spent) if is_known else None,
        max=amount_of(standing.unit, standing.most),
        resets_at=None if resets is None else datetime.datetime.fromtimestamp(-(-resets // 10**9), datetime.UTC),
        held=amount_of(standing.unit, standing.held) if is_known else None,
        wanted=None if takes is None else amount_of(standing.unit, takes),
        reason=reason,
        own=own,
    )


def _reason(standing: Standing, takes: int | None) -> Reason:
    """What leaves no room, by the rule of admission (`ledger`); `takes` of a strict limit what was to be held."""
    if takes is not None and takes > standing.most:
        return "size"
    left = standing.most - standing.spent
    return "held" if (left > 0 if takes is None else takes <= left) else "spent"


def amount_of(unit: str, counted: int) -> Decimal:
    """What is counted as USD, calls or tokens."""
    return plain(usd(counted)) if unit == "usd" else Decimal(counted)


def shown(limit: ReachedLimit, *, figures: bool = True) -> str:
    """That it refused, and why, in plain words; with what is spent and held of what, or without."""
    name, told = f"limit {limit.name!r}", f": {_figures(limit)}" if figures else ""
    if limit.reason == "size":
        return f"{name} is smaller than what this call may take{told}"
    if limit.reason == "held":
        return f"{name} has no room until calls end that run now{told}"
    resets = limit.resets_at
    until = "until it is reset" if resets is None else f"until {resets:%Y-%m-%d %H:%M:%S} UTC"
    if _is_short(limit):
        return f"{name} has no room for this call {until}{told}"
    return f"{name} is reached{told}, {until}"


def _is_short(limit: ReachedLimit) -> bool:
    """Whether a smaller call would have had room."""
    return None not in (limit.spent, limit.max) and limit.spent < limit.max  # type: ignore[operator]


def _figures(limit: ReachedLimit) -> str:
    most = _shown(limit.unit, limit.max)
    if limit.reason == "size":
        return f"{_shown(limit.unit, limit.wanted)} of {most}"
    if not _is_short(limit):
        return f"{_shown(limit.unit, limit.spent)} of {most}"
    held = "" if limit.held is None else f" and {limit.held:f} held by running calls"
    takes = "" if limit.wanted is None else f"; this call may take {_shown(limit.unit, limit.wanted)}"
    return f"{limit.spent:f} spent{held} of {most}{takes}"


def _shown(unit: str, amount: Decimal | None) -> str:
    if amount is None:
        return "an unknown part"
    return f"{amount:f} USD" if unit == "usd" else f"{amount:f} {unit}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, what caused it, what it was raised in, and the members of groups; each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _found(holder: Any) -> LimitReached | None:
    """What an answer, its headers or its body tell. Never raises, whatever an SDK has there."""
    try:
        return _told(holder)
    except Exception:
        return None


def _told(holder: Any) -> LimitReached | None:
    if isinstance(holder, LimitReached):
        return holder
    if isinstance(holder, str | bytes):
        body = holder.encode() if isinstance(holder, str) else holder
        return _of_body(json.loads(body)) if b"xproxy_result" in body else None
    extensions = getattr(holder, "extensions", None)
    if isinstance(extensions, Mapping) and isinstance(extensions.get(EXTENSION), LimitReached):
        return extensions[EXTENSION]  # type: ignore[no-any-return]
    headers = getattr(holder, "headers", None)
    if headers is None and isinstance(holder, Mapping):
        headers = holder.get("ResponseMetadata", {}).get("HTTPHeaders")  # botocore's
    value = None if headers is None else headers.get(HEADER)
    if value is None and hasattr(holder, "get"):
        value = holder.get(HEADER)
    if isinstance(value, str):
        return msgspec.json.decode(value, type=LimitReached)
    return _of_body(holder)


def _of_body(body: Any) -> LimitReached | None:
    """What the body of Pay-i's proxy tells, which says less of each limit than ours."""
    if not isinstance(body, Mapping) or "xproxy_result" not in body:
        return None
    error, result = body.get("xproxy_error") or {}, body.get("xproxy_result") or {}
    if error.get("code") not in _WHY:
        return None
    told = {one["limit_id"]: one for one in result.get("blocked_limits") or ()}
    limits = [_of_dict(name, told.get(name, {})) for name in result.get("blocked_limit_ids") or ()]
    if not limits:
        return None
    message = error.get("message") or body.get("message") or "; ".join(map(shown, limits))
    return LimitReached(
        request_id=str(result.get("request_id") or ""), message=message, limits=tuple(limits), why=_WHY[error["code"]]
    )


_WHY: Final[dict[str, Why]] = {
    "limit_reached": "reached",
    "limit_unavailable": "unavailable",
    "limit_unpriced": "unpriced",
}
CODES: Final = {why: code for code, why in _WHY.items()}
"""The code in the body, which programs read."""


def _of_dict(limit_id: str, told: Mapping[str, Any]) -> ReachedLimit:
    resets = told.get("resets_at")
    return ReachedLimit(
        limit_id=limit_id,
        name=told.get("name") or limit_id,
        unit=told.get("unit") or "usd",
        spent=_decimal(told.get("spent")),
        max=_decimal(told.get("max")),
        resets_at=None if resets is None else datetime.datetime.fromisoformat(resets),
        held=_decimal(told.get("held")),
        wanted=_decimal(told.get("wanted")),
        reason=told.get("reason") or "spent",
    )


def _decimal(text: Any) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        return None
