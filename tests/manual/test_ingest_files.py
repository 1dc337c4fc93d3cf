"""`payi ingest FILE`: every kind of file, what is wrong in one, and what a second run does."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made import call
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.events import CallEvent, Cost
from payi_middleware.exceptions import StoreError
from payi_middleware.limits import Limit
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.manual.files import LONGEST
from payi_middleware.once import event_id
from payi_middleware.pseudonyms import pseudonym
from payi_middleware.store import open_store
from payi_middleware.store.write import Batch

ITEM: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
    "event_timestamp": "2026-03-04T10:00:00Z",
    "user_id": "jane",
}
COST = Decimal("0.0035")


def items(n: int) -> list[dict[str, Any]]:
    return [ITEM | {"user_id": f"user-{number}"} for number in range(n)]


def lines(told: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in told)


def array(told: list[Any]) -> bytes:
    return json.dumps(told, indent=2).encode()


def table(told: list[dict[str, Any]]) -> bytes:
    """The same as CSV."""
    text = io.StringIO()
    rows = [
        {**{k: v for k, v in one.items() if k != "units"}, **{
            f"units.{unit}.{side}": number for unit, sides in one["units"].items() for side, number in sides.items()
        }}
        for one in told
    ]  # fmt: skip
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


class Folder:
    """A folder with a store and a file to ingest."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder / 'payi.db'}"
        self.file = folder / "events"

    def run(self, content: bytes | None, *options: str, code: int = 0) -> dict[str, Any]:
        """What the command tells as JSON."""
        if content is not None:
            self.file.write_bytes(content)
        command = ["ingest", str(self.file), "--store", self.store, "--json", *options]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == code, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    def failed(self, content: bytes | None) -> str:
        """What it says of a file that cannot be read at all."""
        if content is not None:
            self.file.write_bytes(content)
        result = CliRunner().invoke(app, ["ingest", str(self.file), "--store", self.store])
        assert result.exit_code == 1
        assert "Traceback" not in result.output
        return result.stderr

    def shown(self, content: bytes, *options: str, code: int = 0) -> tuple[str, str]:
        """Standard output and error of the command without `--json`."""
        self.file.write_bytes(content)
        result = CliRunner().invoke(app, ["ingest", str(self.file), "--store", self.store, *options])
        assert result.exit_code == code, result.output
        return result.stdout, result.stderr

    def events(self) -> list[CallEvent]:
        with open_store(self.store, create=False) as store:
            return list(store.events())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("written", [lines, array, table])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_every_kind_of_file(
    folder: Folder, written: Callable[[list[Any]], bytes], packed: Callable[[bytes], bytes]
) -> None:
    """JSON lines, an array and CSV, each packed or not: the same events, priced, with more than one transaction's."""
    told = folder.run(packed(written(items(1500))))

    events = folder.events()
    assert (told["stored"], told["already_there"], told["refused"]) == (1500, 0, 0)
    assert Decimal(told["cost"]) == 1500 * COST
    assert {event.user_id for event in events} == {f"user-{number}" for number in range(1500)}
    assert {event.cost and event.cost.total for event in events} == {COST}
    assert {(event.origin, event.application, event.started_at.day) for event in events} == {("ingest", "default", 4)}


def test_run_again_it_stores_nothing_twice(folder: Folder) -> None:
    """Nor in another form; but what stands twice in a file is two events, unless the provider's id says otherwise."""
    told = [ITEM, ITEM, ITEM | {"provider_response_id": "r1"}, ITEM | {"provider_response_id": "r1"}]

    first = folder.run(lines(told))
    second = folder.run(array(told))
    third = folder.run(lines([*told, ITEM]))

    assert (first["stored"], first["already_there"]) == (3, 1)
    assert (second["stored"], second["already_there"], second["cost"]) == (0, 4, "0")
    assert (third["stored"], third["already_there"]) == (1, 4)
    assert event_id("default\nsystem.openai", "r1") in {event.event_id for event in folder.events()}


