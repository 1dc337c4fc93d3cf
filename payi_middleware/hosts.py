"""Which provider a host is: what the owner named, then what the providers are known by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import health, providers
from .exceptions import SettingsError
from .providers.base import Provider
from .providers.places import OLLAMA_PORT

__all__ = ["Hosts"]

_MOST = 8192
_HERE = ("localhost", "127.0.0.1", "0.0.0.0", "::1", "host.docker.internal", "ollama")  # noqa: S104 - called, not bound
"""This machine, also as containers call it, and the name that Ollama's service has in most compose files."""


class Hosts:
    """A look-up of hosts, remembered.

    Args:
        named: host or host:port -> name of a provider, as the owner set it; a port comes before the host as a whole.

    Raises:
        SettingsError: A name is none of a provider's, and the message lists the valid ones; or a place is no host.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self.named = dict(named)
        self._known: dict[str, Provider | dict[int | None, Provider | None] | None] = {}
        for place, name in named.items():
            self._name(place.strip().lower(), _provider(place, name))
        for host in _HERE:
            self._keep_ollama(host)
        for host, ports in self._known.items():
            if isinstance(ports, dict):
                ports.setdefault(None, providers.find(host))

    def _keep_ollama(self, host: str) -> None:
        """At its usual places Ollama is known by its port, unless the owner says what the host is."""
        ports = self._known.setdefault(host, {})
        if isinstance(ports, dict) and None not in ports:
            ports.setdefault(OLLAMA_PORT, providers.named("ollama"))

    def find(self, url: Any) -> Provider | None:
        """The provider at a URL of httpx or httpx2; one dictionary look-up for a host seen before."""
        try:
            found = self._known[url._uri_reference.host]  # as both keep it: the property takes longer than all of this
        except (AttributeError, KeyError):
            found = self._found(url.host)
        return found if found is None or isinstance(found, Provider) else self._at_port(found, url)

    def _found(self, host: str) -> Provider | dict[int | None, Provider | None] | None:
        """By the name as an owner writes it, which of an international one is not what is sent."""
        try:
            return self._known[host]
        except KeyError:
            return self._learn(host)

    def _at_port(self, ports: dict[int | None, Provider | None], url: Any) -> Provider | None:
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        return ports.get(port) or ports[None]

    def _name(self, place: str, provider: Provider) -> None:
        host, port = _split(place)
        known = self._known.get(host)
        ports: dict[int | None, Provider | None] = {None: known} if isinstance(known, Provider) else known or {}
        ports[port] = provider
        self._known[host] = provider if ports.keys() == {None} else ports

    def _learn(self, host: str) -> Provider | None:
        found = providers.find(host.lower())
        if len(self._known) < _MOST:
            self._known[host] = found
        else:
            health.count("hosts_full")
        return found


def _provider(place: str, name: str) -> Provider:
    try:
        return providers.named(name)
    except LookupError as error:
        raise SettingsError(f"setting hosts: {place!r} is mapped to {name!r}, but {error.args[0]}") from None


def _split(place: str) -> tuple[str, int | None]:
    """host, host:port, [address]:port or a URL's authority."""
    authority = place.rpartition("://")[2].partition("/")[0]
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = authority, ""
    host = host.strip("[]")
    if not host or "@" in host or "*" in host or (port and not (port.isdecimal() and 0 < int(port) < 1 << 16)):
        raise SettingsError(f"setting hosts: {place!r} is not host or host:port")
    return host, int(port) if port else None
