"""`POST /api/v1/events`: our own events as JSON lines, read as they come; they carry their cost and are stored as they are."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...events import CallEvent
from ..auth import SEND, allowed, budget
from ..bounds import LINE
from ..errors import Answer, ApiError
from ..keys import Caller
from ..rows import new_request_id
from ..serving import serving
from ..settling import Load, Outcome, Settled

__all__ = ["events"]

_AT_ONCE = 1_000  # events of a transaction
_MOST_ERRORS = 1_000  # told in the answer; all are counted


async def events(request: Request) -> Response:
    """Store each line's event; a line that is none is told by its number, and the others are stored."""
    caller = allowed(request, SEND)
    budget(request).begin()
    taken = _Taken(request, caller)
    rest = b""
    async for piece in request.stream():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            await taken.line(line)
        if len(rest) > LINE:
            raise ApiError(413, f"line {taken.number + 1} is longer than {LINE} bytes")
    await taken.line(rest)
    await taken.flush()
    if not taken.refused or taken.stored + taken.duplicates:
        return Answer(taken.answer())
    return Answer(taken.answer() | ApiError(400, "no line could be stored; `errors` tells why").body(), 400)


class _Taken:
    """What one request brought so far."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._running = serving(request)
        self._budget = budget(request)
        self._caller = caller
        self._waiting: list[CallEvent | ApiError] = []
        self._numbers: list[int] = []
        self._errors: list[dict[str, Any]] = []
        self.number = self.stored = self.duplicates = self.refused = 0

    async def line(self, line: bytes) -> None:
        """Take a line; an empty one only counts as a line."""
        self.number += 1
        if not line.strip():
            return
        self._waiting.append(_event(line, self._caller.name))
        self._numbers.append(self.number)
        if len(self._waiting) >= _AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Store what was taken."""
        if not self._waiting:
            return
        self._budget.bring(len(self._waiting))
        outcomes = await self._running.writer.ingest(Load(self._caller, self._waiting))
        self._running.metrics.counted(outcomes)
        for number, outcome in zip(self._numbers, outcomes, strict=True):
            self._count(number, outcome)
        self._waiting, self._numbers = [], []

    def _count(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, Settled):
            if outcome.duplicate:
                self.duplicates += 1
            else:
                self.stored += 1
            return
        self.refused += 1
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append({"line": number, **outcome.body()})

    def answer(self) -> dict[str, Any]:
        """The counts, and why lines were refused."""
        return {
            "request_id": new_request_id(),
            "stored": self.stored,
            "duplicates": self.duplicates,
            "error_count": self.refused,
            "errors": self._errors,
        }


def _event(line: bytes, application: str) -> CallEvent | ApiError:
    """A line's event, which belongs to the application of the key."""
    try:
        event = CallEvent.from_json(line)
    except RecursionError:
        return ApiError(400, "nested too deeply", "invalid_json")
    except ValueError as error:  # msgspec's errors are such too
        malformed = isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError)
        return ApiError(400, str(error), "invalid_json" if malformed else "request_processing_error")
    return event if event.application == application else msgspec.structs.replace(event, application=application)
