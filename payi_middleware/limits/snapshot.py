"""How accounts stood when this process last heard of them, and what its own calls have added since: cheap, and a little old."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from .ledger import Account, Amount, Settle, Standing, Totals, state_of
from .limit import Definition, rolling_ns
from .reached import amount_of
from .rows import SLICES

__all__ = ["LimitStanding", "Snapshot", "is_own", "standing_of"]

_FRESH: Final = 1.0
"""Seconds after which others are thought to have spent, reset or raised."""
_MOST: Final = 16_384
"""Accounts that are remembered; beyond, all begin anew."""


class LimitStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a limit stands for the running request. Amounts are USD, calls or tokens."""

    limit_id: str
    name: str
    type: str
    unit: str
    state: str | None
    """`ok`, `exceeded` or `overrun`; None if this process has not heard of it yet."""
    max: Decimal
    spent: Decimal | None
    held: Decimal | None
    """By calls that run."""
    left: Decimal | None
    """What may still be spent."""
    resets_at: datetime.datetime | None
    age_seconds: float | None
    """How old this is: other processes may have spent since."""
    own: bool
    """Whether it counts the user or the customer alone, and not others too."""


class _Seen:
    __slots__ = ("at", "held", "spent", "standing")

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.at = time.monotonic()
        self.spent = 0
        """Added by this process since."""
        self.held = 0


class Mark(NamedTuple):
    """What was known of an account at a time."""

    seen: _Seen | None
    spent: int
    held: int

    @property
    def is_added_to(self) -> bool:
        """Whether this process has told the ledger of calls since."""
        return bool(self.spent or self.held)


class Snapshot:
    """By account, what was seen last."""

    def __init__(self) -> None:
        self._seen: dict[Account, _Seen] = {}

    def see(self, standings: Iterable[Standing]) -> None:
        """The ledger told how accounts stand."""
        seen = self._seen
        if len(seen) > _MOST:
            seen.clear()
        for standing in standings:
            seen[Account(standing.limit_id, standing.key)] = _Seen(standing)

    def settled(self, settle: Settle, hold: Amount | None) -> None:
        """A call of this process is counted, and what was held for it is no more; `hold` of one that was held."""
        for account in settle.accounts:
            seen = self._seen.get(account)
            if seen is not None:
                spent = Amount(settle.input_ticks + settle.output_ticks, settle.tokens)
                seen.spent += spent.of(seen.standing.unit)
                seen.held -= 0 if hold is None else hold.of(seen.standing.unit)

    def released(self, accounts: Iterable[Account], hold: Amount) -> None:
        """What was held for a call is no more."""
        for account in accounts:
            seen = self._seen.get(account)
            if seen is not None:
                seen.held -= hold.of(seen.standing.unit)

    def is_old(self, account: Account) -> bool:
        """Whether the ledger is to be asked how it stands: it never told of it, or a while ago."""
        seen = self._seen.get(account)
        return seen is None or time.monotonic() - seen.at > _FRESH

    def mark(self, account: Account) -> Mark:
        """To be taken before the ledger is asked."""
        seen = self._seen.get(account)
        return Mark(None, 0, 0) if seen is None else Mark(seen, seen.spent, seen.held)

    def see_as_of(self, mark: Mark, standing: Standing) -> None:
        """The ledger told how an account stands; nothing is believed of it if calls of this process began or ended meanwhile."""
        if self.mark(Account(standing.limit_id, standing.key)) == mark:
            self.see((standing,))

    def of(self, definition: Definition, account: Account) -> LimitStanding:
        """How an account stands, as far as it is known."""
        limit, seen = definition.limit, self._seen.get(account)
        spent = held = None
        is_rolling = rolling_ns(limit.window) is not None  # of which only a part goes when room returns
        if seen is not None and (is_rolling or not _is_over(seen.standing)):
            spent, held = seen.standing.spent + seen.spent, max(0, seen.standing.held + seen.held)
        elif seen is not None:  # the window turned since
            spent, held = 0, max(0, seen.held)
        resets = None if seen is None or _is_over(seen.standing) else seen.standing.resets_ns

        def amount(counted: int | None) -> Decimal | None:
            return None if counted is None else amount_of(limit.unit, counted)

        left = None if spent is None or held is None else max(0, limit.most - spent - held)
        return LimitStanding(
            limit_id=definition.limit_id,
            name=limit.name,
            type=limit.type,
            unit=limit.unit,
            state=None if spent is None else state_of(spent, limit.most, limit.threshold),
            max=limit.max,
            spent=amount(spent),
            held=amount(held),
            left=amount(left),
            resets_at=None if resets is None else datetime.datetime.fromtimestamp(-(-resets // 10**9), datetime.UTC),
            age_seconds=None if seen is None else time.monotonic() - seen.at,
            own=is_own(definition),
        )


def standing_of(definition: Definition, account: Account, totals: Totals) -> Standing:
    """How an account stands by its running row."""
    limit, spent = definition.limit, totals.spent
    state = state_of(spent, limit.most, limit.threshold)
    starts, resets, rolling = totals.starts_ns, totals.ends_ns, rolling_ns(limit.window)
    if rolling is not None and starts is not None:
        resets = starts + rolling // SLICES + rolling  # its first slice is out of the window
    return Standing(
        account.limit_id,
        limit.name,
        account.key,
        limit.type,
        limit.unit,
        state,
        limit.most,
        spent,
        totals.held,
        starts,
        resets,
    )


def is_own(definition: Definition) -> bool:
    """Whether an account of it counts one user or one customer alone."""
    return "user" in definition.limit.per or "account" in definition.limit.per


def _is_over(standing: Standing) -> bool:
    return standing.resets_ns is not None and standing.resets_ns <= time.time_ns()
