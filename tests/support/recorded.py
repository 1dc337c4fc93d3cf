"""Recorded traffic, where `PAYI_CORPUS` points at it: a JSON lines file of exchanges, plain or `.xz`."""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["CORPUS", "exchanges"]

CORPUS = os.environ.get("PAYI_CORPUS", "")


def exchanges() -> Iterator[dict[str, Any]]:
    """Each recorded exchange."""
    opened = lzma.open(CORPUS, "rt") if CORPUS.endswith(".xz") else Path(CORPUS).open()  # noqa: SIM115
    with opened as file:
        for line in file:
            yield json.loads(line)
