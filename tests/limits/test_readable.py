"""A definition that cannot be read holds up no other, in no ledger, and can be deleted or defined anew."""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import postgres
import psycopg
import pytest
from conformance import USD, Team, blocked
from typer.testing import CliRunner

from payi_middleware import health
from payi_middleware.cli import app
from payi_middleware.limits.ledger import Ledger
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.postgresql import PostgresqlLedger
from payi_middleware.limits.readable import read_definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.limits.valkey import ValkeyLedger

WHERE, WRONG = '"max":"7"', '"match":{"properties.seats":5}'
_SPOILED = f"UPDATE {{}} SET definition = replace(definition, '{WHERE}', '{WHERE},{WRONG}') WHERE limit_id = 'bad'"
_SPOILED = _SPOILED.replace('{"properties.seats":5}', '{{"properties.seats":5}}')


@pytest.fixture(params=["sqlite", "postgresql", "valkey"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Callable[[], Ledger], str]]:
    """Opens a ledger as another process, with its URL; the limit `bad` in it becomes unreadable when it is opened again."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'a.ledger'}"
        make: Callable[[], Ledger] = lambda: SqliteLedger(tmp_path / "a.ledger")  # noqa: E731
    elif request.param == "postgresql":
        url = postgres.database(empty=True)
        make = lambda: PostgresqlLedger(url)  # noqa: E731
    else:
        valkey = request.getfixturevalue("valkey")
        url = f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}"
        make = lambda: ValkeyLedger(url)  # noqa: E731
    ledgers: list[Ledger] = []

    def opened() -> Ledger:
        if ledgers:
            _spoil(url, request)
        ledgers.append(make())
        return ledgers[-1]

    yield opened, url
    for ledger in ledgers:
        ledger.close()


def _spoil(url: str, request: pytest.FixtureRequest) -> None:
    """Write into the limit's text what a number without quotes would have become."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(_SPOILED.format("limits"))
    elif url.startswith("postgresql"):
        with psycopg.connect(url) as database:
            database.execute(_SPOILED.format("payi_ledger.limits"))  # type: ignore[arg-type]
    else:
        client = request.getfixturevalue("valkey").redis
        for key in client.scan_iter("*:l:*"):
            if client.hget(key, "limit_id") == b"bad":
                text = client.hget(key, "definition").replace(WHERE.encode(), f"{WHERE},{WRONG}".encode())
                client.hset(key, "definition", text)


def made(opened: Callable[[], Ledger]) -> Team:
    """Two limits, of which one is unreadable now; as a process finds them that starts after."""
    before = Team(opened())
    before.limit("seats", 7, limit_id="bad")
    before.limit("other", 1, limit_id="good")
    before.ledger.close()
    team = Team(opened())
    team.name = before.name
    return team


def test_the_others_hold_on(kept: tuple[Callable[[], Ledger], str], caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, however often limits are read."""
    with caplog.at_level(logging.WARNING):
        team = made(kept[0])
        team.spend("good", usd=1)
        assert blocked(team.reserve("good", "bad")) == {"other": "blocked"}
        definitions = team.ledger.definitions(team.name)
    assert [one.limit_id for one in definitions.limits] == ["good"]
    (unreadable,) = definitions.unreadable
    assert (unreadable.limit_id, unreadable.name) == ("bad", "seats")
    assert "Expected `str`, got `int`" in unreadable.why
    assert health.counters()["limit_unreadable"] == 1
    assert "limit 'seats' of" in caplog.text
    assert team.name in team.ledger.applications()
    assert team.ledger.held() == []
    assert team.ledger.prune(team.ledger.now_ns()) == 0


def test_it_can_be_deleted(kept: tuple[Callable[[], Ledger], str]) -> None:
    team = made(kept[0])
    assert team.ledger.remove(team.name, "bad")
    assert not team.ledger.remove(team.name, "bad")
    assert team.ledger.definitions(team.name).unreadable == ()
    team.spend("good", usd=0.5)


@pytest.mark.parametrize(("limit_id", "name"), [("bad", "another name"), ("another id", "seats")])
def test_one_that_is_defined_anew_takes_its_place(
    limit_id: str, name: str, kept: tuple[Callable[[], Ledger], str]
) -> None:
    """As code does that was mended: by its name."""
    team = made(kept[0])
    team.limit(name, 2, limit_id=limit_id)
    definitions = team.ledger.definitions(team.name)
    assert [one.limit_id for one in definitions.limits] == ["good", limit_id]
    assert definitions.unreadable == ()
    team.spend(limit_id, usd=0.5)
    assert team.totals(limit_id).spent == USD // 2


def test_commands_name_it_and_delete_it(kept: tuple[Callable[[], Ledger], str], tmp_path: Path) -> None:
    team = made(kept[0])

    def run(*arguments: str, code: int = 0) -> str:
        store = f"sqlite:///{tmp_path / 'payi.db'}"
        result = CliRunner().invoke(app, [*arguments, "--ledger", kept[1], "--store", store])
        assert result.exit_code == code, result.output
        return result.output

    mine = ("--application", team.name)
    assert "seats of" in (told := run("limits", "list", *mine))
    assert "other" in told
    assert [json.loads(line)["name"] for line in run("limits", "list", *mine, "--json").splitlines()] == [
        "other",
        "seats",
    ]
    assert "cannot be read (Expected `str`" in run("limits", "show", "seats", *mine, code=1)
    assert f"limit seats of {team.name} cannot be read" in run("doctor")
    assert "seats is deleted" in run("limits", "delete", "seats", *mine)
    assert "seats" not in run("limits", "list", *mine)


def test_who_it_is_may_be_unreadable_too() -> None:
    """Then its id stands for its name."""
    for text in ("", "[]", '{"limit": {"name": 5}}', "{"):
        found: Any = read_definition("id", text)
        assert (found.limit_id, found.name) == ("id", "id")
    assert isinstance(read_definition("id", _text()), Definition)


def _text() -> str:
    import msgspec

    return msgspec.json.encode(Definition(limit_id="id", application="a", limit=Limit("L", 1))).decode()
