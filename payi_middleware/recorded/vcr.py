"""VCR cassettes in YAML or JSON: vcrpy's, in its forms over the years, those of Ruby's VCR and of go-vcr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..exceptions import RecordingError
from ..unpacking import unpacked
from . import plain_yaml
from .exchange import Malformed, Recorded, Unreadable, body_of, by_name, from_base64, made, moment_of

__all__ = ["exchanges", "is_cassette", "loaded"]

_LISTS = ("interactions", "http_interactions")


def loaded(text: bytes, name: str) -> Any:
    """The document of a YAML file.

    Raises:
        RecordingError: It is no YAML, or PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        if error.name != "yaml":
            raise
        raise RecordingError(f"{name} is YAML, which needs PyYAML; install payi-middleware[cassettes]") from None
    try:
        return plain_yaml.load(yaml, text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = "" if mark is None else f" (line {mark.line + 1})"
        raise RecordingError(f"{name} is no YAML{at}") from None


def is_cassette(document: Any) -> bool:
    """Whether a document is a cassette."""
    return isinstance(document, dict) and any(isinstance(document.get(member), list) for member in _LISTS)


def exchanges(document: dict[str, Any], name: str) -> Iterator[Recorded | Unreadable]:
    """The exchanges of a cassette."""
    interactions = next(document[member] for member in _LISTS if isinstance(document.get(member), list))
    for number, interaction in enumerate(interactions, 1):
        where = f"{name} interaction {number}"
        try:
            yield _exchange(interaction, where)
        except Malformed as error:
            yield Unreadable(where, str(error))


def _exchange(interaction: Any, where: str) -> Recorded:
    request, response = _part(interaction, "request"), _part(interaction, "response")
    return made(
        where,
        request.get("method"),
        request.get("uri", request.get("url")),
        _sent(request),
        _status(response),
        by_name(response.get("headers")),
        _body(response) or b"",
        moment_of(interaction.get("recorded_at")),
    )


def _part(interaction: Any, name: str) -> dict[str, Any]:
    part = interaction.get(name) if isinstance(interaction, dict) else None
    if not isinstance(part, dict):
        raise Malformed(f"the {name} is missing")
    return part


def _sent(request: dict[str, Any]) -> bytes | None:
    """The request's body, which is kept as it was sent; None if it stays packed here."""
    body = _body(request)
    return None if body is None else unpacked(body, by_name(request.get("headers")).get("content-encoding", ""))


def _body(part: dict[str, Any]) -> bytes | None:
    """A body as text, bytes, base64, or the JSON value that some serializers keep in its place."""
    if part.get("parsed_body") is not None:
        return body_of(part["parsed_body"])
    body = part.get("body", part.get("content"))
    if not isinstance(body, dict):
        return None if body is None else body_of(body)
    if body.get("base64_string") is not None:
        return from_base64(body["base64_string"])
    return body_of(body["string"]) if "string" in body else body_of(body)


def _status(response: dict[str, Any]) -> Any:
    """A number, a mapping with it, or a line that begins with it."""
    status = response.get("code", response.get("status_code", response.get("status")))
    if isinstance(status, dict):
        status = status.get("code")
    if isinstance(status, str):
        number = status.partition(" ")[0]
        return int(number) if number.isdecimal() else status
    return status
