"""Anthropic's code execution: the container in which code runs, a unit that counts once for each container.

Source: Anthropic's pricing page, "Code execution tool", read 2026-11: billed by execution time, five minutes at least, at $0.05
an hour and container beyond the 1,550 hours a month that every organization has free; nothing at all if the request offers
`web_search_20260209`, `web_fetch_20260209` or later ones. No answer tells the time or what is left of the free hours: the rate
is 0 and says so in `unpriced`, and an owner who knows better sets one.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..events import Part, Unpriced
from ._json import Name
from .base import Facts, First, Reading

__all__ = ["UNNAMED", "Container", "costs_nothing", "firsts_of", "settled"]

CONTAINER: Final = "code-execution-container"
"""Under which model the rate of a container stands."""

UNNAMED: Final = Unpriced("container_session_request", 1, "the answer does not name the container in which code ran")
_AGAIN: Final = "code ran in a container that an earlier call made, and tells of"

_CODE: Final = b"code_execution"
_WEB_TOOL: Final = re.compile(rb'"name"\s*:\s*"web_(?:search|fetch)"')
_BY_CODE: Final = re.compile(rb'"caller"\s*:\s*\{[^{}]*"code_execution_')
_OFFERED: Final = re.compile(rb'"type"\s*:\s*"web_(?:search|fetch)_(20\d{6})"')
_FREE_SINCE: Final = b"20260209"


class Container(msgspec.Struct, gc=False):
    """Where code ran."""

    id: Name | None = None


def firsts_of(container: Container) -> tuple[First, ...]:
    """The charge of a container; none of one without a name."""
    if not container.id:
        return ()
    return (First(container.id, Part(CONTAINER, {"container_session_request": (0, 1)})),)


def costs_nothing(container: Container, answer: bytes) -> bool:
    """Whether a container is free: code ran to search or fetch, or none ran (SDKs write an empty one where there is none).

    Only the newer web tools are called by code.
    """
    if not container.id and _CODE not in answer:
        return True
    return _WEB_TOOL.search(answer) is not None and _BY_CODE.search(answer) is not None


def settled(reading: Reading, facts: Facts) -> Reading:
    """What a container costs by what the request tells: nothing beside the newer web tools, nor if it was there before."""
    request = facts.request or b""
    if any(version >= _FREE_SINCE for version in _OFFERED.findall(request)):
        return reading._replace(firsts=())
    if all(b'"%b"' % first.id.encode("utf-8", "replace") in request for first in reading.firsts):
        return reading._replace(firsts=(), reason=f"{reading.reason}; {_AGAIN}" if reading.reason else _AGAIN)
    return reading
