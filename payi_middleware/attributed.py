"""For whom and for what a call is made, worked out once for all calls of a frame that nothing has told more since.

Many requests are alike in all but their use case's instance, and to lay it all out takes as long as the rest of a call: what
they have in common is remembered, with its encoded form, beside which only the instance's id is still to be put.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from . import health
from .attribution import Given, laid, merge
from .encoded import Attributed, with_instance
from .events import Attribution, Inbound, format_id
from .face import Face, Source
from .frames import Activity, Frame, told_by_blocks
from .record import new_id

__all__ = ["attributed", "with_own"]

_encode = msgspec.msgpack.Encoder().encode

_NO_KEY: tuple[object, ...] = ()
_NO_INBOUND = msgspec.Raw(_encode(Inbound()))
_UNATTRIBUTED = Attributed(Attribution(), None, msgspec.Raw(_encode(Attribution())), _NO_INBOUND, 0, _NO_KEY)


def attributed(frame: Frame | None, call_id: bytes | None = None) -> Attributed:
    """The attribution that holds for a call begun now in a frame.

    Args:
        frame: The innermost; None outside of all.
        call_id: The call's. An instance of a use case is named by the first call made in it.
    """
    if frame is None:
        return _UNATTRIBUTED
    activity = frame if isinstance(frame, Activity) else frame.activity
    face, request = activity.face, activity.request
    try:
        cached, version = frame.cached, activity.version
        if cached is not None and cached.version == version and cached.key == _key(face, request):
            return cached
        # the version first: what another thread tells from now on is for the next call to read
        source = None if face is None or frame is not activity or activity.given else face.source(request)
        if face is None or source is None:
            made = _anew(frame, activity, version)
        else:
            made = _of_this_request(face, activity, source, version, call_id)
        frame.cached = made
    except Exception:  # what the framework or the application's user object tells is not in our hands
        health.note("attribution", "a call could not be attributed", exc_info=True)
        return _UNATTRIBUTED
    return made


def with_own(known: Attributed, own: Given, activity: Activity | None) -> Attributed:
    """The attribution of one call that told something itself."""
    merged = merge(known.attribution, own)
    if merged.use_case_name is not None and merged.use_case_id is None:
        merged = with_instance(merged, _instance_id(merged.use_case_name, activity))
    return Attributed(merged, None, msgspec.Raw(_encode(merged)), known.inbound_raw, known.version, known.key)


def _key(face: Face | None, request: Any) -> tuple[object, ...]:
    return _NO_KEY if face is None else face.key(request)


def _anew(frame: Frame, activity: Activity, version: int) -> Attributed:
    """What is laid out for this frame alone."""
    face = activity.face
    key = _key(face, activity.request)  # first, as the version
    known = laid(_layers(frame, activity))
    if known.use_case_name is not None and known.use_case_id is None:
        known = with_instance(known, activity.instance_id(known.use_case_name))
    inbound = _NO_INBOUND
    if face is not None:
        inbound = msgspec.Raw(_encode(face.inbound(activity.request, face.route(activity.request))))
    return Attributed(known, None, msgspec.Raw(_encode(known)), inbound, version, key)


class _Common(NamedTuple):
    """What requests have in common."""

    known: Attribution
    route: str | None
    instance_of: str | None
    """The use case, if its instance is each request's own."""
    attribution_raw: msgspec.Raw
    inbound_raw: msgspec.Raw
    """Of a request that says nothing of itself in headers."""
    objects: tuple[Any, ...]
    """Those of the source, kept so that their ids stay theirs."""


_MOST = 4096
"""Of a face: by identity and source."""


def _in_common(face: Face, activity: Activity, identity: Given | None, source: Source) -> _Common:
    """What holds for all requests of a source and an identity, remembered unless something was dropped: that is counted each time.

    What another thread tells of this request meanwhile is none of it.
    """
    _, key, objects, _ = source
    counted = health.counters()
    found = _common(laid(_asked(face, activity.request, identity)), face, activity.request, objects)
    if health.counters() == counted:
        if len(face.remembered) >= _MOST:
            face.remembered.clear()
        face.remembered[identity, key] = found
    return found


def _common(known: Attribution, face: Face, request: Any, objects: tuple[Any, ...]) -> _Common:
    route, name = face.route(request), known.use_case_name
    inbound = face.inbound(request, route)
    plain = msgspec.Raw(_encode(Inbound(inbound.http_method, route)))
    instance_of = name if known.use_case_id is None else None
    return _Common(known, route, instance_of, msgspec.Raw(_encode(known)), plain, objects)


def _of_this_request(face: Face, activity: Activity, source: Source, version: int, call_id: bytes | None) -> Attributed:
    key, where, _, is_plain = source
    identity = activity.identity  # once, as it may be told meanwhile
    try:
        common = face.remembered.get((identity, where)) or _in_common(face, activity, identity, source)
    except TypeError:  # properties have no hash
        return _anew(activity, activity, version)
    known, route, name, raw, inbound, _ = common
    if not is_plain:
        inbound = msgspec.Raw(_encode(face.inbound(activity.request, route)))
    instance = None
    if name is not None:
        instance = activity.instances.setdefault(name, call_id or new_id(time.time_ns()))
    return Attributed(known, instance, raw, inbound, version, key)


def _instance_id(name: str, activity: Activity | None) -> str:
    """The id of the use case's instance: the request's, or of this call alone."""
    return format_id(new_id(time.time_ns())) if activity is None else activity.instance_id(name)


def _layers(frame: Frame, activity: Activity) -> list[Given]:
    """What is told by the request, by whoever identified it, by `current().set` and by the blocks, weakest first."""
    face = activity.face
    layers = [] if face is None else _asked(face, activity.request, activity.identity)
    return [*layers, *activity.given, *told_by_blocks(frame)]


def _asked(face: Face, request: Any, identity: Given | None) -> list[Given]:
    """What is told by the request and by whoever identified it."""
    layers = [*face.layers(request)]
    if identity is not None:
        layers.append(identity)
    elif not face.asks:
        layers.append(face.identity(request))
    return layers
