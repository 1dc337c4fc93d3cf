"""When a step is done by the event loop that asks for it, and not by the ledger's thread.

The way to a thread and back takes as long as a short transaction; on a machine with idle processors, which have to be woken, three
times as long. Alone, a step is done where it is asked, if the ledger can do it at once. Among many it is left to the thread, which
does all that wait in one transaction. And where other threads want the interpreter, or the disk is slow, every statement may
take as long as they like: what took long once is left to the thread for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

from .ledger import Answer, Step

__all__ = ["Moment", "Quick"]

_APART: Final = 0.0005
"""Seconds since the last step of another task after which a step is alone: so a loop spends no more than an eighth of its time."""
_LONG, _TOO_LONG = 0.001, 0.01
"""Seconds that a step takes which is not as alone as it seemed; once, it may be that the processor was another's meanwhile."""
_WATCHED: Final = 8
"""Steps after a long one in which another is one too many."""
_TIMES, _LONGEST = 50, 60.0
"""So many times as long as that one took the thread does what comes; after the next twice as long, and so many seconds at most."""


class Quick(Protocol):
    """A ledger that can do a step at once."""

    took: float
    """Seconds that the last transaction of its `run` took, without what it waited for before."""

    def at_once(self, step: Step) -> Sequence[Answer]:
        """The answer, or nothing if the step was not done."""
        ...


class Moment:
    """For one ledger."""

    def __init__(self, ledger: Quick) -> None:
        self._ledger = ledger
        self.is_among_others = False
        """Whether the thread was busy when something was asked since the last look."""
        self._task: object = None
        """The id of the one that asked last: no name for it, only whether it is the same."""
        self._asked = self._until = self._pause = 0.0
        self._watched = 0

    def is_good(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the step that the running task asks for is alone, and such steps were quick lately. For an idle thread."""
        now, task = time.perf_counter(), id(asyncio.current_task(loop))
        is_alone = not self.is_among_others and (task == self._task or now >= self._asked + _APART)
        self._task, self._asked, self.is_among_others = task, now, False
        return is_alone and now >= self._until

    def answers(self, step: Step) -> Sequence[Answer]:
        """The answer, if the step was done."""
        answers = self._ledger.at_once(step)
        self._took(time.perf_counter() - self._asked)
        return answers

    def passed(self) -> None:
        """The thread did a step alone: there too others' work shows, and holds up no loop."""
        self._took(self._ledger.took)

    def _took(self, seconds: float) -> None:
        if seconds > _LONG:
            if self._watched or seconds > _TOO_LONG:
                now = time.perf_counter()
                if now >= self._until:
                    self._pause = min(max(_TIMES * seconds, 2 * self._pause), _LONGEST)
                self._until = now + self._pause
            self._watched = _WATCHED
        elif self._watched:
            self._watched -= 1
            if not self._watched and time.perf_counter() >= self._until:
                self._pause = 0.0
