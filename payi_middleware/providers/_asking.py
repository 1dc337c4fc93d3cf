"""The model and the `stream` switch of a request's body, for every API that names them so."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from ._json import BAD, Name, ends, key_string, lenient, parse
from .base import Asked, Facts, Reading

__all__ = ["ask", "ask_nothing", "ask_stream", "members", "model_of", "number_of", "text_of"]

_LARGE: Final = 1 << 16
_LONGEST_WORD: Final = 64
_DEPLOYED: Final = re.compile(r"/deployments/([^/]+)/")
_STREAMED: Final = re.compile(rb'"stream"\s*:\s*true')


class _Request(msgspec.Struct, gc=False):
    model: Name | None = None
    stream: bool | None = None


_decode = msgspec.json.Decoder(_Request).decode


def ask(body: bytes) -> Asked:
    """Reads a JSON body; anything else (a form, an upload) asks nothing."""
    if len(body) > _LARGE:
        return _ask_ends(body)
    try:
        asked = _decode(body)
    except BAD:
        return _ask_patiently(body)
    return tuple.__new__(Asked, (asked.model or None, asked.stream is True))  # its own constructor is one call more


def _ask_ends(body: bytes) -> Asked:
    """SDKs write the model first or behind the messages, so a large body is never read whole."""
    if body[:64].lstrip()[:1] != b"{":
        return Asked()
    head, tail = ends(body)
    return Asked(
        key_string(head, "model") or key_string(tail, "model"),
        _STREAMED.search(head) is not None or _STREAMED.search(tail) is not None,
    )


def _ask_patiently(body: bytes) -> Asked:
    asked, _ = lenient(body, _Request)
    return Asked() if asked is None else Asked(asked.model or None, asked.stream is True)


def ask_nothing(body: bytes) -> Asked:
    """Where the path tells all, and the answer comes at once."""
    return Asked()


def ask_stream(body: bytes) -> Asked:
    """Where the path tells all, and the answer is a stream."""
    return Asked(None, True)


def members(request: bytes | None) -> dict[str, Any]:
    """A request's members, whatever they are; of a form, its fields. Not for the path of an ordinary answer."""
    value = parse(request) if request else None
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str | None:
    """A word of a request, in lower case; None for none. It may become a term of the event, as no prose may: `other`."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if len(word) > _LONGEST_WORD or len(word.split()) > 1:
        return "other"
    return word or None


def number_of(value: object, most: int) -> int | None:
    """A whole number of a request, which a form writes as text; None for anything else, 0 and less included."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= most else None


def model_of(reading: Reading, facts: Facts) -> str | None:
    """The model that answered, was asked for, or stands behind a deployment's name, as far as anything tells."""
    deployed = _DEPLOYED.search(facts.path)
    return reading.model or facts.asked.model or (unquote(deployed[1]) if deployed else None)
