"""`payi forget`: a person out of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .faults import WrongOption, told, warn
from .server_tables import as_json as as_json_of
from .server_tables import forgotten, text_of
from .source import opened, opened_to_write, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..server.housekeeping import Done
    from ..settings import Settings
    from ..store import Store
    from ..store.compact import Compacted
    from ..store.forget import Forgotten, Person

__all__ = ["command"]


def command(
    user: Annotated[str, typer.Option(metavar="ID", help="The user's id, as the application tells it.")],
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="URL", help="Where limits are counted; by default beside the store.")
    ] = None,
    application: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this application.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Remove the calls too, instead of their user.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Forget a person: their calls become nobody's, and no byte of the store tells of them. Exit code 1 if some still do."""
    with told():
        if not user:
            raise WrongOption("--user", "must not be empty")
        from ..store.forget import Person

        settings = settings_of(store, ledger)
        people = [Person(name, application, events) for name in _names(user, settings)]
        done = _would(store, people) if dry_run else _forget(store, people, settings)
        shown = _shown(people[-1], done, dry_run=dry_run) | _limits(settings, people, dry_run=dry_run)
        _print_json(shown) if as_json else _print(shown, done)
        if not settings.pseudonymize and _is_nothing(shown):
            warn("nothing has this id; if the application is given `pseudonymize`, set PAYI_PSEUDONYMIZE to its key")
    if done.found.left:
        raise typer.Exit(1)


def _names(user: str, settings: Settings) -> list[str]:
    """The id, and the pseudonym by which the store knows it, if there are any; calls from before have the id."""
    if not settings.pseudonymize:
        return [user]
    from ..pseudonyms import pseudonym

    return [user, pseudonym(user, settings.pseudonymize)]


class _Done(NamedTuple):
    found: Forgotten
    server: Done | None
    compacted: Compacted | None


def _would(store: str | None, people: list[Person]) -> _Done:
    from ..store.forget import Forgotten, would_forget

    found = Forgotten()
    with opened(store) as source:
        for person in people:
            found = found.plus(would_forget(source, person))
        return _Done(found, forgotten(source, people, dry_run=True), None)


def _forget(store: str | None, people: list[Person], settings: Settings) -> _Done:
    from ..store.compact import vacuum
    from ..store.forget import Forgotten
    from ..store.patience import BUSY_TIMEOUT
    from .progress import counted

    found = Forgotten()
    with opened_to_write(store) as target:
        for step in counted(_steps(target, people), "Forgetting", lambda step: step.events + step.cleared):
            found = found.plus(step)
        server = forgotten(target, people, dry_run=False)
        compacted = vacuum(target, BUSY_TIMEOUT)  # what was removed still stands in free pages and in the log
        left = [where for person in people for where in _in_files(target, person, settings, found)]
    return _Done(found.plus(Forgotten(left=tuple(left))), server, compacted)


def _limits(settings: Settings, people: list[Person], *, dry_run: bool) -> dict[str, int]:
    """How many accounts of limits were the person's, and how many limits told of them."""
    from ..limits.keeping import Compacting, accounts_of_person, forget_in_limits, forget_person
    from .ledger_source import opened_ledger_of

    accounts = limits = 0
    with opened_ledger_of(settings) as opened:
        for one in people:
            given = opened, one.is_told_by, one.application
            accounts += len(accounts_of_person(*given)) if dry_run else forget_person(*given)
            limits += forget_in_limits(*given, dry_run=dry_run)
        if accounts + limits and not dry_run and isinstance(opened, Compacting):
            opened.vacuum()  # what was deleted still stands in free pages and in the log
    return {"limits": limits, "limit_accounts": accounts}


def _is_nothing(shown: dict[str, Any]) -> bool:
    counts = (
        *(shown[name] for name in ("events", "cleared", "limits", "limit_accounts")),
        *(shown["server"] or {}).values(),
    )
    return not any(counts)


def _steps(target: Store, people: list[Person]) -> Iterator[Forgotten]:
    from ..store.forget import forget

    for person in people:
        yield from forget(target, person)


def _in_files(target: Store, person: Person, settings: Settings, found: Forgotten) -> Iterator[str]:
    """What the bytes of the files still tell."""
    from ..label import label_of
    from ..segment import DAMAGED
    from ..spooled import holding, holds
    from ..store.compact import emptied_log
    from ..store.forget import TELLING
    from ..store.patience import BUSY_TIMEOUT

    if not emptied_log(target, BUSY_TIMEOUT):
        yield "the store's log, which another program reads: end it, and do it again"
    if person.application is not None:
        return
    if target.path is not None and not found.left and len(person.id) >= TELLING and holds(target.path, person.id):
        yield "tables that the server keeps in the store, or another program: see docs/keeping.md"
    for path in holding(settings.spool_path, label_of(settings), person.id):
        if path.name.endswith(DAMAGED):
            yield f"{path}, which is damaged: delete it"
        else:
            yield f"{path} of a running process: when that has ended, do it again"


def _shown(person: Person, done: _Done, *, dry_run: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "dry_run": dry_run,
        "known_as": person.id,
        **done.found._asdict(),
        "server": as_json_of(done.server),
        "vacuum": None if done.compacted is None else done.compacted._asdict(),
    }


def _print(shown: dict[str, Any], done: _Done) -> None:
    from .amounts import calls
    from .harmless import harmless
    from .keep import compacted_text

    would = "would be " if shown["dry_run"] else ""
    typer.echo(
        f"{harmless(shown['known_as'])}: {calls(shown['events'])} {would}forgotten, {calls(shown['cleared'])} of others "
        f"{would}cleared of the id, {shown['sums']:,} sums {would}moved to (unattributed)."
    )
    if (line := text_of(done.server, f"{would}cleared")) is not None:
        typer.echo(line)
    if shown["limit_accounts"]:
        typer.echo(f"{shown['limit_accounts']:,} accounts of limits {would}deleted.")
    if shown["limits"]:
        typer.echo(f"{shown['limits']:,} limits that told of the id {would}cleared of it, or deleted.")
    if done.compacted is not None:
        typer.echo(compacted_text(done.compacted))
    for where in shown["left"]:
        typer.echo(f"The id still stands in {harmless(where)}.")


def _print_json(shown: dict[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(shown))
