"""The help of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from payi_middleware.cli import app


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of each command and group."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


@pytest.mark.parametrize("words", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_value_has_a_name(words: tuple[str, ...]) -> None:
    """A reader is told `NAME` or `N`, and not of what type of Python's it is."""
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=100)

    assert shown.exit_code == 0, shown.output
    usage, _, options = shown.output.partition("Options:")
    assert "[[" not in usage
    assert re.findall(r"<\w+|\bTEXT\b|\bINTEGER\b", options) == []
