"""Aliases of ASGI and WSGI, and the protocols by which rooms meet without importing one another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .events import CallEvent

__all__ = ["ASGIApp", "Environ", "Message", "Receive", "Scope", "Send", "Sink", "StartResponse", "WSGIApp"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class Sink(Protocol):
    """A place events go. Delivery is at least once: a sink drops what it has by `event_id`."""

    def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
        """Take the events, durably, or raise and leave them to be offered again. `health` describes this process."""

    def close(self) -> None:
        """Let go of files and connections; never raises."""
