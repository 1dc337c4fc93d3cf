"""What the inbound faces share: whom to trust, what a request's headers tell, what a route's function carries."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from . import health
from .attribution import NOTHING, Given
from .exceptions import SettingsError
from .frames import Activity
from .headers import PREFIX, given_by_headers
from .limits.view import REMAINING, remaining
from .values import plain, usd

__all__ = ["REQUEST_IDS", "Identify", "Trust", "askable", "cost_headers", "incoming", "note_second", "request_id"]

Identify: TypeAlias = Callable[[Any], Any]
"""The application's own answer to "who is this": a user id, a mapping or an `Attribution`; sync or async."""

REQUEST_IDS = ("x-request-id", "x-correlation-id", "x-amzn-trace-id", "x-cloud-trace-context", "cf-ray")
"""Headers that name a request, by preference."""
MAX_REQUEST_ID = 128

_IGNORED = (
    "xProxy headers of the untrusted peer %s are ignored; if it is yours (a gateway, another service), "
    "name it: trusted_hosts=(%r,) or PAYI_TRUSTED_HOSTS"
)


def askable(identify: Identify | None) -> Identify | None:
    """What a face was given as `identify`.

    Raises:
        SettingsError: It cannot be called.
    """
    if identify is not None and not callable(identify):
        raise SettingsError(
            f"identify={health.shown(identify)} cannot be called: give a function of the connection that returns a user id, "
            "a mapping or an Attribution"
        )
    return identify


class Trust:
    """The peers whose xProxy headers count."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._unix = "unix" in hosts
        self._networks = [ipaddress.ip_network(host, strict=False) for host in hosts if host != "unix"]
        self._known: dict[str, bool] = {}

    def trusts(self, peer: str | None) -> bool:
        """Whether a peer's headers count; None or an empty one is a Unix socket."""
        if not peer:
            return self._unix
        known = self._known.get(peer)
        if known is None:
            known = self._look_up(peer)
            if len(self._known) < 4096:
                self._known[peer] = known
        return known

    def _look_up(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network or address in network for network in self._networks)


def incoming(headers: Mapping[str, str], peer: str | None, trust: Trust) -> Given:
    """What the xProxy headers of a web request tell, if its peer is trusted; names in lower case."""
    if not any([name[:7] == PREFIX for name in headers]):  # noqa: C419  # a list: faster than a generator for a few names
        return NOTHING
    if trust.trusts(peer):
        return given_by_headers({name: _decoded(value) for name, value in headers.items() if name[:7] == PREFIX})
    shown = peer or "unix"
    health.note("headers_ignored", _IGNORED, shown, shown)
    return NOTHING


def _decoded(value: str) -> str:
    """A header that servers hand on as Latin-1, read as UTF-8 where it is that: names of people are not ASCII."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def cost_headers(activity: Activity) -> list[tuple[str, str]]:
    """What a response can tell of its request's cost (USD), if the whole of it is known by now, and of what is left of limits."""
    return _cost(activity) + _remaining(activity)


def _remaining(activity: Activity) -> list[tuple[str, str]]:
    told = remaining(activity.meter, activity) if activity.calls and activity.meter is not None else None
    return [] if told is None else [(REMAINING, told)]


def _cost(activity: Activity) -> list[tuple[str, str]]:
    if not activity.calls or activity.pending:
        return []
    activity.add_up()
    if activity.inexact:
        return []
    cost = format(plain(usd(activity.cost_ticks)), "f")
    calls = "1 call" if activity.calls == 1 else f"{activity.calls} calls"
    return [("x-payi-cost", cost), ("server-timing", f'payi;desc="{calls}, {cost} USD"')]


def note_second() -> None:
    """A face inside another one of the same meter has settings, which nobody asks."""
    health.note(
        "second_face",
        "identify and cost_headers of a second middleware are ignored: the outer one with the same meter has the request; "
        "give them to that one",
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    """The request's id, as a proxy or the client named it."""
    for name in REQUEST_IDS:
        value = headers.get(name)
        if value:
            return value[:MAX_REQUEST_ID] if value.isprintable() else None
    return None
