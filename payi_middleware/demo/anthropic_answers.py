"""Anthropic's format: messages, whole and streamed."""

from __future__ import annotations

from typing import Any

from .question import Question
from .wire import TOOL_ARGUMENTS, event, pieces

__all__ = ["error", "message", "message_events"]

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


def message(question: Question, number: int) -> dict[str, Any]:
    """A message."""
    answer = _head(question, number) | {"content": _content(question, number), "stop_reason": _stop(question)}
    return answer if "no-usage" in question.markers else answer | {"usage": _usage(question, question.tokens.output)}


def message_events(question: Question, number: int) -> list[bytes]:
    """The events of a streamed message: the input's usage comes first, the output's last, cumulative."""
    tells = "no-usage" not in question.markers
    start = _head(question, number) | {"content": [], "stop_reason": None}
    start["usage"] = _usage(question, 1) if tells else {}
    steps: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(_content(question, number)):
        steps += _block_steps(question, index, block)
    usage = {"output_tokens": question.tokens.output} if tells else {}
    stop = {"stop_reason": _stop(question), "stop_sequence": None}
    steps += [{"type": "message_delta", "delta": stop, "usage": usage}, {"type": "message_stop"}]
    return [event(step, name=step["type"]) for step in steps]


def _block_steps(question: Question, index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    """A content block from its empty start to its stop."""
    match block["type"]:
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas: list[dict[str, Any]] = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use":
            empty = block | {"input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": TOOL_ARGUMENTS}]
        case _:
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(question.tokens.answer)]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _head(question: Question, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:024d}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "stop_sequence": None,
    }


def _stop(question: Question) -> str:
    return "tool_use" if question.tool else "end_turn"


def _content(question: Question, number: int) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if question.tokens.reasoning:
        content.append({"type": "thinking", "thinking": "Let me see.", "signature": "c3RhbmRpbg=="})
    if question.tool:
        call = {"id": f"toolu_{number}", "name": question.tool, "input": {"city": "Paris"}}
        return [*content, {"type": "tool_use", **call}]
    return [*content, {"type": "text", "text": "".join(pieces(question.tokens.answer))}]


def _usage(question: Question, output: int) -> dict[str, Any]:
    """Anthropic's `input_tokens` leaves the cached and the written ones out."""
    tokens = question.tokens
    return {
        "input_tokens": tokens.input - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }
