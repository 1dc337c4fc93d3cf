"""Guardrails: text units of 1,000 characters (and images) by policy, which cost beside the model's tokens.

They are told by `ApplyGuardrail`, and by converse and invoke where the request turned the trace on. Source: AWS's pages
"GuardrailUsage" (API reference) and "Amazon Bedrock pricing", Guardrails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...events import Units, Unpriced
from .._json import NOT_JSON, last_object, parse
from ..base import Reading

__all__ = ["MODEL", "UNTOLD", "read_applied", "read_applied_cut", "read_checks", "units_of_trace"]

MODEL: Final = "amazon.bedrock-guardrails"
"""By what guardrails stand in the price list; they have no model."""

UNTOLD: Final = Unpriced("guardrail", 1, "the units of a guardrail are told only where its trace is enabled")

_UNITS: Final = {
    "topicPolicyUnits": "guardrail_topic",
    "contentPolicyUnits": "guardrail_content",
    "contentPolicyImageUnits": "guardrail_content_image",
    "wordPolicyUnits": "guardrail_word_free",
    "sensitiveInformationPolicyUnits": "guardrail_sensitive_information",
    "sensitiveInformationPolicyFreeUnits": "guardrail_sensitive_information_free",
    "contextualGroundingPolicyUnits": "guardrail_contextual_grounding",
    "automatedReasoningPolicyUnits": "guardrail_automated_reasoning",
}
# `InvokeGuardrailChecks` needs no guardrail, and tells text units for each check.
_CHECKS: Final = {
    "contentFilter": "guardrail_content",
    "promptAttack": "guardrail_content",
    "sensitiveInformation": "guardrail_sensitive_information",
}
_MOST: Final = 10**6  # units of one call: each has a fee, so a malformed one would be a fortune
_DEEPEST: Final = 12


def units_of_trace(trace: Any) -> Units:
    """What the guardrails of an answer consumed, by its trace; it is counted as input, whichever side they looked at."""
    units: Units = {}
    for usage in _usages(trace, 0):
        _add(usage, _UNITS, units)
    return units


def _usages(value: Any, depth: int) -> Iterator[Any]:
    """The usage of every assessment, wherever a trace has them: converse and invoke nest them differently."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for member in value:
            yield from _usages(member, depth + 1)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name == "invocationMetrics":
                yield member.get("usage") if isinstance(member, dict) else None
            else:
                yield from _usages(member, depth + 1)


def _add(usage: Any, names: dict[str, str], units: Units) -> bool:
    """Adds the counts of a usage; whether it was one."""
    if not isinstance(usage, dict):
        return False
    for member, unit in names.items():
        count = usage.get(member)
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= _MOST:
            units[unit] = (units.get(unit, (0, 0))[0] + count, 0)
    return True


def read_applied(body: bytes) -> Reading:
    """Reads the answer of `ApplyGuardrail`."""
    return _reading(parse(body), _UNITS)


def read_applied_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of such an answer."""
    usage = last_object(tail, b'"usage"') or last_object(head, b'"usage"')
    return _reading({"usage": usage}, _UNITS)


def read_checks(body: bytes) -> Reading:
    """Reads the answer of `InvokeGuardrailChecks`."""
    value = parse(body)
    usage = value.get("usage") if isinstance(value, dict) else None
    checks = usage.items() if isinstance(usage, dict) else ()
    flat = {check: told.get("textUnits") for check, told in checks if isinstance(told, dict)}
    return _reading(value if usage is None else {"usage": flat}, _CHECKS)


def _reading(value: Any, names: dict[str, str]) -> Reading:
    units: Units = {}
    if not isinstance(value, dict):
        return Reading(
            complete=value is not None, reason=NOT_JSON if value is None else "the answer is not a JSON object"
        )
    if not _add(value.get("usage"), names, units):
        return Reading(MODEL, reason="usage is missing")
    return Reading(MODEL, None, units)
