"""What is running: the web request, and the `track` and `use_case` blocks inside it.

The context variable holds the innermost frame. A frame is an `Activity` (one web request, or the outermost block of a script) or
a `Block` inside one. Nothing is read from a request until its first call to a provider asks for its attribution.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from . import context, health
from .attribution import MAX_LAYERS, Given, laid, merge, stacked
from .events import Attribution, Inbound, format_id
from .face import Face
from .record import new_id

if TYPE_CHECKING:
    from .meter import Meter

__all__ = [
    "LATE_SECONDS",
    "Activity",
    "Attributed",
    "Block",
    "Frame",
    "after_fork",
    "attributed",
    "continued",
    "encloses",
    "outward",
    "with_own",
]

LATE_SECONDS = 15 * 60
"""A call that begins this long after its request ended no longer belongs to it."""

_encode = msgspec.msgpack.Encoder().encode
_accounts = threading.RLock()  # held for a few additions only, in which the garbage collector may end a call


class Attributed(NamedTuple):
    """An attribution and its encoded form, worked out once for all calls that share it."""

    attribution: Attribution
    attribution_raw: msgspec.Raw
    inbound_raw: msgspec.Raw
    version: int
    key: tuple[object, ...]


class Activity:
    """One web request, or the outermost block of a script: what its calls have in common."""

    # Most requests make no call: what only calls need stays on the class until one is made.
    given: tuple[Given, ...] = ()
    """What `current().set` told, weakest first."""
    identity: Given | None = None
    """What `identify` told; None until it was asked."""
    asked: Future[None] | None = None
    """Done when the `identify` that was asked has answered."""
    unsteppable = False
    """Whether `identify` has to be awaited, so that code which cannot await need not ask again."""
    version = 0
    calls = 0
    """Calls begun."""
    ended_calls = 0
    cost_ticks = 0
    """Of ended calls."""
    inexact = 0
    """Ended calls that are estimated or not wholly priced."""
    refused = False
    """Whether a limit refused one of its calls."""
    ended: float | None = None
    """Monotonic seconds at which the request ended."""
    cached: Attributed | None = None
    parent: None = None
    depth = 0
    loop: Any = None
    """The event loop that serves the request, where an async `identify` may have to run on it."""

    def __init__(self, meter: Meter | None, face: Face | None = None, request: Any = None) -> None:
        self.meter = meter
        self.face = face
        self.request = request

    @property
    def activity(self) -> Activity:
        """Itself: the root of its frames."""
        return self

    @property
    def origin(self) -> str:
        """`request` or `track`."""
        return self.face.origin if self.face is not None else "track"

    @property
    def pending(self) -> int:
        """Calls in flight."""
        return self.calls - self.ended_calls

    def change(self, given: Given) -> None:
        """Lay more over what `current().set` told; for calls begun afterwards."""
        with _accounts:
            self.given = stacked(self.given, given)
            self.version += 1

    def begin_call(self) -> None:
        """Count a call that begins."""
        with _accounts:
            self.calls += 1

    def end_call(self, ticks: int, *, exact: bool) -> None:
        """Count a call that ended, and its cost."""
        with _accounts:
            self.ended_calls += 1
            self.cost_ticks += ticks
            if not exact:
                self.inexact += 1

    def forget_call(self) -> None:
        """Take back a begun call that an inner face took over."""
        with _accounts:
            self.calls -= 1

    def end(self) -> None:
        """The request is over; calls may still begin in what it left running."""
        self.ended = time.monotonic()

    @property
    def late(self) -> bool:
        """Whether the request ended too long ago to be charged with new calls."""
        return self.ended is not None and time.monotonic() - self.ended > LATE_SECONDS

    def instance_id(self, name: str) -> str:
        """The id of this activity's instance of a use case, made at its first use."""
        with _accounts:
            instances: dict[str, str] = self.__dict__.setdefault("instances", {})
            if name not in instances:
                instances[name] = format_id(new_id(time.time_ns()))
            return instances[name]

    def needs_identify(self) -> bool:
        """Whether the application's `identify` is still to be asked."""
        return self.identity is None and self.face is not None and self.face.needs_identify()

    def claim(self) -> Future[None] | None:
        """Take it upon oneself to ask `identify`: None, or the asking of whoever came first."""
        with _accounts:
            if self.identity is not None:
                return _ANSWERED
            if self.asked is not None:
                return self.asked
            self.asked = Future()
            self.asked.set_running_or_notify_cancel()  # one who waits and is cancelled must not cancel it for all
            return None

    def identified(self, given: Given | None) -> None:
        """Keep what `identify` told, and wake who waits; None if it could not answer and the next call may ask."""
        with _accounts:
            asked, self.asked = self.asked, None
            if given is not None:
                self.identity = given
                self.version += 1
        assert asked is not None  # whoever asks has claimed it
        asked.set_result(None)


