"""`GET /api/v1/capabilities`: what this server can, by which a client tells it from Pay-i; and its bounds."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request

from ...events import SCHEMA
from ..bounds import BODY, LINE, RATIO, STREAM, encodings
from ..errors import Answer
from ..paging import MOST
from ..serving import Owner, serving
from ..writer import MOST_WAITING

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/capabilities", tags=["server"])


@router.get("")
def capabilities(request: Request, caller: Owner) -> Answer:
    """What the server is, who the key speaks for, and how much may come in."""
    running = serving(request)
    told: dict[str, Any] = {
        "server": "payi-middleware",
        "version": version("payi-middleware"),
        "price_version": running.prices.version,
        "application": caller.name,
        "role": caller.role,
        "events": {"path": "/api/v1/events", "schema": SCHEMA, "content_encodings": encodings()},
        "bounds": {
            "body_bytes": BODY,
            "stream_bytes": STREAM,
            "line_bytes": LINE,
            "compression_ratio": RATIO,
            "page_items": MOST,
            "events_waiting": MOST_WAITING,
            "requests_per_second": running.rates.requests,
            "events_per_second": running.rates.events,
        },
    }
    return Answer(told)
