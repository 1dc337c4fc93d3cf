"""The ledger in Valkey keeps to all rules, on a real server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.limits.valkey import ValkeyLedger

sys.path.insert(0, str(Path(__file__).parent))

import conformance


@pytest.fixture
def url(valkey: Any) -> str:
    return f"valkey://127.0.0.1:{valkey.port}"


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
