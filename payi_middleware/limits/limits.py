"""The limits of an application as one process keeps to them: what applies, where it is counted, what the ledger said last.

An application without limits pays for one look at a clock a call. Where limits could be is looked at about once a second, by
a call, so that no thread has to: the file of a ledger that is not there by asking for the file, another ledger in the background;
a call that comes after a pause waits for that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from .. import health
from ..events import CallEvent, Units, format_id
from ..exceptions import LedgerError, LimitError
from ..pricing import Prices
from ..record import new_id
from ..settings import Settings
from ..store_url import SQLITE, shown_store
from .admission import Hold, route_of
from .asking import MAX_READ
from .charges import ended_of, settle_of, waits_for_price
from .dearest import Dearest
from .errands import Errands
from .groups import Group, group_of
from .leases import Leases
from .ledger import (
    LEASE_SECONDS,
    Account,
    Admitted,
    Amount,
    Answer,
    Definitions,
    Ledger,
    Release,
    Settle,
    Settled,
    Step,
)
from .limit import Definition, Limit
from .matching import Facts, accounts_of, facts_of
from .outline import outline
from .recent import Recent
from .snapshot import LimitStanding, Snapshot, standing_of
from .straight import Straight, Way

if TYPE_CHECKING:
    from ..call import Call
    from ..counting.estimates import Estimates
    from .alerts import Alerts

__all__ = ["Known", "Limits"]

FRESH: Final = 10**9
"""Nanoseconds for which definitions are taken as they were read."""
STALE: Final = 2 * 10**9
"""From this age a call waits until they are read anew: before, they are read while it goes on."""
FOREVER: Final = 1 << 62
_SHORTEST, _LONGEST = 0.5, 2.0
"""Seconds for which a ledger that does not answer is left alone."""
_DRAINING: Final = 10.0
"""Seconds that the draining thread waits for the ledger."""
_MOST_UNSETTLED: Final = 10_000
"""Calls that are kept to be settled when the ledger is back; what is more is left to `payi limits audit`."""
_TOGETHER: Final = 500
_MOST_GROUPS: Final = 1_000
_OPENING: Final = 10.0
"""Seconds that the first calls of a process wait."""
_COUNTED: Final = 8 << 10
"""Bytes of a request, at most, that a tokenizer counts before the call is made: 0.3 ms of prose, 1.3 of the worst."""
_NOT_EXACT: Final = (b'"tools"', b'"functions"', b'"response_format"', b'"json_schema"')
"""Marks of what providers write into the prompt in words of their own: no tokenizer counts that exactly."""


class Known(NamedTuple):
    """Definitions, ready to be asked."""

    definitions: Definitions
    by_id: dict[str, Definition]
    needs_route: bool
    tells: bool
    """Whether any of them has alerts."""
    groups: dict[tuple[str, ...], Group]
    """Remembered; by the ids of those that apply together."""

    def group(self, accounts: tuple[Account, ...]) -> Group:
        """What limits want together that apply to one call."""
        ids = tuple([account.limit_id for account in accounts])
        found = self.groups.get(ids)
        if found is None:
            if len(self.groups) >= _MOST_GROUPS:
                self.groups.clear()
            found = self.groups[ids] = group_of([self.by_id[limit_id] for limit_id in ids])
        return found


def _known(definitions: Definitions) -> Known:
    needs_route = any("route" in definition.limit.match for definition in definitions.limits)
    tells = any(definition.limit.alerts for definition in definitions.limits)
    return Known(definitions, {one.limit_id: one for one in definitions.limits}, needs_route, tells, {})


_NOTHING: Final = _known(Definitions(-1, ()))


class Limits:
    """See the module. Making one opens nothing.

    Args:
        settings: With absolute paths.
        prices: By which holds are priced.
        estimates: That count requests.
        in_memory: Whether nothing may be kept on disk.
    """

    def __init__(self, settings: Settings, prices: Prices, estimates: Estimates, *, in_memory: bool = False) -> None:
        self._settings = settings
        self.prices = prices
        self._estimates = estimates
        self._in_memory = in_memory
        self.application = settings.application
        self.patience = settings.ledger_timeout
        self.ceiling = settings.hold_ceiling
        self.recent = Recent()
        self.dearest = Dearest(prices)
        self.snapshot = Snapshot()
        self.leases = Leases()
        self._code: tuple[Limit, ...] = settings.limits
        self._file = None if in_memory else settings.ledger_path
        """The file of the ledger beside a SQLite store, which is there when a first limit is; None for any other ledger."""
        self._ledger: Ledger | None = None
        self.ledger_id: str | None = None
        """Names the ledger in events."""
        self._way: Way | None = None
        self._errands = Errands(LEASE_SECONDS / 3, self._renew)
        self._lock = threading.Lock()
        """Of `_loading`."""
        self._reading = threading.Lock()
        """Held while the ledger is opened and read."""
        self._loading: Future[Known] | None = None
        self._last = _NOTHING
        self._read_at = -FOREVER
        self._is_synchronised = False
        self._has_learned = False
        self._away_since: float | None = None
        self._away_until = 0.0
        self._pause = _SHORTEST
        self._unsettled: list[Settle] = []
        self._alerts: Alerts | None = None
        """Made when a limit has any: who has none need not load what sends."""
        self.wakes = FOREVER if settings.disabled or not self._could_be() else 0
        """`perf_counter_ns` from which a call has to look at limits."""

    def _could_be(self) -> bool:
        """Whether there can be limits at all: a store in memory has none but those of the code."""
        return bool(self._code or self._settings.ledger) or not (self._in_memory or self._settings.in_memory)

    @property
    def _is_wanted(self) -> bool:
        """Whether there are limits, as far as anybody can tell: then a call rather waits than be made without."""
        return bool(self._code or self._settings.ledger or self._file is not None or self._last.definitions.limits)

    @property
    def _was_read(self) -> bool:
        return self._read_at != -FOREVER

    # What calls ask:

    def hold(self) -> Hold:
        """What limits have to do with a call that begins now."""
        return Hold(self)

    def known(self) -> Known | Future[Known]:
        """The definitions; a future where they have to be read first."""
        now = time.perf_counter_ns()
        age = now - self._read_at
        if age < FRESH:
            return self._last
        if not self._is_there():
            self._read_at, self._last, self.wakes = now, _NOTHING, now + FRESH
            return _NOTHING
        if self._away_since is not None and time.monotonic() < self._away_until:
            return self.last()
        loading = self.changed()
        if isinstance(loading, Future) and self._was_read and (age < STALE or not self._is_wanted):
            return self._last
        return loading

    def changed(self) -> Known | Future[Known]:
        """The definitions, read anew."""
        ledger = self._ledger
        if ledger is not None and not ledger.waits and self._has_learned and not self._reading.locked():
            return self._read()  # in memory, where nothing is waited for
        with self._lock:
            if self._loading is None or self._loading.done():
                self._loading = self._errands.do(self._read)
            return self._loading

    def last(self) -> Known:
        """The definitions as they were read last; if they never were, what the code says."""
        if self._last.definitions.limits or not self._code or self._is_synchronised:
            return self._last
        return _known(Definitions(-1, tuple([self._definition(limit) for limit in self._code])))

    def applying(self, known: Known, facts: Facts) -> list[tuple[Definition, Account]]:
        """The limits of a call with their accounts."""
        return [(known.by_id[account.limit_id], account) for account in accounts_of(known.definitions, facts)]

    @property
    def opening(self) -> float:
        """Seconds that a call waits for definitions: the first ones of a process also for rates and connections."""
        return self.patience if self._was_read or not self._is_wanted else max(self.patience, _OPENING)

    @property
    def is_away(self) -> bool:
        """Whether the ledger did not answer just now, and is left alone."""
        return self._away_since is not None and time.monotonic() < self._away_until

    def ask(self, step: Step) -> Answer | Future[Answer]:
        """Have a step done. Raises LedgerError, or the future does."""
        way = self._way
        if way is None:
            raise LedgerError("the ledger is not open")
        return way.ask(step)

    def wait(self, step: Step) -> Answer | asyncio.Future[Answer]:
        """The same for the running event loop of asyncio."""
        way = self._way
        if way is None:
            raise LedgerError("the ledger is not open")
        return way.wait(step)

    def tell(self, step: Step) -> None:
        """Have a step done whose answer nobody waits for. Never raises."""
        way = self._way
        if way is not None:  # else it was closed: the draining thread settles what is left
            way.tell(step)

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

    # The ledger that does not answer:

    def went_away(self, error: BaseException) -> None:
        """It was asked in vain: it is left alone for a while, longer each time."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._pause = _SHORTEST
        elif now >= self._away_until:
            self._pause = min(2 * self._pause, _LONGEST)
        self._away_until = now + self._pause
        why = f"no answer in {self.patience} seconds" if isinstance(error, TimeoutError) else str(error) or repr(error)
        health.note(
            "ledger_away",
            "the ledger of limits is out of reach (%s): block limits refuse calls and allow limits let them pass, unless "
            "their `on_error` says otherwise",
            why,
        )

    def _came_back(self) -> None:
        self._away_since = None

    # Reading, in our own threads:

    def prepare(self) -> None:
        """Open and read what there is, so that the first call need not wait. Never raises."""
        if self.wakes == 0 and self._ledger is None and self._is_there():
            try:
                self._read()
            except Exception as error:
                self.went_away(error)

    def _is_there(self) -> bool:
        """Whether there is anything to read: no ledger is made beside a store before there is a first limit."""
        return self._ledger is not None or bool(self._code) or self._file is None or self._file.exists()

    def _read(self) -> Known:
        """Open the ledger, keep the limits of the code in it, and read all.

        Raises:
            LedgerError: It cannot be opened or read.
        """
        with self._reading:
            ledger = self._opened()
            if not self._is_synchronised:
                self._synchronise(ledger)
                self._is_synchronised = True
            definitions = ledger.definitions(self.application)
            self.ledger_id = ledger.id  # which may have to be read, too
            if definitions.limits and not self._has_learned:
                self._learn()
            if definitions != self._last.definitions:
                self._last = _known(definitions)
            now = time.perf_counter_ns()
            self._read_at = now
            # With limits every call is looked at; without, one a second.
            self.wakes = 0 if definitions.limits else now + FRESH
            self._came_back()
            return self._last

    def _opened(self) -> Ledger:
        if self._ledger is None:
            ledger = self._open()
            self._errands.every = ledger.lease_seconds / 3
            self._way = _way_to(ledger)
            self._ledger = ledger
        return self._ledger

    def _open(self) -> Ledger:
        given = self._settings.ledger
        if given is not None and not isinstance(given, str):
            return given  # type: ignore[no-any-return]
        if self._in_memory or given == "memory://" or (given is None and self._settings.in_memory):
            from .memory import MemoryLedger

            return MemoryLedger()
        from .opening import open_ledger

        return open_ledger(self._settings)

    def _learn(self) -> None:
        """What holds are sized by: the rates, and of the calls of earlier processes how long answers are."""
        from ..usual import recent_answers

        self._has_learned = True
        self.prices.load()
        if not self._in_memory:
            self.recent.take(recent_answers(self._settings))

    def _synchronise(self, ledger: Ledger) -> None:
        """Have the limits of the code in the ledger: made if missing; what was changed in the code wins, if it is managed."""
        if not self._code:
            return
        stored = {one.limit.name: one for one in ledger.definitions(self.application).limits}
        for limit in self._code:
            known = stored.get(limit.name)
            try:
                if known is None:
                    ledger.define(self._definition(limit, ledger.now_ns()))
                elif limit.managed and known.limit != limit:
                    health.log.info(
                        "limit %r of %r is as the code says now: %s",
                        limit.name,
                        self.application,
                        _differences(known.limit, limit),
                    )
                    ledger.define(
                        msgspec.structs.replace(known, limit=limit, source="code", updated_ns=ledger.now_ns())
                    )
            except LimitError as error:  # another process was quicker
                health.log.info("limit %r is kept as it is: %s", limit.name, error)

    def _definition(self, limit: Limit, now_ns: int = 0) -> Definition:
        return Definition(
            limit_id=format_id(new_id(now_ns or time.time_ns())),
            application=self.application,
            limit=limit,
            source="code",
            created_ns=now_ns,
            updated_ns=now_ns,
        )

    # The draining thread:

    def settled(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        """The events with the states in which they left their limits: each is counted by now, or is kept to be counted later.

        Never raises: no limit keeps an event from the store.
        """
        try:
            if self._waits_for_settling(events):
                answers = self._answers(self._settles(events, self._now_known()))
                self.look()
                return [self._with_states(event, answers.get(event.event_id)) for event in events]
        except Exception:
            health.note(
                "limit_fault", "calls could not be counted to their limits: see `payi limits audit`", exc_info=True
            )
        return list(events)

    def _now_known(self) -> Known:
        if time.perf_counter_ns() - self._read_at < FRESH:
            return self._last
        if not self.is_away:
            try:
                return self._read()
            except Exception as error:
                self.went_away(error)
        return self.last()

    def _settles(self, events: Sequence[CallEvent], known: Known) -> list[Settle]:
        steps: list[Settle] = []
        for event in events:
            if event.ledger is None and event.application == self.application:
                accounts = accounts_of(known.definitions, facts_of(event))
                if accounts:
                    steps.append(self._settle(event, accounts, known))
        return steps

    def _waits_for_settling(self, events: Sequence[CallEvent]) -> bool:
        return (bool(events) or bool(self._unsettled)) and self.wakes != FOREVER and self._is_there()

    def _settle(self, event: CallEvent, accounts: tuple[Account, ...], known: Known) -> Settle:
        ended = ended_of(event)
        dearest = None
        if waits_for_price(ended) and known.group(accounts).pays_unknown:
            dearest = self.dearest.price(event.provider, event.units, event.started_ns)
        return settle_of(ended, accounts, dearest)

    def _answers(self, steps: list[Settle]) -> dict[bytes, Settled]:
        """What the ledger answers; what it does not take is kept for later."""
        waiting, self._unsettled = self._unsettled + steps, []
        answers: dict[bytes, Settled] = {}
        while waiting:
            some = waiting[:_TOGETHER]
            try:
                if self._way is None or self.is_away:
                    raise LedgerError("the ledger is out of reach")
                for step, answer in zip(some, self._way.ask_all(some, _DRAINING), strict=True):
                    if isinstance(answer, Settled):
                        answers[step.event_id] = answer
            except Exception as error:
                if not self.is_away:
                    self.went_away(error)
                self._keep(waiting)
                break
            waiting = waiting[_TOGETHER:]
        return answers

    def _keep(self, steps: list[Settle]) -> None:
        self._unsettled = steps[:_MOST_UNSETTLED]
        lost = len(steps) - len(self._unsettled)
        if lost:
            health.note(
                "limit_unsettled",
                "the ledger was away for so long that calls could not be kept for it: see `payi limits audit`",
                n=lost,
            )

    def _with_states(self, event: CallEvent, answer: Settled | None) -> CallEvent:
        if answer is None:
            return event
        return msgspec.structs.replace(event, limits=answer.states, ledger=self.ledger_id)

    # What looks after them:

    def look(self) -> None:
        """See whether there are alerts to tell; returns at once."""
        if not self._last.tells or self.is_away:
            return
        if self._alerts is None:
            from .alerts import alerts_of

            self._alerts = alerts_of(self._settings, self._opened, self.application)
        self._alerts.look()

    def _renew(self) -> bool:
        return self.leases.renew(self.tell)

    def health(self) -> dict[str, Any] | None:
        """What `payi doctor` tells; None where there are no limits."""
        if self._ledger is None and self._away_since is None:
            return None
        away = self._away_since
        return {
            "ledger": self.ledger_id,
            "place": self._place(),
            "shared": self._is_shared(),
            "limits": len(self._last.definitions.limits),
            "running": len(self.leases),
            "unsettled": len(self._unsettled),
            "away_since_ns": None if away is None else time.time_ns() - int((time.monotonic() - away) * 10**9),
        }

    def _place(self) -> str:
        """Where it is, as it may be shown."""
        given = self._settings.ledger
        if isinstance(given, str):
            return shown_store(given)
        if given is not None:
            return type(given).__name__
        return str(self._file) if self._file is not None else shown_store(self._settings.store)

    def _is_shared(self) -> bool:
        """Whether it can be anybody else's too: a file beside the store is the machine's, one in memory this process's alone."""
        given = self._settings.ledger
        is_local = given is None and (self._file is not None or self._settings.in_memory)
        return not is_local and not (isinstance(given, str) and given.startswith((SQLITE, "memory://")))

    def close(self, timeout: float) -> None:
        """Have done what was told, and let go of all; the next call opens it anew."""
        self._errands.close(timeout)
        if self._alerts is not None:
            self._alerts.close(timeout)
        with self._reading:
            way, ledger = self._way, self._ledger
            if self._settings.ledger is None or isinstance(self._settings.ledger, str):
                if ledger is None or ledger.waits:  # what is only in memory must outlive a close, as the meter does
                    self._way = self._ledger = None
                    self._read_at = -FOREVER
                    self.wakes = 0 if self.wakes != FOREVER else FOREVER
                else:
                    way = ledger = None
            else:
                ledger = None  # whoever opened it closes it
        if way is not None:
            way.close(timeout)
        if ledger is not None:
            ledger.close()


def _way_to(ledger: Ledger) -> Way:
    if not ledger.waits:
        return Straight(ledger)
    from .queued import Queued

    return Queued(ledger)


def _differences(old: Limit, new: Limit) -> str:
    names = (name for name in Limit.__struct_fields__ if getattr(old, name) != getattr(new, name))
    return ", ".join(f"{name}: {getattr(old, name)!s} -> {getattr(new, name)!s}" for name in names)
