"""Recordings for tests: exchanges made up here, in each kind of file that is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exchanges import ANSWER, REQUEST, URL

from payi_middleware.recorded import Recorded, read

__all__ = ["DATE", "DATE_NS", "har", "line", "one", "recorded", "written"]

DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
DATE_NS = 1_795_176_000 * 10**9


def line(**changes: Any) -> dict[str, Any]:
    """A record of the JSON lines: a chat completion for 0.0000270 USD. A change to `...` leaves the member out."""
    record = {
        "source": "made#0",
        "method": "POST",
        "url": URL,
        "request_body": REQUEST.decode(),
        "status": 200,
        "response_headers": {"date": DATE, "content-type": "application/json"},
        "response_body": ANSWER.decode(),
    }
    return {name: value for name, value in (record | changes).items() if value is not ...}


def har(*entries: dict[str, Any]) -> dict[str, Any]:
    """A HAR file."""
    return {"log": {"version": "1.2", "entries": list(entries)}}


def written(folder: Path, name: str, *records: Any) -> Path:
    """A file with these records, a JSON line each; text as it is, and bytes without a line's end."""
    path = folder / name
    with path.open("wb") as file:
        for record in records:
            if isinstance(record, bytes):
                file.write(record)
            else:
                file.write((record if isinstance(record, str) else json.dumps(record)).encode() + b"\n")
    return path


def one(path: Path) -> Recorded:
    """The only exchange of a file."""
    (found,) = read(path)
    assert isinstance(found, Recorded), found
    return found


def recorded(folder: Path, **changes: Any) -> Recorded:
    """The exchange of a JSON line."""
    return one(written(folder, "made.jsonl", line(**changes)))
