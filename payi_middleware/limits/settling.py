"""What the draining thread does for limits: each event is counted by the time it is stored, or remembered to be counted later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from .. import health
from ..events import CallEvent
from ..settings import Settings
from .charges import ended_of, settle_of, waits_for_price
from .dearest import Dearest
from .defined import Defined
from .known import NOTHING, Known
from .ledger import LEASE_SECONDS, Account, Settle, Settled
from .matching import accounts_of, facts_of
from .owed import Owed, is_remembered, stored_events
from .unmet import note_nobodys, note_unknown

__all__ = ["Settling", "late_steps"]

_DRAINING: Final = 10.0
"""Seconds that the draining thread waits for the ledger."""
_MOST_UNSETTLED: Final = 10_000
"""Calls that are kept in memory, where there is no disk, until the ledger is back; what is more is left to `payi limits audit`."""
_TOGETHER: Final = 500


class Settling:
    """Counts events, for the draining thread alone.

    Args:
        defined: The limits, and the way to their ledger.
        dearest: By which calls without a known price are charged.
        settings: Of the store from which events are read again.
        owed: Where calls are remembered that the ledger is to be told of; None if their events are in no store.
    """

    def __init__(self, defined: Defined, dearest: Dearest, settings: Settings, owed: Owed | None) -> None:
        self._defined = defined
        self._dearest = dearest
        self._settings = settings
        self._owed = owed
        self._unsettled: list[CallEvent] = []
        """The ledger did not take them."""
        self._others: set[bytes] = set()
        """Events of other applications that share the spool, whose process died: their limits are read when they are caught up."""
        self._stored: set[bytes] = set()
        """Those of them that are in the store, and could not be written down yet."""
        self._remembered = 0
        """How many of this process's calls are in the file."""

    @property
    def waiting(self) -> int:
        """How many calls wait for the ledger."""
        return len(self._unsettled) + self._remembered

    def settled(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        """The events with the states in which they left their limits.

        Raises:
            Exception: A fault of ours; the events are as they were.
        """
        defined = self._defined
        if not (events or self._unsettled) or not defined.is_looked_at:
            self._look_at(events, NOTHING)
            return list(events)
        known = defined.now_known()
        if defined.was_read and not defined.is_away:
            self._look_at(events, known)
        counted = _remembered([event for event in events if _is_to_be_counted(event)])
        own = [event for event in counted if event.application == defined.application]
        if self._owed is not None:
            self._others |= {event.event_id for event in counted if event.application != defined.application}
        answers = self._answers(known, own)
        return [_with_states(event, answers.get(event.event_id), defined.ledger_id) for event in events]

    def _look_at(self, events: Sequence[CallEvent], known: Known) -> None:
        """Count those that pass a limit unnoticed."""
        own = [event for event in events if event.application == self._defined.application]
        if not self._settings.api_key:  # else they may name limits of the server that they are sent to
            note_unknown(own, known)
        note_nobodys(own, known)

    def remember(self, events: Sequence[CallEvent]) -> None:
        """These are in the store now: those that were not counted are written down, to be counted whatever becomes of us.

        Never raises.
        """
        if self._owed is None or not (self._unsettled or self._others):
            return
        stored = self._stored | {event.event_id for event in events}
        own = {event.event_id for event in self._unsettled} & stored
        others = self._others & stored
        try:
            self._owed.add([*own, *others])
        except OSError as error:
            self._stored = own | others  # it is tried again
            health.note("limit_owed", "calls that wait for the ledger can be kept in memory alone: %s", error)
            return
        self._stored = set()
        self._remembered += len(own)
        self._unsettled = [event for event in self._unsettled if event.event_id not in own]
        self._others -= others

    def catch_up(self) -> None:
        """Have the ledger told of what was remembered, by this process or another one, if it is in reach. Never raises."""
        defined = self._defined
        if self._owed is None or defined.is_away or not defined.is_looked_at:
            return
        try:
            if self._owed.is_empty():  # another process may have told the ledger of this one's calls
                self._remembered = 0
                return
            known = defined.now_known()
            if defined.is_away:
                return
            self._owed.settle(lambda ids: self._count(known, stored_events(self._settings, ids)))
        except Exception as error:
            health.note("limit_owed", "calls that wait for the ledger could not be counted yet: %s", error)
            return
        self._remembered = 0

    def _count(self, known: Known, events: list[CallEvent]) -> None:
        """Applications may share a store and its spool."""
        defined = self._defined

        def known_to(application: str) -> Known:
            return known if application == defined.application else defined.known_to(application)

        defined.ask_all(late_steps(events, known_to, self._dearest), _DRAINING)

    def _answers(self, known: Known, events: list[CallEvent]) -> dict[bytes, Settled]:
        """What the ledger answers, also of earlier events; those that it does not take are kept for later."""
        waiting = [(event, accounts) for event in self._unsettled + events if (accounts := _accounts(event, known))]
        self._unsettled = []
        answers: dict[bytes, Settled] = {}
        for start in range(0, len(waiting), _TOGETHER):
            steps = [
                _step(event, accounts, known, self._dearest) for event, accounts in waiting[start : start + _TOGETHER]
            ]
            try:
                told = self._defined.ask_all(steps, _DRAINING)
            except Exception as error:
                if not self._defined.is_away:
                    self._defined.went_away(error)
                self._keep([event for event, _ in waiting[start:]])
                break
            answers |= {step.event_id: one for step, one in zip(steps, told, strict=True) if isinstance(one, Settled)}
        return answers

    def _keep(self, events: list[CallEvent]) -> None:
        self._unsettled = events[:_MOST_UNSETTLED]
        lost = len(events) - len(self._unsettled)
        if lost:
            health.note(
                "limit_unsettled",
                "the ledger was away for so long that calls could not be kept for it: see `payi limits audit`",
                n=lost,
            )


def late_steps(events: Sequence[CallEvent], known_to: Callable[[str], Known], dearest: Dearest) -> list[Settle]:
    """What counts events of some time ago to the limits that were there when they ended.

    Args:
        events: Of any applications.
        known_to: The limits of one.
        dearest: By which calls without a known price are charged.
    """
    by_application = {name: known_to(name) for name in {event.application for event in events}}
    steps: list[Settle] = []
    for event in filter(_is_to_be_counted, events):
        # Of one whose process died nobody knows how long it lived; the first of all is held while its limit is being made.
        lived_ns = LEASE_SECONDS * 10**9 if event.outcome == "unknown" else event.duration_ns
        known, ended_ns = by_application[event.application], event.started_ns + lived_ns
        accounts = _accounts(event, known)
        were_there = tuple([one for one in accounts if known.by_id[one.limit_id].created_ns <= ended_ns])
        if were_there:
            steps.append(_step(event, were_there, known, dearest))
    return steps


def _step(event: CallEvent, accounts: tuple[Account, ...], known: Known, dearest: Dearest) -> Settle:
    ended, price = ended_of(event), None
    if waits_for_price(ended) and known.group(accounts).pays_unknown:
        price = dearest.price(event.provider, event.units, event.started_ns)
    return settle_of(ended, accounts, price)


def _accounts(event: CallEvent, known: Known) -> tuple[Account, ...]:
    return accounts_of(known.definitions, facts_of(event))


def _is_to_be_counted(event: CallEvent) -> bool:
    """Neither counted by another ledger nor refused."""
    return event.ledger is None and not event.limits


def _remembered(events: list[CallEvent]) -> list[CallEvent]:
    """Those that the ledger does not count twice: older ones, of a spool that was found late, it may have counted and forgotten."""
    found = [event for event in events if is_remembered(event.event_id)]
    old = len(events) - len(found)
    if old:
        health.note(
            "limit_forgotten",
            "calls were found so late that the ledger may not know any more whether it counted them: see `payi limits audit`",
            n=old,
        )
    return found


def _with_states(event: CallEvent, answer: Settled | None, ledger: str | None) -> CallEvent:
    return event if answer is None else msgspec.structs.replace(event, limits=answer.states, ledger=ledger)
