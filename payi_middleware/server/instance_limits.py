"""The limit that each new instance of a use case gets, if its definition says so.

Its id is made of the instance, so that a transaction that is repeated makes it once. Of an application so many are kept: instances
are runs, and those of long ago are over.
"""

from __future__ import annotations

from typing import Any, Final

from ..events import format_id, usd
from ..limits.limit import LONGEST_NAME, Definition, Limit
from ..once import event_id

__all__ = ["MOST", "limit_of"]

MOST: Final = 1_000
"""Limits of instances that an application has at once; beyond it the oldest go, with their history kept."""


def limit_of(application: str, use_case: str, use_case_id: str, config: dict[str, Any]) -> Definition:
    """The limit of an instance, as `limit_config` has it."""
    limit_id = format_id(event_id(f"limit of an instance\n{application}\n{use_case}", use_case_id))
    name = f"{use_case} {use_case_id}"
    if len(name) > LONGEST_NAME or not name.isprintable():
        name = f"{use_case} {limit_id}"  # of 64 and 36 characters at most
    return Definition(
        limit_id=limit_id,
        application=application,
        limit=Limit(name, usd(config["max_ticks"]), type=config["limit_type"], threshold=config["threshold"]),
        source="instance",
        properties=config["properties"],
    )
