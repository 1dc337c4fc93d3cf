"""The server behind `base_url`: Pay-i, or one of our own, which tells so itself."""

from __future__ import annotations

from typing import Protocol

from ..events import CallEvent
from ..pricing import Prices
from ..store.deliveries import Rejected
from .api import Api
from .lines import LinesWriter
from .payi import PayiWriter
from .remote_errors import Unreachable

__all__ = ["Remote"]

CAPABILITIES = "/api/v1/capabilities"


class _Writer(Protocol):
    def send(self, events: list[CallEvent]) -> list[Rejected]: ...


class Remote:
    """Takes events for a server, whatever it is.

    Args:
        api: The server.
        prices: Our rates, to make resources that Pay-i does not know; None not to.
    """

    def __init__(self, api: Api, prices: Prices | None) -> None:
        self._api = api
        self._prices = prices
        self._writer: _Writer | None = None

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds after which no answer is waited for; None for the usual patience."""
        return self._api.deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._api.deadline = deadline

    @property
    def kind(self) -> str:
        """`payi`, `server`, or `unknown` as long as nobody asked."""
        return {LinesWriter: "server", PayiWriter: "payi"}.get(type(self._writer), "unknown")

    def prepare(self) -> None:
        """Load what sending needs."""
        self._api.prepare()

    def send(self, events: list[CallEvent]) -> list[Rejected]:
        """Hand events over; what is refused is returned.

        Raises:
            Unreachable: It cannot be had; some may have arrived.
        """
        try:
            if self._writer is None:
                self._writer = self._chosen()
            return self._writer.send(events)
        except Unreachable:
            self._writer = None  # it may be another one when it is back
            raise

    def _chosen(self) -> _Writer:
        """The writer for the server: ours says that it takes events. To Pay-i the path means nothing."""
        answer = self._api.request("GET", CAPABILITIES)
        told = answer.json() if answer.status == 200 else None
        if isinstance(told, dict) and isinstance(told.get("events"), dict):
            return LinesWriter(self._api)
        return PayiWriter(self._api, self._prices)

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()
