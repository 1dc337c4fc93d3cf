"""schemathesis over the OpenAPI document, against a real `payi serve`: nothing is a 5xx, and every answer is as the document says.

Run by `tox run -e api`; what is given behind `--` goes to `schemathesis run`, and beats what is here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The rest of schemathesis' checks ask for more than the document promises, such as a refusal of whatever it does not name.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str]]:
    """A server on a new store: its address, and a key of role admin."""
    command = [sys.executable, "-m", "payi_middleware.cli", "serve", "--port", "0"]
    store = f"sqlite:///{folder / 'payi.db'}"
    process = subprocess.Popen([*command, "--store", store], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = next(line for line in process.stdout if line.startswith("http://")).partition(" ")[0]
        yield address, (folder / "payi.db.key").read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


NAMES = tuple(f"known-{n}" for n in range(8))
"""Of what is there beforehand: a name that is made up is nowhere, and its operation is done at once."""

_KNOWN_AS = ("limit_id", "category", "resource", "resource_id", "use_case_name", "use_case_id", "kpi_name")
_KNOWN_AS += ("request_id", "provider_response_id")

_PARAMETER = '"path.{name}" = {{ dictionary = "{name}", probability = 0.6 }}'


def filled(address: str, key: str) -> dict[str, list[str]]:
    """Have something of every kind, under `NAMES` or ids of the server's; by the names of parameters."""

    def post(path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{address}/api/v1{path}", None if body is None else json.dumps(body).encode(), method="POST"
        )
        request.add_header("xProxy-api-key", key)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    known: dict[str, list[str]] = {name: list(NAMES) for name in _KNOWN_AS}
    known |= {"limit_id": [], "request_id": [], "resource_id": [], "use_case_id": []}
    for name in NAMES:
        known["limit_id"].append(post("/limits", {"limit_name": name, "max": 1})["limit"]["limit_id"])
        units = {"units": {"request": {"input_price": 1}}}
        known["resource_id"].append(post(f"/categories/{name}/resources/{name}", units)["resource_id"])
        post("/use_cases/definitions", {"name": name, "description": name})
        kpi = {"name": name, "description": name, "kpi_type": "boolean", "goal": 1}
        post(f"/use_cases/definitions/{name}/kpis", kpi)
        known["use_case_id"].append(post(f"/use_cases/instances/{name}")["use_case_id"])
        event = {"category": name, "resource": name, "provider_response_id": name, "units": {"request": {"input": 1}}}
        known["request_id"].append(post("/ingest", event)["xproxy_result"]["request_id"])
    return known


def configuration(known: dict[str, list[str]]) -> str:
    """schemathesis' own, in TOML: most paths name what is there."""
    dictionaries = "\n".join(f"[dictionaries.{name}]\nvalues = {json.dumps(ids)}" for name, ids in known.items())
    return "\n".join([dictionaries, "[parameters]", *(_PARAMETER.format(name=name) for name in known)])


def main() -> int:
    """Run schemathesis; its exit status."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, key):
        file = Path(folder) / "schemathesis.toml"
        file.write_text(configuration(filled(address, key)))
        program = [sys.executable, "-P", "-m", "schemathesis.cli", "--config-file", str(file)]
        command = [*program, "run", f"{address}/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--header", f"xProxy-api-key: {key}", "--max-examples", "50"]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("hooks.py"))}
        return subprocess.run([*command, *options, *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
