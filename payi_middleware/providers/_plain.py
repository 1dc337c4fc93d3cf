"""Endpoints that few calls go to: their answers are taken apart as plain dictionaries, without a typed decoder.

A file that has one gives a function from the answer's outermost object to a `Reading`; here is all else: what is no
JSON, what is an error, what is too large, which of a stream's events tells, and counts that are none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias

from ..events import Units
from ..values import ticks_of
from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import MOST_TOKENS, NOT_JSON, ends, key_string, last_object, parse
from ._texts import Texter
from .base import Asked, Endpoint, Facts, Reading

__all__ = ["Counts", "answered", "dollars", "name_of", "plain", "told"]

Tells: TypeAlias = Callable[[dict[str, Any]], Reading]

_LARGE: Final = 1 << 18
_MOST_USD: Final = 10**6
_LONGEST: Final = 256
_MOST_FAULTS: Final = 4
_MOST_KEYS: Final = 64
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"


class Counts:
    """The numbers in an object; a malformed one is 0 and named in `faults`, and a missing one is 0."""

    def __init__(self, value: object, name: str = "usage") -> None:
        self.told = isinstance(value, dict)
        self._value: dict[str, Any] = value if isinstance(value, dict) else {}
        self._name = name
        self.faults: list[str] = []

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter([key for key in self._value if isinstance(key, str)][:_MOST_KEYS])

    def get(self, key: str, most: int = MOST_TOKENS) -> int:
        """A whole number, which may be written as 5.0; a broken one is rounded up, as what is begun is billed."""
        given = self._value.get(key)
        if given is None:
            return 0
        if isinstance(given, int | Decimal) and not isinstance(given, bool) and 0 <= given <= most:
            return math.ceil(given)
        self._wrong(key)
        return 0

    def inner(self, key: str) -> Counts:
        """The numbers of an object within; its faults are told here."""
        given = self._value.get(key)
        if given is not None and not isinstance(given, dict):
            self._wrong(key)
        inner = Counts(given, f"{self._name}.{key}")
        inner.faults = self.faults
        return inner

    def _wrong(self, key: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{self._name}.{key[:64]}: malformed")


def told(units: Units, counts: Counts, **more: Any) -> Reading:
    """A reading of units; with a malformed count among them none, because half a usage would be a wrong cost."""
    if counts.faults:
        return Reading(reason="; ".join(counts.faults), **more)
    if not any(map(any, units.values())):
        return Reading(reason="usage counts nothing" if counts.told else "usage is missing", **more)
    return Reading(units=units, **more)


def name_of(value: dict[str, Any], key: str = "model") -> str | None:
    """A short text of an object, such as a model or an id."""
    name = value.get(key)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return None
    return name.encode("utf-8", "replace").decode()


def dollars(value: object) -> int | None:
    """USD in ticks; None for what is no amount."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return None
    amount = Decimal(value)
    return ticks_of(amount) if amount.is_finite() and 0 <= amount <= _MOST_USD else None


def answered(facts: Facts) -> dict[str, Any]:
    """The outermost object of an answer that is no stream; empty if it is none."""
    value = parse(facts.answer)
    return value if isinstance(value, dict) else {}


def plain(
    template: str,
    tells: Tells,
    *,
    keys: tuple[str, ...] = ("usage",),
    asks: Callable[[bytes], Asked] = ask,
    texts: Texter | None = None,
    refine: Callable[[Reading, Facts], Reading] | None = None,
) -> Endpoint:
    """An endpoint whose answers `tells` reads.

    Args:
        template: The path's template.
        tells: Reads the outermost object of a body, or the event of a stream that tells the usage.
        keys: The members, outermost or not, that tell the usage: by them a large body's end and a stream's event are known.
        asks: Reads the request.
        texts: The texts to count where no usage was told.
        refine: Completes the reading by what the body does not tell.
    """

    def read(body: bytes) -> Reading:
        if len(body) > _LARGE and (reading := read_cut(*ends(body))).units is not None:
            return reading
        if _sse.looks_like_events(body):
            return read_stream(body)
        if body[:64].lstrip(_BLANK)[:1] not in (b"{", b"[", b""):  # a sound, an image, a page
            return Reading(reason=NOT_JSON, complete=False)
        return _read(parse(body), body, tells)

    def read_cut(head: bytes, tail: bytes) -> Reading:
        """The first and the last bytes of a large body: what stands around the usage is put together again."""
        names: dict[str, Any] = {}
        found: dict[str, Any] = {key: last_object(tail, b'"%s"' % key.encode()) for key in keys}
        if not any(found.values()):
            return Reading(reason="the answer is too large to find its usage", complete=False)
        for key in ("id", "model"):
            names[key] = key_string(head, key) or key_string(tail, key)
        return tells({key: value for key, value in (found | names).items() if value is not None})

    def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
        if head[:1] == b"{":
            return read_cut(head, tail) if tail else _read(parse(head), head, tells)
        reading = _read_events(_sse.events(tail or head), keys, tells)
        return reading if reading.model else reading._replace(model=key_string(head[:_LARGE], "model"))

    return Endpoint(template, asks, read, read_cut, read_stream, texts, refine)


def _read(value: object, body: bytes, tells: Tells) -> Reading:
    if not isinstance(value, dict):
        wrong = "the answer is empty" if not body.strip() else NOT_JSON
        wrong = wrong if value is None else "the answer is not a JSON object"
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    reading = tells(value)
    failed = _failure(value)
    return reading if failed is None else reading._replace(error_type=failed, reason="the answer is an error")


def _failure(value: dict[str, Any]) -> str | None:
    error = value.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        return "error"
    return error_type(Error(error.get("code"), error.get("type"), error.get("status")))


def _read_events(events: Iterable[bytes], keys: tuple[str, ...], tells: Tells) -> Reading:
    """The last event of a stream that tells the usage; the stream is short or rare, so all events are gone through."""
    names = [b'"%s"' % key.encode() for key in keys]
    last: dict[str, Any] | None = None
    for payload in events:
        if any(name in payload for name in names):
            value = parse(payload)
            last = value if isinstance(value, dict) else last
    return Reading(complete=False, reason="usage is missing") if last is None else _read(last, b"", tells)
