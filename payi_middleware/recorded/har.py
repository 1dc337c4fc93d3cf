"""HAR files, as browsers and proxies export them and Polly.js records them (HTTP Archive 1.2, w3c.github.io/web-performance)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .exchange import Malformed, Recorded, Unreadable, body_of, by_name, from_base64, made, moment_of

__all__ = ["exchanges", "is_har"]


def is_har(document: Any) -> bool:
    """Whether a JSON document is a HAR file."""
    return isinstance(document, dict) and isinstance(document.get("log"), dict)


def exchanges(document: dict[str, Any], name: str) -> Iterator[Recorded | Unreadable]:
    """The exchanges of a HAR file."""
    entries = document["log"].get("entries")
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        where = f"{name} entry {number}"
        try:
            yield _exchange(entry, where)
        except Malformed as error:
            yield Unreadable(where, str(error))


def _exchange(entry: Any, where: str) -> Recorded:
    request, response = _part(entry, "request"), _part(entry, "response")
    posted, content = request.get("postData"), response.get("content")
    sent = posted.get("text") if isinstance(posted, dict) else None
    return made(
        where,
        request.get("method"),
        request.get("url"),
        None if sent is None else body_of(sent),
        response.get("status"),
        by_name(response.get("headers")),
        _received(content if isinstance(content, dict) else {}),
        moment_of(entry.get("startedDateTime")),
    )


def _part(entry: Any, name: str) -> dict[str, Any]:
    part = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(part, dict):
        raise Malformed(f"the {name} is missing")
    return part


def _received(content: dict[str, Any]) -> bytes:
    text = content.get("text")
    if content.get("encoding") != "base64" or not isinstance(text, str):
        return body_of(text)
    if text.startswith("["):  # Polly.js keeps a stream as a list of its parts
        try:
            return b"".join(map(from_base64, json.loads(text)))
        except (ValueError, TypeError, RecursionError):
            raise Malformed("the list of a body's parts is malformed") from None
    return from_base64(text)
