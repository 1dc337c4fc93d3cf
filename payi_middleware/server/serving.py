"""What routes use of the running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from ..limits.ledger import Ledger
from ..pricing import Prices
from ..store import Store
from .auth import MANAGE, OWN, READ, SEND, needs
from .keys import Caller
from .metrics import Metrics
from .writer import Writer

__all__ = ["Counting", "Manager", "Owner", "Reader", "Reading", "Sender", "Serving", "Writing", "serving"]


class Serving(NamedTuple):
    """The parts of a running server."""

    writer: Writer
    readers: Engine
    events: Store
    """Open for reading."""
    prices: Prices
    ledger: Ledger
    """Where limits are counted; it may wait, so it is asked by threads alone."""
    metrics: Metrics


def serving(request: Request) -> Serving:
    """The server that a request came to."""
    found: Serving = request.app.state.serving
    return found


def _reading(request: Request) -> Iterator[Connection]:
    with serving(request).readers.connect() as sql:
        yield sql


def _writer(request: Request) -> Writer:
    return serving(request).writer


def _ledger(request: Request) -> Ledger:
    return serving(request).ledger


Counting: TypeAlias = Annotated[Ledger, Depends(_ledger)]
"""The ledger; for routes that are not `async`."""
Reading: TypeAlias = Annotated[Connection, Depends(_reading)]
"""A connection that cannot write."""
Writing: TypeAlias = Annotated[Writer, Depends(_writer)]

Reader: TypeAlias = Annotated[Caller, Depends(needs(READ))]
Sender: TypeAlias = Annotated[Caller, Depends(needs(SEND))]
Owner: TypeAlias = Annotated[Caller, Depends(needs(OWN))]
Manager: TypeAlias = Annotated[Caller, Depends(needs(MANAGE))]
