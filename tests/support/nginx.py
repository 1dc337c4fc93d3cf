"""nginx on loopback with one of our configurations, but for its addresses and a certificate made on the spot."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from programs import INTEGRATIONS, asked, free_port, program, running

__all__ = ["FOLDER", "configured", "fronted"]

FOLDER = INTEGRATIONS / "nginx"

_USER = "user root; " if os.geteuid() == 0 else ""  # else its workers could not read the folder
_MAIN = """
{user}daemon off; pid nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{server}
}}
"""


def configured(folder: Path, name: str, upstream: str, port: int, *, changed: tuple[str, str] | None = None) -> None:
    """The configuration of that name in a folder, before an address and on a port.

    Args:
        changed: A line's part and what stands in its place.
    """
    host = re.search(r"server_name (\S+);", (FOLDER / name).read_text(encoding="utf-8"))
    assert host is not None
    key, certificate = folder / "tls.key", folder / "tls.crt"
    command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    about = ["-nodes", "-days", "2", "-subj", f"/CN={host[1]}", "-addext", f"subjectAltName=DNS:{host[1]}"]
    subprocess.run([*command, *about, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    text = (FOLDER / name).read_text(encoding="utf-8")
    if changed is not None:
        assert text.count(changed[0]) == 1
        text = text.replace(*changed)
    for pattern, put in (
        (r"(?m)^    server 127\.0\.0\.1:\d+;", f"    server {upstream};"),
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (r"listen 80;", f"listen 127.0.0.1:{free_port()};"),
        (r"/etc/nginx/payi/\w+\.crt", str(certificate)),
        (r"/etc/nginx/payi/\w+\.key", str(key)),
        (r"/etc/nginx/payi/", f"{FOLDER}/"),
    ):
        text = re.sub(pattern, put, text)
    assert "/etc/nginx" not in text
    (folder / "nginx.conf").write_text(_MAIN.format(server=text, user=_USER))


@contextmanager
def fronted(
    folder: Path, name: str, upstream: str, *, changed: tuple[str, str] | None = None
) -> Iterator[httpx2.Client]:
    """nginx before an address (`host:port`), and a client that reaches it by the name in the configuration, with TLS."""
    nginx, port = program("nginx"), free_port()
    configured(folder, name, upstream, port, changed=changed)
    tested = subprocess.run(
        [nginx, "-t", "-p", folder, "-c", "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr
    trusted = ssl.create_default_context(cafile=folder / "tls.crt")
    host = re.search(r"server_name (\S+);", (FOLDER / name).read_text(encoding="utf-8"))
    assert host is not None
    with (
        running([nginx, "-p", str(folder), "-c", "nginx.conf"], folder),
        httpx2.Client(
            base_url=f"https://127.0.0.1:{port}", headers={"Host": host[1]}, verify=trusted, trust_env=False, timeout=30
        ) as http,
    ):
        http.event_hooks = {"request": [lambda request: request.extensions.update(sni_hostname=host[1])]}
        asked(lambda: _listens(port))
        yield http


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
