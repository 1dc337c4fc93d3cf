"""Where a ledger in Valkey or Redis is, as its URL says. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ...exceptions import LedgerError
from ..ledger import SETTLED_DAYS

__all__ = ["SCHEMES", "TIMEOUT", "Address", "address_of"]

SCHEMES: Final = {
    "valkey": "redis",
    "valkeys": "rediss",
    "redis": "redis",
    "rediss": "rediss",
    "valkey+unix": "unix",
    "redis+unix": "unix",
    "unix": "unix",
}
"""What a URL may begin with, and what the client library calls it."""
TIMEOUT: Final = 1.0
"""Seconds that an answer, or a connection, is waited for. A step takes well under a millisecond."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DATABASE = re.compile(r"/?|/\d+")
_OURS = ("name", "timeout", "settled_days")


class Address(NamedTuple):
    """What a URL says."""

    url: str
    """As the client library wants it, password and all: never to be shown."""
    shown: str
    """Without user, password and options."""
    key: str
    """What every key of the ledger begins with. The braces are a hash tag: in a cluster, all of them are kept on one node."""
    timeout: float
    settled_days: float


def address_of(url: str) -> Address:
    """Read a URL: `valkey://user:password@host:6379/0?name=payi&timeout=1`; further options are the client library's.

    Raises:
        LedgerError: It cannot be read; the message names the cure, and no password.
    """
    try:
        parts = urlsplit(url)
        scheme, port = SCHEMES[parts.scheme], parts.port
        options = dict(parse_qsl(parts.query))
        timeout = float(options.get("timeout", TIMEOUT))
        settled_days = float(options.get("settled_days", SETTLED_DAYS))
    except (KeyError, ValueError):
        raise _unreadable() from None
    name = options.get("name", "payi")
    if not _NAME.fullmatch(name) or not timeout > 0 or not settled_days > 0:
        raise _unreadable()
    # Without a host, what follows `valkey:///` would silently become a database of this machine's own.
    if not parts.path if scheme == "unix" else not parts.hostname or not _DATABASE.fullmatch(parts.path):
        raise _unreadable()
    theirs = urlencode({option: value for option, value in options.items() if option not in _OURS})
    where = parts.path if scheme == "unix" else f"{_host(parts.hostname)}:{port or 6379}{parts.path.rstrip('/')}"
    return Address(
        f"{scheme}://{parts.netloc}{parts.path}" + (f"?{theirs}" if theirs else ""),
        f"{parts.scheme}://{where}",
        f"payi:{{{name}}}",
        timeout,
        settled_days,
    )


def _host(host: str | None) -> str:
    return f"[{host}]" if host and ":" in host else quote(unquote(host or ""))


def _unreadable() -> LedgerError:
    return LedgerError(
        "the ledger's URL cannot be read; use valkey://user:password@host:6379/0, valkeys:// for TLS, or "
        "valkey+unix:///run/valkey.sock?db=0, with ?name= of letters, digits, dots, - and _ for one of several ledgers, and "
        "?timeout= in seconds (a password's @, / and : are written %40, %2F and %3A)"
    )
