"""AWS event streams, built here; a test holds them against botocore's own reader."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

__all__ = ["chunk", "event", "exception", "header", "message", "metadata", "said", "spoiled"]


def header(name: str, value: str) -> bytes:
    """A header with a text in it."""
    return bytes([len(name)]) + name.encode() + b"\7" + len(value).to_bytes(2) + value.encode()


def message(payload: Any, *headers: tuple[str, str] | bytes) -> bytes:
    """A message with its length and both checksums."""
    told = b"".join(part if isinstance(part, bytes) else header(*part) for part in headers)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = (16 + len(told) + len(body)).to_bytes(4) + len(told).to_bytes(4)
    prelude += zlib.crc32(prelude).to_bytes(4)
    return prelude + told + body + zlib.crc32(prelude + told + body).to_bytes(4)


def event(kind: str, payload: Any) -> bytes:
    """An event, its headers in the order in which AWS writes them."""
    return message(payload, (":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))


def exception(kind: str) -> bytes:
    """An exception, which ends a stream."""
    told = {"message": "secret text"}
    return message(
        told, (":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")
    )


def chunk(value: Any) -> bytes:
    """A piece of a maker's own stream."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return event("chunk", {"bytes": base64.b64encode(raw).decode(), "p": "abc"})


def said(*texts: str, stop: str = "end_turn") -> list[bytes]:
    """What converse-stream sends before its metadata."""
    deltas = [
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}, "p": "ab"}) for text in texts
    ]
    return [
        event("messageStart", {"role": "assistant", "p": "a"}),
        *deltas,
        event("contentBlockStop", {"contentBlockIndex": 0, "p": "abc"}),
        event("messageStop", {"stopReason": stop, "p": "abcd"}),
    ]


def metadata(taken: int = 13, made: int = 35, **more: Any) -> bytes:
    """The last message of converse-stream."""
    usage = {"inputTokens": taken, "outputTokens": made, "totalTokens": taken + made} | more.pop("usage", {})
    return event("metadata", {"metrics": {"latencyMs": 7}, "p": "abc", "usage": usage, **more})


def spoiled(data: bytes, at: int) -> bytes:
    """A byte changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
