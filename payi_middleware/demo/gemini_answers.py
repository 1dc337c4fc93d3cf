"""Gemini's format: generateContent, whole and streamed."""

from __future__ import annotations

from typing import Any

from .question import Question
from .wire import event, pieces

__all__ = ["content", "content_events", "error"]

_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def error(status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    return {"error": {"code": status, "message": message, "status": _ERRORS.get(status, "INTERNAL")}}


def content(question: Question, number: int) -> dict[str, Any]:
    """A whole answer."""
    part = _call(question.tool) if question.tool else {"text": "".join(pieces(question.tokens.answer))}
    return _chunk(question, number, part, question.tokens.answer, "STOP")


def content_events(question: Question, number: int) -> list[bytes]:
    """The parts of a streamed answer, each with the usage so far."""
    parts = [_call(question.tool)] if question.tool else [{"text": piece} for piece in pieces(question.tokens.answer)]
    last = len(parts)
    return [
        event(_chunk(question, number, part, question.tokens.answer if n == last else n, "STOP" if n == last else None))
        for n, part in enumerate(parts, start=1)
    ]


def _call(name: str) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {"city": "Paris"}}}


def _chunk(question: Question, number: int, part: dict[str, Any], answered: int, finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    answer = {"candidates": [candidate], "modelVersion": question.model, "responseId": f"gemini-{number}"}
    return answer if "no-usage" in question.markers else answer | {"usageMetadata": _usage(question, answered)}


def _usage(question: Question, answered: int) -> dict[str, Any]:
    """Gemini's `candidatesTokenCount` leaves the thoughts out."""
    tokens = question.tokens
    usage: dict[str, Any] = {
        "promptTokenCount": tokens.input,
        "candidatesTokenCount": answered,
        "totalTokenCount": tokens.input + answered + tokens.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.input}],
    }
    if tokens.cached:
        usage["cachedContentTokenCount"] = tokens.cached
    if tokens.reasoning:
        usage["thoughtsTokenCount"] = tokens.reasoning
    return usage
