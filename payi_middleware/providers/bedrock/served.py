"""What of an exchange with Bedrock its body does not tell: the model in the path, counts and tiers in headers, the region."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from ...events import Units
from .._json import parse
from ..base import Asked, Endpoint, Facts, Headers, Reading
from .guardrails import UNTOLD
from .names import full_name, is_named, model_of, terms_of, why_unnamed
from .pieces import embedded, is_by_the_piece, pieces_of, reranked, started

__all__ = ["ask_model_id", "at_bedrock", "conversed", "invoked", "invoked_later", "paths_model", "ranked"]

_PATH: Final = re.compile(r"/model/(.+)/[a-z-]+$")
_COUNTS: Final = {
    "text": ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count"),
    "text_cache_read": ("x-amzn-bedrock-cache-read-input-token-count", None),
    "text_cache_write": ("x-amzn-bedrock-cache-write-input-token-count", None),
}
_NONE: Final = (0, 0)
_GUARDED: Final = b'"guardrailConfig"'
_ELSEWHERE: Final = (
    "the ARN names no model; the answer names it, and not by which profile it was called: regional rate used"
)


@functools.lru_cache(maxsize=1024)
def paths_model(path: str) -> str | None:
    """The model that a path calls."""
    found = _PATH.search(path.rstrip("/"))
    return None if found is None else model_of(found[1])


def conversed(reading: Reading, facts: Facts) -> Reading:
    """Completes what converse told."""
    if facts.request is not None and _GUARDED in facts.request:
        reading = _guarded(reading)
    return _completed(reading, facts, reading.model or paths_model(facts.path))


def invoked(reading: Reading, facts: Facts) -> Reading:
    """Completes what a maker's own body told, or counts what it did not tell."""
    called = paths_model(facts.path)
    model = called if is_named(called) else reading.model or called
    headers = facts.headers
    if reading.units is None:
        counted = _counted(headers) if reading.error_type is None else None
        if counted is not None:
            reading = reading._replace(units=counted, complete=True, reason=None, estimated=False)
    elif not reading.units.get("text", _NONE)[1] and not any(made for _, made in reading.units.values()):
        # Of an answer that a guardrail changed, Nova's body tells the input alone.
        made = _count(headers, "x-amzn-bedrock-output-token-count")
        if made:
            taken, _ = reading.units.get("text", (0, 0))
            reading = reading._replace(units=reading.units | {"text": (taken, made)})
    if model is not None and reading.error_type is None and is_by_the_piece(model):
        reading = _by_the_piece(reading, model, facts)
    terms = _without(reading.terms, "geo:")  # Anthropic's, with a rate at home alone
    if headers.get("x-amzn-bedrock-performanceconfig-latency") == "optimized":
        terms = (*terms, "latency:optimized")
    return _completed(reading, facts, model, terms, headers.get("x-amzn-bedrock-service-tier"))


def _without(terms: tuple[str, ...], *kinds: str) -> tuple[str, ...]:
    return tuple([term for term in terms if not term.startswith(kinds)]) if terms else ()


def _by_the_piece(reading: Reading, model: str, facts: Facts) -> Reading:
    pieces = pieces_of(model, facts)
    if pieces is None:
        return embedded(model, reading, facts.request)
    units, terms, others = pieces
    return reading._replace(units=units, complete=True, reason=None, terms=terms, unpriced=others)


def _guarded(reading: Reading) -> Reading:
    """A guardrail was applied: without its trace nobody tells what it consumed."""
    told = reading.units is not None and any(unit.startswith("guardrail_") for unit in reading.units)
    if told or UNTOLD in reading.unpriced:
        return reading
    return reading._replace(unpriced=(*reading.unpriced, UNTOLD))


def _completed(
    reading: Reading, facts: Facts, model: str | None, own: tuple[str, ...] | None = None, tier: str | None = None
) -> Reading:
    """The model by its full name, where it was processed, and the id by which AWS knows the call.

    Args:
        reading: What was read.
        facts: What is known besides.
        model: The name under which it was called.
        own: The reading's terms, where they are others than it has.
        tier: The tier, where a header tells it.
    """
    own = reading.terms if own is None else own
    reason, terms = reading.reason, own
    if model is None:
        model = reading.model
    else:
        terms += terms_of(model, facts.host)
        if not is_named(model):
            reason = "; ".join(filter(None, (why_unnamed(model), reason)))
        elif not is_named(paths_model(facts.path) or model):
            reason = "; ".join(filter(None, (_ELSEWHERE, reason)))
    request_id = reading.response_id or facts.headers.get("x-amzn-requestid")
    _, _, units, complete, served, stated, _, failed, unpriced, estimated, pending, _, *others = reading
    # The tuple made directly: every answer of Bedrock's comes by here, and `_replace` takes twice as long.
    told = (model, request_id, units, complete, tier or served, stated, reason, failed, unpriced, estimated, pending)
    return tuple.__new__(Reading, (*told, terms, *others))


def _counted(headers: Headers) -> Units | None:
    """What Bedrock counted beside a body; the cached input is not part of the input."""
    units: Units = {}
    for unit, (into, out) in _COUNTS.items():
        taken, made = _count(headers, into), 0 if out is None else _count(headers, out)
        if taken or made:
            units[unit] = (taken, made)
    return units or None


def _count(headers: Headers, name: str) -> int:
    told = headers.get(name)
    return int(told) if told is not None and told.isascii() and told.isdecimal() and len(told) <= 12 else 0


def at_bedrock(endpoint: Endpoint) -> Endpoint:
    """An endpoint in another maker's shape: the model by the name under which Bedrock sells it."""
    return replace(endpoint, refine=_after(endpoint.refine))


def _after(refine: Callable[[Reading, Facts], Reading] | None) -> Callable[[Reading, Facts], Reading]:
    def refined(reading: Reading, facts: Facts) -> Reading:
        if refine is not None:
            reading = refine(reading, facts)
        asked = None if facts.asked.model is None else model_of(facts.asked.model)
        terms = _without(reading.terms, "geo:", "scope:")
        return _completed(reading, facts, full_name(asked, reading.model), terms)

    return refined


def ask_model_id(body: bytes) -> Asked:
    """The model of `StartAsyncInvoke`, whose path names none."""
    value = parse(body)
    named = value.get("modelId") if isinstance(value, dict) else None
    return Asked(model_of(named)) if isinstance(named, str) else Asked()


def invoked_later(reading: Reading, facts: Facts) -> Reading:
    """Completes what was said of an invocation that goes on by itself."""
    return _completed(started(reading, facts), facts, facts.asked.model)


def ranked(reading: Reading, facts: Facts) -> Reading:
    """`Rerank` of the agent runtime: the documents and the model stand in the request."""
    request: Any = parse(facts.request or b"")
    if not isinstance(request, dict):
        return reading
    sources, queries = request.get("sources"), request.get("queries")
    units, _, others = reranked(sources if isinstance(sources, list) else [])
    times = len(queries) if isinstance(queries, list) and queries else 1
    units = {unit: (0, made * times) for unit, (_, made) in units.items()}
    model: Any = request
    for name in ("rerankingConfiguration", "bedrockRerankingConfiguration", "modelConfiguration", "modelArn"):
        model = model.get(name) if isinstance(model, dict) else None
    reading = reading._replace(units=units, reason=None, unpriced=others)
    return _completed(reading, facts, model_of(model) if isinstance(model, str) else None)
