"""Path segments, split before they are decoded: an id may hold slashes and percent signs.

Servers decode a path as a whole. Here routes are matched by the path as it was sent, and each segment is decoded by itself.
A NUL is in no id and no name, and some databases take none as a question either, so it is refused at once.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import Answer, ApiError

__all__ = ["SplitFirst"]


class _Segment(Convertor[str]):
    """One segment; `{name:segment}` in a route."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value, errors="replace")

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("segment", _Segment())


class SplitFirst:
    """ASGI middleware: the path as it was sent takes the place of the decoded one; one with a NUL is refused, and such a query."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and b"%00" in (raw or b"") + b"?" + scope["query_string"]:
            refusal = ApiError(400, "%00 in the path or the query: no name has it")
            await Answer(refusal.body(), 400)(scope, receive, send)
            return
        if scope["type"] == "http" and raw:
            scope = {**scope, "path": raw.decode("latin-1")}
        await self.app(scope, receive, send)
