"""What the URL of a store tells: which database, which one of it, and what of it may be shown."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

__all__ = ["FORMS", "SQLITE", "identity", "is_postgresql", "is_store", "shown_store", "state_path", "wrong_file"]

SQLITE = "sqlite:///"
FORMS = (
    "sqlite:///payi.db (relative), sqlite:////var/lib/payi.db (absolute), sqlite:///:memory:, "
    "or postgresql://user:password@host:5432/database"
)
"""What a store may be, for messages."""

_POSTGRESQL = ("postgresql://", "postgres://")
_WHERE = ("host", "hostaddr", "port", "dbname", "service")
_SECRET = re.compile(r"pass", re.IGNORECASE)  # password, passfile, sslpassword
_CREDENTIALS = re.compile(r"(?<=://)[^?#]*@")


def is_postgresql(store: str) -> bool:
    """Whether a URL names a PostgreSQL database."""
    return store.startswith(_POSTGRESQL)


def is_store(store: str) -> bool:
    """Whether a URL has the form of a store's."""
    if not is_postgresql(store):
        return store.startswith(SQLITE)
    try:
        parts = urlsplit(store)
    except ValueError:
        return False
    return not parts.fragment and store.isprintable() and " " not in store


def wrong_file(url: str) -> str | None:
    """Why the URL of a SQLite file would make another file than is meant, with the cure; None for one that is right."""
    if not url.startswith(SQLITE):
        return None
    path = url.removeprefix(SQLITE)
    if not path:
        return f"it names no file; use {SQLITE}payi.db, or {SQLITE}:memory: for one that is lost with its process"
    if "?" in path:
        return f"a SQLite file has no options here; use {SQLITE}{path.partition('?')[0] or 'payi.db'}"
    if path.startswith("~"):
        return f"~ is not expanded in a URL; use {SQLITE}{os.path.expanduser(path)}"
    return None


def shown_store(store: str) -> str:
    """The URL as it may stand in a message: without what comes between a user's name and the `@`, or is a secret of the query."""
    if store.startswith(SQLITE):
        return store
    found = _CREDENTIALS.search(store)
    if found is not None:
        user = found[0][:-1].partition(":")[0]
        store = f"{store[: found.start()]}{user}@{store[found.end() :]}"
    head, mark, query = store.partition("?")
    if not mark:
        return store
    return f"{head}?{'&'.join('***' if _SECRET.search(part) else part for part in query.split('&'))}"


def identity(store: str) -> str:
    """What all who use one PostgreSQL database agree on, whatever their names and passwords: host, port, name."""
    parts = urlsplit(store)
    where = parts.netloc.rpartition("@")[2].lower() or "localhost"
    given = {key: value for key, value in parse_qsl(parts.query) if key in _WHERE}
    if re.fullmatch(r"[^,:]+|\[[^\]]+\]", where) and "port" not in given:
        where += ":5432"
    return urlunsplit(("postgresql", where, unquote(parts.path), urlencode(sorted(given.items())), ""))


def state_path(store: str) -> Path | None:
    """The path that a PostgreSQL store's local files are named after, as a SQLite store's are after its file.

    In the user's folder for state, as the XDG base directory specification has it; None for a user who has no home.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".local" / "state"
    if not folder.is_absolute():
        return None
    label = hashlib.blake2b(identity(store).encode(), digest_size=6).hexdigest()
    return folder / "payi" / f"postgresql-{label}"
