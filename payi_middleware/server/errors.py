"""Refusals in Pay-i's shape, and Problem Details (RFC 9457) for what Pay-i's clients never see.

Pay-i's clients send 408, 409, 429 and 5xx again, so nothing that would be refused again is answered by one of them: 429 is
for who should come later, and so is 503.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .. import health
from ..exceptions import LedgerError, StoreError

__all__ = ["HANDLERS", "MALFORMED", "Answer", "ApiError", "away", "not_found", "problem", "refusal"]

MALFORMED = "request_processing_error"
"""The code of a request that is wrong in a way without a code of its own."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Answer(Response):
    """JSON, with decimals as exact numbers."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(_encode(content), status_code, headers)


class ApiError(HTTPException):
    """A refusal, told in Pay-i's shape. `code` is what programs read, `message` what people do."""

    def __init__(self, status_code: int, message: str, code: str | None = MALFORMED, *, retry_after: int = 0) -> None:
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        super().__init__(status_code, message, headers)
        self.message = message
        self.code = code

    def body(self) -> dict[str, Any]:
        """An `ApiError` of Pay-i's schema."""
        return {
            "message": self.message,
            "statusCode": self.status_code,
            "xproxy_error": {"code": self.code, "message": self.message},
        }


def not_found(what: str, name: str, code: str | None = None) -> ApiError:
    """There is no such thing, or it is another application's, which is not told apart."""
    return ApiError(404, f"there is no {what} {health.shown(name)}", code)


def refusal(error: Exception) -> ApiError:
    """What an error is to whoever sent something that was not stored."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StoreError):
        return ApiError(503, f"the store cannot be used now: {error}", "unexpected_error", retry_after=1)
    return ApiError(500, "a fault of the server's own; its log tells more", "unexpected_error")


def problem(status: int, title: str, detail: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """A Problem Details answer."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(_encode(body), status, headers, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Answer(error.body(), error.status_code, dict(error.headers or {}))


async def _malformed(request: Request, error: Exception) -> Response:
    """What pydantic found; the values themselves are not told back."""
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]]
    code = getattr(request.scope.get("endpoint"), "malformed", MALFORMED)
    return Answer(ApiError(400, "; ".join(told), code).body(), 400)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):
        refusal = ApiError(error.status_code, str(error.detail), MALFORMED if error.status_code == 400 else None)
        return Answer(refusal.body(), error.status_code, dict(error.headers or {}))
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def away(request: Request, error: Exception) -> Response:
    """The store cannot be used now; whoever asked is to ask again."""
    if isinstance(error, DBAPIError):  # of a reader; without the statement and its values
        error = StoreError(" ".join(str(error.orig).split()))
    health.note("server_store", "the store cannot be used: %s", error)
    return await _refused(request, refusal(error))


async def _ledger(request: Request, error: Exception) -> Response:
    health.note("server_ledger", "the ledger cannot be used: %s", error)
    return Answer(
        ApiError(
            503, f"the ledger of the limits cannot be used now: {error}", "unexpected_error", retry_after=1
        ).body(),
        503,
        {"Retry-After": "1"},
    )


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours, of which nothing is told but that it is one; the server's log has it."""
    return await _refused(request, refusal(error))


HANDLERS: dict[Any, Any] = {
    ApiError: _refused,
    RequestValidationError: _malformed,
    HTTPException: _http,
    StoreError: away,
    LedgerError: _ledger,
    DBAPIError: away,
    Exception: _fault,
}
