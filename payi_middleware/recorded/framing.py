"""How an answer's body is framed, for recordings that do not say so themselves."""

from __future__ import annotations

from .exchange import Recorded

__all__ = ["framing_of"]

_BY_TYPE = {
    "application/vnd.amazon.eventstream": "eventstream",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/event-stream": "sse",
}
_SSE_STARTS = (b"data:", b"event:", b": ", b":\n", b"id:", b"retry:")


def framing_of(recorded: Recorded) -> str:
    """`json`, `sse`, `eventstream`, `json-array`, `ndjson`, `text` or `binary`; `encoded` while it is compressed."""
    if recorded.framing:
        return recorded.framing
    named = _BY_TYPE.get(recorded.headers.get("content-type", "").partition(";")[0].strip().lower())
    if named is not None:
        return named
    if recorded.encoding:
        return "encoded"
    start = recorded.body.lstrip()[:8]
    if start.startswith(b"{"):
        return "ndjson" if b"}\n{" in recorded.body else "json"
    if start.startswith(b"["):
        return "json-array"
    if start.startswith(_SSE_STARTS):
        return "sse"
    return "text" if _is_utf8(recorded.body) else "binary"


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
