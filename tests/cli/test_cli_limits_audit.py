"""`payi limits audit`: a ledger held against the calls in the store."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from keeping import url
from made import DAY, HOUR, call
from typer.testing import CliRunner

from payi_middleware.cli import app, limits_audit
from payi_middleware.events import CallEvent
from payi_middleware.limits import Limit
from payi_middleware.limits.charges import ended_of, settle_of
from payi_middleware.limits.ledger import Account, Amount, Blocked, Reserve, Settled, Totals
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.matching import accounts_of, facts_of
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.store import open_store

TICKS = 35_000_000


class Books:
    """A store and its ledger, by which calls are counted as a server counts them."""

    def __init__(self, folder: Path) -> None:
        self.store = url(folder)
        self.ledger = SqliteLedger(folder / "payi.db.ledger", lease_seconds=30)
        self.now = time.time_ns()
        open_store(self.store, create=True).close()

    def limit(self, limit_id: str, most: Any = 10, *, age: int = 40 * DAY, **terms: Any) -> None:
        """One that applies to every call."""
        definition = Definition(
            limit_id=limit_id,
            application="default",
            limit=Limit(limit_id, most, **terms),
            source="code",
            created_ns=self.now - age,
        )
        self.ledger.define(definition)

    def count(self, *events: CallEvent) -> list[CallEvent]:
        """In the ledger; the events as they are stored then."""
        definitions = self.ledger.definitions("default")
        steps = [settle_of(ended_of(event), accounts_of(definitions, facts_of(event))) for event in events]
        answers = [answer for answer in self.ledger.run(steps) if isinstance(answer, Settled)]
        return [
            msgspec.structs.replace(event, limits=answer.states, ledger=self.ledger.id)
            for event, answer in zip(events, answers, strict=True)
        ]

    def keep(self, *events: CallEvent) -> None:
        """In the store."""
        with open_store(self.store, create=True) as store:
            store.write(list(events))

    def both(self, *events: CallEvent) -> None:
        """In both."""
        self.keep(*self.count(*events))

    def ago(self, seconds: float = 60, **told: Any) -> CallEvent:
        """A call that began so long ago."""
        return call(started_ns=self.now - int(seconds * 10**9), **told)

    def spent(self, limit_id: str, key: str | None = None) -> dict[str, int]:
        """Ticks by key."""
        return {one.key: one.spent for one in self.ledger.totals("default", limit_id, key)}

    def audit(self, *arguments: str, code: int = 0) -> str:
        """What the command says."""
        result = CliRunner().invoke(app, ["limits", "audit", "--store", self.store, *arguments])
        assert result.exit_code == code, result.output
        return result.output

    def refuse(self, limit_id: str, **told: Any) -> CallEvent:
        """A call that the ledger refuses, as it is stored."""
        event = self.ago(5, outcome="blocked", **told)
        definitions = self.ledger.definitions("default")
        accounts = accounts_of(definitions, facts_of(event))
        (answer,) = self.ledger.run([Reserve(event.event_id, "default", definitions.version, accounts, Amount(1, 1))])
        assert isinstance(answer, Blocked)
        states = {one.limit_id: one.state for one in answer.standings}
        assert states[limit_id] == "blocked"
        return msgspec.structs.replace(event, limits=states, ledger=self.ledger.id)

    def differing(self, *arguments: str) -> list[tuple[str, list[str], Any, Any]]:
        """Limit, key, what is counted and what its calls come to."""
        found = json.loads(self.audit("--json", *arguments, code=1))
        assert found["ok"] is False
        return [(one["limit_id"], one["key"], one["counted"], one["calls"]) for one in found["differing"]]


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setattr(limits_audit, "_PAUSE", 0.01)
    return Books(tmp_path)


def test_all_that_was_counted_is_right(books: Books) -> None:
    """Every kind of window and account; calls of other applications and of other ledgers are not its."""
    assert "0 accounts: everything is right." in books.audit()
    books.limit("month", window="month", per="user", timezone="Asia/Tokyo")
    books.limit("rolling", window="24h")
    books.limit("ever", per=("user", "request_tag"))
    books.limit("calls", unit="calls", most=3, window="hour", type="allow")
    books.limit("young", age=HOUR)
    before = [books.ago(45 * 86_400, user_id="jane")]
    books.keep(*before, books.ago(application="other"), books.ago(ledger="valkey:1"))
    books.both(
        *[
            books.ago(n * 7_000 + 10, user_id=user, request_tags=("a", "b"))
            for n in range(9)
            for user in ("jane", "bob")
        ]
    )
    failed = books.ago(20, user_id="jane", outcome="error", http_status=500, cost_source="none", units={})
    books.both(failed, books.ago(15, outcome="aborted"))
    books.keep(
        books.ago(
            5,
            outcome="blocked",
            user_id="jane",
            limits={"month": "blocked", "ever": "blocked_external"},
            ledger=books.ledger.id,
        )
    )
    found = json.loads(books.audit("--json"))
    assert (found["ok"], found["differing"], found["pruned"]) == (True, [], 0)
    assert found["accounts"] == 2 + 1 + 4 + 1 + 1
    assert json.loads(books.audit("rolling", "--json"))["accounts"] == 1
    assert json.loads(books.audit("--application", "other", "--json"))["accounts"] == 0


def test_what_differs_is_told_and_mended(books: Books) -> None:
    """Calls that were never counted, an account that was lost, and one that counted too much."""
    books.limit("each", per="user")
    books.limit("all", window="month", unit="tokens", most=10**6)
    books.both(books.ago(50, user_id="jane"))
    books.count(books.ago(40, user_id="bob"))  # its event was lost
    books.keep(
        books.ago(30, user_id="jane"), books.ago(20, user_id="eve", outcome="error", http_status=429)
    )  # never counted
    assert sorted(books.differing()) == [
        ("all", [], 2200, 3300),
        ("each", ["bob"], "0.0035", "0"),
        ("each", ["eve"], "0", "0.0035"),
        ("each", ["jane"], "0.0035", "0.007"),
    ]
    text = books.audit(code=1)
    assert "4 accounts, of which 4 differ." in text
    assert "Cure: payi limits audit --mend" in text
    assert "mended" in books.audit("--mend")
    assert books.spent("each") == {'["bob"]': 0, '["eve"]': TICKS, '["jane"]': 2 * TICKS}
    (eve,) = books.ledger.totals("default", "each", '["eve"]')
    assert (eve.requests["failed"], eve.requests["ok"], eve.input_ticks, eve.output_ticks) == (
        1,
        0,
        25_000_000,
        10_000_000,
    )
    assert "everything is right" in books.audit()


def test_refused_calls_are_counted_and_cost_nothing(books: Books) -> None:
    """A row that is mended keeps their number; all that ran out of a limit is what ran into it."""
    books.limit("each", 0.003, per="user")
    books.both(books.ago(60, user_id="jane"))
    books.keep(books.refuse("each", user_id="jane"), books.refuse("each", user_id="jane"))
    assert "everything is right" in books.audit()
    books.keep(books.ago(30, user_id="jane"))
    assert "mended" in books.audit("--mend")
    (jane,) = books.ledger.totals("default", "each", '["jane"]')
    assert (jane.spent, jane.requests["blocked"], jane.requests["overrun"]) == (2 * TICKS, 2, 1)
    assert jane.requests["ok"] == 1  # of a call without a state nobody knows in which one it left the limit


def test_what_is_held_by_no_call(books: Books) -> None:
    """Is found and mended; what calls hold that run is right."""
    books.limit("all")
    event_id = books.ago(1).event_id
    version = books.ledger.definitions("default").version
    books.ledger.run([Reserve(event_id, "default", version, (Account("all"),), Amount(5 * TICKS, 0))])
    assert "everything is right" in books.audit()

    with books.ledger._transaction():
        books.ledger._do("UPDATE rows SET held = held + 7", [()])
    (found,) = json.loads(books.audit("--json", code=1))["differing"]
    assert (found["held"], found["running"], found["mended"]) == ("0.0175000007", "0.0175", False)
    assert "not mended" in books.audit("--mend", code=1)  # a call runs
    books.ledger.run(
        [settle_of(ended_of(call(event_id=event_id, started_ns=books.now - 10**10, cost_source="none", units={})), ())]
    )
    assert "mended" in books.audit("--mend")
    assert [one.held for one in books.ledger.totals("default", "all")] == [0]
    assert "everything is right" in books.audit()


def test_a_reset_counts_from_its_instant(books: Books) -> None:
    """Calls of before are history; what cannot be told apart at its edge is no difference."""
    books.limit("each", per="user", window="year")
    books.both(books.ago(60, user_id="jane"), books.ago(50, user_id="bob"))
    books.ledger.reset("default", "each", '["jane"]')
    assert "everything is right" in books.audit()
    edge = call(started_ns=time.time_ns() - 10**9, user_id="jane")
    books.both(edge)
    assert "everything is right" in books.audit()
    books.ledger.set_spent("default", Account("each", '["jane"]'), None, Totals("", 9 * TICKS, 0, 0, 0, {}, None, None))
    assert [found[:3] for found in books.differing()] == [("each", ["jane"], "0.0315")]


def test_a_reset_of_all_counts_from_its_instant(books: Books) -> None:
    """Also for who is not looked at after it, and for a call that ran then; in each kind of window."""
    for name, window in (("each", "year"), ("rolling", "24h"), ("whole", None)):
        books.limit(name, per="user", window=window)
    books.both(books.ago(60, user_id="jane"), books.ago(50, user_id="bob"))
    for name in ("each", "rolling", "whole"):
        assert len(books.ledger.reset("default", name)) == 2
    assert "everything is right" in books.audit()
    books.both(call(started_ns=time.time_ns() - 10**9, user_id="jane"))
    assert "everything is right" in books.audit()
    assert books.spent("each")['["bob"]'] == 0
    books.ledger.set_spent("default", Account("each", '["bob"]'), None, Totals("", 9 * TICKS, 0, 0, 0, {}, None, None))
    assert [found[:3] for found in books.differing()] == [("each", ["bob"], "0.0315")]


def test_what_nobody_can_know_is_no_difference(books: Books) -> None:
    """A call without a price, or of a process that died, may have been charged more than its event tells; never less."""
    books.limit("all", strict=True, window="week")
    books.both(books.ago(40), books.ago(30, cost_source="none"), books.ago(20, outcome="unknown"))
    row = books.ledger.totals("default", "all")[0]
    books.ledger.set_spent("default", Account("all"), row.starts_ns, row._replace(spent=row.spent + 1))
    assert "everything is right" in books.audit()
    books.ledger.set_spent("default", Account("all"), row.starts_ns, row._replace(spent=row.spent - 1))
    assert len(books.differing()) == 1


def test_costs_that_were_corrected(books: Books) -> None:
    """Count as they were known or as they are now; anything else differs from both."""
    books.limit("all")
    books.both(books.ago(40))
    with open_store(books.store, create=True) as store:
        ((number, before),) = next(store.walk())
        assert before.cost is not None
        cost = msgspec.structs.replace(before.cost, input_ticks=1, output_ticks=1, total_ticks=2)
        store.correct([(number, before, msgspec.structs.replace(before, cost=cost))])
    assert "everything is right" in books.audit()
    books.ledger.set_spent("default", Account("all"), None, Totals("", 2, 0, 1, 1, {}, None, None))
    assert "everything is right" in books.audit()
    books.ledger.set_spent("default", Account("all"), None, Totals("", 3, 0, 1, 1, {}, None, None))
    assert books.differing() == [("all", [], "0.0000000003", "0.0000000002")]


def test_what_was_pruned_is_not_held_against(books: Books) -> None:
    """Only windows of which all calls are still there are compared, and it is said."""
    books.limit("ever")
    books.limit("hour", window="hour")
    books.both(books.ago(30 * 86_400), books.ago(5))
    assert CliRunner().invoke(app, ["prune", "--older-than", "20d", "--store", books.store]).exit_code == 0
    text = books.audit()
    assert "Of 1 account the calls were pruned" in text
    assert "2 accounts: everything is right." in text


def test_old_calls_that_are_told_late(books: Books) -> None:
    """Without a window they count when they are told, although the limit is younger; with one, where they were."""
    books.limit("young", age=HOUR)
    books.limit("month", age=HOUR, window="month")
    books.both(books.ago(200 * 86_400, origin="ingest"), books.ago(30))
    assert books.spent("young") == {"": 2 * TICKS}
    assert "everything is right" in books.audit()


def test_nothing_to_audit(tmp_path: Path) -> None:
    """A store that is not there is said, and none is made."""
    result = CliRunner().invoke(app, ["limits", "audit", "--store", url(tmp_path)])
    assert result.exit_code == 1
    assert "there is no store" in result.output
    assert list(tmp_path.iterdir()) == []
