"""Reading JSON that others wrote: typed and quick where it is as it should be, patient where it is not.

The quick way is a module's own typed `msgspec` decoder. When that refuses, `lenient` takes the body apart, drops what
is malformed, and names it; a reason names fields and types, never a value, because a value may be somebody's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from ..events import TICKS_PER_USD

__all__ = [
    "BAD",
    "MOST_TICKS",
    "MOST_TOKENS",
    "NOT_JSON",
    "Calls",
    "Count",
    "Name",
    "Sum",
    "Ticks",
    "arrays",
    "ends",
    "fill",
    "holds",
    "key_string",
    "last_object",
    "last_string",
    "lenient",
    "object_at",
    "objects",
    "parse",
]

T = TypeVar("T", bound=msgspec.Struct)

MOST_TOKENS: Final = 10**8
"""Of one answer: a hundred times what the largest window holds. More is malformed, and would fill every limit at once."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
"""A number of tokens of one answer."""

Sum: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
"""A number of tokens of many answers."""

MOST_TICKS: Final = 10**6 * TICKS_PER_USD

Ticks: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST_TICKS)]
"""What a host says it took, in the ticks we use."""

Calls: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=10**6)]
"""A number of calls of a tool: each has a fee, so a malformed one would be a fortune."""

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
"""A short string of the provider's: a model, an id, a tier. Longer ones are dropped, so that events stay small."""

BAD: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a typed decoder raises for a body that is not as it should be."""

NOT_JSON: Final = "the answer is not whole JSON"

# What describes usage without being a count: wrong, it is dropped alone; a wrong count makes all of the usage unusable.
_DESCRIPTIVE: Final = frozenset(
    {
        "cost",
        "cost_details",
        "cost_in_usd_ticks",
        "inference_geo",
        "is_byok",
        "serviceTier",
        "service_tier",
        "speed",
        "trafficType",
    }
)
_USAGE: Final = frozenset({"amazon-bedrock-invocationMetrics", "usage", "usageMetadata"})
_MOST_FAULTS: Final = 32
_MOST_TRIES: Final = 16
_DEEPEST: Final = 64
_LONGEST_OBJECT: Final = 1 << 16
_END: Final = 1 << 12

_STEP: Final = re.compile(r"\.([\w-]+)|\[(\d+)\]")
_STRING: Final = re.compile(rb'\s*:\s*"((?:[^"\\]|\\.){1,256})"')
_WHOLE: Final = re.compile(r"-?\d{1,18}\.0+")


def _number(text: str) -> int | Decimal:
    """A number with a decimal point: some makers write counts as `28.0`."""
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else Decimal(text)


_objects = json.JSONDecoder(parse_float=_number)
_OPENS: Final = re.compile(rb"\s*:\s*\{")
_OPENS_EITHER: Final = re.compile(rb"\s*:\s*[{\[]")
_OPENS_ARRAY: Final = re.compile(rb"\s*:\s*\[")


def parse(body: bytes) -> Any:
    """Any JSON, NaN and broken UTF-8 included, with exact decimals; None for what is no JSON (and for null)."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), parse_float=_number)
    except (ValueError, ArithmeticError, RecursionError):
        return None


def lenient(body: bytes, kind: type[T]) -> tuple[T | None, str | None]:
    """What of a body can be read as `kind`, and what was wrong with the rest."""
    if not body.strip():
        return None, "the answer is empty"
    value = parse(body)
    if value is None:
        return None, NOT_JSON
    if not isinstance(value, dict):
        return None, "the answer is not a JSON object"
    return fill(value, kind)


def fill(value: dict[str, Any], kind: type[T]) -> tuple[T, str | None]:
    """`value` as `kind` without the members that are malformed, and the first fault. Takes `value` apart."""
    first = None
    for _ in range(_MOST_FAULTS):
        try:
            return _clean(msgspec.convert(value, kind)), first
        except msgspec.ValidationError as error:
            what, _, path = str(error).rstrip("`").partition(" - at `$")
            first = first or f"{path.lstrip('.')}: {_plain(what)}"
            _drop(value, path)
        except UnicodeEncodeError:  # half a surrogate pair where msgspec reads a number
            value = _mended(value)
    return kind(), first


