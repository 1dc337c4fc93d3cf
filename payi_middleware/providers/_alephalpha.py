"""Aleph Alpha's completions, which tell their counts beside the text.

Source: docs.aleph-alpha.com/api/complete, looked at on 2026-11-25.
"""

from __future__ import annotations

from typing import Any, Final

from ._plain import Counts, name_of, plain, told
from ._texts import named_texts
from .base import Reading

__all__ = ["COMPLETE"]


def _read(value: dict[str, Any]) -> Reading:
    counts = Counts(value, "answer")
    units = {"text": (counts.get("num_tokens_prompt_total"), counts.get("num_tokens_generated"))}
    version = name_of(value, "model_version")  # a name with one, or no more than a date
    if version is not None and version[0].isdigit():
        version = None
    return told(units, counts, model=version or name_of(value))


COMPLETE: Final = plain(
    "/complete", _read, keys=("num_tokens_prompt_total",), texts=named_texts(("prompt",), ("completions",))
)
