"""The rules for Prometheus ask for what the server tells, and Prometheus itself reads and runs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from expressions import Exposed, unknown
from programs import INTEGRATIONS, asked, free_port, program, running, serving

from payi_middleware.server.writer import MOST_WAITING

FOLDER = INTEGRATIONS / "prometheus"
EVENT = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}


def rules(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def copied(folder: Path) -> Path:
    """The configuration in a folder of its own, with a file for the key."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    (folder / "payi.key").write_text("none\n")
    return folder


def test_rules_ask_for_what_is_told(there: Exposed) -> None:
    """By the server, or by another rule."""
    recorded = {rule["record"] for rule in rules("recording.rules.yml")}
    both = [rule["expr"] for rule in rules("recording.rules.yml") + rules("alerts.rules.yml")]
    assert unknown(both, Exposed(there.names | recorded, there.labels)) == set()
    assert unknown(['sum by (user) (payi_nothing_total{kind="a"})'], there) == {"payi_nothing_total", "kind", "user"}


def test_the_alarm_of_the_queue_is_half_of_what_may_wait() -> None:
    """Above which events are refused."""
    (alert,) = [rule for rule in rules("alerts.rules.yml") if rule["alert"] == "PayiEventsWait"]
    assert alert["expr"] == f"payi_events_waiting > {MOST_WAITING // 2}"


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")],
    ids=["configuration", "rules"],
)
def test_promtool_passes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Its reading of the configuration, and the rules over series that are made up."""
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=copied(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_prometheus_scrapes_a_server(tmp_path: Path) -> None:
    """With its key, and as the configuration stands but for address, key and haste."""
    command, port = program("prometheus"), free_port()
    with serving(f"sqlite:///{tmp_path / 'payi.db'}") as address:
        folder = copied(tmp_path / "prometheus")
        key = shutil.copy(tmp_path / "payi.db.key", folder / "payi.key").read_text().strip()
        text = (FOLDER / "prometheus.yml").read_text().replace("127.0.0.1:8600", address.removeprefix("http://"))
        (folder / "prometheus.yml").write_text(text.replace("interval: 15s", "interval: 250ms"))
        httpx2.post(
            f"{address}/api/v1/ingest", json=EVENT, headers={"xProxy-api-key": key}, trust_env=False
        ).raise_for_status()
        listen = f"--web.listen-address=127.0.0.1:{port}"
        with (
            running([command, "--config.file=prometheus.yml", "--storage.tsdb.path=data", listen], folder),
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
        ):

            def values(expression: str) -> list[str]:
                answer = http.get("/api/v1/query", params={"query": expression})
                return [one["value"][1] for one in answer.json()["data"]["result"]] if answer.status_code == 200 else []

            asked(lambda: values('up{job="payi"}') == ["1"])
            asked(lambda: values('payi_events_total{category="system.openai"}') == ["1"])
            asked(lambda: values("job:payi_requests_failed:ratio_rate5m") == ["0"])
            health = {rule["name"]: rule["health"] for rule in _rules(http)}
    assert set(health.values()) == {"ok"}
    assert len(health) == len(rules("recording.rules.yml")) + len(rules("alerts.rules.yml"))


def _rules(http: httpx2.Client) -> list[dict[str, Any]]:
    """The rules as Prometheus runs them, each of which was evaluated once at least."""
    found: list[dict[str, Any]] = []

    def evaluated() -> bool:
        found[:] = [rule for group in http.get("/api/v1/rules").json()["data"]["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in found)

    asked(evaluated)
    return found
