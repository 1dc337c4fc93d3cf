"""Where finished calls are kept and summed up: the schema, the writer, and the queries behind every report."""

from __future__ import annotations

from .store import Store, open_store

__all__ = ["Store", "open_store"]
