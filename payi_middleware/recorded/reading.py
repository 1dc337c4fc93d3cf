"""A recording's file: unpacked, its kind told by what it holds, its exchanges handed out one by one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..exceptions import RecordingError
from ..packed import DAMAGED, unpacked
from . import har, jsonl, vcr
from .exchange import Recorded, Unreadable

__all__ = ["read"]

_YAML_STARTS = (b"interactions:", b"http_interactions:", b"version:", b"recorded_with:", b"---", b"%YAML", b"#")


def read(path: Path) -> Iterator[Recorded | Unreadable]:
    """The exchanges of a file: JSON lines, a HAR file or a VCR cassette, each also packed (xz, gzip, bzip2).

    Raises:
        RecordingError: The file as a whole cannot be read, or is of another kind.
    """
    try:
        with unpacked(path) as file:
            yield from _exchanges(file, path.name)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}") from None


def _exchanges(file: BinaryIO, name: str) -> Iterator[Recorded | Unreadable]:
    damage: list[str] = []
    lines = _whole_lines(file, damage)
    blank, first = 0, b""
    for first in lines:
        if first.strip():
            break
        blank += 1
    rest = itertools.chain([first], lines)
    kind = _kind(name, first)
    if kind == "lines":
        yield from jsonl.exchanges(rest, name, blank + 1)
    else:
        yield from _of_document(kind, rest, name, damage)
    if damage:
        yield Unreadable(name, f"the file is damaged and was read as far as possible ({damage[0]})")


def _whole_lines(file: Iterable[bytes], damage: list[str]) -> Iterator[bytes]:
    """The lines of a file, as far as it can be unpacked; what ends it early is noted."""
    try:
        yield from file
    except DAMAGED as error:
        damage.append(type(error).__name__)


def _kind(name: str, first: bytes) -> str:
    """`lines`, `json` (one document) or `yaml`, by the file's name and its first line."""
    suffix = next((suffix for suffix in reversed(Path(name).suffixes) if suffix not in (".xz", ".gz", ".bz2")), "")
    if suffix in (".yaml", ".yml"):
        return "yaml"
    if suffix in (".jsonl", ".ndjson"):
        return "lines"
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        if first.startswith(_YAML_STARTS):
            return "yaml"
        return "json" if suffix in (".har", ".json") or first.strip() == b"{" else "lines"
    return "json" if har.is_har(found) or vcr.is_cassette(found) else "lines"


def _of_document(kind: str, lines: Iterable[bytes], name: str, damage: list[str]) -> Iterator[Recorded | Unreadable]:
    text = b"".join(lines)
    if damage:
        raise RecordingError(f"{name} is damaged ({damage[0]})")
    document = vcr.loaded(text, name) if kind == "yaml" else _json(text, name)
    if har.is_har(document):
        return har.exchanges(document, name)
    if vcr.is_cassette(document):
        return vcr.exchanges(document, name)
    raise RecordingError(f"{name} is neither JSON lines of exchanges nor a HAR file nor a VCR cassette")


def _json(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RecordingError(f"{name} is no JSON document, nor JSON lines") from None
