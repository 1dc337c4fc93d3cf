"""The limits of an application as one process keeps to them: what calls and their ends ask, and what the ledger said last."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .. import health
from ..events import CallEvent
from ..exceptions import LedgerError
from ..pricing import Prices
from ..settings import Settings
from .admission import Hold
from .held import Held
from .ledger import Account, Ledger, Renew
from .limit import Definition
from .matching import Facts, route_of
from .owed import Owed
from .settling import Settling
from .snapshot import LimitStanding, standing_of

if TYPE_CHECKING:
    from ..counting.estimates import Estimates
    from .alerts import Alerts

__all__ = ["Limits"]

_AT_ONCE: Final = 50
"""Accounts that the ledger is asked about before our thread does other things: some milliseconds."""
_PAUSE: Final = 1.0
"""Seconds after which it is asked again when it did not answer."""


class Limits(Held):
    """See the module. Making one opens nothing.

    Args:
        settings: With absolute paths.
        prices: By which holds are priced.
        estimates: That count requests.
        in_memory: Whether nothing may be kept on disk.
        owed: Where calls are remembered that are stored while the ledger is away; None if they are in no store.
        tells: Whether alerts are told: a command that finds some leaves them to the application.
    """

    def __init__(
        self,
        settings: Settings,
        prices: Prices,
        estimates: Estimates,
        *,
        in_memory: bool = False,
        owed: Owed | None = None,
        tells: bool = True,
    ) -> None:
        super().__init__(settings, prices, estimates, in_memory=in_memory)
        self._settling = Settling(self, self.dearest, settings, owed)
        self._tells = tells
        self._wanted: dict[Account, Definition] = {}
        """Accounts of which somebody wants to know how they stand."""
        self._looking: Future[None] | None = None
        self._look_after = 0.0
        self._alerts: Alerts | None = None
        """Made when a limit has any: who has none need not load what sends."""

    def _learned(self) -> None:
        from . import sizing  # noqa: F401 - what calls would load: here no event loop waits for it

        super()._learned()

    # Calls:

    def hold(self) -> Hold:
        """What limits have to do with a call that begins now."""
        return Hold(self)

    # How limits stand:

    def standings(self, facts: Facts, inbound: msgspec.Raw) -> tuple[LimitStanding, ...]:
        """How the limits of a call stand that would begin now, as this process heard of them last. Never waits, never raises.

        What it never heard of, or a second ago, is asked for, so that it is known the next time.
        """
        try:
            known = self.known()
            if isinstance(known, Future):
                known = self.last()
            if known.needs_route:
                facts = facts._replace(route=route_of(inbound))
            applying = self.applying(known, facts)
            old = {account: definition for definition, account in applying if self.snapshot.is_old(account)}
            if old and self._ledger is not None and not self.is_away:
                self._look_up(self._ledger, old)
            return tuple([self.snapshot.of(*one) for one in applying])
        except Exception:
            health.note("limit_fault", "limits could not be shown", exc_info=True)
            return ()

    def _look_up(self, ledger: Ledger, wanted: dict[Account, Definition]) -> None:
        """Have the ledger asked; by our own thread, if it may wait."""
        self._wanted |= wanted
        if not ledger.waits:
            self._look()
        elif self._looking is None or self._looking.done():
            self._looking = self._errands.do(self._look)

    def _look(self) -> None:
        """Ask the ledger how accounts stand that somebody wants to know of. That it does not answer is for calls to find out."""
        ledger = self._ledger
        if ledger is None or time.monotonic() < self._look_after:
            return
        try:
            for _ in range(min(_AT_ONCE, len(self._wanted))):
                self._ask_about(ledger, *self._wanted.popitem())
        except KeyError:  # another thread was quicker
            return
        except LedgerError:
            self._wanted.clear()
            self._look_after = time.monotonic() + _PAUSE
            return
        if self._wanted and ledger.waits:
            self._looking = self._errands.do(self._look)  # whatever else waits for our thread comes before

    def _ask_about(self, ledger: Ledger, account: Account, definition: Definition) -> None:
        mark = self.snapshot.mark(account)
        if mark.is_added_to and ledger.waits:
            self.ask_all((Renew(()),), self.patience)  # nothing, behind what was told
        for totals in ledger.totals(self.application, *account):
            self.snapshot.see_as_of(mark, standing_of(definition, account, totals))

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

    def stored(self, events: Sequence[CallEvent]) -> None:
        """Events of which `settled` told are in the store, from where they can be counted later. Never raises."""
        self._settling.remember(events)

    def catch_up(self) -> None:
        """Count what was stored while the ledger was away, by this process or by one that is gone. Never raises."""
        self._settling.catch_up()

    @property
    def is_behind(self) -> bool:
        """Whether calls of this process wait to be counted."""
        return self._settling.waiting > 0

    def look(self) -> None:
        """See whether there are alerts to tell; returns at once."""
        if not self._tells or not self._last.tells or self.is_away:
            return
        if self._alerts is None:
            from .alerts import alerts_of

            self._alerts = alerts_of(self._settings, self._opened, self.application)
        self._alerts.look()

    # What looks after them:

    def health(self) -> dict[str, Any] | None:
        """What `payi doctor` tells; None where there are no limits."""
        if self._ledger is None and self._away_since is None:
            return None
        return {
            "ledger": self.ledger_id,
            "place": self._place(),
            "shared": self._is_shared(),
            "sends": bool(self._settings.api_key),
            "limits": len(self._last.definitions.limits),
            "running": len(self.leases),
            "unsettled": self._settling.waiting,
            "away_since_ns": self._away_since_ns(),
        }

    def close(self, timeout: float) -> None:
        """Have done what was told, and let go of all; the next call opens it anew.

        Of a ledger that hangs nothing is pulled from under its feet: it is left as it is, and the process's end closes it.
        """
        ends = time.monotonic() + timeout

        def left() -> float:
            return max(0.0, ends - time.monotonic())

        self._errands.close(timeout)
        if self._alerts is not None:
            self._alerts.close(left())
        try:
            with self._reading_alone(left()):
                way, ledger = self._taken_off()
                if self._ledger is None:
                    self._forget_read()
        except LedgerError:
            health.log.warning("the ledger of limits hangs: it is not closed")
            return
        if way is not None:
            way.close(left())
        if ledger is not None:
            _close(ledger, left())


def _close(ledger: Ledger, seconds: float) -> None:
    """In a thread of its own, as whoever asks a ledger that hangs may hold its lock."""
    closing = threading.Thread(target=ledger.close, name="payi-closing", daemon=True)
    try:
        closing.start()
    except RuntimeError:  # the process ends, or has too many
        ledger.close()
    else:
        closing.join(seconds)
