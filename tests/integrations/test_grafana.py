"""The dashboard is JSON that asks for what Prometheus has, from the data source that is provisioned beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from expressions import Exposed, unknown
from programs import INTEGRATIONS, program

FOLDER = INTEGRATIONS / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboards" / "payi.json").read_text(encoding="utf-8"))


def provisioned(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / "provisioning" / name).read_text(encoding="utf-8"))
    return document


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["query"]


def recorded() -> set[str]:
    document = yaml.safe_load((INTEGRATIONS / "prometheus" / "recording.rules.yml").read_text(encoding="utf-8"))
    return {rule["record"] for group in document["groups"] for rule in group["rules"]}


def test_every_panel_asks_for_what_is_told(there: Exposed) -> None:
    """By the server, or by a recording rule."""
    assert unknown(expressions(), Exposed(there.names | recorded(), there.labels)) == set()


def test_no_metric_is_left_out(there: Exposed) -> None:
    """What is counted is shown, by itself or in a rule that is shown; the times of creation tell nothing."""
    shown = set(re.findall(r"payi_\w+", " ".join([*expressions(), *_rules()])))
    counted = {name for name in there.names if not name.endswith(("_created", "_sum"))}
    assert counted - shown == set()


def test_every_panel_has_its_data_source_and_place() -> None:
    """That of the provisioned data source; ids differ and nothing lies upon another."""
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    panels, cells = DASHBOARD["panels"], []
    for panel in panels:
        assert {panel["datasource"]["uid"], *(one["datasource"]["uid"] for one in panel["targets"])} == {source["uid"]}
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells += [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)


def test_the_dashboards_are_where_the_readme_puts_them() -> None:
    """The provider looks into that folder."""
    (provider,) = provisioned("dashboards/payi.yml")["providers"]
    assert f"`{provider['options']['path']}/`" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_prometheus_reads_every_expression(tmp_path: Path) -> None:
    """As its own tool parses it, with Grafana's variables filled in."""
    filled = [one.replace("$__rate_interval", "1m").replace("$job", ".*") for one in _promql()]
    rules = [{"record": f"shown:{n}", "expr": expression} for n, expression in enumerate(filled)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    command = [program("promtool"), "check", "rules", os.fspath(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _promql() -> list[str]:
    return [one for one in expressions() if not one.startswith("label_values(")]


def _rules() -> list[str]:
    document = yaml.safe_load((INTEGRATIONS / "prometheus" / "recording.rules.yml").read_text(encoding="utf-8"))
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]
