"""schemathesis over the OpenAPI document, against a real `payi serve`: nothing is a 5xx, and every answer is as the document says.

Run by `tox run -e api`; what is given behind `--` goes to `schemathesis run`, and beats what is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def main() -> int:
    """Run schemathesis; its exit status."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, key):
        command = [sys.executable, "-P", "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--header", f"xProxy-api-key: {key}", "--max-examples", "50"]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("hooks.py"))}
        return subprocess.run([*command, *options, *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
