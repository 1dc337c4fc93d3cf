"""Files of events, read one by one: JSON lines, a JSON array or CSV, each also packed.

An object of JSON is an event of ours (`CallEvent.to_dict`) or an item of Pay-i's bulk ingest; one that has an `event_id` is the
former. What is wrong is told with its place, and the others are read.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from ..events import CallEvent
from ..exceptions import EventError
from ..packed import DAMAGED, unpacked
from .columns import Columns
from .items import BulkItem

__all__ = ["LONGEST", "Read", "read"]

LONGEST: Final = 1 << 20
"""Bytes of an object of JSON; characters, in an array."""
_BLOCK = 1 << 16
_BOM = b"\xef\xbb\xbf"
_JSON_SPACE = " \t\r\n"
_NO_UTF8 = "not UTF-8"


class Read(NamedTuple):
    """One event of a file, as it stands there."""

    kind: str
    """`line` or `item`: what `number` counts."""
    number: int
    """From 1."""
    told: CallEvent | BulkItem | EventError


class _Kind(msgspec.Struct):
    """By what an event of ours and Pay-i's items are told apart."""

    event_id: Any = None


_kind_of = msgspec.json.Decoder(_Kind).decode
_item_of = msgspec.json.Decoder(BulkItem).decode


def read(path: Path) -> Iterator[Read]:
    """The events of a file.

    Raises:
        EventError: The file as a whole cannot be read, or is of another kind.
    """
    last = Read("line", 0, EventError(""))
    try:
        with unpacked(path) as file:
            for last in _read(file, path):
                yield last
    except DAMAGED as error:
        if not last.number:
            why = getattr(error, "strerror", None) or error
            raise EventError(f"{path} cannot be read: {why}") from None
        damage = f"the file is damaged behind this and was read as far as possible ({type(error).__name__})"
        yield Read(last.kind, last.number, EventError(damage))


def _read(file: BinaryIO, path: Path) -> Iterator[Read]:
    blank = 0
    first = file.readline(LONGEST + 1).removeprefix(_BOM)
    while first and not first.strip():
        first = file.readline(LONGEST + 1)
        blank += 1
    start = first.lstrip()[:1]
    if not start:
        raise EventError(f"{path} holds nothing")
    if start == b"{":
        return _of_lines(_lines(first, file), blank + 1)
    if start == b"[":
        return _of_array(_Text(first, file))
    return _of_table(first, file, blank)


def _lines(line: bytes, file: BinaryIO) -> Iterator[bytes]:
    """A line and those behind it, of one that is too long its beginning alone."""
    while line:
        rest = line
        while len(rest) > LONGEST and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST + 1)
        yield line
        line = file.readline(LONGEST + 1)


def _of_lines(lines: Iterable[bytes], first: int) -> Iterator[Read]:
    for number, line in enumerate(lines, first):
        if line.strip():
            yield Read("line", number, _object(line))


def _object(text: bytes) -> CallEvent | BulkItem | EventError:
    if len(text) > LONGEST:
        return EventError(f"longer than {LONGEST} bytes")
    try:
        return CallEvent.from_json(text) if _kind_of(text).event_id is not None else _item_of(text)
    except RecursionError:
        return EventError("nested too deeply")
    except ValueError as error:  # msgspec's errors are such too
        return EventError(str(error))


class _Text:
    """The text of a JSON array, of which as much is in memory as an item needs."""

    def __init__(self, first: bytes, file: BinaryIO) -> None:
        self._file = file
        # What is no UTF-8 must fail its own item alone: its marks cannot be encoded again, which is when it does.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self.rest = self._decode(first).lstrip()[1:]

    def more(self) -> bool:
        """Read on; whether there was something."""
        block = self._file.read(_BLOCK)
        self.rest += self._decode(block, final=not block)
        return bool(block)

    def begins(self) -> str:
        """The next character that says something; empty at the end."""
        while True:
            self.rest = self.rest.lstrip(_JSON_SPACE)
            if self.rest or not self.more():
                return self.rest[:1]

    def item(self) -> str | None:
        """The text of the next item, taken off; None if there is none that is whole."""
        while True:
            end = _end_of(self.rest)
            # What ends where the text does may go on.
            if end == len(self.rest) or not end:
                if len(self.rest) <= LONGEST and self.more():
                    continue
                if not end:
                    return None
            item, self.rest = self.rest[:end], self.rest[end:]
            return item


_decoder = json.JSONDecoder()


def _end_of(text: str) -> int:
    """Where the JSON value ends with which a text begins; 0 if none is whole."""
    try:
        return _decoder.raw_decode(text)[1]
    except (ValueError, RecursionError):
        return 0


def _of_array(text: _Text) -> Iterator[Read]:
    if text.begins() == "]":
        return
    for number in itertools.count(1):
        text.begins()
        item = text.item()
        if item is None:
            yield Read("item", number, EventError(f"no JSON, or longer than {LONGEST}; the rest cannot be read"))
            return
        yield Read("item", number, _encoded(item))
        after = text.begins()
        if after != ",":
            if after != "]":
                yield Read("item", number, EventError("no comma follows it; the rest cannot be read"))
            return
        text.rest = text.rest[1:]


def _encoded(item: str) -> CallEvent | BulkItem | EventError:
    try:
        return _object(item.encode())
    except UnicodeEncodeError:
        return EventError(_NO_UTF8)


def _of_table(first: bytes, file: BinaryIO, blank: int) -> Iterator[Read]:
    lines = (line.decode("utf-8", "surrogateescape") for line in _lines(first, file))
    delimiter = max(b",;\t", key=first.count)
    rows = csv.reader(lines, delimiter=chr(delimiter), strict=True)
    header = next(rows)
    if not _is_utf8(header):
        raise EventError(f"the first line is {_NO_UTF8}")
    columns = Columns(header)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Read("line", blank + rows.line_num, EventError(f"no CSV: {error}"))
            continue
        if any(map(str.strip, cells)):
            yield Read("line", blank + rows.line_num, _row(columns, cells))


def _is_utf8(cells: list[str]) -> bool:
    """Whether all bytes of a row were text; what was none has marks, which cannot be encoded again."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(columns: Columns, cells: list[str]) -> BulkItem | EventError:
    if not _is_utf8(cells):
        return EventError(_NO_UTF8)
    try:
        return columns.item(cells)
    except EventError as error:
        return error
    except msgspec.ValidationError as error:
        return EventError(str(error))
