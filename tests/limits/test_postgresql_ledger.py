"""The ledger in PostgreSQL keeps to all rules, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import conformance
import postgres
import pytest

from payi_middleware.limits.postgresql import PostgresqlLedger


@pytest.fixture(scope="module")
def url() -> str:
    """A database for all of this file."""
    return postgres.database(empty=True)


@pytest.fixture(scope="module")
def shared(url: str) -> Iterator[PostgresqlLedger]:
    """One ledger for all cases that need no clock of their own."""
    ledger = PostgresqlLedger(url)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None], shared: PostgresqlLedger) -> None:
    case(shared)


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None]) -> None:
    clock = conformance.Clock()
    ledger = PostgresqlLedger(postgres.database(empty=True), clock=clock)
    case(ledger, clock)
    ledger.close()
