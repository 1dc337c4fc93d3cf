"""The limits of an application as one process keeps to them: what calls and their ends ask, and what the ledger said last."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .. import health
from ..events import CallEvent, Units
from ..pricing import Prices
from ..settings import Settings
from .admission import Hold, route_of
from .asking import MAX_READ
from .dearest import Dearest
from .defined import Defined
from .known import Known
from .leases import Leases
from .ledger import Account, Admitted, Amount, Ledger, Release
from .limit import Definition
from .matching import Facts, accounts_of
from .outline import outline
from .owed import Owed
from .recent import Recent
from .settling import Settling
from .snapshot import LimitStanding, Snapshot, standing_of

if TYPE_CHECKING:
    from ..call import Call
    from ..counting.estimates import Estimates
    from .alerts import Alerts

__all__ = ["Limits"]

_COUNTED: Final = 8 << 10
"""Bytes of a request, at most, that a tokenizer counts before the call is made: 0.3 ms of prose, 1.3 of the worst."""
_NOT_EXACT: Final = (b'"tools"', b'"functions"', b'"response_format"', b'"json_schema"')
"""Marks of what providers write into the prompt in words of their own: no tokenizer counts that exactly."""


class Limits(Defined):
    """See the module. Making one opens nothing.

    Args:
        settings: With absolute paths.
        prices: By which holds are priced.
        estimates: That count requests.
        in_memory: Whether nothing may be kept on disk.
        owed: Where calls are remembered that are stored while the ledger is away; None if they are in no store.
    """

    def __init__(
        self,
        settings: Settings,
        prices: Prices,
        estimates: Estimates,
        *,
        in_memory: bool = False,
        owed: Owed | None = None,
    ) -> None:
        super().__init__(settings, in_memory=in_memory, learn=self._learned, renew=self._renew)
        self.prices = prices
        self._estimates = estimates
        self.ceiling = settings.hold_ceiling
        self.recent = Recent()
        self.dearest = Dearest(prices)
        self.snapshot = Snapshot()
        self.leases = Leases()
        self._settling = Settling(self, self.dearest, settings, owed)
        self._alerts: Alerts | None = None
        """Made when a limit has any: who has none need not load what sends."""

    # Calls:

    def hold(self) -> Hold:
        """What limits have to do with a call that begins now."""
        return Hold(self)

    def admitted(self, event_id: bytes, answer: Admitted) -> None:
        """A call is made; its hold lives as long as it does."""
        self.leases.add(event_id)
        self._errands.attend()
        self.snapshot.see(answer.standings)
        if self._away_since is not None:
            self._came_back()

    def released(self, event_id: bytes, accounts: tuple[Account, ...], hold: Amount) -> None:
        """A call was not made."""
        self.leases.drop(event_id)
        self.tell(Release(event_id))
        self.snapshot.released(accounts, hold)

    # How large a hold is:

    def counted(self, call: Call, model: str | None) -> Units | None:
        """The input of a call as a tokenizer counts it, where one counts it exactly and quickly."""
        body, endpoint = call.exchange.body, call.route.endpoint
        if body is None or len(body) > _COUNTED or endpoint.texts is None or any(mark in body for mark in _NOT_EXACT):
            return None
        return self._estimates.exactly(endpoint, body, model)

    def outlined(self, body: bytes) -> Future[bytes | None]:
        """Have the outline of a long body made: it takes milliseconds."""
        return self._errands.do(lambda: outline(body, MAX_READ))

    def find_dearest(self, provider: str) -> Future[Any]:
        """Have the dearest model of a maker found: it takes milliseconds."""
        return self._errands.do(lambda: self.dearest.find(provider))

    def _learned(self) -> None:
        """What holds are sized by: the rates, and of the calls of earlier processes how long answers are."""
        from ..usual import recent_answers

        self.prices.load()
        if not self._in_memory:
            self.recent.take(recent_answers(self._settings))

    # How limits stand:

    def applying(self, known: Known, facts: Facts) -> list[tuple[Definition, Account]]:
        """The limits of a call with their accounts."""
        return [(known.by_id[account.limit_id], account) for account in accounts_of(known.definitions, facts)]

    def standings(self, facts: Facts, inbound: msgspec.Raw) -> tuple[LimitStanding, ...]:
        """How the limits of a call stand that would begin now, as this process heard of them last. Never waits, never raises.

        What it never heard of is asked for, so that it is known the next time.
        """
        try:
            known = self.known()
            if isinstance(known, Future):
                known = self._last
            if known.needs_route:
                facts = facts._replace(route=route_of(inbound))
            applying = self.applying(known, facts)
            unheard = [account for _, account in applying if not self.snapshot.knows(account)]
            if unheard and self._ledger is not None and not self.is_away:
                self._look_up(self._ledger, known, unheard)
            return tuple([self.snapshot.of(*one) for one in applying])
        except Exception:
            health.note("limit_fault", "limits could not be shown", exc_info=True)
            return ()

    def _look_up(self, ledger: Ledger, known: Known, accounts: list[Account]) -> None:
        def look() -> None:
            for account in accounts:
                definition = known.by_id[account.limit_id]
                for totals in ledger.totals(self.application, *account):
                    self.snapshot.see((standing_of(definition, account, totals),))

        if ledger.waits:
            self._errands.do(look)
        else:
            look()

    # The draining thread:

    def settled(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        """The events with the states in which they left their limits: each is counted by now, or is kept to be counted later.

        Never raises: no limit keeps an event from the store.
        """
        try:
            counted = self._settling.settled(events)
            self.look()
        except Exception:
            health.note(
                "limit_fault", "calls could not be counted to their limits: see `payi limits audit`", exc_info=True
            )
            return list(events)
        return counted

    def stored(self) -> None:
        """The events of which `settled` told are in the store, from where they can be counted later. Never raises."""
        self._settling.remember()

    def catch_up(self) -> None:
        """Count what was stored while the ledger was away, by this process or by one that is gone. Never raises."""
        self._settling.catch_up()

    @property
    def is_behind(self) -> bool:
        """Whether calls of this process wait to be counted."""
        return self._settling.waiting > 0

    def look(self) -> None:
        """See whether there are alerts to tell; returns at once."""
        if not self._last.tells or self.is_away:
            return
        if self._alerts is None:
            from .alerts import alerts_of

            self._alerts = alerts_of(self._settings, self._opened, self.application)
        self._alerts.look()

    # What looks after them:

    def _renew(self) -> bool:
        return self.leases.renew(self.tell)

    def health(self) -> dict[str, Any] | None:
        """What `payi doctor` tells; None where there are no limits."""
        if self._ledger is None and self._away_since is None:
            return None
        return {
            "ledger": self.ledger_id,
            "place": self._place(),
            "shared": self._is_shared(),
            "limits": len(self._last.definitions.limits),
            "running": len(self.leases),
            "unsettled": self._settling.waiting,
            "away_since_ns": self._away_since_ns(),
        }

    def close(self, timeout: float) -> None:
        """Have done what was told, and let go of all; the next call opens it anew."""
        self._errands.close(timeout)
        if self._alerts is not None:
            self._alerts.close(timeout)
        with self._reading:
            way, ledger = self._taken_off()
            if self._ledger is None:
                self._forget_read()
        if way is not None:
            way.close(timeout)
        if ledger is not None:
            ledger.close()
