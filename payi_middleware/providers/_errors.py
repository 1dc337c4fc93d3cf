"""The kind of a provider's error, never its text: a text can quote the prompt."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from .base import Headers

__all__ = ["Error", "error_type", "headers_error"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Error(msgspec.Struct, gc=False):
    """The members by which providers name the kind of an error."""

    code: Any = None
    type: Any = None
    status: Any = None


def error_type(error: Error | None) -> str | None:
    """The most telling of code, status and type; `error` where none is a plain word; None where there is no error."""
    if error is None:
        return None
    told = (str(word) for word in (error.code, error.status, error.type) if isinstance(word, str | int))
    words = [word for word in told if _PLAIN.fullmatch(word)]
    # A number (429) says less than a word beside it.
    return next((word for word in words if not word.isdigit()), words[0] if words else "error")


def headers_error(headers: Headers) -> str | None:
    """The type of an error as AWS tells it beside the body: `ValidationException:http://...`."""
    told = (headers.get("x-amzn-errortype") or "").partition(":")[0]
    return told if _PLAIN.fullmatch(told) else None