def test_limits_count_what_is_read(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, also where a crash came between the ledger and the store; what has no price by its maker's dearest model."""
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    for limit_id, match in (("users", {}), ("odd", {"model": "model-of-tomorrow"})):
        limit = Limit(limit_id, 5, per="user", match=match)
        ledger.define(Definition(limit_id=limit_id, application="default", limit=limit))
    told = [ITEM, ITEM | {"user_id": "bob"}, ITEM | {"resource": "model-of-tomorrow"}]
    add = Batch.__new__

    def broken(*args: Any) -> Any:
        made = add(*args)
        return made._replace(add=lambda events: (_ for _ in ()).throw(StoreError("full")))

    monkeypatch.setattr(Batch, "__new__", broken)
    assert "full" in folder.failed(lines(told))
    monkeypatch.undo()
    for _ in range(2):
        folder.run(lines(told))
    (bob, jane) = sorted(ledger.totals("default", "users"), key=lambda one: one.key)
    (odd,) = ledger.totals("default", "odd")
    assert (bob.spent, sum(bob.requests.values()), sum(jane.requests.values())) == (35_000_000, 1, 2)
    assert jane.spent == 35_000_000 + odd.spent
    assert odd.spent > 0
    events = folder.events()
    assert [set(event.limits) for event in events].count({"users"}) == 2
    assert {event.ledger for event in events} == {ledger.id}
    ledger.close()


def test_our_own_events_are_stored_as_they_are(folder: Folder) -> None:
    """With their ids, applications and costs, beside items of Pay-i's shape."""
    event = call(user_id="jane", application="shop", ticks=7)

    told = folder.run(lines([event.to_dict(), ITEM]), "--application", "books")

    stored = folder.events()
    assert told["stored"] == 2
    assert event.to_dict() in [one.to_dict() for one in stored]
    assert {one.application for one in stored} == {"shop", "books"}


def test_users_under_pseudonyms(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting `pseudonymize` the store never sees the users of items; events of ours have theirs already."""
    monkeypatch.setenv("PAYI_PSEUDONYMIZE", "a key of many letters")
    folder.run(lines([ITEM, call(user_id="u_1").to_dict(), ITEM | {"user_id": None, "use_case_name": "Digest"}]))

    assert {event.user_id for event in folder.events()} == {pseudonym("jane", "a key of many letters"), "u_1", None}


def test_what_is_wrong_is_told_by_line(folder: Folder) -> None:
    """The good ones are stored, the others told by their numbers; the exit code says that some are missing."""
    content = b"".join(
        line + b"\n"
        for line in (
            b"\xef\xbb\xbf" + json.dumps(ITEM).encode(),
            b"",
            b"{no json",
            json.dumps(ITEM | {"units": {"text": {"input": -1}}}).encode(),
            json.dumps(ITEM | {"usr_id": "jane"}).encode(),
            json.dumps({"category": "x"}).encode(),
            json.dumps(ITEM | {"event_timestamp": "2126-01-01"}).encode(),
            json.dumps(call().to_dict() | {"outcome": "good"}).encode(),
            b'{"category": "a", "units": {}, "provider_uri": "' + b"x" * LONGEST + b'"}',
            b"[" * 100_000,
            b'{"category": "\xff", "units": {}}',
            json.dumps(ITEM | {"units": {f"u{n}": 2**31 - 1 for n in range(1, 32)}}).encode(),
            json.dumps(ITEM | {"use_case_name": "not one"}).encode(),
            json.dumps(ITEM | {"user_id": "last"}).encode(),
        )
    )
    told = folder.run(content, code=1)

    messages = {error["line"]: error["message"] for error in told["errors"]}
    assert {event.user_id for event in folder.events()} == {"jane", "last"}
    assert told["stored"] == 3
    assert sorted(messages) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 13]
    assert "$.units" in messages[4]
    assert "usr_id" in messages[5]
    assert "units" in messages[6]
    assert "5 minutes in the future" in messages[7]
    assert "$.outcome" in messages[8]
    assert "longer than" in messages[9]
    assert "use_case_name" in messages[13]


@pytest.mark.parametrize(
    "given",
    [
        {"units": {"text": (2**61, 0)}, "ticks": 1},
        {"units": {"text": (2**36, 1)}, "ticks": 0},
        {"ticks": 2**50 + 1},
        {"ticks": -1},
        {"first_byte_ns": 10**19},
        {"duration_ns": 5 * 10**18},
        {"cost": Cost(10**19, -(10**19), 0)},
    ],
    ids=[
        "tokens",
        "more tokens than sums take",
        "cost",
        "less than nothing",
        "first byte",
        "duration",
        "sides of a cost",
    ],
)
def test_numbers_that_cannot_be(folder: Folder, given: dict[str, Any]) -> None:
    """An event of ours whose numbers no store takes is refused by its line, not left out without a word, and the others are stored."""
    event = call(**given)

    told = folder.run(lines([call().to_dict(), event.to_dict(), ITEM]), code=1)

    assert (told["stored"], told["refused"]) == (2, 1)
    assert told["errors"] == [{"line": 2, "message": "its counts, times or cost are more than could be true"}]


def test_a_table_in_another_encoding(folder: Folder) -> None:
    """A row that is no UTF-8 is refused and the others are stored; a first line that is none names no columns."""
    rows = "category,resource,units.text.input,properties.team\n" + "".join(
        f"system.openai,gpt-4o,10,{team}\n" for team in ("blue", "café", "red")
    )

    told = folder.run(rows.encode("latin-1"), code=1)
    assert (told["stored"], told["errors"]) == (2, [{"line": 3, "message": "not UTF-8"}])
    assert folder.run(rows.encode())["stored"] == 1
    assert "the first line is not UTF-8" in folder.failed(rows.replace("team", "équipe").encode("latin-1"))


@pytest.mark.parametrize(
    ("content", "stored", "item", "message"),
    [
        (b"[]", 0, None, ""),
        (b"  [ \n ]\n", 0, None, ""),
        (b'[{"category": 5}]', 0, 1, "$.category"),
        (b"[1, %s]", 1, 1, "object"),
        (b"[%s, %s] and more", 2, None, ""),
        (b"[%s, {broken, %s]", 1, 2, "the rest cannot be read"),
        (b"[%s, %s", 2, 2, "no comma follows it; the rest cannot be read"),
        (b"[%s %s]", 1, 1, "no comma"),
        (b'[%s, {"category": "\xff", "units": {}}, %s]', 2, 2, "UTF-8"),
        (b"[%s, " + b"[" * 5000, 1, 2, "the rest cannot be read"),
        (b'[{"category": "' + "é".encode() * LONGEST + b'"}]', 0, 1, "longer than"),
    ],
)
def test_arrays_as_they_come(folder: Folder, content: bytes, stored: int, item: int | None, message: str) -> None:
    """An array is read item by item: what is broken ends it, and what stood before is stored."""
    good = [json.dumps(one).encode() for one in items(2)]
    content = content.replace(b"%s", good[0], 1).replace(b"%s", good[1], 1)

    told = folder.run(content, code=0 if item is None else 1)

    assert told["stored"] == stored
    errors = told["errors"]
    assert [error["item"] for error in errors] == ([] if item is None else [item])
    assert all(message in error["message"] for error in errors)


def test_a_large_array_on_one_line(folder: Folder) -> None:
    """Larger than what is ever in memory, with letters of several bytes at its seams."""
    told = [ITEM | {"user_id": f"é{number}", "properties": {"k": "ü" * 500}} for number in range(2000)]

    assert folder.run(json.dumps(told, ensure_ascii=False).encode())["stored"] == 2000
    assert {event.user_id for event in folder.events()} == {f"é{number}" for number in range(2000)}


def test_columns_of_a_table(folder: Folder) -> None:
    """Units by side, properties by key, lists in a cell; an empty cell tells nothing; texts of requests are passed over."""
    told = folder.run(
        b"category;resource; units.text.input;units.text.output;units.text_cache_read.input;event_timestamp;"
        b"user_id;request_tags;properties.team;use_case_name;use_case_version;use_case_properties.p;"
        b"end_to_end_latency_ms;http_status_code;provider_request_json\r\n"
        b'system.openai;gpt-4o;1000;100;;2026-03-04;"ja;ne";a,b;red;Digest;2;q;1500;200;secret\r\n'
        b";;;;;;;;;;;;;;\r\n"
        b"system.openai;gpt-4o;;;;2026-03-05;;;;;;;;429;\r\n"
    )

    first, second = folder.events()
    assert told["stored"] == 2
    assert first.units == {"text": (1000, 100)}
    assert (first.user_id, first.attribution.request_tags) == ("ja;ne", ("a", "b"))
    assert first.attribution.request_properties == {"team": "red"}
    assert (first.use_case_name, first.attribution.use_case_version) == ("Digest", 2)
    assert first.attribution.use_case_id
    assert first.attribution.use_case_properties == {"p": "q"}
    assert (first.latency_ms, first.http_status) == (1500, 200)
    assert (second.user_id, second.units, second.outcome, second.error_type) == (None, {}, "error", "http_429")
    assert b"secret" not in folder.file.with_name("payi.db").read_bytes()


def test_rows_that_are_wrong(folder: Folder) -> None:
    """Told by the line they stand on, also behind cells of several lines."""
    told = folder.run(
        b"category,resource,units.text.input,user_id\n"
        b"system.openai,gpt-4o,many,jane\n"
        b'system.openai,gpt-4o,1,"two\nlines"\n'
        b"system.openai,gpt-4o,1,jane,more\n"
        b",gpt-4o,1,jane\n"
        b"system.openai,gpt-4o,-1,jane\n"
        b'system.openai,gpt-4o,1,"ja"ne\n'
        b"system.openai,gpt-4o,1,\xff\n"
        b"system.openai,gpt-4o,1,good\n",
        code=1,
    )

    assert [event.user_id for event in folder.events()] == ["good"]
    assert [error["line"] for error in told["errors"]] == [2, 4, 5, 6, 7, 8, 9]
    assert told["errors"][2]["message"] == "5 cells in 4 columns"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds nothing"),
        (b"\n \n", "holds nothing"),
        (b"category,units.text.input,usr_id\n", "the column 'usr_id' is unknown; there are category"),
        (b"category,units.text\n", "the column 'units.text' is unknown"),
        (b"category,category,units.text.input\n", "'category' stands twice"),
        (b"category,resource\n", "`category` is needed, and a unit"),
        (b"hello", "the column 'hello' is unknown"),
        (gzip.compress(b"")[:5], "cannot be read"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_none(folder: Folder, content: bytes | None, message: str) -> None:
    """One line on standard error tells what is wrong, and no store is made."""
    assert message in folder.failed(content)


def test_a_damaged_file_is_read_as_far_as_possible(folder: Folder) -> None:
    """A packed file that was cut off: what stands in its whole part is stored, and the damage is told."""
    told = folder.run(gzip.compress(lines(items(3000)), 1)[:-2000], code=1)

    assert 0 < told["stored"] < 3000
    assert "damaged" in told["errors"][-1]["message"]
    assert len(folder.events()) == told["stored"]


def test_a_dry_run_writes_nothing(folder: Folder) -> None:
    """It tells what would be stored, also of a store that holds some already, and makes none."""
    dry = folder.run(
        lines([*items(3), ITEM | {"provider_response_id": "r"}, ITEM | {"provider_response_id": "r"}]), "--dry-run"
    )
    assert (dry["stored"], dry["already_there"], dry["dry_run"]) == (4, 1, True)
    assert not folder.file.with_name("payi.db").exists()

    folder.run(lines(items(2)))
    again = folder.run(lines(items(3)), "--dry-run")

    assert (again["stored"], again["already_there"]) == (1, 2)
    assert Decimal(again["cost"]) == COST
    assert len(folder.events()) == 2


def test_what_it_says(folder: Folder) -> None:
    """How many, what they cost, why some have no cost, and what was refused."""
    some = [ITEM, ITEM | {"resource": "nobody-knows"}, ITEM | {"units": {"odd": {"input": 1}, "text": {"input": 1}}}]
    out, err = folder.shown(lines(some) + b"{}\n" * 22, code=1)

    assert out.startswith("3 events stored, $0.003502 in all.\n")
    assert "22 events refused." in out
    assert "1 without a cost, 1 with a part of it:" in out
    assert "1 x no rates for model nobody-knows of openai" in out
    assert "events, line 4: Object missing required field `category`" in err
    assert "2 more are refused" in err

    out, err = folder.shown(lines(some[:1]), "--dry-run")
    assert out == "0 events would be stored, $0.00 in all.\n1 event is there already.\n"
    assert err == ""


def test_rates_of_the_owners(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A category of one's own is priced by the setting `prices`, at the date of each event."""
    prices = tmp_path / "prices.toml"
    prices.write_text(
        '[[rate]]\nprovider = "maps"\nmodels = ["geocoding"]\nrates = { "request.input" = "0.005" }\n'
        '[[rate]]\nprovider = "maps"\nmodels = ["geocoding"]\nfrom = 2026-06-01\nrates = { "request.input" = "0.007" }\n'
    )
    monkeypatch.setenv("PAYI_PRICES", str(prices))
    mapped = {"category": "maps", "resource": "geocoding", "units": {"request": 10}}

    told = folder.run(lines([mapped | {"event_timestamp": day} for day in ("2026-05-31T23:59:59Z", "2026-06-01")]))

    assert told["without_cost"] == 0
    assert sorted(event.cost.total for event in folder.events() if event.cost) == [Decimal("0.05"), Decimal("0.07")]
