"""`payi limits`: made, shown, changed, reset, deleted."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import pytest
from keeping import made, url
from made import call
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.sqlite import SqliteLedger

USD = 10**10


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["limits", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def told(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--json").splitlines()]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PAYI_STORE", url(tmp_path))
    return url(tmp_path)


def spend(folder: Path, limit_id: str, usd: float, *keys: str, application: str = "default", number: int = 0) -> None:
    ledger = SqliteLedger(folder / "payi.db.ledger")
    event_id = number.to_bytes(16, "big") if number else time.time_ns().to_bytes(16, "big")
    accounts = tuple(Account(limit_id, key) for key in keys or ("",))
    ledger.run([Settle(event_id, application, accounts, round(usd * USD), 0, 100, time.time_ns())])
    ledger.close()


def test_a_limit_is_made_with_all_it_can_have(store: str, tmp_path: Path) -> None:
    """And told as it is kept; what is not given has the defaults of `Limit`."""
    (plain,) = told("create", "Monthly", "12.5", "--application", "shop")
    (whole,) = told(
        "create", "Premium", "1000", "--type", "allow", "--unit", "tokens", "--threshold", "0.8", "--window", "month",
        "--timezone", "Europe/Berlin", "--per", "user", "--per", "model", "--match", "properties.plan=pro", "--tag", "gold",
        "--alert", "0.5", "--alert", "forecast", "--strict", "--on-error", "open", "--unknown-price", "block", "--id", "p/1",
    )  # fmt: skip
    assert (plain["name"], plain["max"], plain["type"], plain["application"]) == ("Monthly", "12.5", "block", "shop")
    assert (plain["spent"], plain["left"], plain["state"], plain["accounts"]) == ("0", "12.5", "ok", 1)
    for name in ("limit_id", "created_at", "updated_at", "window_starts_at", "window_ends_at"):
        whole.pop(name)
    assert whole == {
        "schema": 1, "application": "default", "name": "Premium", "max": 1000, "type": "allow", "unit": "tokens",
        "threshold": 0.8, "window": "month", "timezone": "Europe/Berlin", "per": ["user", "model"],
        "match": {"properties.plan": "pro"}, "tags": ["gold"], "strict": True, "on_error": "open", "unknown_price": "block",
        "alerts": [0.5, "forecast"], "managed": True, "source": "api", "properties": {}, "accounts": 0, "spent": 0,
        "held": 0, "left": 1000, "state": "ok",
    }  # fmt: skip
    assert (tmp_path / "payi.db.ledger").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "payi.db").exists()


def _next_month() -> datetime.date:
    return (datetime.datetime.now(datetime.UTC).date().replace(day=1) + datetime.timedelta(days=32)).replace(day=1)


def test_an_id_that_no_call_could_name(store: str) -> None:
    """Ids stand in a header, with commas between them."""
    assert "a comma stands between those" in run("create", "Monthly", "10", "--id", "mine,yours", code=2)
    assert "There are no limits" in run("list")


def test_the_list(store: str, tmp_path: Path) -> None:
    """One line a limit: sums over accounts, and of the fullest what it has left."""
    assert "There are no limits" in run("list")
    assert not (tmp_path / "payi.db.ledger").exists()
    run("create", "Monthly", "10", "--per", "user", "--window", "month", "--id", "m")
    run(
        "create",
        "Calls",
        "1500",
        "--unit",
        "calls",
        "--window",
        "24h",
        "--type",
        "allow",
        "--application",
        "shop",
        "--id",
        "c",
    )
    run("create", "Hard", "0.5", "--strict", "--threshold", "0.9", "--id", "h")
    (fresh,) = [line for line in run("list").splitlines() if "Monthly" in line]
    assert fresh.split()[-4:-2] == [f"{_next_month():%Y-%m-%d}", "00:00"]
    spend(tmp_path, "m", 4, '["jane"]')
    spend(tmp_path, "m", 9.5, '["bob"]')
    spend(tmp_path, "h", 0.46)
    lines = [line.split() for line in run("list").splitlines() if line.strip()]
    assert lines[0] == [
        "Application",
        "Limit",
        "Type",
        "Per",
        "Window",
        "Spent",
        "Held",
        "Max",
        "Left",
        "Resets",
        "State",
    ]
    rows = {line[1]: line for line in lines[2:]}
    assert rows["Monthly"][2:10] == ["block", "user", "month", "$13.50", "$0.00", "$10.00", "each", "$0.50"]
    assert rows["Monthly"][-2:] == ["UTC", "ok"]
    assert rows["Calls"][2:] == [
        "allow",
        "-",
        "24h",
        *["0", "calls", "0", "calls", "1,500", "calls", "1,500", "calls"],
        "rolling",
        "ok",
    ]
    assert rows["Hard"][2:] == [
        "block,",
        "strict",
        "-",
        "-",
        "$0.46",
        "$0.00",
        "$0.50",
        "$0.04",
        "by",
        "hand",
        "exceeded",
    ]
    (alone,) = told("list", "--application", "shop")
    assert alone["limit_id"] == "c"


def test_a_limit_with_its_accounts(store: str, tmp_path: Path) -> None:
    """Dearest first, so many; what it applies to in words; and what is over, if it is asked for."""
    run("create", "Monthly", "10", "--per", "user", "--window", "month", "--id", "m", "--match", "model=gpt-4o", "--tag", "gold",
        "--alert", "0.8", "--threshold", "0.9")  # fmt: skip
    assert "No account yet" in run("show", "Monthly")
    for user, usd in (("jane", 1), ("bob", 11), ("eve", 2)):
        spend(tmp_path, "m", usd, json.dumps([user]))
    text = run("show", "Monthly", "--accounts", "2")
    assert [word for word in ("bob", "eve", "jane") if word in text] == ["bob", "eve"]
    assert text.index("bob") < text.index("eve")
    assert "1 more accounts: --accounts 3" in text
    assert "Applies to calls with model = gpt-4o and calls with one of the limit tags gold." in text
    assert "Is exceeded from 0.9 of its maximum." in text
    assert "Tells at 0.8." in text
    (whole,) = told("show", "m")
    assert [(one["key"], one["spent"], one["left"], one["state"]) for one in whole["running"]] == [
        (["bob"], "11", "0", "overrun"), (["eve"], "2", "8", "ok"), (["jane"], "1", "9", "ok"),
    ]  # fmt: skip
    assert "history" not in whole

    (past,) = told("reset", "Monthly", "--account", "bob")[0]["accounts"]
    assert (past["key"], past["spent"], past["reset"]) == (["bob"], "11", True)
    (whole,) = told("show", "m", "--history")
    assert [one["spent"] for one in whole["running"]] == ["2", "1", "0"]
    assert [(one["key"], one["spent"], one["max"]) for one in whole["history"]] == [(["bob"], "11", "10")]
    assert "reset" in run("show", "m", "--history")
    assert "2 accounts had spent $3.00" in run("reset", "m")


def test_a_limit_that_was_deleted(store: str, tmp_path: Path) -> None:
    """Is told with what is kept of it, by its id, or by its name while no other has it; `payi prune` ends that."""
    assert "No limit was deleted" in run("create", "Kept", "1") + run("list", "--deleted")
    run("create", "Monthly", "10", "--per", "user", "--window", "month", "--id", "m")
    run("create", "Other", "5", "--id", "o", "--unit", "calls", "--application", "shop")
    for user, usd in (("jane", 1), ("bob", 3)):
        spend(tmp_path, "m", usd, json.dumps([user]))
    run("reset", "m")
    spend(tmp_path, "m", 2, json.dumps(["jane"]))
    for limit in ("m", "o"):
        run("delete", limit)
    assert [(one["limit_id"], one["spent"], one["accounts"]) for one in told("list", "--deleted")] == [
        ("o", 0, 0),
        ("m", "6", 2),
    ]
    assert [one["limit_id"] for one in told("list", "--deleted", "--last", "1")] == ["o"]
    assert [one["limit_id"] for one in told("list", "--deleted", "--application", "shop")] == ["o"]
    assert [one["name"] for one in told("list")] == ["Kept"]
    text = run("list", "--deleted", "--last", "1")
    assert "Other" in text
    assert "1 more: --last 2" in text

    (whole,) = told("show", "Monthly")
    assert whole["deleted_at"] >= whole["created_at"]
    assert (whole["per"], whole["max"], whole["spent"]) == (["user"], "10", "6")
    rows = sorted((one["key"], one["spent"], one["reset"]) for one in whole["history"] if one["spent"] != "0")
    assert rows == [(["bob"], "3", True), (["jane"], "1", True), (["jane"], "2", False)]
    text = run("show", "m", "--accounts", "1")
    assert "holds no call back" in text
    assert "more: --accounts" in text
    assert "had counted nothing" in run("show", "o")

    run("create", "Monthly", "20", "--id", "m2")
    assert told("show", "Monthly")[0]["limit_id"] == "m2"
    assert told("show", "m")[0]["deleted_at"] == whole["deleted_at"]
    run("delete", "m2")
    assert "2 that were deleted had the name" in run("show", "Monthly", code=1)
    assert "no limit 'm'" in run("update", "m", "--max", "3", code=1)
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    ledger.prune(time.time_ns())
    ledger.close()
    assert [one["history"] for one in told("show", "m")] == [[]]


def test_a_limit_is_changed(store: str, tmp_path: Path) -> None:
    """What is given; lists are replaced whole and cleared by an empty value; what was spent stays, also above a new maximum."""
    run(
        "create",
        "Monthly",
        "10",
        "--id",
        "m",
        "--threshold",
        "0.8",
        "--tag",
        "a",
        "--alert",
        "0.5",
        "--match",
        "model=o1",
    )
    spend(tmp_path, "m", 4)
    (changed,) = told(
        "update", "Monthly", "--name", "Weekly", "--max", "3", "--window", "none", "--threshold", "none", "--type", "allow",
        "--tag", "", "--alert", "", "--match", "", "--on-error", "closed", "--no-strict", "--timezone", "Asia/Tokyo",
    )  # fmt: skip
    assert (changed["name"], changed["max"], changed["type"], changed["threshold"]) == ("Weekly", "3", "allow", None)
    assert (changed["tags"], changed["alerts"], changed["match"], changed["timezone"]) == ([], [], {}, "Asia/Tokyo")
    assert (changed["spent"], changed["left"], changed["state"]) == ("4", "0", "overrun")
    assert told("update", "m", "--threshold", "0.75", "--window", "month")[0]["threshold"] == 0.75
    assert "Weekly is deleted" in run("delete", "Weekly")
    assert "there is no limit 'Weekly'" in run("delete", "Weekly", code=1)
    run("create", "Other", "1")
    assert told("delete", "Other")[0]["deleted"] is True
    assert "There are no limits" in run("list")


def test_whose_a_new_limit_is_is_said(store: str, tmp_path: Path) -> None:
    """With a warning where the store has calls of other applications only."""
    assert "It is of the application default" in (told_first := run("create", "first", "1"))
    assert "the store has calls" not in told_first
    made(tmp_path, [call(application=name) for name in ("shop", "shop", "desk")]).close()
    warned = run("create", "second", "1")
    assert "and none of default, which this limit is of: say --application" in warned
    assert "shop" in warned
    assert "desk" in warned
    third = run("create", "third", "1", "--application", "shop", "--per", "user")
    assert "the store has calls" not in third
    assert "A call without user passes it, and counts to nobody." in run("show", "third")
    assert "Calls that lack what a limit is per (a user, say) pass that limit" in run("list")


def test_whose_word_holds_is_said(store: str, tmp_path: Path) -> None:
    """Of a limit of code: how long a change stays, and what the code said."""
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    limit = Limit("all", 10)
    ledger.define(Definition(limit_id="x", application="shop", limit=limit, source="code", code=limit))
    ledger.close()
    assert "Changed since" not in run("show", "all")
    assert "The code of shop made this limit: what is changed here stays until" in run("update", "all", "--max", "20")
    assert "Changed since the code said it, until it says something else: max: 10 -> 20." in run("show", "all")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with some limits, which nobody changes."""
    store = url(tmp_path_factory.mktemp("several"))
    run("create", "Monthly", "1", "--id", "m", "--store", store)
    run("create", "Each", "1", "--per", "user", "--store", store)
    for application in ("a", "b"):
        run("create", "Twice", "1", "--application", application, "--store", store)
    return store


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["create", "A", "much"], 1, "max='much' is no number"),
        (["create", "Monthly", "1"], 1, "has a limit of that name"),
        (["create", "B", "1", "--id", "m"], 2, "has a limit of that id"),
        (["create", "B", "1", "--per", "planet"], 1, "per='planet' is not valid"),
        (["create", "B", "1", "--match", "model"], 2, "is no FIELD=VALUE"),
        (["create", "B", "1", "--alert", "soon"], 2, "is no share of the maximum"),
        (["update", "Monthly"], 2, "nothing is to be changed"),
        (["update", "Monthly", "--threshold", "0.1"], 1, "must be from 0.75 to 0.99"),
        (["update", "Monthly", "--threshold", "x"], 2, "is no share"),
        (["update", "Nothing", "--max", "1"], 1, "there is no limit 'Nothing'"),
        (["show", "Twice"], 1, "several applications have one (a, b)"),
        (["reset", "Monthly", "--account", "jane"], 2, "takes none, since all calls share one account"),
        (["reset", "Each", "--account", "a", "--account", "b"], 2, "takes a value for each of user"),
        (["reset", "Each", "--account", "nobody"], 1, "has no account 'nobody'"),
        (["list", "--ledger", "nonsense"], 1, "is not a ledger"),
    ],
)
def test_what_cannot_be(several: str, arguments: list[str], code: int, message: str) -> None:
    """One line that says why, and what to do."""
    assert message in run(*arguments, "--store", several, code=code)


def test_whose_limit_is_said(several: str) -> None:
    assert told("show", "Twice", "--application", "b", "--store", several)[0]["application"] == "b"


def test_another_ledger(tmp_path: Path, store: str) -> None:
    """One that is named is used, and not the store's."""
    other = f"sqlite:///{tmp_path / 'other.ledger'}"
    run("create", "Monthly", "1", "--ledger", other)
    assert "Monthly" in run("list", "--ledger", other)
    assert "There are no limits" in run("list")
