"""Calls that pass a limit unnoticed: they name one that is not there, or are nobody's. They are counted, and it is said once."""

from __future__ import annotations

from collections.abc import Iterable

from .. import health
from ..events import Attribution, CallEvent
from .known import Known
from .matching import applies, facts_of

__all__ = ["note_nobodys", "note_unknown"]


def note_unknown(events: Iterable[CallEvent], known: Known) -> None:
    """Calls whose `limit_ids` have one that no limit has as id or name."""
    for event in events:
        for name in event.attribution.limit_ids:
            if not known.has(name):
                health.note(
                    "limit_unknown",
                    "a call of %s names limit %s in limit_ids, which is not there, and goes unlimited by it: `payi limits list`",
                    health.shown(event.application),
                    health.shown(name),
                )


def note_nobodys(events: Iterable[CallEvent], known: Known) -> None:
    """Calls without the user or customer whose account a limit would have charged."""
    if not known.personal:
        return
    for event in events:
        who = event.attribution
        if who.user_id is not None and who.account_name is not None:
            continue
        facts = facts_of(event)
        for definition in known.personal:
            lacking = _lacking(who, definition.limit.per)
            if lacking is not None and applies(definition, facts):
                health.note(
                    "limit_nobodys",
                    "a call has no %s, whose account limit %s would charge: such calls pass it and count to nobody",
                    lacking,
                    health.shown(definition.limit.name),
                )
                break


def _lacking(who: Attribution, per: tuple[str, ...]) -> str | None:
    if "user" in per and who.user_id is None:
        return "user"
    return "account" if "account" in per and who.account_name is None else None
