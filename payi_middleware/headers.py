"""xProxy headers, as Pay-i spells them: on a web request, and on an SDK's own call."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from . import health
from .attribution import Given, clean

__all__ = ["PREFIX", "given_by_headers", "joined", "trace_of"]

PREFIX = "xproxy-"

_FIELDS = {
    "xproxy-user-id": "user_id",
    "xproxy-account-name": "account_name",
    "xproxy-request-tags": "request_tags",
    "xproxy-request-properties": "request_properties",
    "xproxy-usecase-name": "use_case_name",
    "xproxy-usecase-id": "use_case_id",
    "xproxy-usecase-version": "use_case_version",
    "xproxy-usecase-step": "use_case_step",
    "xproxy-usecase-properties": "use_case_properties",
    "xproxy-limit-ids": "limit_ids",
    "xproxy-resource-scope": "resource_scope",
    "xproxy-priceas-category": "",
    "xproxy-priceas-resource": "price_as",
}
_LISTS = ("xproxy-request-tags", "xproxy-limit-ids")
MAX_VALUE = 16 << 10
"""Bytes of one header that are looked at."""


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name (in lower case): lists are joined; of an xProxy header told twice nobody knows which one is meant."""
    found: dict[str, str] = {}
    unclear: set[str] = set()
    for name, value in headers:
        known = found.setdefault(name, value)
        if name in _LISTS and known is not value:
            found[name] = f"{known},{value}"
        elif known != value and name.startswith(PREFIX):
            unclear.add(name)
    for name in unclear:
        del found[name]
        health.note("header_dropped", "%s came more than once, with different values, and is dropped", name)
    return found


def given_by_headers(headers: Mapping[str, str]) -> Given:
    """What xProxy headers tell; names in lower case. An empty value clears the field. Others of that prefix mean nothing here."""
    told: dict[str, Any] = {}
    for name, value in headers.items():
        field = _FIELDS.get(name)
        if not field:
            continue
        if len(value) > MAX_VALUE:
            health.note("header_dropped", "%s is longer than %d bytes and is dropped", name, MAX_VALUE)
        elif field.endswith("_properties"):
            told[field] = _properties(name, value)
        else:
            told[field] = value
    category = headers.get("xproxy-priceas-category")
    if category and told.get("price_as"):
        told["price_as"] = f"{category}/{told['price_as']}"
    return clean(**told)


def _properties(name: str, value: str) -> dict[str, Any] | None:
    """A JSON object, plain or in base64 (Pay-i's proxy takes base64, its own clients send either)."""
    if not value.strip():
        return {}
    try:
        raw = value.encode() if value.lstrip().startswith("{") else base64.b64decode(value, validate=True)
        told = msgspec.json.decode(raw, type=dict[str, Any])
        return {key: item if isinstance(item, str | None) else _spelt(item) for key, item in told.items()}
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        health.note("header_dropped", "%s is neither a JSON object nor one in base64: %s", name, health.shown(value))
        return None


def _spelt(item: Any) -> str:
    """A value that is no text, as JSON spells it: true, 3, {"a":1}."""
    return msgspec.json.encode(item).decode()


def trace_of(traceparent: str | None) -> tuple[str | None, str | None]:
    """(trace id, parent span id) of a W3C `traceparent`; both None if it is not valid (www.w3.org/TR/trace-context, 3.2)."""
    parts = (traceparent or "").strip().lower().split("-")
    if len(parts) < 4 or parts[0] == "ff" or (parts[0] == "00" and len(parts) != 4):
        return None, None
    version, trace, span = parts[:3]
    if not (_is_hex(version, 2) and _is_hex(trace, 32) and _is_hex(span, 16)):
        return None, None
    return trace, span


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and set(text) <= set("0123456789abcdef") and (digits == 2 or set(text) != {"0"})
