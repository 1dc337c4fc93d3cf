"""Keys: 256 random bits behind a prefix to look them up by, kept as a SHA-256 digest and shown once.

A digest without salt or stretching is enough for what is random to begin with; see OWASP's Password Storage Cheat Sheet on
why passwords need more.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from sqlalchemy import Connection, Row, select

from ..exceptions import SettingsError
from ..ownership import give
from .tables import applications, keys

__all__ = ["ROLES", "Caller", "Role", "any_key", "create", "keep", "known", "listed", "revoke", "rotate"]

Role: TypeAlias = Literal["ingest", "read", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

_NOBODY = b"\0" * 32
_LONGEST = 256


class Caller(NamedTuple):
    """Who a key speaks for."""

    application: int
    name: str
    role: Role


def create(sql: Connection, application: str, role: str) -> str:
    """A new key; an application that is new is made.

    Raises:
        SettingsError: The role or the name cannot be.
    """
    if role not in ROLES:
        raise SettingsError(f"role {role!r} is none; use one of: {', '.join(ROLES)}")
    if not 0 < len(application) <= _LONGEST or not application.isprintable():
        raise SettingsError(f"application {application!r} is no name; use 1 to {_LONGEST} printable characters")
    number = sql.execute(select(applications.c.id).where(applications.c.name == application)).scalar()
    if number is None:
        made = sql.execute(applications.insert().values(name=application)).inserted_primary_key
        assert made is not None
        number = made[0]
    return _insert(sql, number, role)


def known(sql: Connection, key: str) -> Caller | None:
    """Who a key speaks for; None if it is unknown or revoked. Takes as long for one as for the other."""
    row = sql.execute(
        select(keys.c.digest, keys.c.role, keys.c.application, applications.c.name)
        .join_from(keys, applications)
        .where(keys.c.prefix == _prefix(key), keys.c.revoked_ns.is_(None))
    ).one_or_none()
    same = hmac.compare_digest(_NOBODY if row is None else row.digest, _digest(key))
    return Caller(row.application, row.name, row.role) if same and row is not None else None


def any_key(sql: Connection) -> bool:
    """Whether there is a key that is not revoked."""
    return sql.execute(select(keys.c.prefix).where(keys.c.revoked_ns.is_(None)).limit(1)).first() is not None


def listed(sql: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Prefix, role, application and times of all keys; never a key."""
    query = select(keys.c.prefix, keys.c.role, applications.c.name, keys.c.created_ns, keys.c.revoked_ns)
    return sql.execute(query.join_from(keys, applications).order_by(keys.c.created_ns)).all()


def revoke(sql: Connection, prefix: str) -> bool:
    """End a key by its prefix; whether there was one."""
    query = keys.update().where(keys.c.prefix == _short(prefix), keys.c.revoked_ns.is_(None))
    return sql.execute(query.values(revoked_ns=time.time_ns())).rowcount == 1


def rotate(sql: Connection, prefix: str) -> str | None:
    """End a key and make another of the same application and role; None if there is no such key."""
    row = sql.execute(select(keys).where(keys.c.prefix == _short(prefix), keys.c.revoked_ns.is_(None))).one_or_none()
    if row is None or not revoke(sql, prefix):
        return None
    return _insert(sql, row.application, row.role)


def keep(path: Path, key: str) -> None:
    """Write a key to a file that only its owner may read.

    Raises:
        OSError: It cannot be written, or is there already.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        give(fd, path.parent)
        os.write(fd, key.encode() + b"\n")
    finally:
        os.close(fd)


def _insert(sql: Connection, application: int, role: str) -> str:
    key = f"payi_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    row = {"prefix": _prefix(key), "application": application, "role": role}
    sql.execute(keys.insert().values(**row, digest=_digest(key), created_ns=time.time_ns()))
    return key


def _prefix(key: str) -> str:
    return key[5:17]


def _short(prefix: str) -> str:
    """A prefix as somebody may name it: with `payi_` before, or the whole key."""
    return prefix.removeprefix("payi_")[:12]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
