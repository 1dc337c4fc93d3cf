"""What the fuzzer begins with: a few answers of each form, and the names that readers look for."""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import struct
import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from payi_middleware import providers

__all__ = ["dictionary", "seeds"]

_DETAILS = {"cached_tokens": 4, "audio_tokens": 1, "reasoning_tokens": 2, "image_tokens": 1}
_OPENAI = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": _DETAILS}
_RESPONSES = {
    "input_tokens": 9,
    "output_tokens": 5,
    "input_tokens_details": _DETAILS,
    "output_tokens_details": _DETAILS,
}
_CLAUDE = {
    "input_tokens": 9,
    "output_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "server_tool_use": {"web_search_requests": 1},
    "iterations": [{"type": "message", "input_tokens": 4, "output_tokens": 1, "model": "claude-opus-4-1"}],
}
_GEMINI = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": 2, "tokenCount": 5}],
}
_BODIES: tuple[Any, ...] = (
    {"id": "1", "model": "gpt-4o", "choices": [{"finish_reason": "stop"}], "usage": _OPENAI},
    {"id": "1", "model": "gpt-5", "status": "completed", "output": [{"type": "web_search_call"}], "usage": _RESPONSES},
    {"id": "1", "model": "claude-opus-4-1", "type": "message", "stop_reason": "end_turn", "usage": _CLAUDE},
    {"modelVersion": "gemini-2.5-pro", "candidates": [{"finishReason": "STOP"}], "usageMetadata": _GEMINI},
    {"usage": {"inputTokens": 9, "outputTokens": 5, "cacheReadInputTokens": 1}, "stopReason": "end_turn"},
    {"meta": {"billed_units": {"input_tokens": 3, "output_tokens": 4, "search_units": 1}}},
    {"results": [{"input_token_count": 3, "generated_token_count": 4}], "model_id": "m"},
    {"error": {"type": "rate_limit_error", "message": "no"}},
    {"data": [{"embedding": [0.1]}], "model": "text-embedding-3-small", "usage": {"total_tokens": 5}},
    {"predictions": [{"embeddings": {"statistics": {"token_count": 3}}}]},
    {"custom_id": "1", "response": {"body": {"model": "gpt-4o", "usage": _OPENAI}}},
    {"custom_id": "1", "result": {"type": "succeeded", "message": {"model": "claude-opus-4-1", "usage": _CLAUDE}}},
)


def _frame(kind: str, payload: bytes) -> bytes:
    """A message of an AWS event stream."""
    name, value = b":event-type", kind.encode()
    headers = bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return message + struct.pack(">I", crc32(message))


def seeds() -> list[bytes]:
    """Answers without the three bytes before them."""
    plain = [json.dumps(body).encode() for body in _BODIES]
    streams = [b"event: x\ndata: " + body + b"\n\ndata: [DONE]\n\n" for body in plain]
    chunk = json.dumps({"bytes": base64.b64encode(plain[2]).decode()}).encode()
    frames = _frame("metadata", plain[4]) + _frame("chunk", chunk)
    return [*plain, *streams, b"\n".join(plain), b"[" + b",\n".join(plain) + b"]", frames]


def dictionary() -> Path:
    """A file of the names of all members that readers decode."""
    names: set[str] = set()
    for module in pkgutil.walk_packages(providers.__path__, "payi_middleware.providers."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
                names |= set(thing.__struct_encode_fields__)
    lines = [f'"\\"{name}\\":"' for name in sorted(names)]
    file = Path(tempfile.mkdtemp()) / "names.dict"
    file.write_text("\n".join(lines) + "\n")
    return file
