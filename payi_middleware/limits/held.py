"""What a process keeps for the calls that its limits hold up: how large holds are, which of them live, how accounts stand."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from ..events import Units
from ..pricing import Prices
from ..settings import Settings
from .dearest import Dearest
from .defined import Defined
from .known import Known
from .leases import Leases
from .ledger import Account, Admitted, Amount, Release
from .limit import Definition
from .matching import Facts, accounts_of
from .outline import MAX_READ, outline
from .recent import Recent
from .snapshot import Snapshot

if TYPE_CHECKING:
    from ..call import Call
    from ..counting.estimates import Estimates

__all__ = ["Held"]

_COUNTED: Final = 8 << 10
"""Bytes of a request, at most, that a tokenizer counts before the call is made: 0.3 ms of prose, 1.3 of the worst."""
_NOT_EXACT: Final = (b'"tools"', b'"functions"', b'"response_format"', b'"json_schema"')
"""Marks of what providers write into the prompt in words of their own: no tokenizer counts that exactly."""


class Held(Defined):
    """See the module.

    Args:
        settings: With absolute paths.
        prices: By which holds are priced.
        estimates: That count requests.
        in_memory: Whether nothing may be kept on disk.
    """

    def __init__(self, settings: Settings, prices: Prices, estimates: Estimates, *, in_memory: bool) -> None:
        super().__init__(settings, in_memory=in_memory, learn=self._learned, renew=self._renew)
        self.prices = prices
        self._estimates = estimates
        self.ceiling = settings.hold_ceiling
        self.recent = Recent()
        self.dearest = Dearest(prices)
        self.snapshot = Snapshot()
        self.leases = Leases()

    # Calls:

    def applying(self, known: Known, facts: Facts) -> list[tuple[Definition, Account]]:
        """The limits of a call with their accounts."""
        return [(known.by_id[account.limit_id], account) for account in accounts_of(known.definitions, facts)]

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

    def _renew(self) -> bool:
        return self.leases.renew(self.tell)
