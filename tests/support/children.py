"""Python processes of their own, for what must survive their end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

__all__ = ["GREENLETS", "UNMEASURED", "environment", "run", "start"]

_SUPPORT = Path(__file__).parent
GREENLETS = {"COVERAGE_LIGHT_THREADS": "greenlet"}
"""For the environment of a process under gevent, so that its coverage is told right; pyproject.toml reads it."""
UNMEASURED = {"COVERAGE_PROCESS_START": ""}
"""For the environment of a process that does at length what others show in short, which coverage would only slow down."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without settings of ours, and with the modules of this folder."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    path = os.pathsep.join(filter(None, [str(_SUPPORT), known.get("PYTHONPATH")]))
    # Python 3.12 warns of every fork beside another thread, such as ours.
    return known | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore:This process:DeprecationWarning"} | more


def start(source: str, *arguments: object, flags: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """A process that runs some lines of Python; its arguments are `sys.argv[1:]`."""
    command = [sys.executable, *flags, "-c", textwrap.dedent(source), *map(str, arguments)]
    options = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, **options)


def run(
    source: str, *arguments: object, timeout: float = 60, flags: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run some lines of Python to their end, whatever that is."""
    process = start(source, *arguments, flags=flags, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the process hangs; it wrote:\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
