"""Files that may be packed, told by what they begin with and never by their name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

__all__ = ["DAMAGED", "unpacked"]

_OPENERS: dict[bytes, Callable[..., Any]] = {b"\xfd7zXZ\x00": lzma.open, b"\x1f\x8b": gzip.open, b"BZh": bz2.open}

DAMAGED = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading raises where a packed file ends early or is broken."""


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, without gzip, xz or bzip2 around them; a pipe may be one too.

    Raises:
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        start = file.peek(6)[:6]
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            yield file
            return
        with opener(file, "rb") as inner:
            yield cast(BinaryIO, inner)
