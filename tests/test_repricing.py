"""Recorded calls priced anew: by other rates, at their own date, with nothing lost that was never counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made import START_NS, call
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.events import CallEvent, Cost, Part, Unpriced
from payi_middleware.manual.items import BulkItem, draft_of
from payi_middleware.manual.pricing import Price, event_of
from payi_middleware.pricing import Prices, owners
from payi_middleware.repricing import repriced
from payi_middleware.store import Store, open_store

DOUBLE = {"factor": [{"provider": "openai", "times": "2"}]}


def prices_of(document: dict[str, Any]) -> Prices:
    prices = Prices(owners(document))
    prices.load()
    return prices


LISTED, DOUBLED = prices_of({}), prices_of(DOUBLE)


def priced(**given: Any) -> CallEvent:
    """A call as it costs by the rates that are listed."""
    event = call(**given)
    return repriced(event, LISTED) or event


def ticks(event: CallEvent | None) -> int:
    assert event is not None
    assert event.cost is not None
    return event.cost.total_ticks


def test_the_same_rates_change_nothing() -> None:
    assert repriced(priced(), LISTED) is None


def test_other_rates_give_another_cost_and_their_version() -> None:
    event = priced()
    new = repriced(event, DOUBLED)
    assert ticks(new) == 2 * ticks(event)
    assert new is not None
    assert new.price_version == DOUBLED.version != event.price_version


@pytest.mark.parametrize("given", [{"cost_source": "provider"}, {"units": {}, "cost": None, "cost_source": "none"}])
def test_what_was_stated_or_not_counted_stays(given: dict[str, Any]) -> None:
    assert repriced(call(**given), DOUBLED) is None


def test_an_estimate_stays_one() -> None:
    new = repriced(call(cost_source="estimate", reason="counted by length"), DOUBLED)
    assert new is not None
    assert (new.cost_source, new.reason) == ("estimate", "counted by length")


def test_a_model_without_rates_is_priced_once_it_has_some() -> None:
    event = call(resource="ours", cost=None, cost_source="none", reason="no rates for model ours of openai")
    assert repriced(event, LISTED) is None
    known = prices_of({"rate": [{"models": ["ours"], "rates": {"text.input": "1/M", "text.output": "1/M"}}]})
    new = repriced(event, known)
    assert new is not None
    assert (new.cost_source, new.reason, ticks(new)) == ("usage", None, 11_000_000)


def test_what_lacked_a_rate_is_priced_and_what_was_never_counted_is_still_said() -> None:
    units = {"text": (1000, 100), "x_search_request": (0, 2)}
    uncounted = Unpriced("file", 1, "not counted")
    event = call(units=units, unpriced=(Unpriced("x_search_request", 2, "no rate for x_search_request"), uncounted))
    known = prices_of({"rate": [{"models": ["gpt-4o"], "rates": {"x_search_request.output": "5/K"}}]})
    new = repriced(event, known)
    assert new is not None
    assert new.unpriced == (uncounted,)


def test_each_of_several_models_is_priced_anew() -> None:
    parts = (Part(None, {"text": (1000, 0)}), Part("gpt-4o-mini", {"text": (1000, 0)}))
    event = priced(units={"text": (2000, 0)}, parts=parts)
    assert event.cost is not None
    assert len(event.cost.lines) == 2
    assert ticks(repriced(event, DOUBLED)) == 2 * ticks(event)


def test_one_of_several_models_is_priced_once_it_has_rates() -> None:
    """Its units are in the sum of all, of which the cost has a part alone until then."""
    parts = (Part(None, {"text": (1000, 0)}), Part("ours", {"text": (1000, 0)}))
    event = priced(units={"text": (2000, 0)}, parts=parts)
    known = prices_of({"rate": [{"models": ["ours"], "rates": {"text.input": "2.5/M"}}]})
    assert ticks(repriced(event, known)) == 2 * ticks(event)


def ingested(category: str, resource: str, *own: Price, **units: tuple[int, int]) -> CallEvent:
    """An event as a server prices it."""
    told = BulkItem(category=category, resource=resource, units={})
    draft = draft_of(told, {}, "shop")
    return event_of(msgspec.structs.replace(draft, units=units), LISTED, own)


@pytest.mark.parametrize(
    ("category", "resource"),
    [
        ("system.openai", "gpt-4o"),
        ("system.google.vertex", "google.gemini-2.5-flash"),
        ("system.google.vertex", "anthropic.claude-sonnet-4-5"),
        ("system.perplexity", "sonar"),
    ],
)
def test_what_was_ingested_is_priced_by_the_model_that_its_resource_is(category: str, resource: str) -> None:
    """Whatever Pay-i writes before its name; with the fee of a request, of which the units tell nothing."""
    event = ingested(category, resource, text=(1000, 100))
    provider = event.provider
    assert event.cost is not None
    assert repriced(event, LISTED) is None
    assert ticks(repriced(event, prices_of({"factor": [{"provider": provider, "times": "2", "units": "*"}]}))) == (
        2 * ticks(event)
    )


def test_what_an_own_resource_has_priced_stays() -> None:
    """Also where our rates know a model of that name, which is another one's."""
    own = Price("id", 0, {"text": {"input_price": "0.001", "output_price": None}})
    event = ingested("openai", "gpt-4o", own, text=(1000, 100))
    assert ticks(event) == 10**10
    assert repriced(event, DOUBLED) is None


