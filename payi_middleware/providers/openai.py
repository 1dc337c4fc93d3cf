"""OpenAI, and the routes that every OpenAI-shaped host has in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from . import _batches, _chat, _fees, _images, _messages, _responses, _runs, _speech, _transcripts, _videos
from ._openai_usage import OPENAI, Dialect
from ._regions import in_a_region, openai_costs_more
from ._rest import REST
from .base import Endpoint, FindRoute, Route
from .other import OTHER

__all__ = [
    "FREE",
    "OURS",
    "asked_again",
    "by_end",
    "endpoints",
    "find_regional",
    "find_route",
    "free",
    "known",
    "own_endpoints",
    "routes",
]

# The version of the API, behind whatever base a gateway puts before it.
_VERSION: Final = r"(?:/(?!v\d|openai/)[^/]+)*/(?:v\d\w*(?:/openai)?|openai(?:/v\d\w*)?)/"
_EVERYWHERE: Final = (
    "batch",
    "batches",
    "detokenize",
    "files",
    "fine[-_]tun(?:ing|es)",
    "messages/(?:batches|count_tokens)",
    "responses/input_tokens",
    "responses/[^/]+/cancel",
    "tokenize",
    "uploads",
)


def free(*more: str) -> re.Pattern[str]:
    """The paths of management and of calls that cost nothing, by what stands right behind the version.

    Batches cost, but their usage comes with a later GET. Any other path is an event: what is free here is paid there.
    """
    return re.compile(rf"{_VERSION}(?:{'|'.join((*_EVERYWHERE, *more))})(?:[/:]|$)")


FREE: Final = free()
"""Free at every host."""

OURS: Final = free(
    "assistants",
    "chat/completions/[^/]+",
    "containers/[^/]+",  # not the container itself
    "conversations",
    "evals",
    "models",
    "moderations",
    "organization",
    "live/sessions/[^/]+",
    "realtime/(?:calls/[^/]+|client_secrets|sessions|transcription_sessions|translations)",
    "safety",
    "skills",
    "threads",  # but for runs
    "traces/ingest",
    "videos/characters",
    "vector_stores(?!/[^/]+/search)",
)
"""Free at OpenAI, and at Azure, which hosts its API."""

_KNOWN: Final = re.compile(r"/(chat/completions|completions|embeddings|responses/compact|responses|v1/messages)$")


def endpoints(dialect: Dialect = OPENAI) -> dict[str, Endpoint]:
    """The endpoints of an OpenAI-shaped host, by the end of their path; Anthropic's too, as many hosts speak both."""
    return {
        "chat/completions": _chat.endpoint("/v1/chat/completions", dialect),
        "completions": _chat.endpoint("/v1/completions", dialect),
        "embeddings": _chat.embeddings(dialect),
        "responses": _responses.responses(dialect),
        "responses/compact": _responses.compact(dialect),
        "v1/messages": _messages.messages(),
    }


def own_endpoints(dialect: Dialect = OPENAI, base: str = "/v1") -> dict[str, Endpoint]:
    """What only OpenAI has, and Azure, by the end of the path; `*` stands for an id."""
    return {
        "audio/speech": _speech.speech(f"{base}/audio/speech"),
        "audio/transcriptions": _transcripts.transcriptions(f"{base}/audio/transcriptions"),
        "audio/translations": _transcripts.translations(f"{base}/audio/translations"),
        "containers": _fees.CONTAINERS,
        "decisions": replace(_responses.responses(dialect, f"{base}/decisions"), texts=None),
        "images/edits": _images.images(f"{base}/images/edits"),
        "images/generations": _images.images(f"{base}/images/generations"),
        "images/variations": _images.images(f"{base}/images/variations"),
        "live/sessions": _fees.LIVE,
        "realtime/calls": _fees.SESSION,
        "threads/*/runs": _runs.RUNS,
        "threads/*/runs/*/submit_tool_outputs": _runs.RUNS,
        "threads/runs": _runs.RUNS,
        "vector_stores/*/search": _fees.STORE_SEARCH,
        "video/generations/jobs": _videos.videos(f"{base}/video/generations/jobs"),
        "videos": _videos.videos(f"{base}/videos"),
        "videos/*/remix": _videos.videos(f"{base}/videos/{{video}}/remix"),
        "videos/edits": _videos.videos(f"{base}/videos/edits"),
        "videos/extensions": _videos.videos(f"{base}/videos/extensions"),
    }


def asked_again(dialect: Dialect = OPENAI) -> dict[str, Endpoint]:
    """What a GET tells of that was made in the background, by the end of the path."""
    return {
        "files/*/content": _batches.results(dialect),
        "responses/*": _responses.poll(dialect),
        "threads/*/runs/*": _runs.RUN,
    }


def by_end(ours: dict[str, Endpoint]) -> Callable[[str], Endpoint | None]:
    """The look-up of a path by its end, whatever base a gateway puts before it."""
    table = [(re.compile(rf"/{end.replace('*', '[^/]+')}$"), endpoint) for end, endpoint in ours.items()]

    def find(path: str) -> Endpoint | None:
        return next((endpoint for end, endpoint in table if end.search(path)), None)

    return find


def known(path: str, ours: dict[str, Endpoint]) -> Route | None:
    """The route by the end of the path, whatever base a gateway puts before it."""
    found = _KNOWN.search(path)
    return Route(ours[found[1]]) if found else None


def routes(
    ours: dict[str, Endpoint],
    *,
    strict: bool = False,
    costs_nothing: re.Pattern[str] = FREE,
    dialect: Dialect = OPENAI,
) -> FindRoute:
    """The look-up of an OpenAI-shaped host. `strict`: other paths of the host are none of our business."""
    again = by_end(asked_again(dialect))

    def find(method: str, path: str) -> Route | None:
        path = path.rstrip("/")
        if method == "GET" and not strict:  # many have batches, too
            later = again(path)
            return None if later is None else Route(later)
        if method != "POST":
            return None
        route = known(path, ours)
        if route is not None or strict or costs_nothing.match(path):
            return route
        return Route(OTHER)

    return find


def _own(adapt: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint) -> FindRoute:
    """OpenAI itself. `adapt` is laid over each of its endpoints."""

    def adapted(ours: dict[str, Endpoint]) -> dict[str, Endpoint]:
        return {end: adapt(endpoint) for end, endpoint in ours.items()}

    everywhere, own, again = adapted(endpoints()), by_end(adapted(own_endpoints())), by_end(adapted(asked_again()))
    rest = adapt(REST)

    def find(method: str, path: str) -> Route | None:
        path = path.rstrip("/")
        if method == "GET":
            found = again(path)
            return None if found is None else Route(found)
        if method != "POST":
            return None
        route = known(path, everywhere)
        if route is not None:
            return route
        found = own(path)
        if found is None and OURS.match(path):
            return None
        return Route(found or rest)

    return find


find_route: Final = _own()
find_regional: Final = _own(lambda endpoint: in_a_region(endpoint, openai_costs_more))
"""The hosts that keep the processing in a region."""
