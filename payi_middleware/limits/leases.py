"""The holds of calls that run in this process: their leases are renewed for as long as the calls live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .ledger import Renew

__all__ = ["Leases"]

_TOGETHER: Final = 1000


class Leases:
    """Event ids by which something is held. Adding and dropping are single steps: the garbage collector may do either."""

    def __init__(self) -> None:
        self._live: dict[bytes, None] = {}

    def add(self, event_id: bytes) -> None:
        """Something is held for a call that begins."""
        self._live[event_id] = None

    def drop(self, event_id: bytes) -> None:
        """It ended."""
        self._live.pop(event_id, None)

    def __len__(self) -> int:
        return len(self._live)

    def renew(self, tell: Callable[[Renew], None]) -> bool:
        """Have all of them renewed; whether there are any."""
        live = tuple(self._live.copy())
        for start in range(0, len(live), _TOGETHER):
            tell(Renew(live[start : start + _TOGETHER]))
        return bool(live)
