"""OpenAI's calls that have a fee of their own and no model: containers, searches in a vector store, sessions.

A container is charged once by its id; the responses that run code in it are not charged for it again. The models are
names of ours, under which the rates stand. Source: OpenAI's pricing page, built-in tools, read 2026-11.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ._asking import ask
from ._hosted import CONTAINER, first_container
from ._json import BAD, Name
from .base import Endpoint, Facts, Reading

__all__ = ["CONTAINERS", "LIVE", "SESSION", "STORE_SEARCH", "VECTOR_STORE"]

VECTOR_STORE: Final = "vector-store-search"
"""Under which model the rate of a search stands."""

_NO_ID: Final = "the answer names no container"
_LATER: Final = Reading(pending=True, reason="the usage of a session is told by its own events, see `realtime`")


class _Container(msgspec.Struct, gc=False):
    id: Name | None = None
    memory_limit: Any = None


_decode = msgspec.json.Decoder(_Container).decode


def read_container(body: bytes) -> Reading:
    """Reads the description of a new container."""
    try:
        made = _decode(body)
    except BAD:
        made = _Container()
    if not made.id:
        return Reading(CONTAINER, reason=_NO_ID)
    first = first_container(made.id, made.memory_limit)
    return Reading(CONTAINER, made.id, first.part.units, terms=first.part.terms, once=made.id)


def read_search(body: bytes) -> Reading:
    """Reads nothing: a search tells what it found, not that it costs."""
    return Reading(VECTOR_STORE)


def searched(reading: Reading, facts: Facts) -> Reading:
    """A search that succeeded costs the same whatever it finds."""
    return reading._replace(units={"file_search_request": (0, 1)})


def read_session(body: bytes) -> Reading:
    """Reads the beginning of a session, which tells nothing yet."""
    return _LATER


CONTAINERS: Final = Endpoint(
    "/v1/containers",
    ask,
    read_container,
    lambda head, tail: read_container(head),
    lambda head, tail=b"", cut=0: read_container(head),
    repeats=True,
)
STORE_SEARCH: Final = Endpoint(
    "/v1/vector_stores/{vector_store}/search",
    ask,
    read_search,
    lambda head, tail: read_search(head),
    lambda head, tail=b"", cut=0: read_search(head),
    refine=searched,
)
SESSION: Final = Endpoint(
    "/v1/realtime/calls",
    ask,
    read_session,
    lambda head, tail: _LATER,
    lambda head, tail=b"", cut=0: _LATER,
)
LIVE: Final = Endpoint(
    "/v1/live/sessions",
    ask,
    read_session,
    lambda head, tail: _LATER,
    lambda head, tail=b"", cut=0: _LATER,
)