@pytest.mark.parametrize("units", [{"text": (1000, 99)}, {"text": (999, 100)}, {"audio": (1000, 100)}])
def test_a_cost_of_other_units_than_were_told_first_stays(units: dict[str, tuple[int, int]]) -> None:
    """An upsert corrects the cost alone, so what it told is not there to be priced anew."""
    event = priced()
    upserted = msgspec.structs.replace(event, cost=priced(units=units).cost)
    assert repriced(upserted, DOUBLED) is None


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/payi.db"
    with open_store(url, create=True) as opened:
        opened.write([priced(started_ns=START_NS - n * 3_600 * 10**9) for n in range(40)])
        opened.write([call(provider="anthropic", resource="claude-opus-4-1", cost_source="provider")])
    return url


def run(store: str, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--store", store], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_shows_what_would_change_by_day_and_writes_nothing(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text('[[factor]]\nprovider = "openai"\ntimes = "2"')
    monkeypatch.setenv("PAYI_PRICES", str(rates))
    before = run(store, "report", "--json")

    told = json.loads(run(store, "reprice", "--dry-run", "--json"))
    assert told["calls"] == 41
    assert [(row["day"], row["model"], row["calls"]) for row in told["changes"]] == [
        ("2026-09-19", "gpt-4o", 1),
        ("2026-09-20", "gpt-4o", 24),
        ("2026-09-21", "gpt-4o", 15),
    ]
    assert all(float(row["corrected"]) == 2 * float(row["recorded"]) for row in told["changes"])
    assert "40 calls of 41 would change, by +$0.14" in run(store, "reprice", "--dry-run")
    assert run(store, "report", "--json") == before


def test_corrections_are_shown_and_the_recorded_costs_are_still_there(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text('[[factor]]\nprovider = "openai"\ntimes = "2"')
    before = json.loads(run(store, "report", "--json"))
    monkeypatch.setenv("PAYI_PRICES", str(rates))

    assert "40 calls of 41 were corrected" in run(store, "reprice")
    after = json.loads(run(store, "report", "--json"))
    assert float(after["total"]["cost"]) - float(before["total"]["cost"]) == pytest.approx(0.14)
    assert json.loads(run(store, "report", "--json", "--as-recorded")) == before
    corrected, recorded = (
        [json.loads(line)["cost"]["total"] for line in run(store, "events", "--json", *more).splitlines()]
        for more in ([], ["--as-recorded"])
    )
    assert (corrected[0], recorded[0]) == ("0.007", "0.0035")
    assert "Nothing changes: 41 calls cost what they are recorded with." in run(store, "reprice")


def test_two_commands_at_once(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another one corrects after this one has read it is corrected once, and told once."""
    rates = tmp_path / "rates.toml"
    rates.write_text('[[factor]]\nprovider = "openai"\ntimes = "2"')
    monkeypatch.setenv("PAYI_PRICES", str(rates))
    before = json.loads(run(store, "report", "--json"))
    correct, other = Store.correct, list[str]()

    def correct_after_another(self: Store, changed: Any) -> set[int]:
        monkeypatch.setattr(Store, "correct", correct)
        other.append(run(store, "reprice"))
        return self.correct(changed)

    monkeypatch.setattr(Store, "correct", correct_after_another)
    assert "Nothing changes" in run(store, "reprice")
    assert "40 calls of 41 were corrected" in other[0]
    after = json.loads(run(store, "report", "--json"))
    assert float(after["total"]["cost"]) - float(before["total"]["cost"]) == pytest.approx(0.14)


def test_calls_that_would_lose_their_cost_are_told(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody prices anew without the rates of their own that the application had."""
    rates = tmp_path / "rates.toml"
    rates.write_text('[[mapping]]\nmodel = "gpt-4o"\nprice_as = "unheard-of"')
    monkeypatch.setenv("PAYI_PRICES", str(rates))

    shown = " ".join(run(store, "reprice", "--dry-run").split())
    assert "2026-09-19 gpt-4o 1 $0.0035 unpriced -$0.0035" in shown
    assert "40 calls of them lose their cost, as no rate is known now" in shown
    told = json.loads(run(store, "reprice", "--dry-run", "--json"))
    assert [(row["calls"], row["lost"]) for row in told["changes"]] == [(1, 1), (24, 24), (15, 15)]


def test_only_calls_of_the_range_are_priced_anew(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text('[[factor]]\nprovider = "openai"\ntimes = "2"')
    monkeypatch.setenv("PAYI_PRICES", str(rates))
    told = json.loads(run(store, "reprice", "--json", "--since", "2026-09-20", "--until", "2026-09-21"))
    assert [(row["day"], row["calls"]) for row in told["changes"]] == [("2026-09-20", 24)]


def test_a_call_of_a_provider_without_any_cost_stays(tmp_path: Path) -> None:
    event = call(provider="nobody", resource=None, requested_resource=None, cost=None, cost_source="none")
    assert repriced(event, DOUBLED) is None


def test_a_cost_may_become_none() -> None:
    refused = prices_of({"mapping": [{"model": "gpt-4o", "price_as": "unheard-of"}]})
    new = repriced(priced(), refused)
    assert new is not None
    assert (new.cost, new.cost_source) == (None, "none")
    assert isinstance(priced().cost, Cost)


def test_a_doubt_of_a_rate_is_said_once_and_goes_with_the_rate() -> None:
    """Else each time that calls are priced anew there is one more of it, and a correction for nothing."""
    units = {"text": (10, 10), "container_session_request": (0, 1)}
    event = priced(provider="openai", resource="gpt-5.2", units=units)
    assert [entry.unit for entry in event.unpriced] == ["container_session_request"]
    assert repriced(event, LISTED) is None

    own = {"provider": "openai", "rates": {"container_session_request.output": "0.03"}, "replaces": True}
    sure = repriced(event, prices_of({"rate": [own]}))

    assert sure is not None
    assert sure.unpriced == ()


def test_capacity_bought_beforehand_is_said_once() -> None:
    event = priced(provider="openai", resource="gpt-5.2", service_tier="scale")
    assert event.cost is None
    assert event.unpriced
    assert repriced(event, LISTED) is None
