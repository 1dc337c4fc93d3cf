"""For whom a call is made: what each source gives, and how the sources are laid over one another.

A `Given` is what one source tells (a header, `identify`, a block, ...), each field absent, cleared or set. `laid` lays them over
one another; their order is in `frames`. Values are cleaned when they are given, so laying trusts them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeGuard

import msgspec

from . import health
from .events import Attribution
from .exceptions import UseCaseError

__all__ = ["MAX_LAYERS", "NOTHING", "Given", "check_use_case", "clean", "is_plain", "laid", "merge", "stacked"]

MAX_TEXT = 256
"""Characters of a user id, account name, use case id or step; longer ones are cut."""
MAX_TAGS = 32
MAX_PROPERTIES = 64
MAX_PROPERTY = 1024
"""Characters of a property's value; longer ones are cut."""

_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Given(msgspec.Struct, frozen=True):
    """What one source tells. None: not told, so an outer source's value holds; empty: cleared."""

    user_id: str | None = None
    account_name: str | None = None
    request_tags: tuple[str, ...] | None = None
    request_properties: dict[str, str | None] | None = None
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: dict[str, str | None] | None = None
    limit_ids: tuple[str, ...] | None = None
    limit_tags: tuple[str, ...] | None = None
    price_as: str | None = None
    resource_scope: str | None = None

    def told(self) -> dict[str, Any]:
        """The fields that are told, in their order."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}

    def over(self, lower: Given) -> Given:
        """Both as one source, which means the same where `lower` cleared nothing that this one adds to."""
        fields = lower.told()
        _lay(fields, self.told())
        return Given(**fields)


_FIELDS = Given.__struct_fields__
NOTHING = Given()

_LISTS = frozenset(("request_tags", "limit_ids", "limit_tags"))
_MAPPINGS = frozenset(("request_properties", "use_case_properties"))
_INSTANCE = ("use_case_id", "use_case_version", "use_case_step", "use_case_properties")

MAX_LAYERS = 32


def stacked(layers: tuple[Given, ...], given: Given) -> tuple[Given, ...]:
    """One more source on top, folded into the topmost where that means the same, so that a loop cannot heap them up."""
    if not layers:
        return (given,)
    if _folds(layers[-1].told(), given.told()):
        return (*layers[:-1], given.over(layers[-1]))
    if len(layers) >= MAX_LAYERS:
        layers = (layers[1].over(layers[0]), *layers[2:])
    return (*layers, given)


def _folds(below: dict[str, Any], above: dict[str, Any]) -> bool:
    """Whether one source can say what two say in turn: not if something is cleared and told again, or named anew."""
    if any(name in below and not below[name] and above.get(name) for name in _LISTS | _MAPPINGS):
        return False
    name = above.get("use_case_name")
    return name is None or name == below.get("use_case_name") or not below.keys() & {"use_case_name", *_INSTANCE}


def laid(layers: Iterable[Given]) -> Attribution:
    """Sources laid over one another, the weakest first.

    Tags and limit ids are unions, properties are merged, an empty value clears. Another use case name starts id, version,
    step and properties anew; a first name keeps an id that came without one.
    """
    fields: dict[str, Any] = {}
    for given in layers:
        if given is not NOTHING:
            _lay(fields, given.told())
    return _attribution(fields)


def merge(known: Attribution, given: Given) -> Attribution:
    """One more source laid over what is known already."""
    if given is NOTHING:
        return known
    fields = msgspec.structs.asdict(known)
    _lay(fields, given.told())
    return _attribution(fields)


def _lay(fields: dict[str, Any], told: dict[str, Any]) -> None:
    """Lay what one source tells over fields. What clears stays as it was told, for `over`."""
    name = told.get("use_case_name")
    if name is not None and (not name or (fields.get("use_case_name") or name) != name):
        for name in _INSTANCE:
            fields.pop(name, None)
    for name, value in told.items():
        if name in _LISTS and value:
            fields[name] = _united(fields.get(name, ()), value)
        elif name in _MAPPINGS and value:
            fields[name] = {**fields.get(name, {}), **value}
        else:
            fields[name] = value


def _united(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Both, each once; what is more than one above the bound could only be dropped later."""
    return tuple(dict.fromkeys((*known, *more)))[: MAX_TAGS + 1]


def _attribution(fields: dict[str, Any]) -> Attribution:
    """The values that fields have in the end: nothing for what was cleared."""
    for name, value in fields.items():
        if value == "":
            fields[name] = None
        elif name in _LISTS and len(value) > MAX_TAGS:
            health.note("tags_dropped", "more than %d %s on one call; the rest is dropped", MAX_TAGS, name)
            fields[name] = value[:MAX_TAGS]
        elif name in _MAPPINGS:
            fields[name] = _kept(name, value)
    return Attribution(**fields)


def _kept(name: str, properties: dict[str, str | None]) -> dict[str, str]:
    """Properties without those that were removed."""
    kept = [(key, text) for key, text in properties.items() if text is not None]
    if len(kept) > MAX_PROPERTIES:
        health.note("properties_dropped", "more than %d %s on one call; the rest is dropped", MAX_PROPERTIES, name)
    return dict(kept[:MAX_PROPERTIES])


