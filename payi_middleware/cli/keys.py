"""`payi keys`: the keys of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .faults import WrongOption, told
from .needing import extra
from .source import settings_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The keys of the server.")

_Store = Annotated[str | None, typer.Option("--store", metavar="URL", help="The store, for example sqlite:///payi.db.")]
_Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="The part of the key that `payi keys list` shows.")]


@app.command("create")
def create(
    role: Annotated[str, typer.Option(metavar="ROLE", help="ingest: send events. read: look. admin: all, and manage.")],
    application: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The application whose data it opens, and no other's; else PAYI_APPLICATION, or default.",
        ),
    ] = None,
    store: _Store = None,
) -> None:
    """Make a key. It is shown once, alone in the last line of standard output."""
    with told(), _writing(store) as sql:
        from ..server import keys

        name = settings_of(store).application if application is None else application
        key = keys.create(sql, name, role)
    typer.echo(f"A key of role {role} for {name}. It is shown this once and kept nowhere:", err=True)
    typer.echo(key)


@app.command("list")
def listing(
    store: _Store = None, as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False
) -> None:
    """The keys there are, by their prefixes."""
    with told(), _writing(store) as sql:
        from ..server import keys

        rows = keys.listed(sql)
    from ..events import format_time

    for row in rows:
        revoked = None if row.revoked_ns is None else format_time(row.revoked_ns)
        if as_json:
            import msgspec

            document = {
                "prefix": row.prefix,
                "role": row.role,
                "application": row.name,
                "created_at": format_time(row.created_ns),
                "revoked_at": revoked,
            }
            typer.echo(msgspec.json.encode(document))
        else:
            state = "in use" if revoked is None else f"revoked {revoked[:10]}"
            typer.echo(f"{row.prefix}  {row.role:<6}  {row.name}  since {format_time(row.created_ns)[:10]}  {state}")


@app.command("revoke")
def revoke(prefix: _Prefix, store: _Store = None) -> None:
    """End a key. A running server refuses it from the next second on."""
    with told(), _writing(store) as sql:
        from ..server import keys

        if not keys.revoke(sql, prefix):
            raise WrongOption("PREFIX", "there is no such key that is in use; see `payi keys list`")
    typer.echo("Revoked.")


@app.command("rotate")
def rotate(prefix: _Prefix, store: _Store = None) -> None:
    """End a key and make another of the same role and application; it is the last line of standard output."""
    with told(), _writing(store) as sql:
        from ..server import keys

        key = keys.rotate(sql, prefix)
        if key is None:
            raise WrongOption("PREFIX", "there is no such key that is in use; see `payi keys list`")
    typer.echo("The old key is refused from the next second on. The new one is shown this once:", err=True)
    typer.echo(key)


@contextmanager
def _writing(store: str | None) -> Iterator[Connection]:
    """The server's tables within one transaction; made if need be."""
    with extra("server"):
        from ..server.database import over, prepare
    with prepare(settings_of(store)) as opened, opened.batch() as batch:
        yield over(batch.connection)
