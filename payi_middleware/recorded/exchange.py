"""One recorded exchange, whatever kind of file it is from, and the checks that all kinds have in common."""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = ["Malformed", "Place", "Recorded", "Unreadable", "body_of", "by_name", "from_base64", "made", "moment_of"]

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_HEAD = 64 << 10
_CREATED = re.compile(  # OpenAI and its like (`created`, `created_at` of a response: seconds), Ollama, Vertex (a date)
    rb"""(?<!\\)"(?:created|created_at|createTime)"\s*:\s*(?:([12]\d{9})(?!\d)|"(20\d\d-[0-9T:.Z+-]{6,40})")"""
)


class Malformed(ValueError):  # noqa: N818 - it reads as what it is
    """An exchange lacks something, or has it in a form that says nothing; the message tells which."""


class Unreadable(NamedTuple):
    """An exchange that the file holds and that cannot be read."""

    where: str
    """The file's name, with the line or the number of the entry."""
    why: str


class Place(NamedTuple):
    """Where a request went, with the names that URLs of HTTP libraries have."""

    scheme: str
    host: str
    port: int | None
    path: str
    """Decoded, without the query."""


class Recorded(NamedTuple):
    """One exchange as it was recorded."""

    source: str
    """What names it in the results."""
    method: str
    place: Place
    request: bytes | None
    """The request's body; None where the recording lacks it."""
    status: int
    headers: dict[str, str]
    """Of the answer, names in lower case."""
    body: bytes
    """Of the answer; encoded as `headers` tell, or decoded although they tell otherwise."""
    recorded_ns: int | None = None
    """The recording's own date, nanoseconds since the epoch."""
    framing: str | None = None
    """As the recording names it."""

    @property
    def date_ns(self) -> int | None:
        """When the provider says that it answered, nanoseconds since the epoch."""
        try:
            return _ns(parsedate_to_datetime(self.headers.get("date", "")))
        except (ValueError, OverflowError):  # missing, or blotted out by whoever recorded it
            return None

    @property
    def created_ns(self) -> int | None:
        """When the provider says, in the answer's first piece, that it made it; nanoseconds since the epoch."""
        found = _CREATED.search(self.body, 0, _HEAD)
        if found is None:
            return None
        return int(found[1]) * 1_000_000_000 if found[1] else moment_of(found[2].decode("ascii"))

    @property
    def encoding(self) -> str | None:
        """The content-encoding that the body still has. Recorders decode bodies and leave the header as it was."""
        encoding = self.headers.get("content-encoding")
        return encoding if encoding and not _is_text(self.body) else None


def made(
    source: str,
    method: Any,
    url: Any,
    request: bytes | None,
    status: Any,
    headers: dict[str, str],
    body: bytes,
    recorded_ns: int | None = None,
    framing: Any = None,
) -> Recorded:
    """The exchange of what a file tells.

    Raises:
        Malformed: Something is missing or malformed.
    """
    if not isinstance(method, str) or not method:
        raise Malformed("the request's method is missing")
    if status is None:
        status = 200  # not every recorder keeps it; an answer that is an error says so itself
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status < 1000:
        raise Malformed("the answer's status is no status of HTTP")
    framing = framing if isinstance(framing, str) else None
    return Recorded(source, method.upper(), _place(url), request, status, headers, body, recorded_ns, framing)


def _place(url: Any) -> Place:
    if not isinstance(url, str) or not url:
        raise Malformed("the request's URL is missing")
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        raise Malformed("the request's URL is malformed") from None
    if not host:
        raise Malformed("the request's URL names no host")
    return Place(split.scheme, host, port, unquote(split.path))


def body_of(value: Any) -> bytes:
    """The bytes of a body that a file holds as text, as bytes, or as the JSON value it stood for."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode("utf-8", "replace")


def from_base64(value: Any) -> bytes:
    """The bytes of a body in base64.

    Raises:
        Malformed: It is none.
    """
    try:
        return base64.b64decode(value, validate=False)
    except (binascii.Error, TypeError, ValueError):
        raise Malformed("a body in base64 is malformed") from None


def by_name(headers: Any) -> dict[str, str]:
    """Headers by name in lower case: of a mapping to a value or to several, or of a list of names and values."""
    found: dict[str, str] = {}
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(headers, Mapping):
        pairs = headers.items()
    elif isinstance(headers, list):
        pairs = [(entry.get("name"), entry.get("value")) for entry in headers if isinstance(entry, Mapping)]
    for name, value in pairs:
        text = ", ".join(map(_text, value)) if isinstance(value, list) else _text(value)
        if name is not None and text:
            found.setdefault(_text(name).lower(), text)
    return found


def moment_of(value: Any) -> int | None:
    """Nanoseconds since the epoch of a date as ISO 8601 or an e-mail has it, or YAML has read it; None if it is none."""
    try:
        if isinstance(value, datetime.datetime):
            return _ns(value)
        if not isinstance(value, str):
            return None
        return _ns(datetime.datetime.fromisoformat(value) if value[:4].isdigit() else parsedate_to_datetime(value))
    except (ValueError, OverflowError):
        return None


def _ns(moment: datetime.datetime) -> int:
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return (zoned - _EPOCH) // _MICROSECOND * 1000


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return "" if value is None else str(value)


def _is_text(body: bytes) -> bool:
    """Whether the body is UTF-8, which gzip and zstd never are, and deflate and br hardly ever."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
