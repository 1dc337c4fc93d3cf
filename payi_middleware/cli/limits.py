"""`payi limits`: limits made, looked at and changed where they are counted. Running applications see it within about a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .faults import WrongOption, told, warn
from .ledger_source import opened_ledger_of
from .limit_fields import Given, with_fields
from .source import settings_of

if TYPE_CHECKING:
    from ..limits.ledger import Deleted, Ledger, Unreadable
    from ..limits.limit import Definition
    from ..settings import Settings

__all__ = ["app", "definition_of", "opened_ledger"]

app = typer.Typer(no_args_is_help=True, help="Limits: how much may be spent, by whom, in which time.")

LEDGER = Annotated[
    str | None, typer.Option("--ledger", metavar="URL", help="Where limits are counted; by default beside the store.")
]
STORE = Annotated[str | None, typer.Option("--store", metavar="URL", help="The store, for example sqlite:///payi.db.")]
APPLICATION = Annotated[str | None, typer.Option("--application", metavar="NAME", help="Whose limits.")]
JSON = Annotated[bool, typer.Option("--json", help="JSON: one object a line.")]
LIMIT = Annotated[str, typer.Argument(metavar="LIMIT", help="Its name or its id.")]


@app.command("create")
@with_fields
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is known by.")],
    most: Annotated[str, typer.Argument(metavar="MAX", help="The most: USD, calls or tokens.")],
    given: Given,
    unit: Annotated[str, typer.Option(metavar="usd|calls|tokens")] = "usd",
    per: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="An account for each user, account, use_case, instance, request_tag, model, application. Several: combined.",
        ),
    ] = None,
    limit_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id; by default one is made.")] = None,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: JSON = False,
) -> None:
    """Make a limit. Without --per, --match and --tag it applies to calls that name it in `limit_ids`."""
    with told(), opened_ledger(store, ledger, create=True) as (opened, settings):
        import time

        from ..events import format_id
        from ..exceptions import LimitError
        from ..limits.limit import Definition, Limit, check_id
        from ..record import new_id
        from .applications import others_only
        from .limits_shown import print_made

        limit = Limit(name, most, unit=unit, per=per, **given)  # type: ignore[arg-type]
        whose = application or settings.application
        if limit_id is not None:
            try:
                check_id(limit_id)
            except LimitError as error:
                raise WrongOption("--id", str(error)) from None
        if limit_id is not None and any(one.limit_id == limit_id for one in opened.definitions(whose).limits):
            raise WrongOption("--id", f"{whose!r} has a limit of that id; change it with `payi limits update`")
        made = opened.define(
            Definition(limit_id=limit_id or format_id(new_id(time.time_ns())), application=whose, limit=limit)
        )
        print_made(opened, made, as_json=as_json)
        if others := others_only(settings, whose):
            warn(
                f"the store has calls of {', '.join(others)} and none of {whose}, which this limit is of: say --application "
                f"{others[0]} if it is meant for that one, and `payi limits delete {made.limit_id}`"
            )


@app.command("list")
def listing(
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Those that were deleted instead, with all that they had counted.")
    ] = False,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="Of the deleted so many at the most.")] = 100,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: JSON = False,
) -> None:
    """All limits and how they stand. Of one that has several accounts: their sum, and what the fullest has left."""
    with told(), opened_ledger(store, ledger) as (opened, _):
        from .limits_shown import print_limits, print_unreadable

        if deleted:
            from .limits_deleted import print_deleted_limits

            print_deleted_limits(opened, application, last, as_json=as_json)
            return
        whose = opened.applications() if application is None else [application]
        found = [(name, opened.definitions(name)) for name in whose]
        unreadable = [(name, one) for name, definitions in found for one in definitions.unreadable]
        limits = [one for _, definitions in found for one in definitions.limits]
        if limits or not unreadable:
            print_limits(opened, limits, as_json=as_json)
        print_unreadable(unreadable, as_json=as_json)


@app.command("show")
def show(
    limit: LIMIT,
    history: Annotated[bool, typer.Option("--history", help="The windows that are over, too.")] = False,
    most: Annotated[int, typer.Option("--accounts", min=1, metavar="N", help="So many accounts at the most.")] = 50,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: JSON = False,
) -> None:
    """One limit with its accounts, dearest first; or one that was deleted, with what is kept of what it had counted."""
    with told(), opened_ledger(store, ledger) as (opened, _):
        from .limits_deleted import print_deleted_limit
        from .limits_shown import print_whole

        if (gone := _deleted(opened, limit, application)) is not None:
            print_deleted_limit(opened, gone, most, as_json=as_json)
            return
        print_whole(opened, definition_of(opened, limit, application), most, history=history, as_json=as_json)


@app.command("update")
@with_fields
def update(
    limit: LIMIT,
    given: Given,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    most: Annotated[
        str | None, typer.Option("--max", metavar="MAX", help="Another maximum; also one below what is spent.")
    ] = None,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: JSON = False,
) -> None:
    """Change a limit while calls run: what is spent and held stays. Lists are replaced whole; an empty value clears them."""
    with told(), opened_ledger(store, ledger) as (opened, _):
        import msgspec

        from ..limits.limit import Limit
        from .limits_shown import print_changed

        definition = definition_of(opened, limit, application)
        values: Given = given | {key: value for key, value in (("name", name), ("max", most)) if value is not None}
        if not values:
            raise WrongOption("update", "nothing is to be changed; see `payi limits update --help`")
        before: Given = {field: getattr(definition.limit, field) for field in definition.limit.__struct_fields__}
        changed = opened.define(msgspec.structs.replace(definition, limit=Limit(**before | values)))
        print_changed(opened, changed, as_json=as_json)


@app.command("reset")
def reset(
    limit: LIMIT,
    account: Annotated[
        list[str] | None,
        typer.Option("--account", metavar="VALUE", help="Only this account: a value for each of its `per`."),
    ] = None,
    application: APPLICATION = None,
    store: STORE = None,
    ledger: LEDGER = None,
    as_json: JSON = False,
) -> None:
    """Begin counting anew now, in all accounts or in one. What calls hold that are running stays held."""
    with told(), opened_ledger(store, ledger) as (opened, _):
        from .limits_shown import print_reset

        definition = definition_of(opened, limit, application)
        key = None if account is None else _key(definition, account)
        if key is not None and (definition.limit_id, key) not in opened.accounts(definition.application):
            from ..exceptions import LimitError

            raise LimitError(
                f"limit {definition.limit.name!r} has no account {', '.join(account or ())!r}: nothing was counted in it, and "
                "nothing is reset; see `payi limits show`"
            )
        past = opened.reset(definition.application, definition.limit_id, key)
        print_reset(definition, past, as_json=as_json)


@app.command("delete")
def delete(
    limit: LIMIT, application: APPLICATION = None, store: STORE = None, ledger: LEDGER = None, as_json: JSON = False
) -> None:
    """Delete a limit. Calls that run are counted to nothing. What it had counted is shown by `show` until `payi prune`."""
    with told(), opened_ledger(store, ledger) as (opened, _):
        from .limits_shown import print_deleted

        unreadable = _unreadable(opened, limit, application)
        if len(unreadable) == 1:  # all that can be done with it
            whose, one = unreadable[0]
            limit_id, name = one.limit_id, one.name
        else:
            definition = definition_of(opened, limit, application)
            whose, limit_id, name = definition.application, definition.limit_id, definition.limit.name
        opened.remove(whose, limit_id)
        print_deleted(limit_id, name, as_json=as_json)


@contextmanager
def opened_ledger(store: str | None, ledger: str | None, *, create: bool = False) -> Iterator[tuple[Ledger, Settings]]:
    """See `opened_ledger_of`."""
    settings = settings_of(store, ledger)
    with opened_ledger_of(settings, create=create) as opened:
        yield opened, settings


def definition_of(ledger: Ledger, named: str, application: str | None) -> Definition:
    """The limit of a name or id, of one application or whichever has one.

    Raises:
        LimitError: There is none, or several.
    """
    from ..exceptions import LimitError

    every = _every(ledger, application)
    found = _named(every, named)
    if not found:
        for whose, unreadable in _unreadable(ledger, named, application):
            raise LimitError(
                f"limit {named!r} of {whose!r} cannot be read ({unreadable.why}); delete it with `payi limits delete`, or make "
                "it anew"
            )
        from ..limits.instances import account_named

        own = account_named(named)
        of = next(
            (one for one in every if own is not None and one.is_of_instances and one.limit_id == own.limit_id), None
        )
        if of is not None:
            raise LimitError(
                f"limit {named!r} is an instance's own, an account of {of.limit_id!r}: see `payi limits show`, and `payi limits "
                "reset` with --account"
            )
        raise LimitError(f"there is no limit {named!r}; see `payi limits list`")
    if len(found) > 1:
        whose = ", ".join(sorted({one.application for one in found}))
        raise LimitError(f"limit {named!r}: several applications have one ({whose}); say which with --application")
    return found[0]


def _every(ledger: Ledger, application: str | None) -> list[Definition]:
    applications = ledger.applications() if application is None else [application]
    return [one for name in applications for one in ledger.definitions(name).limits]


def _named(every: Sequence[Definition], named: str) -> list[Definition]:
    return [one for one in every if one.limit_id == named] or [one for one in every if one.limit.name == named]


def _deleted(ledger: Ledger, named: str, application: str | None) -> Deleted | None:
    """The deleted limit of a name or id that no limit has.

    Raises:
        LimitError: There are several.
    """
    from ..exceptions import LimitError
    from .limits_deleted import deleted_of

    if _named(_every(ledger, application), named) or _unreadable(ledger, named, application):
        return None
    found = deleted_of(ledger, named, application)
    if len(found) > 1:
        which = ", ".join(f"{one.definition.limit_id} of {one.definition.application}" for one in found[:8])
        raise LimitError(
            f"limit {named!r}: {len(found)} that were deleted had the name or id ({which}); say which by its id, and with "
            "--application"
        )
    return found[0] if found else None


def _unreadable(ledger: Ledger, named: str, application: str | None) -> list[tuple[str, Unreadable]]:
    """Those of an id or name, with their applications, that no readable limit shares."""
    applications = ledger.applications() if application is None else [application]
    found = [(name, ledger.definitions(name)) for name in applications]
    if any(named in (one.limit_id, one.limit.name) for _, definitions in found for one in definitions.limits):
        return []
    every = [(name, one) for name, definitions in found for one in definitions.unreadable]
    return [(name, one) for name, one in every if named in (one.limit_id, one.name)]


def _key(definition: Definition, values: list[str]) -> str:
    """The key of an account."""
    import msgspec

    per = definition.limit.per
    if len(values) != len(per):
        wanted = f"a value for each of {', '.join(per)}" if per else "none, since all calls share one account"
        raise WrongOption("--account", f"limit {definition.limit.name!r} takes {wanted}")
    return msgspec.json.encode(values).decode()
