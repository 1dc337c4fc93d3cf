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

from ..events import usd
from .ledger import Standing
from .places import EXTENSION, HEADER

__all__ = ["CODES", "LimitReached", "ReachedLimit", "Why", "amount_of", "reached", "shown", "told"]

Why: TypeAlias = Literal["reached", "unavailable", "unpriced"]
"""The limit is reached; its ledger is out of reach and nothing is let through meanwhile; the model's price is unknown."""

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
    """When it starts anew, UTC; None if only a reset does that."""
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
        """When all of them have started anew; None if one does so by a reset alone."""
        moments = [limit.resets_at for limit in self.limits]
        return None if None in moments else max(moment for moment in moments if moment is not None)

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
    message: str | None = None,
) -> LimitReached:
    """What is told of a call that these standings, of which at least one is `blocked`, refused.

    Args:
        own: The ids of limits that count users or customers apart.
    """
    blocked = [standing for standing in standings if standing.state == "blocked"][:_MOST]
    limits = [_limit(standing, is_known=why == "reached", own=standing.limit_id in own) for standing in blocked]
    return LimitReached(request_id=request_id, message=message or _words(limits), limits=tuple(limits), why=why)


def told(told: LimitReached) -> str:
    """The header's value: ASCII, as headers have to be."""
    return json.dumps(msgspec.to_builtins(told), separators=(",", ":"))


def _limit(standing: Standing, *, is_known: bool, own: bool) -> ReachedLimit:
    resets = standing.resets_ns
    return ReachedLimit(
        limit_id=standing.limit_id,
        name=standing.name,
        unit=standing.unit,
        spent=amount_of(standing.unit, standing.spent) if is_known else None,
        max=amount_of(standing.unit, standing.most),
        resets_at=None if resets is None else datetime.datetime.fromtimestamp(-(-resets // 10**9), datetime.UTC),
        own=own,
    )


def amount_of(unit: str, counted: int) -> Decimal:
    """What is counted as USD, calls or tokens."""
    # A plain number, without an exponent: it is read by people.
    return Decimal(format(usd(counted).normalize(), "f")) if unit == "usd" else Decimal(counted)


def _words(limits: Iterable[ReachedLimit]) -> str:
    return "; ".join(shown(limit) for limit in limits)


def shown(limit: ReachedLimit, *, figures: bool = True) -> str:
    """That it is reached, in plain words; with what is spent of what, or without."""
    resets = limit.resets_at
    until = "until it is reset" if resets is None else f"until {resets:%Y-%m-%d %H:%M:%S} UTC"
    told = f": {_shown(limit.unit, limit.spent)} of {_shown(limit.unit, limit.max)}" if figures else ""
    return f"limit {limit.name!r} is reached{told}, {until}"


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
    message = error.get("message") or body.get("message") or _words(limits)
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
    )


def _decimal(text: Any) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        return None
