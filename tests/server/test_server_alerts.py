"""The server tells the alerts that nobody else has told: of limits that it counts itself, and of applications that died."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from receiver import KEY, LOOPBACK, receiving
from starlette.testclient import TestClient

from payi_middleware.limits import Limit, alerts
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.server import writer
from payi_middleware.server.app import create_app
from payi_middleware.settings import load


def test_what_nobody_has_told_is_told_by_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LEFT_SECONDS", 0.05)
    monkeypatch.setattr(alerts, "_ORPHANED_NS", 0)
    store = f"sqlite:///{tmp_path}/payi.db"
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    ledger.define(Definition(limit_id="L", application="shop", limit=Limit("Monthly", 10, alerts=(0.5,))))
    with receiving() as receiver:
        settings = load(
            {"store": store, "alert_webhooks": (receiver.url,), "alert_key": KEY, "alert_networks": LOOPBACK}
        )
        with TestClient(create_app(settings)):
            ledger.run([Settle(os.urandom(16), "shop", (Account("L"),), 6 * 10**10, 0, 0, time.time_ns())])
            until = time.monotonic() + 20
            while not receiver.taken and time.monotonic() < until:
                time.sleep(0.01)
        ((_, body),) = receiver.taken
    ledger.close()
    assert json.loads(body)["data"]["limit_name"] == "Monthly"
