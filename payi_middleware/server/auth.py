"""Who calls: a key in `xProxy-api-key` or `Authorization: Bearer`, looked up once a second at most."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from fastapi import Request
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from ..exceptions import StoreError
from .errors import Answer, ApiError, away
from .keys import Caller, Role, known
from .rates import Budget, Rates
from .readers import Readers

__all__ = ["MANAGE", "OWN", "READ", "SEND", "Auth", "Keyring", "allowed", "budget", "needs"]

READ: Final[frozenset[Role]] = frozenset(("read", "admin"))
"""Who may look at what is kept."""
SEND: Final[frozenset[Role]] = frozenset(("ingest", "admin"))
"""Who may send events, and tell of the instances they belong to."""
OWN: Final[frozenset[Role]] = READ | SEND
"""What whoever sent it may look at too."""
MANAGE: Final[frozenset[Role]] = frozenset(("admin",))
"""Who may change limits, prices and definitions."""

_SECONDS = 1.0  # that a key is remembered, so a revoked one works that much longer
_MOST = 4096  # keys remembered
_CALLER = "payi.caller"
_BUDGET = "payi.budget"


class Keyring:
    """Who a key speaks for, remembered for a second."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._seen: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, scope: Scope) -> Caller | None:
        """Who calls; None without a key that is known."""
        return (await self.known(scope))[1]

    async def known(self, scope: Scope) -> tuple[bytes, Caller | None]:
        """The digest of the key that was sent, and whom it speaks for."""
        key = _key(scope)
        seen, now = hashlib.sha256(key.encode("latin-1")).digest(), time.monotonic()
        until, caller = self._seen.get(seen, (0.0, None))
        if key and (caller is None or until < now):
            caller = await run_in_threadpool(self._look_up, key)
            self._seen.pop(seen, None)
            if caller is not None:
                if len(self._seen) >= _MOST:
                    self._seen.clear()
                self._seen[seen] = now + _SECONDS, caller
        return seen, caller

    def _look_up(self, key: str) -> Caller | None:
        with self._readers.connect() as sql:
            return known(sql, key)


class Auth:
    """ASGI middleware: no request under `/api/` without a key, and no more of them than a key may make."""

    def __init__(self, app: ASGIApp, keyring: Keyring, rates: Rates) -> None:
        self.app = app
        self._keyring = keyring
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        try:
            digest, caller = await self._keyring.known(scope)
        except (StoreError, DBAPIError) as error:
            await (await away(Request(scope), error))(scope, receive, send)
            return
        if caller is None:
            refusal = ApiError(401, "the key in xProxy-api-key is missing, unknown or revoked", "invalid_api_key")
            await Answer(refusal.body(), 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        left = self._rates.of(digest)
        try:
            left.ask()
        except ApiError as error:
            await Answer(error.body(), error.status_code, dict(error.headers or {}))(scope, receive, send)
            return
        scope[_CALLER] = caller
        scope[_BUDGET] = left
        await self.app(scope, receive, send)


def _key(scope: Scope) -> str:
    """The key as sent; of Bearer and Pay-i's own header the latter counts."""
    bearer = ""
    for name, value in scope["headers"]:
        if name == b"xproxy-api-key":
            return str(value.decode("latin-1").strip())
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].decode("latin-1").strip()
    return bearer


def allowed(request: Request, roles: frozenset[Role]) -> Caller:
    """Who calls.

    Raises:
        ApiError: A key of that role may not do this.
    """
    caller: Caller = request.scope[_CALLER]
    if caller.role not in roles:
        raise ApiError(403, f"a key of role {caller.role} may not do this; it takes one of: {', '.join(sorted(roles))}")
    return caller


def budget(request: Request) -> Budget:
    """What the key of a request may still ask for and bring."""
    found: Budget = request.scope[_BUDGET]
    return found


def needs(roles: frozenset[Role]) -> Callable[[Request], Caller]:
    """The dependency of routes that only keys of these roles may use."""

    def caller(request: Request) -> Caller:
        return allowed(request, roles)

    return caller
