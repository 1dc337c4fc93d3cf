"""TLS in front of a server that speaks none: what comes in encrypted goes on in the clear, and back."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["CA", "Terminator"]

CA = """\
-----BEGIN CERTIFICATE-----
MIIBXjCCAQOgAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDApwYXlpIHRl
c3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DApwYXlpIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsbqsRq/NY40W
haynyHTR0TEsr8srw0uSLBhNvBcfN0RlbI2xNXcBLLgK6Wd1xBgnN9VuXJczlyY6
6g87ZxOww6NCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwHQYD
VR0OBBYEFC69A0mlyohdtKqnPnRdITdfmc10MAoGCCqGSM49BAMCA0kAMEYCIQDv
HKFvzIvTPwGFZrNE3H6mknk+3BY28zTvbN0OrGyc3AIhAIj8uvwgv2B0CefEimAr
t+XEp5WEdT7H7F/fEGMOMFQX
-----END CERTIFICATE-----
"""
"""Signed itself; made for these tests, valid for a hundred years."""

_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBpjCCAU2gAwIBAgIBAjAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDApwYXlpIHRl
c3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQD
DAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT2iw9GNuGRiN4e
3IyyMgTyRY33JjJCPn8JHV3LuhgFokv60vhpiek12SXX3o5YqPC8la80wN/aGeXz
66nMIEOFo4GMMIGJMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAJBgNVHRME
AjAAMAsGA1UdDwQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNVHQ4EFgQU
rEQWH/fo0ZGD1YE9pRSYytQ4Q2wwHwYDVR0jBBgwFoAULr0DSaXKiF20qqc+dF0h
N1+ZzXQwCgYIKoZIzj0EAwIDRwAwRAIgYuxPbAQdS+vyaijAzNuuX6Stab+PC0wy
7zdgxqS6NDkCIF9h6eOW3mFbaCvhFe+7DtQ9D8nqyV6Le8qP9Pa7SFN9
-----END CERTIFICATE-----
"""
"""Of 127.0.0.1 and localhost, signed by `CA`."""

_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUlPTiKU7Jq45UWcV
dLUvR5QT4QVoJSnpKVUhMJbvlhWhRANCAAT2iw9GNuGRiN4e3IyyMgTyRY33JjJC
Pn8JHV3LuhgFokv60vhpiek12SXX3o5YqPC8la80wN/aGeXz66nMIEOF
-----END PRIVATE KEY-----
"""


class Terminator:
    """Serves from construction to the end of the block, on a port of its own.

    Args:
        port: Of the server behind it, on this machine.
        folder: For the certificate, which Python reads from files alone.
    """

    def __init__(self, port: int, folder: Path) -> None:
        (folder / "server.pem").write_text(_CERTIFICATE + _KEY)
        (folder / "ca.pem").write_text(CA)
        self.ca = folder / "ca.pem"
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            secure = self._context.wrap_socket(plain, server_side=True)
        except (ssl.SSLError, OSError):  # the client does not trust us
            plain.close()
            return
        behind = socket.create_connection(("127.0.0.1", self._behind))
        threading.Thread(target=_copy, args=(behind, secure), daemon=True).start()
        _copy(secure, behind)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them is closed; then both are."""
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
