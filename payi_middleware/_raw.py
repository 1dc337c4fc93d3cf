"""Watching the answers of urllib3, as urllib3's own face, requests and botocore get them.

urllib3 reads the wire in two methods, `_raw_read` and `_handle_chunk`; whatever way an application reads an answer
(`read`, `stream`, `data`, iteration, a reader of lines around it), each part goes through one of them, still encoded. An
answer is watched by making it an instance of a subclass of its own class, so that it stays the very object, with the very
parts and moments of before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from .call import OVERHEAD, Call
from .limits.places import REASON, STATUS

if TYPE_CHECKING:
    from .limits.answer import Refused

__all__ = ["ended_with", "is_told", "is_watched", "made", "watch"]

_CALL = "_payi_call"
_ROOM = "_payi_room"
_READING = "_payi_reading"


def is_watched(raw: Any) -> bool:
    """Whether another exchange's face watches this answer already."""
    return issubclass(type(raw), _Watched | _File)


def is_told(raw: Any, call: Call) -> bool:
    """Whether an inner face's call of this answer has ended: it has the event, and `call` none.

    An inner face takes a request whose body was changed between the two for another one.
    """
    if not is_watched(raw) or _call_of(raw).once:
        return False
    call.take_over()
    return True


def watch(raw: Any, call: Call) -> Any:
    """Watch an answer that is to be read. Returns what is to be read instead, for nearly all the same object.

    One that an inner face's call watches, as the body was changed between the two, is this call's from now on.
    """
    kind: Any = type(raw)
    if is_watched(raw):
        _call_of(raw).take_over()
        raw.__dict__[_CALL] = call
        return raw
    if not (hasattr(kind, "_raw_read") and hasattr(kind, "_handle_chunk")):
        return _File(raw, call)
    raw.__dict__[_CALL] = call
    raw.__dict__[_ROOM] = 0
    raw.__dict__[_READING] = False
    raw.__class__ = _watched(kind)
    return raw


def _call_of(raw: Any) -> Call:
    call: Call = raw.__dict__[_CALL]
    return call


def ended_with(call: Call, body: Any, encoding: str | None) -> None:
    """The whole body was there with the head; it ends the call.

    Args:
        encoding: The content-encoding that the body is still in.
    """
    if not isinstance(body, bytes):
        call.end("unknown")
    elif not encoding:
        call.whole(body)
    else:
        call.parts.append(body)
        call.told_parts()
        call.end()


def made(refusal: Refused, method: str | None, *, preload: bool = False, decode: bool = False) -> Any:
    """The answer to a call that a limit refuses, as urllib3 would have read it off a connection."""
    import urllib3

    return urllib3.HTTPResponse(
        body=io.BytesIO(refusal.body),
        headers=refusal.headers,
        status=STATUS,
        version=11,
        reason=REASON,
        preload_content=preload,
        decode_content=decode,
        request_method=method,
    )


class _Watched:
    """Before a class of urllib3's answers: hands on each part as it comes, and keeps a reference."""

    __slots__ = ()

    def _raw_read(self, *args: Any, **more: Any) -> Any:
        call: Call = self.__dict__[_CALL]
        try:
            data = super()._raw_read(*args, **more)  # type: ignore[misc]
        except BaseException as error:
            call.failed(error)
            raise
        if data:
            self._payi_keep(call, data)
        amt = args[0] if args else more.get("amt")
        is_all = amt is None and not more.get("read1")
        if is_all or (not data and amt != 0) or self.__dict__.get("length_remaining") == 0:
            call.end()
        return data

    def _handle_chunk(self, *args: Any) -> Any:
        data = super()._handle_chunk(*args)  # type: ignore[misc]
        if data:
            self._payi_keep(self.__dict__[_CALL], data)
        return data

    def _update_chunk_length(self) -> None:
        self.__dict__[_READING] = True
        try:
            super()._update_chunk_length()  # type: ignore[misc]  # closes the answer before it raises
        finally:
            self.__dict__[_READING] = False

    def read_chunked(self, *args: Any, **more: Any) -> Iterator[bytes]:
        """As urllib3's; errors come out of it in urllib3's own terms."""
        call: Call = self.__dict__[_CALL]
        try:
            yield from super().read_chunked(*args, **more)  # type: ignore[misc]
        except GeneratorExit:
            call.end("aborted")  # urllib3 closes the connection
            raise
        except BaseException as error:
            call.failed(error)
            raise
        call.end()

    def _payi_keep(self, call: Call, data: bytes) -> None:
        call.parts.append(data)
        known = self.__dict__
        known[_ROOM] -= len(data) + OVERHEAD
        if known[_ROOM] < 0:
            known[_ROOM] = call.told_parts()

    def close(self) -> None:
        """Close the answer, which ends the call: aborted, unless the provider had said everything."""
        try:
            super().close()  # type: ignore[misc]
        finally:
            if not self.__dict__[_READING]:
                self.__dict__[_CALL].end("aborted")

    def __del__(self) -> None:
        self.__dict__[_CALL].end("aborted")  # abandoned; a second end does nothing
        super().__del__()  # type: ignore[misc]


@cache
def _watched(kind: Any) -> type[Any]:
    return type(
        kind.__name__, (_Watched, kind), {"__slots__": (), "__module__": kind.__module__, "__doc__": kind.__doc__}
    )


class _File:
    """Around any other object that an answer is read from, such as an adapter of the application's own makes."""

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._payi_call = call
        self._room = 0

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # while it is being copied
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return self._reading(found, name == "read") if name in ("read", "read1", "readline") else found

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._inner)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self._each(iter(self._inner))

    @property
    def data(self) -> Any:
        """All of it, decoded, as urllib3's answers have it."""
        data = self._inner.data
        if not self._payi_call.parts:
            ended_with(self._payi_call, data, None)
        return data

    @property
    def stream(self) -> Any:
        """What requests reads by, where there is one."""
        inner = self._inner.stream

        def stream(*args: Any, **more: Any) -> Iterator[bytes]:
            if more.get("decode_content"):
                self._payi_call.encoding = ""
            return self._each(inner(*args, **more))

        return stream

    def _each(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for part in parts:
                self._keep(part)
                yield part
        except GeneratorExit:
            raise  # the reader stopped; close() tells when the call is over
        except BaseException as error:
            self._payi_call.failed(error)
            raise
        self._payi_call.end()

    def _reading(self, read: Any, whole: bool) -> Any:
        def reading(*args: Any, **more: Any) -> Any:
            try:
                data = read(*args, **more)
            except BaseException as error:
                self._payi_call.failed(error)
                raise
            amount = args[0] if args else more.get("amt")
            if data:
                self._keep(data)
            if (not data and amount != 0) or (whole and (amount is None or amount < 0)):
                self._payi_call.end()
            return data

        return reading

    def _keep(self, data: bytes) -> None:
        self._payi_call.parts.append(bytes(data))
        self._room -= len(data) + OVERHEAD
        if self._room < 0:
            self._room = self._payi_call.told_parts()

    def close(self) -> None:
        """Close what is read from, which ends the call."""
        try:
            self._inner.close()
        finally:
            self._payi_call.end("aborted")

    def __del__(self) -> None:
        call = self.__dict__.get(_CALL)
        if call is not None:
            call.end("aborted")
