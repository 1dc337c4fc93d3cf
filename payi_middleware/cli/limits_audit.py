"""`payi limits audit`: whether what is counted is what was spent, and what is held is held by calls that run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import told
from .limits import APPLICATION, LEDGER, STORE, definition_of, opened_ledger

if TYPE_CHECKING:
    from ..events import CallEvent
    from ..limits.audit import Checked, Events
    from ..limits.ledger import Ledger
    from ..settings import Settings
    from ..store import Store

__all__ = ["command"]

_TRIES = 3
_PAUSE = 1.5  # seconds: what ended just now is in the store by then


def command(
    limit: Annotated[
        str | None, typer.Argument(metavar="LIMIT", help="Its name or id; by default all are looked at.")
    ] = None,
    mend: Annotated[bool, typer.Option("--mend", help="Set right what differs.")] = False,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold what limits have counted against the calls in the store. Exit code 1 if something differs and is not mended."""
    from .source import opened

    with told(), opened_ledger(store, ledger) as (asked, settings), opened(store) as source:
        _count_what_waits(asked, settings)
        definition = None if limit is None else definition_of(asked, limit, application)
        whose = (
            [definition.application] if definition else asked.applications() if application is None else [application]
        )
        only = None if definition is None else definition.limit_id
        checked = [one for name in whose for one in _audited(asked, source, name, only)]
        wrong = [one for one in checked if one.differs]
        mended = [one for one in wrong if mend and _mended(asked, one)]
        _print_json(checked, mended) if as_json else _print(checked, mended, mend=mend)
    if len(mended) < len(wrong):
        raise typer.Exit(1)


def _count_what_waits(ledger: Ledger, settings: Settings) -> None:
    """What was stored while the ledger was away: else it would be mended now and counted later."""
    from ..label import label_of
    from ..limits.dearest import Dearest
    from ..limits.known import known_of
    from ..limits.owed import Owed, stored_events
    from ..limits.settling import late_steps
    from ..pricing import Prices, owners

    owed, dearest = Owed.of(settings, label_of(settings)), Dearest(Prices(owners(settings.prices)))
    if owed is None or not ledger.waits:  # in memory, as there is no ledger to be looked at
        return

    def count(event_ids: list[bytes]) -> None:
        events = stored_events(settings, event_ids)
        ledger.run(late_steps(events, lambda application: known_of(ledger.definitions(application)), dearest))

    owed.settle(count)


def _audited(ledger: Ledger, source: Store, application: str, limit_id: str | None) -> list[Checked]:
    """Where calls run, what differs is looked at again: they may have ended between two questions."""
    from ..limits.audit import audit
    from ..limits.dearest import Dearest
    from ..pricing import Prices

    dearest = Dearest(Prices())
    found: list[Checked] = []
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        since = _kept_since(source)
        found = audit(ledger, application, _events(source), limit_id=limit_id, kept_since_ns=since, dearest=dearest)
        if not any(one.differs and not one.is_quiet for one in found):
            break
    return found


def _events(source: Store) -> list[Events]:
    """As corrected, and as recorded where that may be something else."""
    from ..store.corrections import any_corrections

    with source.snapshot() as connection:
        corrected = any_corrections(connection)
    return [_reader(source, as_recorded=as_recorded) for as_recorded in ((False, True) if corrected else (False,))]


def _reader(source: Store, *, as_recorded: bool) -> Callable[[int | None], Iterable[CallEvent]]:
    from .progress import counted

    def events(since_ns: int | None) -> Iterator[CallEvent]:
        yield from counted(source.events(since_ns, as_recorded=as_recorded), "Adding up")

    return events


def _kept_since(source: Store) -> int | None:
    """From when on no event was pruned."""
    from ..store.keeping import kept
    from ..store.periods import HOUR_NS

    with source.snapshot() as connection:
        before = kept(connection).before_hour
    return None if before is None else before * HOUR_NS


def _mended(ledger: Ledger, one: Checked) -> bool:
    from ..limits.audit import mend

    return mend(ledger, one)


_COLUMNS = [
    ("application", False),
    ("limit", False),
    ("account", False),
    ("counted", True),
    ("its calls come to", True),
    ("held", True),
    ("by calls that run", True),
    ("", False),
]


def _print(checked: list[Checked], mended: list[Checked], *, mend: bool) -> None:
    from .amounts import count
    from .tables import console, print_table, say

    on = console()
    wrong = [one for one in checked if one.differs]
    if wrong:
        print_table(on, _COLUMNS, [_row(one, mended, mend=mend) for one in wrong])
    pruned = sum(one.is_pruned for one in checked)
    if pruned:
        say(on, f"Of {_accounts(pruned)} the calls were pruned, so that what they spent cannot be held against them.")
    if not wrong:
        say(on, f"{_accounts(len(checked))}: everything is right.")
        return
    say(on, f"{_accounts(len(checked))}, of which {count(len(wrong))} differ{'s' if len(wrong) == 1 else ''}.")
    if not mend:
        say(on, "Cure: payi limits audit --mend")
    elif len(mended) < len(wrong):
        say(on, "What calls run on, or whose window ended just now, is not mended: do it again when they have ended.")


def _accounts(n: int) -> str:
    from .amounts import count

    return "1 account" if n == 1 else f"{count(n)} accounts"


def _row(one: Checked, mended: list[Checked], *, mend: bool) -> list[str]:
    from .limits_shown import amount_text, key_text

    limit = one.definition.limit
    is_mended = "mended" if one in mended else "not mended" if mend else ""
    return [
        one.definition.application,
        limit.name,
        key_text(one.counted.key),
        amount_text(limit, one.counted.spent),
        amount_text(limit, one.tally.spent),
        amount_text(limit, one.counted.held),
        amount_text(limit, one.held[1]),
        is_mended,
    ]


def _print_json(checked: list[Checked], mended: list[Checked]) -> None:
    import msgspec

    differing = [_document(one) | {"mended": one in mended} for one in checked if one.differs]
    document = {
        "schema": 1,
        "ok": len(differing) == len(mended),
        "accounts": len(checked),
        "pruned": sum(one.is_pruned for one in checked),
        "differing": differing,
    }
    typer.echo(msgspec.json.encode(document))


def _document(one: Checked) -> dict[str, Any]:
    import msgspec

    from .limits_shown import amount_json

    limit, key = one.definition.limit, one.counted.key
    return {
        "application": one.definition.application,
        "limit_id": one.definition.limit_id,
        "name": limit.name,
        "key": msgspec.json.decode(key) if key else [],
        "unit": limit.unit,
        "counted": amount_json(limit, one.counted.spent),
        "calls": amount_json(limit, one.tally.spent),
        "held": amount_json(limit, one.counted.held),
        "running": amount_json(limit, one.held[1]),
    }
