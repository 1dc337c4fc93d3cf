"""The scripts that the server runs: each an idea, in a file of its own, put together from those that it builds on."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

__all__ = ["Script", "function", "script"]


class Script(NamedTuple):
    """What the server runs, and by which name it knows it."""

    source: bytes
    sha: str
    function: str = ""
    """As a function it is made once and not at each call; of servers that have no functions it is a script."""
    library: bytes = b""


@cache
def script(*names: str) -> Script:
    """The files `lua/NAME.lua`, one after another."""
    return _script(_joined(names))


@cache
def function(*names: str) -> Script:
    """The files, of which the last defines `run(keys, arguments)`, as a function of the server's and as a script."""
    body = _joined(names)
    own = f"payi_{names[-1]}_{_sha(body)[:12]}"  # other versions of this package may have theirs on the same server
    library = f"#!lua name={own}\n".encode() + body + f"redis.register_function('{own}', run)\n".encode()
    return _script(body + b"return run(KEYS, ARGV)\n")._replace(function=own, library=library)


def _script(source: bytes) -> Script:
    return Script(source, _sha(source))


def _joined(names: tuple[str, ...]) -> bytes:
    folder = resources.files("payi_middleware.limits.valkey") / "lua"
    return b"\n".join((folder / f"{name}.lua").read_bytes() for name in names)


def _sha(source: bytes) -> str:
    return hashlib.sha1(source, usedforsecurity=False).hexdigest()  # what the server calls a script by
