"""The unit starts what the command line has, ends as it ends, and systemd's own tool reads it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import httpx2
import pytest
from programs import INTEGRATIONS, program, serving

from payi_middleware.server.start import _GRACE
from payi_middleware.settings import load

FOLDER = INTEGRATIONS / "systemd"
UNIT = (FOLDER / "payi.service").read_text(encoding="utf-8")


def service() -> dict[str, str]:
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return dict(parser["Service"])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there in place of one that would be installed."""
    file = tmp_path / "payi.service"
    file.write_text(UNIT.replace("/opt/payi/bin/payi", sys.executable))
    return file


def test_systemd_reads_the_unit(unit: Path) -> None:
    """Without a word."""
    done = subprocess.run(
        [program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_server_can_do_little_else(unit: Path) -> None:
    """Systemd's measure of exposure is from 0 to 10; it is asked in tenths."""
    command = [program("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_user_is_made(tmp_path: Path) -> None:
    """By the file beside the unit, with the folder that the unit keeps its state in."""
    (tmp_path / "etc").mkdir()
    command = [program("systemd-sysusers"), f"--root={tmp_path}", str(FOLDER / "payi.sysusers.conf")]
    subprocess.run(command, check=True, capture_output=True)
    name, _, _, _, _, home, shell = (tmp_path / "etc" / "passwd").read_text().splitlines()[-1].split(":")
    assert (name, home) == (service()["User"], f"/var/lib/{service()['StateDirectory']}")
    assert shell.endswith("nologin")


def test_what_it_starts_serves(tmp_path: Path) -> None:
    """The arguments as they stand, but for a port that is free, and the store in the state's folder."""
    _, command, *arguments = shlex.split(service()["ExecStart"])
    port = arguments.index("--port") + 1
    assert (command, arguments[port]) == ("serve", "8600")
    name, _, store = service()["Environment"].partition("=")
    assert load({}, {name: store}).store_path == Path("/var/lib/payi/payi.db")
    with serving(f"sqlite:///{tmp_path / 'payi.db'}", *arguments[:port], "0", *arguments[port + 1 :]) as address:
        assert httpx2.get(f"{address}/readyz", trust_env=False).status_code == 200


def test_requests_under_way_have_their_time() -> None:
    """Systemd kills the server only after it would have ended by itself."""
    assert int(service()["TimeoutStopSec"]) > _GRACE
