"""Databases that a forked child inherits open.

SQLite counts its locks in memory. A child that opens the parent's database would find them counted already and take none of its
own; whoever closes the database next would take itself for the last, and delete the log in which the child writes. So a child
closes what it inherited before it opens anything: that drops the counts, not the locks, which the system keeps for the parent.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from .. import forks

__all__ = ["closed", "let_go", "opened"]

_open: list[sqlite3.Connection] = []
_inherited: list[sqlite3.Connection] = []


def opened(connection: sqlite3.Connection) -> None:
    """A forked child is to close this connection."""
    _open.append(connection)


def closed(connection: sqlite3.Connection) -> None:
    """It is no longer open, or never to be closed."""
    with contextlib.suppress(ValueError):
        _open.remove(connection)


def let_go() -> None:
    """Close what the parent had open. Not as the child begins: it may never need a database, and this one's locks may be held."""
    while _inherited:
        with contextlib.suppress(IndexError, sqlite3.Error):
            _inherited.pop().close()


def _after_fork() -> None:
    if forks.was_quiet():
        _inherited.extend(_open)
    else:  # another thread may have been in the middle of a question, and its connection would not be closed for ever
        forks.keep(list(_open))
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
