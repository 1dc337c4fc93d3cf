"""A budget that is worth five calls, met by many at once over the real SDK: five reach the provider, every time."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import postgres
import pytest
import spenders

from payi_middleware.limits.ledger import Ledger
from payi_middleware.limits.opening import ledger_at


def ledger_of(kind: str, folder: Path, valkey: Any) -> Ledger:
    urls = {
        "memory": lambda: "memory://",
        "sqlite": lambda: f"sqlite:///{folder / 'payi.db.ledger'}",
        "postgresql": lambda: postgres.database(empty=True),
        "valkey": lambda: f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}",
    }
    return ledger_at(urls[kind]())


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "valkey"])
def test_exactly_five_calls_reach_the_provider(kind: str, strict: bool, tmp_path: Path, valkey: Any) -> None:
    """Of 20 and of 100 at once in asyncio, and of 64 in 32 threads; at the end nothing is held."""
    ledger = ledger_of(kind, tmp_path, valkey)
    assert spenders.spend(ledger, {"jane": 20, "john": 100}, strict=strict) == {"jane": 5, "john": 5}
    assert spenders.spend(ledger, {"jack": 64}, threads=32, strict=strict) == {"jack": 5}
    ledger.close()
