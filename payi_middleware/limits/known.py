"""Definitions of limits as they were read, ready to be asked by each call."""

from __future__ import annotations

from typing import Final, NamedTuple

from .groups import Group, group_of
from .instances import account_named
from .ledger import Account, Definitions
from .limit import Definition

__all__ = ["NOTHING", "Known", "known_of"]

_MOST_GROUPS: Final = 1_000


class Known(NamedTuple):
    """Definitions, ready to be asked."""

    definitions: Definitions
    by_id: dict[str, Definition]
    needs_route: bool
    tells: bool
    """Whether any of them has alerts."""
    groups: dict[tuple[str, ...], Group]
    """Remembered; by the ids of those that apply together."""
    names: frozenset[str]
    """By which calls may name them: ids and names."""
    personal: tuple[Definition, ...]
    """Those with accounts of users or customers."""

    def has(self, name: str) -> bool:
        """Whether calls that name this name a limit that is there."""
        if name in self.names:
            return True
        account = account_named(name)
        return account is not None and account.limit_id in self.by_id

    def group(self, accounts: tuple[Account, ...]) -> Group:
        """What limits want together that apply to one call."""
        ids = tuple([account.limit_id for account in accounts])
        found = self.groups.get(ids)
        if found is None:
            if len(self.groups) >= _MOST_GROUPS:
                self.groups.clear()
            found = self.groups[ids] = group_of([self.by_id[limit_id] for limit_id in ids])
        return found


def known_of(definitions: Definitions) -> Known:
    """Definitions made ready."""
    limits = definitions.limits
    names = {name for one in limits for name in (one.limit_id, one.limit.name)}
    names |= {name for one in definitions.unreadable for name in (one.limit_id, one.name)}
    return Known(
        definitions,
        {one.limit_id: one for one in limits},
        needs_route=any("route" in one.limit.match for one in limits),
        tells=any(one.limit.alerts for one in limits),
        groups={},
        names=frozenset(names),
        personal=tuple(one for one in limits if not {"user", "account"}.isdisjoint(one.limit.per)),
    )


NOTHING: Final = known_of(Definitions(-1, ()))
