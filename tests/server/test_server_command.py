"""`payi serve` and `payi keys`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import payi
import pytest
from children import environment
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.cli.needing import extra
from payi_middleware.exceptions import SettingsError, StoreError
from payi_middleware.server.database import kept
from payi_middleware.server.start import is_loopback

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'payi.db'}"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str], str]]:
    """A server in a process of its own: it, the lines that it wrote until it served, and its address."""
    command = [sys.executable, "-m", "payi_middleware.cli", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("http://"):
            break
    try:
        yield process, lines, lines[-1].partition(" ")[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_the_first_start_makes_a_key(tmp_path: Path) -> None:
    """In a file for its owner alone, told on standard output; the next start uses it, and what was answered is kept."""
    for n in range(2):
        with serving("--store", url(tmp_path)) as (process, lines, address):
            key_file = tmp_path / "payi.db.key"
            assert len(lines) == 2 - n
            assert n or str(key_file) in lines[0]
            assert key_file.stat().st_mode & 0o777 == 0o600
            key = key_file.read_text().strip()
            assert key not in "".join(lines)
            with httpx2.Client(base_url=address, headers={"xProxy-api-key": key}, trust_env=False) as http:
                assert http.get("/readyz").status_code == 200
                assert http.get("/metrics").status_code == 200
                assert http.get("/api/v1/capabilities").json()["role"] == "admin"
                answer = http.post("/api/v1/ingest", json=CALL | {"provider_response_id": "chat-1"})
                assert answer.json()["xproxy_result"]["duplicate_request"] is bool(n)
        assert process.returncode in (0, -signal.SIGTERM)

    assert "0.0035" in CliRunner().invoke(app, ["report", "--store", url(tmp_path)]).stdout


def test_limits_of_the_command_line_hold_in_a_running_server(tmp_path: Path) -> None:
    """Made, looked at and held against the calls by other processes, in a ledger that both were told; Pay-i's client spends."""
    ledger = ("--ledger", f"sqlite:///{tmp_path / 'limits.ledger'}", "--store", url(tmp_path))

    def limits(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "payi_middleware.cli", "limits", *arguments, *ledger, "--json"]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    with serving(*ledger) as (_, _, address):
        made = limits("create", "Monthly", "1", "--type", "allow", "--per", "user", "--window", "month")
        key = (tmp_path / "payi.db.key").read_text().strip()
        with payi.Payi(base_url=address, api_key=key) as client:
            answer = client.ingest.units(**CALL, user_id="jane").xproxy_result
            assert answer.limits is not None
            assert answer.limits[made["limit_id"]].state == "ok"
            assert client.limits.retrieve(made["limit_id"]).limit.totals.cost.total.base == 0.0035
        assert limits("show", "Monthly")["running"][0]["spent"] == "0.0035"
        assert limits("audit") == {"schema": 1, "ok": True, "accounts": 1, "pruned": 0, "differing": []}
    assert not (tmp_path / "payi.db.ledger").exists()


def test_others_reach_no_server_without_a_key(tmp_path: Path) -> None:
    """It does not start, and says which command makes one."""
    code, _, err = run("serve", "--store", url(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert (code, err.count("\n")) == (1, 1)
    assert "payi keys create --role admin --store" in err


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """In one line."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = run("serve", "--store", url(tmp_path), "--port", str(port))
    assert (code, err.count("\n")) == (1, 1)
    assert f"port {port}" in err


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, only_here: bool) -> None:
    """A name may mean any address, so it counts as none of ours."""
    assert is_loopback(host) is only_here


def test_a_key_is_of_the_application_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYI_APPLICATION", "shop")
    store = ("--store", url(tmp_path))
    assert "of role ingest for shop" in run("keys", "create", "--role", "ingest", *store)[2]
    assert "of role read for web" in run("keys", "create", "--role", "read", "--application", "web", *store)[2]


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    """A key is the last line of standard output and nowhere else; a list has prefixes only."""
    store = ("--store", url(tmp_path))
    _, made, said = run("keys", "create", "--role", "ingest", "--application", "shop", *store)
    key = made.splitlines()[-1]
    prefix = key.split("_")[1]
    assert key.startswith("payi_")
    assert key not in said
    _, rotated, _ = run("keys", "rotate", prefix, *store)
    other = rotated.splitlines()[-1]
    assert run("keys", "revoke", other, *store) == (0, "Revoked.\n", "")
    run("keys", "create", "--role", "read", *store)

    _, table, _ = run("keys", "list", *store)
    _, listed, _ = run("keys", "list", "--json", *store)
    documents = [json.loads(line) for line in listed.splitlines()]
    assert [(one["role"], one["application"], one["revoked_at"] is None) for one in documents] == [
        ("ingest", "shop", False),
        ("ingest", "shop", False),
        ("read", "default", True),
    ]
    assert [line.split()[0] for line in table.splitlines()] == [one["prefix"] for one in documents]
    assert table.count("revoked") == 2
    assert key not in table + listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "--role", "owner"), "role 'owner' is none; use one of: ingest, read, admin"),
        (("create", "--role", "read", "--application", ""), "application '' is no name"),
        (("create", "--role", "read", "--application", "a\nb"), "is no name"),
        (("revoke", "none"), "there is no such key"),
        (("rotate", "none"), "there is no such key"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """With what could be."""
    code, out, err = run("keys", *arguments, "--store", url(tmp_path))
    assert (code in (1, 2), out, err.count("\n")) == (True, "", 1)
    assert message in err


def test_a_store_in_memory_cannot_be_served() -> None:
    """A second connection would see nothing of it."""
    with pytest.raises(StoreError, match="needs a file"):
        kept("sqlite:///:memory:")


def test_what_is_not_installed_is_named() -> None:
    """With the command that installs it; a fault of our own imports is not taken for one."""
    with (
        pytest.raises(SettingsError, match=r"no_such_module is not installed; .*payi-middleware\[server\]"),
        extra("server"),
    ):
        __import__("no_such_module")
    with pytest.raises(ModuleNotFoundError), extra("server"):
        __import__("payi_middleware.no_such_room")
