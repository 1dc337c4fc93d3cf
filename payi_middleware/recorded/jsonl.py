"""JSON lines of exchanges, the one kind of recording that is read piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .exchange import Malformed, Recorded, Unreadable, body_of, by_name, from_base64, made

__all__ = ["exchanges"]


def exchanges(lines: Iterable[bytes], name: str, first: int = 1) -> Iterator[Recorded | Unreadable]:
    """The exchanges of a file's lines, of which the first has the number `first`; blank ones are passed over."""
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            yield _exchange(_object(line), where)
        except Malformed as error:
            yield Unreadable(where, str(error))


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
    if not isinstance(found, dict):
        raise Malformed("no JSON object")
    return found


def _exchange(record: dict[str, Any], where: str) -> Recorded:
    packed = record.get("response_b64")
    if packed is None and "response_body" not in record:
        raise Malformed("neither response_body nor response_b64 is there")
    sent, source = record.get("request_body"), record.get("source")
    return made(
        source if isinstance(source, str) and source else where,
        record.get("method"),
        record.get("url"),
        None if sent is None else body_of(sent),
        record.get("status"),
        by_name(record.get("response_headers")),
        body_of(record.get("response_body")) if packed is None else from_base64(packed),
        framing=record.get("framing"),
    )
