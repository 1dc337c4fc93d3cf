"""ASGI's `send` of a request in which a limit may refuse a call: what nobody catches is answered as a problem."""

from __future__ import annotations

from ..frames import Activity
from ..types import Message, Send
from .problem import Problem, problem_of

__all__ = ["Guard"]

_MOST = 16
"""Messages of an answer that are held back."""


class Guard:
    """Knows whether the answer has begun.

    A framework that is wrapped from outside has answered 500 by the time its error comes here. So a 500 is held back in a request
    in which a limit refused a call, until it is known whether that is why.
    """

    def __init__(self, activity: Activity, send: Send) -> None:
        self._activity = activity
        self._send = send
        self._has_begun = False
        self._held: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Send a message, or hold it back."""
        if self._held:
            self._held.append(message)
            if len(self._held) > _MOST:
                await self.let_go()
            return
        if message["type"] == "http.response.start":
            if message["status"] == 500 and self._activity.refused:
                self._held.append(message)
                return
            self._has_begun = True
        await self._send(message)

    async def let_go(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, []
        self._has_begun = self._has_begun or bool(held)
        for message in held:
            await self._send(message)

    async def answer(self, error: Exception) -> bool:
        """Answer for an error that nobody caught; whether that was possible, and a limit is to blame."""
        problem = None if self._has_begun or not self._activity.refused else problem_of(error)
        if problem is None:
            await self.let_go()
            return False
        self._held = []
        await self._answer(problem)
        return True

    async def _answer(self, problem: Problem) -> None:
        headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
        await self._send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": problem.body})
