"""Items of Pay-i's shape, refused in its words: what is wrong with one is an answer here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..exceptions import EventError
from ..manual import items
from ..manual.items import BulkItem, Draft, Item
from .errors import MALFORMED, ApiError

__all__ = ["draft_of", "refusal_of"]

_IN_HEADERS = frozenset(f"`{name}`" for name in BulkItem.__struct_fields__ if name not in Item.__struct_fields__)


def draft_of(item: Item, told: Mapping[str, Any], application: str) -> Draft:
    """What is kept of an item; see `manual.items.draft_of`.

    Raises:
        ApiError: Something in it cannot be.
    """
    try:
        return items.draft_of(item, told, application)
    except EventError as error:
        raise ApiError(400, error.message, error.code or MALFORMED) from None


def refusal_of(error: Exception) -> ApiError:
    """What a decoder's error means to who sent the body."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return ApiError(400, f"the body is no JSON: {text}", "invalid_json")
    code = "required_field_missing" if "missing required field" in text else MALFORMED
    if "unknown field" in text and any(name in text for name in _IN_HEADERS):
        text += "; in a single ingest it is told by an xProxy header"
    return ApiError(400, text, code)