def clean(**values: Any) -> Given:
    """What a source tells, with each value checked: what is malformed is dropped or cut, counted, and logged once.

    Raises:
        TypeError: A field has a name that is none of ours.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        cleaner = _CLEANERS.get(name)
        if cleaner is None:
            raise TypeError(f"unknown field {name!r}; valid fields are: {', '.join(_FIELDS)}")
        try:
            checked[name] = cleaner(name, value)
        except Exception:  # a value of the application's own class, which cannot be read
            health.note("field_dropped", "%s is dropped, it cannot be read", name, exc_info=True)
    return Given(**checked)


def _text(name: str, value: object) -> str | None:
    """One short line of text, cut at 256 characters; None if it has control characters or is no text."""
    if is_plain(value):
        return value
    if _is_no_text(value):
        _dropped(name, value, f"{type(value).__name__} is no text")
        return None
    text = _told_as(value).strip()
    if _CONTROL.search(text):
        _dropped(name, text, "control characters")
        return None
    if len(text) > MAX_TEXT:
        health.note("field_cut", "%s is longer than %d characters and is cut: %s", name, MAX_TEXT, health.shown(text))
        return text[:MAX_TEXT]
    return text


def is_plain(value: object) -> TypeGuard[str]:
    """Whether this is a text that is kept as it is: short, printable, no blank at its ends. Most are."""
    if type(value) is not str or len(value) > MAX_TEXT:
        return False
    return value.isprintable() and value[:1] != " " and value[-1:] != " "


_NO_TEXT = (bytes, bytearray, Mapping, list, tuple, set, frozenset, Awaitable)  # their str() is nobody's name


def _is_no_text(value: object) -> bool:
    if isinstance(value, (str, int)):
        return isinstance(value, bool)
    kind = type(value)
    by_address = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    return by_address or callable(value) or isinstance(value, _NO_TEXT)


def _told_as(value: object) -> str:
    """Text, also of ids that are numbers, UUIDs or the like; of an enumeration's member its value, if that is text."""
    return str.__str__(value) if isinstance(value, str) else str(value)


def _named(name: str, value: object) -> str | None:
    """A use case name; empty clears."""
    text = _text(name, value)
    if text and not _NAME.fullmatch(text):
        _dropped(name, text, "not 1 to 64 of A-Z a-z 0-9 . _ -")
        return None
    return text


def _tags(name: str, value: object) -> tuple[str, ...] | None:
    """Labels from a sequence or a comma separated string."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        _dropped(name, value, "neither a list nor a comma separated string")
        return None
    kept: list[str] = []
    dropped = 0
    seen = False
    for part in parts:
        seen = True
        text = part.strip() if isinstance(part, str) else ""
        if text in kept:
            continue
        if len(kept) < MAX_TAGS and _TAG.fullmatch(text):
            kept.append(text)
        elif text or not isinstance(part, str):
            dropped += 1
    if dropped:
        health.note(
            "tags_dropped", "%d of %s dropped: a tag is 1 to 64 of A-Z a-z 0-9 _ -, at most %d a call: %s",
            dropped, name, MAX_TAGS, health.shown(value), n=dropped,
        )  # fmt: skip
    return tuple(kept) if kept or not seen or value == "" else None


def _ids(name: str, value: object) -> tuple[str, ...] | None:
    """Limit ids: short lines of text, comma separated or a sequence."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        _dropped(name, value, "neither a list nor a comma separated string")
        return None
    parts = list(parts)
    kept = list(dict.fromkeys(text for part in parts if (text := _text(name, part))))
    if len(kept) > MAX_TAGS:
        _dropped(name, kept[MAX_TAGS:], f"more than {MAX_TAGS} ids")
    return tuple(kept[:MAX_TAGS]) if kept or not parts or value == "" else None


def _properties(name: str, value: object) -> dict[str, str | None] | None:
    """A flat mapping of text to text; None as a value removes the key."""
    if not isinstance(value, Mapping):
        _dropped(name, value, "not a mapping")
        return None
    kept: dict[str, str | None] = {}
    for key, item in value.items():
        label = _text(name, key)
        if not label or (label not in kept and len(kept) >= MAX_PROPERTIES):
            _dropped(f"a property of {name}", key, f"no key, or more than {MAX_PROPERTIES} properties")
            continue
        kept[label] = None if item is None else _property(name, item)
    return kept if kept or not value else None


def _property(name: str, item: object) -> str:
    text = _CONTROL.sub(" ", _told_as(item))
    if len(text) > MAX_PROPERTY:
        health.note("field_cut", "a value of %s is longer than %d characters and is cut", name, MAX_PROPERTY)
    return text[:MAX_PROPERTY]


def _version(name: str, value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 31:
        _dropped(name, value, "not a whole number from 0 to 2147483647")
        return None
    return number


def _dropped(name: str, value: object, why: str) -> None:
    health.note("field_dropped", "%s is dropped, %s: %s", name, why, health.shown(value))


_CLEANERS = {
    "user_id": _text,
    "account_name": _text,
    "request_tags": _tags,
    "request_properties": _properties,
    "use_case_name": _named,
    "use_case_id": _text,
    "use_case_version": _version,
    "use_case_step": _text,
    "use_case_properties": _properties,
    "limit_ids": _ids,
    "limit_tags": _tags,
    "price_as": _text,
    "resource_scope": _text,
}


def check_use_case(name: object) -> str:
    """The name of a use case as code gives it.

    Raises:
        UseCaseError: It is empty, longer than 64 characters or has others than letters, digits, `.`, `_` and `-`.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise UseCaseError(
        f"use case name {health.shown(name)} is not valid: use 1 to 64 of A-Z a-z 0-9 . _ -, for example 'Document-Summary'"
    )
