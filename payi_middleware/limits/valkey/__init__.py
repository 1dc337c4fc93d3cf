"""The ledger in Valkey or Redis: shared by all processes and machines that name the same server."""

from __future__ import annotations

from .ledger import ValkeyLedger

__all__ = ["ValkeyLedger"]
