"""Events that are over, counted to their limits all at once: those of a file, say."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..events import CallEvent
from .charges import ended_of, settle_of, waits_for_price
from .dearest import Dearest
from .ledger import Definitions, Ledger, Settle, Settled
from .matching import accounts_of, facts_of

__all__ = ["counted"]


def counted(ledger: Ledger, events: Sequence[CallEvent], dearest: Dearest) -> list[CallEvent]:
    """The events with the states in which they left their limits, and the ledger's name; those that have none as they are.

    Raises:
        LedgerError: None was counted, or it is not known; to do it again counts none twice.
    """
    definitions = {name: ledger.definitions(name) for name in {event.application for event in events}}
    steps = [step for event in events if (step := _step(event, definitions[event.application], dearest)) is not None]
    if not steps:
        return list(events)
    answers = zip(steps, ledger.run(steps), strict=True)
    states = {step.event_id: answer.states for step, answer in answers if isinstance(answer, Settled)}
    return [
        msgspec.structs.replace(event, limits=states[event.event_id], ledger=ledger.id)
        if event.event_id in states
        else event
        for event in events
    ]


def _step(event: CallEvent, definitions: Definitions, dearest: Dearest) -> Settle | None:
    accounts = accounts_of(definitions, facts_of(event))
    if not accounts or event.ledger is not None or event.limits:
        return None
    charged, ended, price = {account.limit_id for account in accounts}, ended_of(event), None
    pays = any(one.limit.pays_unknown for one in definitions.limits if one.limit_id in charged)
    if pays and waits_for_price(ended):
        price = dearest.price(event.provider, event.units, event.started_ns)
    return settle_of(ended, accounts, price)
