"""Starting the server: its first key, where it listens, and until it ends."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ..exceptions import SettingsError
from ..ownership import make_folder
from ..settings import Settings
from ..store_url import shown_store
from . import keys
from .app import create_app
from .database import kept, over, prepare
from .rates import Rates

__all__ = ["first_key", "is_loopback", "key_file", "serve"]

_GRACE = 10  # seconds that requests under way have when the server ends


def serve(settings: Settings, host: str, port: int, say: Callable[[str], object], rates: Rates | None = None) -> None:
    """Serve until a signal ends it.

    Raises:
        SettingsError: Others than this machine could reach a server without any key; or the address cannot be had.
        StoreError: The store cannot be used.
    """
    made = first_key(settings, settings.application, loopback=is_loopback(host))
    if made is not None:
        say(f"Made a first key, of role admin for {settings.application}: it is in {made}.")
    listening = _listening(host, port)
    app = create_app(settings, open_metrics=is_loopback(host), rates=rates)
    threading.Thread(target=app.state.serving.managed.warm, name="payi-server-managed", daemon=True).start()
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}"
    say(f"{address} serves {shown_store(settings.store)}; the documents are at /docs. Ctrl-C ends it.")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE
    )
    uvicorn.Server(config).run([listening])


def first_key(store: str | os.PathLike[str] | Settings, application: str, *, loopback: bool) -> Path | None:
    """Make a key if there is none, in a file for its owner alone; the file, if one was made.

    Raises:
        SettingsError: There is none, and others than this machine could ask.
    """
    settings = kept(store)
    with prepare(settings) as opened, opened.batch() as batch:
        sql = over(batch.connection)
        if keys.any_key(sql):
            return None
        if not loopback:
            raise SettingsError(
                "there is no key yet, and others than this machine could reach the server; "
                f"make one first: payi keys create --role admin --store {shown_store(settings.store)}"
            )
        file = key_file(settings)
        make_folder(file.parent)
        file.unlink(missing_ok=True)  # of a store that was deleted since
        keys.keep(file, keys.create(sql, application, "admin"))
    return file


def key_file(settings: Settings) -> Path:
    """Where the first key of a store is: beside its file, or in the user's folder for state.

    Raises:
        SettingsError: This user has none.
    """
    path = settings.files_path
    if path is None:
        raise SettingsError(
            "there is no key yet, and no folder to keep a first one in: set HOME, or make one: payi keys create --role admin"
        )
    return path.with_name(path.name + ".key")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name counts only if it is `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, so that the port is known before anything is served."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror or error}; name another") from error
