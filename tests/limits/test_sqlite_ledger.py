"""The ledger in SQLite keeps to all rules, and its file is as careful as the store's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conformance
import pytest

from payi_middleware.limits.sqlite import SqliteLedger


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteLedger]:
    """One file for all cases that need no clock of their own."""
    ledger = SqliteLedger(tmp_path_factory.mktemp("shared") / "a.ledger")
    yield ledger
    ledger.close()


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None], shared: SqliteLedger) -> None:
    case(shared)


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None], tmp_path: Path) -> None:
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    case(ledger, clock)
    ledger.close()
