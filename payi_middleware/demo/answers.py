"""The stand-in's answer to a question, in the asking provider's own format: a JSON body, or the events of a stream."""

from __future__ import annotations

from typing import Any

from . import anthropic_answers, gemini_answers, openai_answers
from .question import Question

__all__ = ["body", "error", "events"]


def body(question: Question, number: int) -> dict[str, Any]:
    """The whole answer; `number` makes its id."""
    match question.kind:
        case "chat":
            return openai_answers.chat(question, number)
        case "responses":
            return openai_answers.response(question, number)
        case "embeddings":
            return openai_answers.embeddings(question)
        case "messages":
            return anthropic_answers.message(question, number)
        case _:
            return gemini_answers.content(question, number)


def events(question: Question, number: int) -> list[bytes]:
    """The events of a streamed answer, each as the bytes of one server-sent event."""
    match question.kind:
        case "responses":
            return openai_answers.response_events(question, number)
        case "messages":
            return anthropic_answers.message_events(question, number)
        case "gemini":
            return gemini_answers.content_events(question, number)
        case _:
            return openai_answers.chat_chunks(question, number)


def error(kind: str | None, status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    match kind:
        case "messages":
            return anthropic_answers.error(status, message)
        case "gemini":
            return gemini_answers.error(status, message)
        case _:
            return openai_answers.error(status, message)
