"""Rates fetched since they were installed: kept beside the store, taken over by running processes, never by force."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import genai_prices
import pytest
from publishing import MANY, Publisher, listing
from typer.testing import CliRunner

from payi_middleware import Meter, health
from payi_middleware.cli import app
from payi_middleware.events import Units
from payi_middleware.exceptions import PricesError
from payi_middleware.fetched import Fetched, fetched_at
from payi_middleware.pricing import Prices
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.updates import Updates

AT = int(datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC).timestamp()) * 10**9
UNITS: Units = {"text": (1_000_000, 0)}


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


def cost(prices: Prices) -> str:
    prices.load()
    plan = prices.plan("openai", "gpt-4o", AT)
    assert plan is not None
    found = plan.price(UNITS).cost
    assert found is not None
    return str(found.total.normalize())


def test_what_is_fetched_is_kept_for_every_process(publisher: Publisher, tmp_path: Path) -> None:
    path = fetched_at(tmp_path / "payi.db")
    fetched = Fetched(path)
    assert fetched.snapshot() is None
    before = Prices(fetched=fetched.snapshot)
    assert cost(before) == "2.5"

    fetched.fetch(publisher.url)

    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert cost(before) == "7"
    assert cost(Prices(fetched=Fetched(path).snapshot)) == "7"
    assert "snapshot of" in before.version
    assert fetched.snapshot() is fetched.snapshot()  # read once


def test_without_a_store_it_is_kept_in_memory(publisher: Publisher) -> None:
    fetched = Fetched(fetched_at(None))
    fetched.fetch(publisher.url)
    assert cost(Prices(fetched=fetched.snapshot)) == "7"


def test_a_file_of_another_genai_prices_is_passed_over(publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    Fetched(path).fetch(publisher.url)
    kept = json.loads(path.read_text())
    assert kept["genai_prices"] == genai_prices.__version__
    path.write_text(json.dumps(kept | {"genai_prices": "0.0.1"}))
    assert Fetched(path).snapshot() is None


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 200, "could not be had from"),
        (b"", 404, "could not be had from"),
        (json.dumps(listing(7, MANY // 2)).encode(), 200, f"models where {MANY} are known: not taken"),
        (b'[{"id": "openai"}]', 200, "not of the form that the installed genai-prices reads"),
        (b"7", 200, "not of the form that the installed genai-prices reads"),
    ],
)
def test_what_cannot_be_true_is_not_taken(
    publisher: Publisher, tmp_path: Path, body: bytes, status: int, message: str
) -> None:
    path = tmp_path / "prices.json"
    Fetched(path).fetch(publisher.url)
    publisher.body, publisher.status = body, status
    fetched = Fetched(path)
    with pytest.raises(PricesError, match=message):
        fetched.fetch(publisher.url)
    assert cost(Prices(fetched=fetched.snapshot)) == "7"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match=r"could not be had from http://127\.0\.0\.1:9"):
        Fetched(tmp_path / "prices.json").fetch("http://127.0.0.1:9/")


def test_a_folder_that_cannot_be_written(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PricesError, match="cannot be written"):
        Fetched(tmp_path / "file" / "prices.json").fetch(publisher.url)


@pytest.mark.parametrize("content", [b"{", b"{}", b"\xff"])
def test_a_damaged_file_is_named_and_the_installed_rates_are_used(tmp_path: Path, content: bytes) -> None:
    path = fetched_at(tmp_path / "payi.db")
    assert path is not None
    path.write_bytes(content)
    with pytest.raises(PricesError, match=r"payi\.db\.prices\.json cannot be read .*; run `payi prices update`"):
        Fetched(path).snapshot()
    assert cost(Prices(fetched=Updates(tmp_path / "payi.db", 0).snapshot)) == "2.5"
    assert health.counters()["prices_update"] == 1


def test_a_meter_takes_over_what_was_fetched(publisher: Publisher, tmp_path: Path) -> None:
    Fetched(fetched_at(tmp_path / "payi.db")).fetch(publisher.url)
    with Meter(f"sqlite:///{tmp_path}/payi.db") as meter:
        assert cost(meter.prices) == "7"


def test_newer_rates_are_fetched_in_the_background(publisher: Publisher, tmp_path: Path) -> None:
    updates = Updates(tmp_path / "payi.db", 3600, publisher.url)
    prices, taken = Prices(fetched=updates.snapshot), threading.Event()

    def take_over() -> None:
        prices.load()
        taken.set()

    updates.fetch_if_due(take_over)
    updates.fetch_if_due(take_over)  # not again before its time
    assert taken.wait(60)
    assert cost(prices) == "7"


def test_a_failure_in_the_background_is_counted(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 500
    updates = Updates(tmp_path / "payi.db", 3600, publisher.url)
    updates.fetch_if_due(lambda: None)
    assert updates._thread is not None
    updates._thread.join(60)
    assert health.counters()["prices_update"] == 1

    publisher.status = 200
    raising = Updates(tmp_path / "payi.db", 3600, publisher.url)
    raising.fetch_if_due(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert raising._thread is not None
    raising._thread.join(60)
    assert health.counters()["prices_update"] == 2


def test_nothing_is_fetched_unless_asked_for(publisher: Publisher, tmp_path: Path) -> None:
    updates = Updates(tmp_path / "payi.db", Meter("sqlite:///:memory:", sinks=[MemorySink()]).settings.update_prices)
    updates.fetch_if_due(lambda: None)
    assert updates._thread is None


def test_the_command(publisher: Publisher, tmp_path: Path) -> None:
    arguments = ["prices", "update", "--store", f"sqlite:///{tmp_path}/payi.db", "--from", publisher.url]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert f"{MANY:,} models: genai-prices" in told.output
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert document["models"] == MANY
    assert "snapshot of" in document["before"]

    publisher.status = 500
    failed = CliRunner().invoke(app, arguments)
    assert failed.exit_code == 1
    assert "those in use stay" in failed.output
