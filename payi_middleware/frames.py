"""What is running: the web request, and the `track` and `use_case` blocks inside it.

A frame is an `Activity` (one web request, or the outermost block of a script) or a `Block` inside one; the innermost is in
`context.frame`. Nothing is read from a request until its first call to a provider asks for whom it is (`attributed.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from . import health
from .attribution import MAX_LAYERS, Given, stacked
from .events import format_id
from .face import Face
from .record import new_id

if TYPE_CHECKING:
    from .costing import Costed
    from .encoded import Attributed
    from .metering import Metering

__all__ = [
    "LATE_SECONDS",
    "Activity",
    "Block",
    "Elsewhere",
    "Frame",
    "after_fork",
    "continued",
    "elsewhere",
    "encloses",
    "outward",
    "told_by_blocks",
]

LATE_SECONDS = 15 * 60
"""A call that begins this long after its request ended no longer belongs to it."""

_MANY_UNPRICED = 64
"""Calls of an activity of which nobody asked the cost: a block may live for days. Then the draining thread adds them up."""
_MOST_UNPRICED = 4096
"""If it is slow in coming, whoever ends the next one does."""

_accounts = threading.RLock()  # held for a few additions only, in which the garbage collector may end a call
_adding_up = threading.RLock()  # whoever asks for a cost while another one finds it out waits for the whole


class Activity(msgspec.Struct, eq=False, weakref=True):
    """One web request, or the outermost block of a script: what its calls have in common."""

    meter: Metering | None
    face: Face | None = None
    request: Any = None
    asks: bool = False
    """Whether the application has an `identify`."""
    given: tuple[Given, ...] = ()
    """What `current().set` told, weakest first."""
    identity: Given | None = None
    """What `identify` told; None until it was asked."""
    is_asking: bool = False
    """Whether `identify` is being asked."""
    asked: Future[None] | None = None
    """Done when it has answered, if somebody waits for that."""
    unsteppable: bool = False
    """Whether `identify` has to be awaited, so that code which cannot await need not ask again."""
    version: int = 0
    flying: set[bytes] = set()
    """The ids of its calls in flight."""
    unpriced: list[Callable[[], Costed]] = []
    """How to find the cost of ended calls of which nobody asked it yet."""
    is_relieved: bool = False
    """Whether the draining thread is to find it."""
    counted: int = 0
    """Its other ended calls."""
    cost_ticks: int = 0
    """Of those."""
    inexact: int = 0
    """Those that are estimated or not wholly priced."""
    refused: bool = False
    """Whether a limit refused one of its calls."""
    ended: float | None = None
    """Monotonic seconds at which the request ended."""
    cached: Attributed | None = None
    instances: dict[str, bytes] = {}
    """The ids of its instances of use cases, by the use case's name."""
    loop: Any = None
    """The event loop that serves the request, where an async `identify` may have to run on it."""
    parent: None = None
    depth: int = 0

    __repr__ = object.__repr__  # a log that shows one must not show the request

    @property
    def activity(self) -> Activity:
        """Itself: the root of its frames."""
        return self

    @property
    def calls(self) -> int:
        """Calls begun."""
        with _accounts:
            return self.counted + len(self.unpriced) + len(self.flying)

    @property
    def ended_calls(self) -> int:
        """Calls that ended."""
        with _accounts:
            return self.counted + len(self.unpriced)

    @property
    def pending(self) -> int:
        """Calls in flight."""
        return len(self.flying)

    def change(self, given: Given) -> None:
        """Lay more over what `current().set` told; for calls begun afterwards."""
        with _accounts:
            self.given = stacked(self.given, given)
            self.version += 1

    # A set and a list take an item without a lock; a call leaves the set last, so that who sees none in flight misses none.

    def begin_call(self, call_id: bytes) -> None:
        """Count a call that begins."""
        self.flying.add(call_id)

    def rename_call(self, call_id: bytes, new_id: bytes) -> None:
        """A call in flight gets another id."""
        self.begin_call(new_id)
        self.forget_call(call_id)

    def forget_call(self, call_id: bytes) -> None:
        """Take back a begun call that an inner face took over."""
        self.flying.discard(call_id)

    def end_call(self, call_id: bytes, ticks: int, *, exact: bool) -> None:
        """Count a call that ended, and its cost."""
        with _accounts:
            self.counted += 1
            self.cost_ticks += ticks
            if not exact:
                self.inexact += 1
        self.forget_call(call_id)

    def end_unpriced_call(self, call_id: bytes, price: Callable[[], Costed], meter: Metering) -> None:
        """Count a call of a meter that ended, whose cost is found out when somebody asks."""
        unpriced = self.unpriced
        unpriced.append(price)
        self.flying.discard(call_id)
        if len(unpriced) >= _MANY_UNPRICED:
            self._have_added_up(meter)

    def _have_added_up(self, meter: Metering) -> None:
        """See to it that the list does not grow without end; 64 prices at once are 0.2 ms, which a call need not wait for."""
        adding_up = _adding_up
        if not self.is_relieved:
            self.is_relieved = True
            meter.do_later(self._be_relieved)
        # Not waiting, as the garbage collector may end a call within `_accounts`, which whoever adds up needs: the next one tries.
        elif len(self.unpriced) >= _MOST_UNPRICED and adding_up.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                adding_up.release()

    def _be_relieved(self) -> None:
        self.is_relieved = False
        self.add_up()

    def add_up(self) -> None:
        """Find the cost of all that ended. Never raises."""
        with _adding_up:  # also where there is nothing left to find: somebody may be at the last of it
            self._add_up()

    def _add_up(self) -> None:
        unpriced = self.unpriced
        while True:
            with _accounts:
                if not unpriced:
                    return
                price = unpriced.pop()
                self.counted += 1
            ticks, exact = _found(price)
            with _accounts:
                self.cost_ticks += ticks
                self.inexact += not exact

    def end(self) -> None:
        """The request is over; calls may still begin in what it left running."""
        self.ended = time.monotonic()

    @property
    def late(self) -> bool:
        """Whether the request ended too long ago to be charged with new calls."""
        return self.ended is not None and time.monotonic() - self.ended > LATE_SECONDS

    def instance_id(self, name: str) -> str:
        """The id of this activity's instance of a use case, made at its first use."""
        return format_id(self.instances.setdefault(name, new_id(time.time_ns())))

    def needs_identify(self) -> bool:
        """Whether the application's `identify` is still to be asked."""
        return self.asks and self.identity is None

    def claim(self) -> Future[None] | None:
        """Take it upon oneself to ask `identify`: None, or the asking of whoever came first."""
        with _accounts:
            if self.identity is not None:
                return _ANSWERED
            if not self.is_asking:
                self.is_asking = True
                return None
            if self.asked is None:
                self.asked = Future()
                self.asked.set_running_or_notify_cancel()  # one who waits and is cancelled must not cancel it for all
            return self.asked

    def identified(self, given: Given | None) -> None:
        """Keep what `identify` told, and wake who waits; None if it could not answer and the next call may ask."""
        with _accounts:
            asked, self.asked, self.is_asking = self.asked, None, False
            if given is not None:
                self.identity = given
                self.version += 1
        if asked is not None:
            asked.set_result(None)


