"""The ledger in memory keeps to all rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import conformance
import pytest

from payi_middleware.limits.memory import MemoryLedger


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None]) -> None:
    case(MemoryLedger())


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None]) -> None:
    clock = conformance.Clock()
    case(MemoryLedger(clock=clock), clock)
