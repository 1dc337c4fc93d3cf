"""Which ledger a URL or a store has."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from payi_middleware.exceptions import LedgerError, SettingsError
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.opening import ledger_at, ledger_url, open_ledger
from payi_middleware.limits.postgresql import PostgresqlLedger
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.settings import Settings


@pytest.mark.parametrize(
    ("store", "ledger"),
    [
        ("sqlite:///payi.db", "sqlite:///payi.db.ledger"),
        ("sqlite:////var/lib/payi.db", "sqlite:////var/lib/payi.db.ledger"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///", "memory://"),
        ("postgresql://u:p@db/payi", "postgresql://u:p@db/payi"),
    ],
)
def test_beside_the_store(store: str, ledger: str) -> None:
    assert ledger_url(store) == ledger


def test_it_is_that_of_the_store_unless_one_is_named(tmp_path: Path) -> None:
    """And nothing is made before it is asked."""
    store = Settings(store=f"sqlite:///{tmp_path / 'payi.db'}").store
    ledger = open_ledger(SimpleNamespace(store=store, ledger=None))
    assert isinstance(ledger, SqliteLedger)
    assert ledger.path == tmp_path / "payi.db.ledger"
    assert isinstance(open_ledger(SimpleNamespace(store=store, ledger="memory://")), MemoryLedger)
    own = MemoryLedger()
    assert open_ledger(SimpleNamespace(store=store, ledger=own)) is own
    assert os.listdir(tmp_path) == []


def test_each_kind() -> None:
    assert isinstance(ledger_at("sqlite:///:memory:"), MemoryLedger)
    ledger = ledger_at("postgresql://nobody@nowhere/db", lease_seconds=5)
    assert isinstance(ledger, PostgresqlLedger)
    assert ledger.lease_seconds == 5


@pytest.mark.parametrize("url", ["", "payi.ledger", "mysql://root:secret@db", "sqlite:///"])
def test_what_is_none(url: str) -> None:
    """The message says what to use, and shows no password."""
    with pytest.raises(SettingsError, match=r"use sqlite:///") as raised:
        ledger_at(url)
    assert "secret" not in str(raised.value)


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said which extra has it, whoever asks: an application, a command, the doctor."""
    monkeypatch.delitem(sys.modules, "payi_middleware.limits.postgresql")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"pip install 'payi-middleware\[postgresql\]'") as raised:
        ledger_at("postgresql://jane:s3cret@db/payi")
    assert "s3cret" not in str(raised.value)
