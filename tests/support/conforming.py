"""Whether a server answers as its OpenAPI document says: ASGI middleware around it, which notes each answer that does not."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

import msgspec

from payi_middleware.server.answers import ANSWERS, REFUSALS, ApiError

__all__ = ["Conforming"]

# A path's own words before what may be anything: `definitions` is no instance's name.
_PATHS = [
    (re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))), path)
    for path in sorted({path for _, path in ANSWERS}, key=lambda path: path.count("{"))
]


class Conforming:
    """Notes what does not conform in `faults`, and the operations that were answered with 200 in `seen`."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.faults: list[str] = []
        self.seen: set[tuple[str, str]] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        raw = scope.get("raw_path", b"").decode("latin-1")
        path = next((path for pattern, path in _PATHS if pattern.fullmatch(raw)), None)
        if scope["type"] != "http" or path is None:
            await self.app(scope, receive, send)
            return
        status, body = 0, bytearray()

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                body.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, noting)
        self._note(scope["method"], path, status, bytes(body))

    def _note(self, method: str, path: str, status: int, body: bytes) -> None:
        kinds = [ANSWERS[method, path]] if status == 200 else [ApiError]
        if status == 400 and (method, path) in REFUSALS:
            kinds.append(REFUSALS[method, path])
        found = [error for kind in kinds if (error := _error(body, kind)) is not None]
        if len(found) == len(kinds):
            self.faults.append(f"{method} {path} {status}: {found}: {body[:500]!r}")
        if status == 200:
            self.seen.add((method, path))


def _error(body: bytes, kind: Any) -> str | None:
    try:
        msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        return str(error)
    return None
