"""Forms as JSON: what of a multipart request tells what is asked for, and never what is in its files.

SDKs send pictures and sounds as `multipart/form-data`. The model, the number and the size of what is asked for are
fields of the form; of a file only its size and type are kept. The JSON has the fields by name (several of one name, or
of `name[]`, as a list), and the files under `files`, so that an endpoint reads both kinds of request alike. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

__all__ = ["Field", "as_json", "of_fields", "parsed"]

_MOST_FIELDS: Final = 256
_LONGEST: Final = 1 << 16
"""Characters of a field's value that are kept: a prompt, at most."""

_BOUNDARY: Final = re.compile(r'boundary="?([^";,]{1,200})"?', re.IGNORECASE)
_FIRST_LINE: Final = re.compile(
    rb"--([^\s\"]{1,200})\r?\n(?:content-[\w-]+:[^\n]{0,200}\n){0,2}?content-disposition:[ \t]*form-data", re.IGNORECASE
)
_NAME: Final = re.compile(rb'[;\s]name=(?:"([^"]{0,256})"|([^\s";]{1,256}))', re.IGNORECASE)  # .NET writes no quotes
_FILE: Final = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)
_TYPE: Final = re.compile(rb"^content-type:[ \t]*([\w.+/-]{1,128})", re.IGNORECASE | re.MULTILINE)


class Field(NamedTuple):
    """A field of a form."""

    name: str
    value: str = ""
    size: int | None = None
    """Bytes of a file, -1 where nobody knows; None for a field that is no file."""
    type: str = ""


def as_json(body: bytes, content_type: str = "") -> bytes:
    """A request's body, and that of a form as a JSON object of its fields.

    Args:
        body: As it is sent, or as it was recorded.
        content_type: The request's header; without one, a form tells its boundary in its first line.
    """
    if body[:2] != b"--":
        return body
    found = _BOUNDARY.search(content_type)
    if found is not None:
        return of_fields(parsed(body, found[1].strip()))
    first = _FIRST_LINE.match(body)
    return body if first is None else of_fields(parsed(body, first[1].decode("latin-1")))


def of_fields(fields: Iterable[Field]) -> bytes:
    """The JSON object of a form's fields."""
    told: dict[str, Any] = {}
    files: list[dict[str, Any]] = []
    for field in fields:
        if field.size is not None:
            files.append({"name": field.name, "size": field.size, "type": field.type})
        elif field.name.endswith("[]"):
            told.setdefault(field.name[:-2], []).append(_plain(field.value))
        else:
            told[field.name] = _plain(field.value)
    if files:
        told["files"] = files
    return json.dumps(told).encode()


def _plain(text: str) -> str | bool:
    """A field's value: forms write `true` where JSON has a switch."""
    return {"true": True, "false": False}.get(text, text[:_LONGEST])


def parsed(body: bytes, boundary: str) -> Iterator[Field]:
    """The fields of a form's bytes; what is no field is passed over."""
    mark = b"--" + boundary.encode("latin-1", "replace")
    start = 0 if body.startswith(mark) else _behind(body, b"\n" + mark, 0) - len(mark)
    for _ in range(_MOST_FIELDS):
        if start < 0 or not body.startswith(mark, start):
            return
        start += len(mark)
        end = body.find(b"\n" + mark, start)
        field = _field(body, start, len(body) if end < 0 else end)
        if field is not None:
            yield field
        start = end + 1 if end >= 0 else -1


def _behind(body: bytes, mark: bytes, start: int) -> int:
    at = body.find(mark, start)
    return -1 if at < 0 else at + len(mark)


def _field(body: bytes, start: int, end: int) -> Field | None:
    """One part of a form, between its boundaries; recordings may have lost the carriage returns."""
    blank = min(
        (at for at in (body.find(b"\r\n\r\n", start, end), body.find(b"\n\n", start, end)) if at >= 0), default=-1
    )
    if blank < 0:
        return None
    head = body[start:blank]
    name = _NAME.search(head)
    if name is None:
        return None
    begins = blank + (4 if body.startswith(b"\r\n\r\n", blank) else 2)
    if end > begins and body[end - 1 : end] == b"\r":
        end -= 1
    kind = _TYPE.search(head)
    named = (name[1] or name[2] or b"").decode("utf-8", "replace")
    if _FILE.search(head) is None:
        return Field(named, body[begins : min(end, begins + 4 * _LONGEST)].decode("utf-8", "replace"))
    return Field(named, "", max(end - begins, 0), kind[1].decode() if kind else "")
