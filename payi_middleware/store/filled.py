"""From which hour on the rollups have each of the dimensions that came later than their store."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from .connection import Connection
from .schema import CORRECTED, EVER

__all__ = ["filled", "leave_out"]

_LEFT_OUT = f"""
DELETE FROM temp.delta WHERE EXISTS (
    SELECT 1 FROM filled AS f WHERE f.dim IN (delta.dim, delta.dim - {CORRECTED}) AND delta.hour < f.from_hour
)
"""


def filled(connection: Connection) -> dict[int, int]:
    """Dimension -> the first hour that it has; `EVER` where it has all. Of hours before it has nothing."""
    return dict(connection.execute("SELECT dim, from_hour FROM filled").fetchall())


def leave_out(connection: Connection) -> None:
    """Of what was gathered, leave to `filling.py` what is of hours that it has not filled yet."""
    if any(hour != EVER for hour in filled(connection).values()):
        connection.execute(_LEFT_OUT)
