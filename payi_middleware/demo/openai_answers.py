"""OpenAI's formats: chat completions (Azure's too), responses, embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from .question import Question
from .wire import TOOL_ARGUMENTS, event, pieces

__all__ = ["chat", "chat_chunks", "embeddings", "error", "response", "response_events"]

_CREATED = 1_700_000_000  # a constant, so that equal requests have equal answers but for the id
_ERRORS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def error(status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    type_, code = _ERRORS.get(status, ("server_error", "server_error"))
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def chat(question: Question, number: int) -> dict[str, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if question.tool:
        message["tool_calls"] = [_tool_call(question.tool, number)]
    else:
        message["content"] = "".join(pieces(question.tokens.answer))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(question)}
    answer = {**_chat_head(question, number, "chat.completion"), "choices": [choice]}
    return answer if "no-usage" in question.markers else answer | {"usage": _chat_usage(question)}


def chat_chunks(question: Question, number: int) -> list[bytes]:
    """The chunks of a streamed chat completion: a role, a token each, the finish, the usage where it was asked for."""
    tells = question.include_usage and "no-usage" not in question.markers
    head = _chat_head(question, number, "chat.completion.chunk") | ({"usage": None} if tells else {})

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    parts = [_azure_first(head)] if question.azure else []
    parts.append(chunk({"role": "assistant", "content": None if question.tool else "", "refusal": None}))
    if question.tool:
        call = {"index": 0, **_tool_call(question.tool, number)}
        parts.append(chunk({"tool_calls": [call | {"function": {"name": question.tool, "arguments": ""}}]}))
        parts.append(chunk({"tool_calls": [{"index": 0, "function": {"arguments": TOOL_ARGUMENTS}}]}))
    else:
        parts += [chunk({"content": piece}) for piece in pieces(question.tokens.answer)]
    parts.append(chunk({}, _finish(question)))
    if tells:
        parts.append(event({**head, "choices": [], "usage": _chat_usage(question)}))
    return [*parts, b"data: [DONE]\n\n"]


def _chat_head(question: Question, number: int, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:024d}",
        "object": kind,
        "created": _CREATED,
        "model": question.model,
        "service_tier": "default",
        "system_fingerprint": "fp_standin",
    }


def _azure_first(head: dict[str, Any]) -> bytes:
    """Azure begins a stream with a chunk that has no model and no choice, only what its filters found."""
    filters = [{"prompt_index": 0, "content_filter_results": {}}]
    empty = {"id": "", "created": 0, "model": "", "object": "", "choices": []}
    return event({**head, **empty, "prompt_filter_results": filters})


def _tool_call(name: str, number: int) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": TOOL_ARGUMENTS}}


def _finish(question: Question) -> str:
    return "tool_calls" if question.tool else "stop"


def _chat_usage(question: Question) -> dict[str, Any]:
    tokens = question.tokens
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0}
        | ({"cache_write_tokens": tokens.written} if tokens.written else {}),
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def embeddings(question: Question) -> dict[str, Any]:
    """As many vectors as inputs, in the base64 that the SDK asks for."""
    vector = struct.pack(f"<{question.dimensions}f", *(1 / (n + 1) for n in range(question.dimensions)))
    encoded = base64.b64encode(vector).decode()
    data = [{"object": "embedding", "index": n, "embedding": encoded} for n in range(question.inputs)]
    answer = {"object": "list", "data": data, "model": question.model}
    if "no-usage" in question.markers:
        return answer
    return answer | {"usage": {"prompt_tokens": question.tokens.input, "total_tokens": question.tokens.input}}


def response(question: Question, number: int) -> dict[str, Any]:
    """A response of the responses API."""
    output = [_reasoning_item(number)] if question.tokens.reasoning else []
    return _response(question, number, "completed", [*output, _output_item(question, number)])


def response_events(question: Question, number: int) -> list[bytes]:
    """The named events of a streamed response; the usage comes with `response.completed`."""
    return [
        event({"type": name, "sequence_number": n, **data}, name=name)
        for n, (name, data) in enumerate(_response_steps(question, number))
    ]


def _response_steps(question: Question, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    started = _response(question, number, "in_progress", [])
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    item = _output_item(question, number)
    where = {"item_id": item["id"], "output_index": 0}
    if question.tool:
        empty = item | {"arguments": "", "status": "in_progress"}
        yield "response.output_item.added", {"output_index": 0, "item": empty}
        yield "response.function_call_arguments.delta", where | {"delta": TOOL_ARGUMENTS}
        yield "response.function_call_arguments.done", where | {"arguments": TOOL_ARGUMENTS, "name": question.tool}
    else:
        part = item["content"][0]
        where |= {"content_index": 0}
        yield "response.output_item.added", {"output_index": 0, "item": item | {"content": [], "status": "in_progress"}}
        yield "response.content_part.added", where | {"part": part | {"text": ""}}
        for piece in pieces(question.tokens.answer):
            yield "response.output_text.delta", where | {"delta": piece, "logprobs": []}
        yield "response.output_text.done", where | {"text": part["text"], "logprobs": []}
        yield "response.content_part.done", where | {"part": part}
    yield "response.output_item.done", {"output_index": 0, "item": item}
    yield "response.completed", {"response": _response(question, number, "completed", [item])}


def _output_item(question: Question, number: int) -> dict[str, Any]:
    if question.tool:
        call = {"name": question.tool, "arguments": TOOL_ARGUMENTS, "call_id": f"call_{number}"}
        return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **call}
    text = "".join(pieces(question.tokens.answer))
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [content]}


def _reasoning_item(number: int) -> dict[str, Any]:
    return {"id": f"rs_{number}", "type": "reasoning", "summary": []}


def _response(question: Question, number: int, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    tells = status == "completed" and "no-usage" not in question.markers
    return {
        "id": f"resp_{number:024d}",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": question.model,
        "output": output,
        "parallel_tool_calls": True,
        "service_tier": "default",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _response_usage(question) if tells else None,
    }


def _response_usage(question: Question) -> dict[str, Any]:
    tokens = question.tokens
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
