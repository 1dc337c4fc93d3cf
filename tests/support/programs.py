"""Programs of other makers, found or skipped, and a real `payi serve` for them to meet."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from children import environment

__all__ = ["INTEGRATIONS", "asked", "free_port", "program", "running", "serving"]

INTEGRATIONS = Path(__file__).parents[2] / "integrations"
_SYSTEM = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # where Debian has servers


def program(name: str) -> str:
    """The path of a program; the test is skipped where it is missing."""
    found = shutil.which(name, path=_SYSTEM)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on, for programs that cannot choose one themselves, or choose one that another may choose too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program until the end of the block; what it says is in `output` of the folder."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(ask: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while True:
        try:
            if ask():
                return
        except httpx2.TransportError:
            pass  # it does not listen yet
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)


@contextmanager
def serving(store: str, *arguments: str) -> Iterator[str]:
    """`payi serve` in a process of its own, on any port; its address."""
    command = [sys.executable, "-m", "payi_middleware.cli", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, env=environment(PAYI_STORE=store), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if line.startswith("http://")).partition(" ")[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)
