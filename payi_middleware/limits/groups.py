"""What several limits want together that apply to one call. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .limit import Definition

__all__ = ["Group", "group_of"]


class Group(NamedTuple):
    """Limits that apply to the same calls."""

    holds_up: bool
    """Whether a call has to be let through by them; else it is only counted when it ended."""
    is_closed: bool
    """Whether none is let through while their ledger is out of reach."""
    is_strict: bool
    """Whether one of them may not be passed by anything: then what is held is a bound."""
    counts_money: bool
    counts_calls_alone: bool
    """Whether it does not matter how much a call takes."""
    refuses_unknown: bool
    """Whether no call goes whose price is not known."""
    pays_unknown: bool
    """Whether such a call is held at, and charged by, the dearest model: a limit of money wants that, one suffices."""


def group_of(definitions: Sequence[Definition]) -> Group:
    """The limits together."""
    limits = [definition.limit for definition in definitions]
    money = [limit for limit in limits if limit.unit == "usd"]
    return Group(
        holds_up=any(limit.type == "block" or limit.closed_on_error for limit in limits),
        is_closed=any(limit.closed_on_error for limit in limits),
        is_strict=any(limit.strict for limit in limits),
        counts_money=bool(money),
        counts_calls_alone=all(limit.unit == "calls" for limit in limits),
        refuses_unknown=any(limit.refuses_unknown for limit in money),
        pays_unknown=any(limit.unknown_price != "allow" for limit in money),
    )