class Block:
    """A `track` or `use_case` block."""

    __slots__ = ("activity", "cached", "depth", "given", "opener", "outside", "parent")

    def __init__(self, parent: Frame, given: Given) -> None:
        if parent.depth >= MAX_LAYERS:
            parent = _folded(parent)
        self.parent = parent
        self.activity: Activity = parent.activity
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
    root = Activity(frame.activity.meter)
    for given in (*frame.activity.given, *_told_by_blocks(frame)):
        root.given = stacked(root.given, given)
    return root


def _folded(frame: Frame) -> Frame:
    """The same in fewer blocks: a job that starts itself again from within would chain them without end."""
    layers: tuple[Given, ...] = ()
    for given in _told_by_blocks(frame):
        layers = stacked(layers, given)
    made: Frame = frame.activity
    for given in layers:
        made = Block(made, given)
    return made


_ANSWERED: Future[None] = Future()
_ANSWERED.set_result(None)
_NO_KEY: tuple[object, ...] = ()
_NO_INBOUND = msgspec.Raw(_encode(Inbound()))
UNATTRIBUTED = Attributed(Attribution(), msgspec.Raw(_encode(Attribution())), _NO_INBOUND, 0, _NO_KEY)


def after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock, and the parent's request is not its own."""
    global _accounts
    _accounts = threading.RLock()
    context.frame.set(None)  # it may live on and work for others: what it does is nobody's, rather than somebody else's
    context.owner.set(None)


def attributed(frame: Frame | None) -> Attributed:
    """The attribution that holds for a call begun now in a frame."""
    if frame is None:
        return UNATTRIBUTED
    activity = frame.activity
    face = activity.face
    try:
        key = _NO_KEY if face is None else face.key(activity.request)
        cached = frame.cached
        if cached is not None and cached.version == activity.version and cached.key == key:
            return cached
        frame.cached = made = _attributed(frame, activity, key)
    except Exception:  # what the framework or the application's user object tells is not in our hands
        health.note("attribution", "a call could not be attributed", exc_info=True)
        return UNATTRIBUTED
    return made


def _attributed(frame: Frame, activity: Activity, key: tuple[object, ...]) -> Attributed:
    version = activity.version  # first: what another thread tells from now on is for the next call to read
    face = activity.face
    known, route = _known(frame, activity) if face is not None else (laid(_layers(frame, activity)), None)
    known = _as_instance(known, activity)
    inbound = _NO_INBOUND if face is None else msgspec.Raw(_encode(face.inbound(activity.request, route)))
    return Attributed(known, msgspec.Raw(_encode(known)), inbound, version, key)


def _known(frame: Frame, activity: Activity) -> tuple[Attribution, str | None]:
    """What holds for a call of a web request, but for its use case's instance, and the route.

    Many requests are alike in all of that, and to lay it out takes as long as all else that a call costs: so it is remembered,
    unless something was dropped, which is counted each time.
    """
    face, request, identity = activity.face, activity.request, activity.identity
    assert face is not None
    source = face.source(request) if frame is activity and not activity.given else None
    if source is None:
        return laid(_layers(frame, activity)), face.route(request)
    key = (face, identity, source[0])
    try:
        found = _remembered.get(key)
    except TypeError:  # properties cannot be hashed
        return laid(_layers(frame, activity)), face.route(request)
    if found is None:
        counted = health.counters()
        found = laid(_layers(frame, activity)), face.route(request), source[1]
        if health.counters() == counted:
            if len(_remembered) >= _MOST:
                _remembered.clear()
            _remembered[key] = found
    return found[0], found[1]


_MOST = 4096
_remembered: dict[tuple[Any, ...], tuple[Attribution, str | None, tuple[Any, ...]]] = {}
"""By face, identity and source; with the objects of the source, so that their ids stay theirs."""


def with_own(known: Attributed, own: Given, activity: Activity | None) -> Attributed:
    """The attribution of one call that told something itself."""
    merged = _as_instance(merge(known.attribution, own), activity)
    return known._replace(attribution=merged, attribution_raw=msgspec.Raw(_encode(merged)))


def _as_instance(known: Attribution, activity: Activity | None) -> Attribution:
    """With the id of the use case's instance: the request's, or of this call alone."""
    name = known.use_case_name
    if name is None or known.use_case_id is not None:
        return known
    instance = format_id(new_id(time.time_ns())) if activity is None else activity.instance_id(name)
    return msgspec.structs.replace(known, use_case_id=instance)


def _layers(frame: Frame, activity: Activity) -> list[Given]:
    """What is told by the request, by whoever identified it, by `current().set` and by the blocks, weakest first."""
    layers: list[Given] = []
    face = activity.face
    if face is not None:
        layers += face.layers(activity.request)
        if activity.identity is not None:
            layers.append(activity.identity)
        elif not face.needs_identify():
            layers.append(face.identity(activity.request))
    layers += activity.given
    layers += _told_by_blocks(frame)
    return layers


def _told_by_blocks(frame: Frame) -> list[Given]:
    """What a block and those around it told, weakest first."""
    blocks: list[Given] = []
    at: Frame | None = frame
    while isinstance(at, Block):
        blocks.append(at.given)
        at = at.parent
    return blocks[::-1]
