"""Processes that are killed while they call neither pass the budget nor leave anything held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import mortal
import postgres
import pytest


def killed(url: str, folder: Path, kills: int, lease_seconds: float, kind: str) -> dict[str, int]:
    command = [sys.executable, mortal.__file__, url, str(folder), str(kills), str(lease_seconds), kind]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # what it needs stands beside it
    told: dict[str, int] = json.loads(subprocess.check_output(command, text=True, env=found))
    assert told["kills"] >= kills
    assert told["calls"] > 0
    assert (told["held"], told["wrong"], told["unclean"]) == (0, 0, 0)
    return told


def url_of(where: str, folder: Path, valkey: Any) -> str:
    if where == "sqlite":
        return f"sqlite:///{folder / 'a.ledger'}"
    if where == "postgresql":
        return postgres.database(empty=True)
    return f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}"


@pytest.mark.parametrize("kind", ["default", "strict"])
@pytest.mark.parametrize("where", ["sqlite", "postgresql", "valkey"])
def test_what_they_left_is_settled_and_the_budget_holds(where: str, kind: str, tmp_path: Path, valkey: Any) -> None:
    assert killed(url_of(where, tmp_path, valkey), tmp_path, 8, 60, kind)["passed"] == 0


@pytest.mark.parametrize("where", ["sqlite", "postgresql", "valkey"])
def test_after_one_lease_nothing_is_held(where: str, tmp_path: Path, valkey: Any) -> None:
    assert killed(url_of(where, tmp_path, valkey), tmp_path, 8, 0.2, "default")["held_before"] == 0
