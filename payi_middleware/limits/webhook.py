"""One message to one address: signed as Standard Webhooks says, and sent only where it may go.

Signatures are those of https://github.com/standard-webhooks/standard-webhooks (spec, "Signature scheme"): HMAC-SHA256 over id,
time and body, so that any of its libraries verifies them. An address that whoever writes limits could choose must not become a
way into the network behind us: names are looked up here, only public addresses and networks that are allowed by name are
connected to, by the very address that was looked at, and redirects are not followed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import urlsplit

from .. import context, forks
from ..exceptions import PayiError
from ..frames import Activity
from ..sinks.api import unseen

__all__ = ["RefusedError", "UndeliveredError", "Webhook", "signed"]

TIMEOUT = 10.0
"""Seconds for each of a delivery's steps: to connect, to send, to be answered. Together less than an alert's lease (`alerts`)."""
_PREFIX = "whsec_"

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class UndeliveredError(PayiError):
    """The address did not take the message; it may later."""


class RefusedError(PayiError):
    """The message may not go there, or is not wanted there: it is not to be tried again."""


def signed(key: bytes, message_id: str, at: int, body: bytes) -> str:
    """The signature of a message; `at` in seconds since the epoch."""
    told = hmac.digest(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(told).decode()}"


class Webhook:
    """An address that takes messages.

    Args:
        url: `https://...`, or `http://...`.
        key: What signs: `whsec_` and base64, or any text; None to send without a signature.
        networks: Which addresses are allowed that are not public: `10.0.0.0/8`, `127.0.0.1/32`.
    """

    def __init__(self, url: str, key: str | None, networks: Iterable[str] = ()) -> None:
        self.url = url
        self._key = None if key is None else _bytes(key)
        self._networks: list[Network] = [ipaddress.ip_network(network, strict=False) for network in networks]

    def send(self, message_id: str, body: bytes) -> None:
        """Send one message, JSON; the same id each time it is tried.

        Raises:
            UndeliveredError: Try again later.
            RefusedError: Do not.
        """
        with forks.loading():
            import httpx2

        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        address = self._allowed(host, port)
        literal = f"[{address}]" if address.version == 6 else str(address)
        url = f"{parts.scheme}://{literal}:{port}{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        frame = context.frame.set(Activity(unseen))
        try:
            with httpx2.Client(follow_redirects=False, trust_env=False, timeout=TIMEOUT) as client:
                request = client.build_request("POST", url, content=body, headers=self._headers(message_id, body))
                request.headers["host"] = parts.netloc.rpartition("@")[2]
                request.extensions = {**request.extensions, "sni_hostname": host}
                response = client.send(request, stream=True)  # what it answers is not read
                response.close()
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise UndeliveredError(f"{host}: {type(error).__name__}") from None
        finally:
            context.frame.reset(frame)
        if status == 410:  # as the specification says: it is not there any more
            raise RefusedError(f"{host} answers 410: nobody wants it there any more")
        if not 200 <= status < 300:
            raise UndeliveredError(f"{host} answers {status}")

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        at = int(time.time())
        headers = {"content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(at)}
        if self._key is not None:
            headers["webhook-signature"] = signed(self._key, message_id, at, body)
        return headers

    def _allowed(self, host: str, port: int) -> Address:
        """The address to connect to: the first of the name's that is allowed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise UndeliveredError(f"{host}: its name is not known") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if self._is_allowed(address):
                return address
        raise RefusedError(
            f"{host} is at {', '.join(map(str, addresses))}, which is no public address; allow it by "
            "alert_networks if it is meant"
        )

    def _is_allowed(self, address: Address) -> bool:
        plain = getattr(address, "ipv4_mapped", None) or address
        if any(plain in network for network in self._networks if network.version == plain.version):
            return True
        return bool(plain.is_global) and not plain.is_multicast


def _bytes(key: str) -> bytes:
    if key.startswith(_PREFIX):
        try:
            return base64.b64decode(key.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return key.encode()