def _found(price: Callable[[], Costed]) -> tuple[int, bool]:
    """(ticks, whether that is all)"""
    try:
        costed = price()
    except Exception:
        health.note("pricing", "a call could not be priced; it is kept without a cost", exc_info=True)
        return 0, False
    cost = costed.cost
    return (0, False) if cost is None else (cost.total_ticks, not costed.unpriced and costed.source != "estimate")


class Block:
    """A `track` or `use_case` block."""

    __slots__ = ("activity", "cached", "depth", "given", "meter", "opener", "outside", "parent")

    def __init__(self, parent: Frame, given: Given) -> None:
        if parent.depth >= MAX_LAYERS:
            parent = _folded(parent)
        self.parent = parent
        self.activity: Activity = parent.activity
        self.meter: Metering | None = parent.meter
        """The activity's."""
        self.depth: int = parent.depth + 1
        self.given = given
        self.cached: Attributed | None = None
        self.opener: object = None
        """What opened it in a `with` statement, so that it can be found again at the end."""
        self.outside: Frame | None = None
        """What ran before that statement: `parent`, unless that was made for this block."""

    def left(self) -> Frame | None:
        """The end of its `with` statement: what ran before. A job that starts itself again must not keep all before it."""
        outside = self.outside
        self.outside = None if isinstance(self.parent, Activity) and self.parent is not outside else self.parent
        return outside


Frame: TypeAlias = Activity | Block


def outward(frame: Frame) -> Frame | None:
    """What a frame was opened in."""
    return frame.outside if isinstance(frame, Block) and frame.opener is not None else frame.parent


def encloses(outer: Frame | None, frame: Frame | None) -> bool:
    """Whether a frame is another one, or was opened inside of it and not left."""
    while frame is not None and frame is not outer:
        frame = outward(frame)
    return frame is outer


def continued(frame: Frame) -> Activity:
    """What a frame of a script's block tells, as an activity of its own, for work that goes on when the block has ended."""
    return _with_all_told(Activity(frame.activity.meter), frame)


class Elsewhere(Activity):
    """A request or a script's block under another meter: the same attribution, with calls and a cost of its own."""


def elsewhere(frame: Frame, meter: Metering, *, asks: bool) -> Elsewhere:
    """What a frame tells, under another meter.

    Args:
        frame: The innermost.
        meter: The other one.
        asks: Whether the application's `identify` may be asked, where nobody has yet.
    """
    outer = frame.activity
    made = Elsewhere(
        meter,
        outer.face,
        outer.request,
        outer.asks and (asks or outer.identity is not None),
        identity=outer.identity,
        instances=outer.instances,
        loop=outer.loop,
    )
    return _with_all_told(made, frame)


_A = TypeVar("_A", bound=Activity)


def _with_all_told(root: _A, frame: Frame) -> _A:
    """An activity in which holds what `current().set` and the blocks told up to a frame of another one."""
    for given in (*frame.activity.given, *told_by_blocks(frame)):
        root.given = stacked(root.given, given)
    return root


def _folded(frame: Frame) -> Frame:
    """The same in fewer blocks: a job that starts itself again from within would chain them without end."""
    layers: tuple[Given, ...] = ()
    for given in told_by_blocks(frame):
        layers = stacked(layers, given)
    made: Frame = frame.activity
    for given in layers:
        made = Block(made, given)
    return made


_ANSWERED: Future[None] = Future()
_ANSWERED.set_result(None)


def after_fork() -> None:
    """In a forked child: another thread of the parent may have held a lock."""
    global _accounts, _adding_up
    _accounts = threading.RLock()
    _adding_up = threading.RLock()


def told_by_blocks(frame: Frame) -> list[Given]:
    """What a block and those around it told, weakest first."""
    blocks: list[Given] = []
    at: Frame | None = frame
    while isinstance(at, Block):
        blocks.append(at.given)
        at = at.parent
    return blocks[::-1]
