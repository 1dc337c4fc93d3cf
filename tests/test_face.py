"""What the package hands out."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import payi_middleware

PACKAGE = Path(payi_middleware.__file__).parent
FLOORS = (
    {"exceptions", "types", "events", "health", "context", "forks", "settings", "store_url", "values", "__init__"},
    {"providers", "pricing", "spool", "segment", "ownership", "body", "attribution", "headers", "counting"},
)
FACES = {
    "asgi",
    "wsgi",
    "starlette",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "aiohttp",
    "requests",
    "urllib3",
    "botocore",
    "__main__",
    "cli",
    "demo",
    "server",
    "testing",
    "instrumentation",
}


def test_every_name_is_there() -> None:
    """`__all__` and reality are equal, and each name is the object of its own room."""
    assert {name: getattr(payi_middleware, name) for name in payi_middleware.__all__}.keys() <= set(
        dir(payi_middleware)
    )
    assert set(payi_middleware._HOME) == set(payi_middleware.__all__)
    assert payi_middleware.__version__
    with pytest.raises(AttributeError, match="no_such_name"):
        payi_middleware.no_such_name


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Neither the package nor its face to a framework imports rates, tokenizers, the command line or a database."""
    code = "import sys, payi_middleware; from payi_middleware import *; print(*sys.modules)"
    bare = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")
    }  # it has imports of its own
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True, env=bare).split())

    heavy = ("genai_prices", "pydantic", "tiktoken", "rich", "typer", "sqlite3", "flask", "fastapi")
    assert {name for name in loaded if name.split(".")[0] in heavy} == set()


def imported(file: Path) -> set[str]:
    """The rooms of the package that a file imports while it is imported itself."""
    depth = len(file.relative_to(PACKAGE).parts)
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_downward(file: Path) -> None:
    """The ground imports only ground, pure rooms only what is below them, and nothing but a face imports a face."""
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    used = imported(file)
    ground, pure = FLOORS
    if room in ground:
        assert used <= ground
    elif room in pure:
        assert used <= ground | pure
    elif room not in FACES:
        assert not used & FACES


def module(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in PACKAGE.rglob("*.py")}


def known_to(file: Path) -> set[str]:
    """The modules of the package that a file imports anywhere: at its head, for types alone, or in a function."""
    folder = file.relative_to(PACKAGE).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*folder[: len(folder) + 1 - node.level], *(node.module or "").split("."))
            for alias in node.names:
                inner = ".".join(filter(None, (*base, alias.name)))
                found.add(inner if inner in MODULES else ".".join(filter(None, base)))
    return found - {module(file)}


def test_no_files_import_each_other() -> None:
    """Neither straight nor by way of others, be it for types alone or late: each can be read after those that it knows."""
    graph = {name: known_to(file) for name, file in MODULES.items()}
    assert len(graph["call"]) > 10
    assert set().union(*graph.values()) <= MODULES.keys()
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files
