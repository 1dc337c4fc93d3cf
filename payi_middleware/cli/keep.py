"""`payi store`: is the store whole, and what helps if it is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .faults import told
from .source import opened, opened_to_write, settings_of

if TYPE_CHECKING:
    from ..store.compact import Compacted

__all__ = ["app", "compacted_text"]

app = typer.Typer(no_args_is_help=True, help="The store itself: checked, mended, copied.")

_URL = Annotated[str | None, typer.Option("--store", metavar="URL", help="The store, for example sqlite:///payi.db.")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("check")
def check(store: _URL = None, as_json: _JSON = False) -> None:
    """Whether the file, what refers to what, and every sum are right. Exit code 1 if not."""
    with told():
        from ..store.check import check as problems_of
        from .progress import counted

        with opened(store) as source:
            held = source.count()
            found = [problem for problem in counted(problems_of(source), "Checking") if problem is not None]
        if as_json:
            _echo({"schema": 1, "ok": not found, "events": held, "problems": [one._asdict() for one in found]})
        else:
            for one in found:
                typer.echo(f"{one.message}\n    {one.cure}")
            typer.echo(f"{held:,} calls: {f'{len(found):,} problems' if found else 'everything is right'}.")
    if found:
        raise typer.Exit(1)


@app.command("rebuild")
def rebuild(store: _URL = None, as_json: _JSON = False) -> None:
    """Make all sums anew from the calls, a day at a time. Sums of pruned days stay."""
    with told():
        from ..store.rebuild import rebuild as rebuilt
        from .progress import counted

        with opened_to_write(store) as target:
            days = sum(1 for _ in counted(rebuilt(target), "Adding up"))
        if as_json:
            _echo({"schema": 1, "days": days})
        else:
            typer.echo(f"The sums of {days:,} days are made anew.")


@app.command("upgrade")
def upgrade(store: _URL = None, as_json: _JSON = False) -> None:
    """Bring an older store up to date, with all sums that make reports quick; applications may run, and do it too, by and by."""
    with told():
        from ..store.catching_up import tended
        from ..store.schema import VERSION
        from ..store.store import schema_version
        from .progress import counted

        settings = settings_of(store)
        before = VERSION if settings.in_memory else schema_version(settings)
        with opened_to_write(store) as target:
            for _ in counted(tended(target), "Adding up"):
                pass
        if as_json:
            _echo({"schema": 1, "from": before, "to": VERSION})
        elif before == VERSION:
            typer.echo(f"The store is up to date (schema {VERSION}).")
        else:
            typer.echo(f"The store is up to date: schema {VERSION}, before {before}.")


@app.command("vacuum")
def vacuum(store: _URL = None, as_json: _JSON = False) -> None:
    """Give free space back to the disk. Nobody can write meanwhile, calls wait in the spool; as much room is needed again."""
    with told():
        from ..store.compact import vacuum as vacuumed
        from ..store.patience import BUSY_TIMEOUT

        with opened_to_write(store) as target:
            found = vacuumed(target, BUSY_TIMEOUT)
        if as_json:
            _echo({"schema": 1, **found._asdict()})
        else:
            typer.echo(compacted_text(found))


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist yet.")],
    store: _URL = None,
    as_json: _JSON = False,
) -> None:
    """Copy the store into a new file, whole and compact, while applications write."""
    with told():
        from ..store.compact import backup as copied

        with opened(store) as source:
            size = copied(source, file)
            held = source.count()
        if as_json:
            _echo({"schema": 1, "file": str(file), "bytes": size, "events": held})
        else:
            from .amounts import size as size_text

            typer.echo(f"{file}: {size_text(size)}. To restore: docs/keeping.md.")


def compacted_text(found: Compacted) -> str:
    """How much was given back, and how long it took."""
    from .amounts import size

    given = size(max(0, found.before - found.after))
    return f"{given} given back: {size(found.before)} before, {size(found.after)} now; it took {found.seconds:.1f} s."


def _echo(document: dict[str, object]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(document))
