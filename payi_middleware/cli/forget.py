"""`payi forget`: a person out of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import WrongOption, told
from .source import opened, opened_to_write, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        found, compacted = _would(store, people) if dry_run else _forget(store, people, settings)
        accounts = sum(_limits(settings, person, dry_run=dry_run) for person in people)
        shown = _shown(people[-1], found, compacted, dry_run=dry_run) | {"limit_accounts": accounts}
        _print_json(shown) if as_json else _print(shown, compacted)
    if found.left:
        raise typer.Exit(1)


def _names(user: str, settings: Settings) -> list[str]:
    """The id, and the pseudonym by which the store knows it, if there are any; calls from before have the id."""
    if not settings.pseudonymize:
        return [user]
    from ..pseudonyms import pseudonym

    return [user, pseudonym(user, settings.pseudonymize)]


def _would(store: str | None, people: list[Person]) -> tuple[Forgotten, None]:
    from ..store.forget import Forgotten, would_forget

    found = Forgotten()
    with opened(store) as source:
        for person in people:
            found = found.plus(would_forget(source, person))
    return found, None


def _forget(store: str | None, people: list[Person], settings: Settings) -> tuple[Forgotten, Compacted]:
    from ..store.compact import vacuum
    from ..store.forget import Forgotten
    from ..store.patience import BUSY_TIMEOUT
    from .progress import counted

    found = Forgotten()
    with opened_to_write(store) as target:
        for step in counted(_steps(target, people), "Forgetting", lambda step: step.events + step.cleared):
            found = found.plus(step)
        compacted = vacuum(target, BUSY_TIMEOUT)  # what was removed still stands in free pages and in the log
        left = [where for person in people for where in _in_files(target, person, settings, found)]
    return found.plus(Forgotten(left=tuple(left))), compacted


def _limits(settings: Settings, person: Person, *, dry_run: bool) -> int:
    """How many accounts of limits were the person's."""
    from ..limits.keeping import accounts_of_person, forget_person
    from .ledger_source import opened_ledger_of

    with opened_ledger_of(settings) as opened:
        if dry_run:
            return len(accounts_of_person(opened, person.id, person.application))
        return forget_person(opened, person.id, person.application)


def _steps(target: Store, people: list[Person]) -> Iterator[Forgotten]:
    from ..store.forget import forget

    for person in people:
        yield from forget(target, person)


def _in_files(target: Store, person: Person, settings: Settings, found: Forgotten) -> Iterator[str]:
    """What the bytes of the files still tell."""
    from ..intake import label_of
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


def _shown(person: Person, found: Forgotten, compacted: Compacted | None, *, dry_run: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "dry_run": dry_run,
        "known_as": person.id,
        **found._asdict(),
        "vacuum": None if compacted is None else compacted._asdict(),
    }


def _print(shown: dict[str, Any], compacted: Compacted | None) -> None:
    from .amounts import calls
    from .harmless import harmless
    from .keep import compacted_text

    would = "would be " if shown["dry_run"] else ""
    typer.echo(
        f"{harmless(shown['known_as'])}: {calls(shown['events'])} {would}forgotten, {calls(shown['cleared'])} of others "
        f"{would}cleared of the id, {shown['sums']:,} sums {would}moved to (unattributed)."
    )
    if shown["limit_accounts"]:
        typer.echo(f"{shown['limit_accounts']:,} accounts of limits {would}deleted.")
    if compacted is not None:
        typer.echo(compacted_text(compacted))
    for where in shown["left"]:
        typer.echo(f"The id still stands in {harmless(where)}.")


def _print_json(shown: dict[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(shown))