def _plain(what: str) -> str:
    """msgspec's message, which names types and no values, in plain words."""
    return what.replace("`", "").replace(" | null", "").replace("Expected", "expected")


def _drop(value: dict[str, Any], path: str) -> None:
    """Takes the member at `path` out; usage as a whole, because half a usage would be a wrong cost."""
    owner: Any = {"": value}
    owned: str | int = ""
    for step in _STEP.finditer(path):
        owner = owner[owned]
        owned = step[1] if step[1] is not None else int(step[2])
        if owned in _USAGE and path.rpartition(".")[2] not in _DESCRIPTIVE:
            break
    # An error told as a bare string is still an error.
    owner[owned] = {} if owned == "error" and not isinstance(owner[owned], dict) else None


def _mended(value: Any, depth: int = 0) -> Any:
    """A value without half surrogate pairs; what is nested too deep to be one of ours is left out."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        return [_mended(member, depth + 1) for member in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(member, depth + 1) for key, member in value.items()}
    return value


def _clean(value: T) -> T:
    """Without half surrogate pairs, which could be written nowhere afterwards."""
    for name in value.__struct_fields__:
        member = getattr(value, name)
        if isinstance(member, str):
            setattr(value, name, member.encode("utf-8", "replace").decode())
        for inner in member if isinstance(member, list) else (member,):
            if isinstance(inner, msgspec.Struct):
                _clean(inner)
    return value


def objects(data: bytes, key: bytes) -> Iterator[int]:
    """Where the objects under `key` (with its quotes) open, last first. Quotes inside strings are escaped: no match."""
    end = len(data)
    while (at := data.rfind(key, 0, end)) >= 0:
        opens = _OPENS.match(data, at + len(key))
        if opens is not None:
            yield opens.end() - 1
        end = at


def holds(data: bytes, key: bytes) -> bool:
    """Whether an object or an array opens somewhere under `key` (with its quotes)."""
    end = len(data)
    while (at := data.rfind(key, 0, end)) >= 0:
        if _OPENS_EITHER.match(data, at + len(key)) is not None:
            return True
        end = at
    return False


def object_at(data: bytes, at: int) -> dict[str, Any] | None:
    """The object that opens at a place, if it is whole and not far too long."""
    try:
        value, _ = _objects.raw_decode(data[at : at + _LONGEST_OBJECT].decode("utf-8", "replace"))
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def last_object(data: bytes, key: bytes) -> dict[str, Any] | None:
    """The last whole object under `key` in a piece of JSON."""
    found = (object_at(data, at) for at in islice(objects(data, key), _MOST_TRIES))
    return next((value for value in found if value is not None), None)


def arrays(data: bytes, key: bytes) -> Iterator[list[Any]]:
    """The whole arrays under `key` (with its quotes) in a piece of JSON, last first; as many as are worth a try."""
    end = len(data)
    for _ in range(_MOST_TRIES):
        end = data.rfind(key, 0, end)
        if end < 0:
            return
        opens = _OPENS_ARRAY.match(data, end + len(key))
        if opens is None:
            continue
        try:
            value, _ = _objects.raw_decode(
                data[opens.end() - 1 : opens.end() + _LONGEST_OBJECT].decode("utf-8", "replace")
            )
        except (ValueError, ArithmeticError, RecursionError):
            continue
        yield value


def key_string(data: bytes, key: str) -> str | None:
    """The first short string under `key` in a piece of JSON."""
    name = b'"%s"' % key.encode()
    at = data.find(name)
    while at >= 0:
        at += len(name)
        found = _STRING.match(data, at)
        if found is not None:
            return _text(found[1])
        at = data.find(name, at)
    return None


def last_string(data: bytes, key: str) -> str | None:
    """The last short string under `key` in a piece of JSON."""
    name = b'"%s"' % key.encode()
    end = len(data)
    while (at := data.rfind(name, 0, end)) >= 0:
        found = _STRING.match(data, at + len(name))
        if found is not None:
            return _text(found[1])
        end = at
    return None


def _text(inner: bytes) -> str | None:
    value = parse(b'"' + inner + b'"')
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def ends(data: bytes) -> tuple[bytes, bytes]:
    """The first and the last 4 kB."""
    return data[:_END], data[-_END:]
