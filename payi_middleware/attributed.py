"""For whom and for what a call is made, worked out once for all calls of a frame that nothing has told more since.

Many requests are alike in all but their use case's instance, and to lay it all out takes as long as the rest of a call: what
they have in common is remembered, with its encoded form, in which only the instance's id is still to be put.
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


def attributed(frame: Frame | None) -> Attributed:
    """The attribution that holds for a call begun now in a frame."""
    if frame is None:
        return _UNATTRIBUTED
    activity = frame if isinstance(frame, Activity) else frame.activity
    face = activity.face
    try:
        key = _NO_KEY if face is None else face.key(activity.request)
        cached = frame.cached
        if cached is not None and cached.version == activity.version and cached.key == key:
            return cached
        version = activity.version  # first: what another thread tells from now on is for the next call to read
        source = None if face is None or frame is not activity or activity.given else face.source(activity.request)
        identity = activity.identity  # once, as it may be told meanwhile
        try:
            common = None if source is None else _remembered.get((face, identity, source.key))
        except TypeError:  # properties have no hash
            source = common = None
        if source is None:
            made = _anew(frame, activity, version, key)
        else:
            made = _of_this_request(
                common or _in_common(activity, identity, source), activity, source.is_plain, version, key
            )
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


def _anew(frame: Frame, activity: Activity, version: int, key: tuple[object, ...]) -> Attributed:
    """What is laid out for this frame alone."""
    face = activity.face
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
    before: bytes
    """The encoded attribution up to the id of the instance; all of it where there is none."""
    after: bytes
    inbound_raw: msgspec.Raw
    """Of a request that says nothing of itself in headers."""
    objects: tuple[Any, ...]
    """Those of the source, kept so that their ids stay theirs."""


_MOST = 4096
_remembered: dict[tuple[Any, ...], _Common] = {}
"""By face, identity and source."""


def _in_common(activity: Activity, identity: Given | None, source: Source) -> _Common:
    """What holds for all requests of a source and an identity, remembered unless something was dropped: that is counted each time.

    What another thread tells of this request meanwhile is none of it.
    """
    face = activity.face
    assert face is not None
    counted = health.counters()
    found = _common(laid(_asked(face, activity.request, identity)), face, activity.request, source.objects)
    if health.counters() == counted:
        if len(_remembered) >= _MOST:
            _remembered.clear()
        _remembered[face, identity, source.key] = found
    return found


def _common(known: Attribution, face: Face, request: Any, objects: tuple[Any, ...]) -> _Common:
    route, name = face.route(request), known.use_case_name
    inbound = face.inbound(request, route)
    plain = msgspec.Raw(_encode(Inbound(inbound.http_method, route)))
    if name is None or known.use_case_id is not None:
        return _Common(known, route, None, _encode(known), b"", plain, objects)
    before, after = _around_instance(known)
    return _Common(known, route, name, before, after, plain, objects)


_AT = Attribution.__struct_fields__.index("use_case_id")


def _around_instance(known: Attribution) -> tuple[bytes, bytes]:
    """The encoded form before and behind the id of an instance, an array of encoded fields."""
    fields = [_encode(getattr(known, name)) for name in known.__struct_fields__]
    head = _encode(known)[:1]  # of an array of at most 15
    return head + b"".join(fields[:_AT]), b"".join(fields[_AT + 1 :])


def _of_this_request(
    common: _Common, activity: Activity, is_plain: bool, version: int, key: tuple[object, ...]
) -> Attributed:
    known, route, name, before, after, inbound, _ = common
    if not is_plain:
        assert activity.face is not None
        inbound = msgspec.Raw(_encode(activity.face.inbound(activity.request, route)))
    if name is None:
        return Attributed(known, None, msgspec.Raw(before), inbound, version, key)
    instance = activity.instance_id(name)
    raw = msgspec.Raw(before + _encode(instance) + after)
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
