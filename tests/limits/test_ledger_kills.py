"""Processes that are killed while they call neither pass the budget nor leave anything held."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mortal
import pytest


def killed(path: Path, kills: int, lease_seconds: float, kind: str) -> dict[str, int]:
    command = [sys.executable, mortal.__file__, str(path / "a.ledger"), str(kills), str(lease_seconds), kind]
    told: dict[str, int] = json.loads(subprocess.check_output(command, text=True))
    assert told["kills"] >= kills
    assert told["calls"] > 0
    assert told["held"] == 0
    assert told["spent"] == told["sum"]
    return told


@pytest.mark.parametrize("kind", ["default", "strict"])
def test_what_they_left_is_settled_and_the_budget_holds(tmp_path: Path, kind: str) -> None:
    told = killed(tmp_path, 16, 60, kind)
    most = mortal.MOST * mortal.CALL
    assert told["spent"] <= most if kind == "strict" else told["spent"] < most + mortal.CALL


def test_after_one_lease_nothing_is_held(tmp_path: Path) -> None:
    assert killed(tmp_path, 8, 0.2, "default")["held_before"] == 0
