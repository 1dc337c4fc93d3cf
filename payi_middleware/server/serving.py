"""What routes use of the running server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Connection

from ..limits.ledger import Ledger
from ..pricing import Prices
from ..store import Store
from ..updates import Updates
from .auth import MANAGE, OWN, READ, SEND, needs
from .keys import Caller
from .managed import Managed
from .metrics import Metrics
from .rates import Rates
from .readers import Readers
from .writer import Writer

__all__ = ["Counting", "Manager", "Managing", "Owner", "Reader", "Reading", "Sender", "Serving", "Writing", "serving"]


class Serving(NamedTuple):
    """The parts of a running server."""

    writer: Writer
    readers: Readers
    events: Store
    """Open for reading."""
    prices: Prices
    ledger: Ledger
    """Where limits are counted; it may wait, so it is asked by threads alone."""
    updates: Updates
    managed: Managed
    rates: Rates
    metrics: Metrics


def serving(request: Request) -> Serving:
    """The server that a request came to."""
    found: Serving = request.app.state.serving
    return found


async def _reading(request: Request) -> AsyncIterator[Connection]:
    async with serving(request).readers.lent() as sql:
        yield sql


def _writer(request: Request) -> Writer:
    return serving(request).writer


def _ledger(request: Request) -> Ledger:
    return serving(request).ledger


def _managed(request: Request) -> Managed:
    return serving(request).managed


Counting: TypeAlias = Annotated[Ledger, Depends(_ledger)]
"""The ledger; for routes that are not `async`."""
Reading: TypeAlias = Annotated[Connection, Depends(_reading)]
"""A connection that cannot write."""
Writing: TypeAlias = Annotated[Writer, Depends(_writer)]
Managing: TypeAlias = Annotated[Managed, Depends(_managed)]

Reader: TypeAlias = Annotated[Caller, Depends(needs(READ))]
Sender: TypeAlias = Annotated[Caller, Depends(needs(SEND))]
Owner: TypeAlias = Annotated[Caller, Depends(needs(OWN))]
Manager: TypeAlias = Annotated[Caller, Depends(needs(MANAGE))]
