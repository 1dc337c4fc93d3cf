"""`Meter.record`: whose an event is, what it costs, that it is kept, and what cannot be recorded."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from children import start
from mocked import stored
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from payi_middleware import EventError, Meter, PayiMiddleware, UseCaseError, context, current, health, track, use_case
from payi_middleware.events import CallEvent, format_id
from payi_middleware.frames import LATE_SECONDS
from payi_middleware.intake import take_in
from payi_middleware.once import event_id
from payi_middleware.pseudonyms import pseudonym
from payi_middleware.settings import Settings
from payi_middleware.sinks.memory import MemorySink

TEXT = {"text": (1000, 100)}
GPT_4O = Decimal("0.0035")
"""USD of TEXT at 2.50 and 10 a million."""
OWN = {
    "rate": [
        {"provider": "maps", "models": ["geocoding"], "rates": {"request.input": "0.005"}},
        {"provider": "ocr", "models": ["scan"], "rates": {"page.input": "0.01", "page.output": "0.02"}},
        {
            "provider": "ocr",
            "models": ["scan"],
            "from": datetime.date(2026, 6, 1),
            "rates": {"page.input": "0.03", "page.output": "0.02"},
        },
    ]
}


class Kept:
    """A meter whose events stay in memory."""

    def __init__(self, **settings: Any) -> None:
        self._sink = MemorySink()
        self.meter = Meter("sqlite:///:memory:", sinks=[self._sink], **settings)

    def events(self) -> list[CallEvent]:
        assert self.meter.flush(30)
        return list(self._sink.events)

    def one(self) -> CallEvent:
        (event,) = self.events()
        return event


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kept]:
    """One with its rates loaded, for tests that look at single events."""
    kept = Kept(prices=OWN, application="shop")
    kept.meter.prices.load()
    yield kept
    kept.meter.close()


def recorded(kept: Kept, *arguments: Any, **more: Any) -> CallEvent:
    """The event of one `record`."""
    told = kept.meter.record(*arguments, **more)
    return next(event for event in kept.events() if format_id(event.event_id) == told)


def test_an_event_is_kept_with_all_that_was_told(loaded: Kept) -> None:
    """Every argument is a member of the event."""
    event = recorded(
        loaded,
        "system.openai",
        "gpt-4o",
        {"text": (1000, 100), "web_search_request": {"output": 2}},
        at=datetime.datetime(2026, 10, 1, 12, tzinfo=datetime.UTC),
        latency_ms=1500,
        http_status=200,
        provider_response_id="chatcmpl-all",
        terms=("region:us", "tier:default"),
        user_id=7,
        account_name="acme",
        request_tags="a,b",
        request_properties={"k": 1},
        use_case_name="Digest",
        use_case_id="i-1",
        use_case_version=2,
        use_case_step="write",
        use_case_properties={"p": "q"},
        limit_ids=["l1"],
        limit_tags=["lt"],
    )
    told = event.to_dict()

    assert told["origin"] == "record"
    assert told["application"] == "shop"
    assert (told["category"], told["provider"], told["resource"]) == ("system.openai", "openai", "gpt-4o")
    assert told["started_at"] == "2026-10-01T12:00:00.000000Z"
    assert (told["latency_ms"], told["http_status"], told["outcome"]) == (1500, 200, "ok")
    assert told["units"] == {
        "text": {"input": 1000, "output": 100},
        "web_search_request": {"input": 0, "output": 2},
    }
    assert (told["service_tier"], told["terms"]) == ("default", ["region:us"])
    assert (told["user_id"], told["account_name"]) == ("7", "acme")
    assert (told["request_tags"], told["request_properties"]) == (["a", "b"], {"k": "1"})
    assert (told["use_case_name"], told["use_case_id"], told["use_case_version"]) == ("Digest", "i-1", 2)
    assert (told["use_case_step"], told["use_case_properties"]) == ("write", {"p": "q"})
    assert told["limit_ids"] == ["l1"]
    assert event.attribution.limit_tags == ("lt",)
    assert told["provider_response_id"] == "chatcmpl-all"
    assert event.cost is not None
    assert event.cost_source == "usage"


@pytest.mark.parametrize(
    ("units", "kept"),
    [
        ({"text": (1000, 100)}, (1000, 100)),
        ({"text": [1000, 100]}, (1000, 100)),
        ({"text": {"input": 1000, "output": 100}}, (1000, 100)),
        ({"text": {"output": 100}}, (0, 100)),
        ({"text": {"input": 1000, "output": None}}, (1000, 0)),
        ({"text": 1000}, (1000, 0)),
        ({"text_large_context": (1000, 100)}, (1000, 100)),
    ],
)
def test_units_in_every_shape(loaded: Kept, units: Any, kept: tuple[int, int]) -> None:
    """Pairs, mappings and bare counts, which went in; Pay-i's mark of a long prompt is not needed."""
    event = recorded(loaded, "system.openai", "gpt-4o", units)

    assert event.units == {"text": kept}
    assert event.cost is not None
    assert event.cost.total == (kept[0] * Decimal("2.5") + kept[1] * 10) / 1_000_000


@pytest.mark.parametrize(
    ("category", "resource", "units", "more", "total"),
    [
        ("system.openai", "gpt-4o", TEXT, {}, "0.0035"),
        ("system.openai", "gpt-4o", TEXT, {"terms": ("tier:batch",)}, "0.00175"),
        ("system.openai", "our-own", TEXT, {"price_as": "gpt-4o"}, "0.0035"),
        ("system.openai", "gpt-4o", TEXT, {"cost": Decimal("0.5")}, "0.5"),
        ("system.openai", None, {}, {"cost": 2}, "2"),
        ("system.google.vertex", "google.gemini-2.5-flash", {"text": (1000, 100)}, {}, "0.00055"),
        ("maps", "geocoding", {"request": 3}, {}, "0.015"),
        ("ocr", "scan", {"page": (2, 1)}, {"at": "2026-05-31"}, "0.04"),
        ("ocr", "scan", {"page": (2, 1)}, {"at": "2026-06-01"}, "0.08"),
    ],
)
def test_what_an_event_costs(
    loaded: Kept, category: str, resource: str, units: Any, more: dict[str, Any], total: str
) -> None:
    """A stated cost; else the rates of the provider, or the owner's for a category of their own, of the event's own date."""
    event = recorded(loaded, category, resource, units, **more)

    assert event.cost is not None, event.reason
    assert event.cost.total == Decimal(total)
    assert event.cost_source == ("provider" if "cost" in more else "usage")
    assert not event.unpriced


def test_a_stated_cost_is_rounded_to_ticks(loaded: Kept) -> None:
    """Once, half to even."""
    event = recorded(loaded, "system.openai", "gpt-4o", {}, cost=Decimal("0.00000000025"))

    assert event.cost is not None
    assert event.cost.total_ticks == 2


@pytest.mark.parametrize(
    ("category", "resource", "units", "more", "reason"),
    [
        ("weather", "forecast", {"request": 1}, {}, "no rates for model forecast of weather"),
        ("system.openai", None, TEXT, {}, "neither the answer nor the request names a model"),
        ("system.openai", "gpt-4o", {}, {}, "no units were told"),
        ("system.openai", "gpt-4o", {}, {"http_status": 429}, "the provider answered 429"),
        ("ocr", "scan", {"tile": 3}, {}, "no rate for any unit of scan"),
    ],
)
def test_never_a_silent_zero(
    loaded: Kept, category: str, resource: Any, units: Any, more: dict[str, Any], reason: str
) -> None:
    """What cannot be priced says why."""
    event = recorded(loaded, category, resource, units, **more)

    assert (event.cost, event.cost_source, event.reason) == (None, "none", reason)
    assert event.outcome == ("error" if more else "ok")
    assert event.error_type == ("http_429" if more else None)


def test_what_has_no_rate_is_told_beside_what_has_one(loaded: Kept) -> None:
    """A unit without a rate is in `unpriced`."""
    event = recorded(loaded, "maps", "geocoding", {"request": 1, "tile": (2, 0)})

    assert event.cost is not None
    assert event.cost.total == Decimal("0.005")
    assert [(entry.unit, entry.quantity) for entry in event.unpriced] == [("tile", 2)]


def test_before_the_rates_are_loaded() -> None:
    """The draining thread prices what was recorded in the first moments, as the same event later."""
    kept = Kept(prices=OWN)
    kept.meter.cold = False  # as if they were still loading
    with track(user_id="jane"):
        kept.meter.record("maps", "geocoding", {"request": 3})
        assert current().calls == 1
        assert not current().complete

    event = kept.one()
    assert event.cost is not None
    assert event.cost.total == Decimal("0.015")
    assert event.price_version


def test_an_event_belongs_to_what_runs(loaded: Kept) -> None:
    """Blocks tell for whom it is, what the call tells is laid over that, and `current()` counts it."""
    with track(user_id="jane", request_tags=["night"]), use_case("Digest", step="read"):
        inner = recorded(loaded, "system.openai", "gpt-4o", TEXT)
        other = recorded(loaded, "system.openai", "gpt-4o", TEXT, user_id="john", request_tags=["extra"])
        another = recorded(loaded, "system.openai", "gpt-4o", TEXT, use_case_name="Chat")
        assert current().calls == 3
        assert current().cost == 3 * GPT_4O
        assert current().complete
        assert current().pending == 0

    assert (inner.user_id, inner.use_case_name, inner.attribution.use_case_step) == ("jane", "Digest", "read")
    assert (other.user_id, other.attribution.request_tags) == ("john", ("night", "extra"))
    assert other.attribution.use_case_id == inner.attribution.use_case_id
    assert (another.use_case_name, another.attribution.use_case_step) == ("Chat", None)
    assert another.attribution.use_case_id not in (None, inner.attribution.use_case_id)
    assert "unattributed" not in health.counters()


def test_long_after_its_request(loaded: Kept) -> None:
    """What still runs a quarter of an hour after a request is nobody's, and counted as late."""
    with track(user_id="jane"):
        frame = context.frame.get()
        assert frame is not None
        frame.activity.ended = time.monotonic() - LATE_SECONDS - 1
        event = recorded(loaded, "system.openai", "gpt-4o", TEXT)

    assert event.user_id is None
    assert health.counters()["late"] == 1


def test_outside_of_everything(loaded: Kept) -> None:
    """It is nobody's, and that is counted; a use case still has an instance."""
    event = recorded(loaded, "system.openai", "gpt-4o", TEXT)
    of_use_case = recorded(loaded, "system.openai", "gpt-4o", TEXT, use_case_name="Digest")

    assert event.user_id is None
    assert of_use_case.attribution.use_case_id
    assert health.counters()["unattributed"] == 1


def test_what_is_not_whole_is_not_complete(loaded: Kept) -> None:
    """`current().complete` is false where something has no price; a refusal costs nothing."""
    with track(user_id="jane"):
        loaded.meter.record("system.openai", "gpt-4o", {}, http_status=500)
        assert current().complete
        loaded.meter.record("weather", "forecast", {"request": 1})
        assert not current().complete


def test_within_a_web_request(loaded: Kept) -> None:
    """In a coroutine and in a thread of it: the user of the request, its route, and all are counted."""
    seen: list[Any] = []

    async def scan(request: Request) -> PlainTextResponse:
        loaded.meter.record("ocr", "scan", {"page": 2}, at="2026-07-01")
        await asyncio.to_thread(loaded.meter.record, "ocr", "scan", {"page": 1}, at="2026-07-01")
        seen.append((current().calls, current().cost))
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/scan", scan)])
    before = len(loaded.events())
    with TestClient(PayiMiddleware(app, loaded.meter, identify=lambda connection: "jane")) as client:
        client.get("/scan")

    events = loaded.events()[before:]
    assert seen == [(2, Decimal("0.09"))]
    assert {(event.user_id, event.origin, event.inbound.http_route) for event in events} == {
        ("jane", "record", "/scan")
    }


def test_told_twice_it_counts_once(loaded: Kept) -> None:
    """By category and the provider's id, also in several threads at once; the id is the one that the server would make."""
    told: dict[str, Any] = {"provider_response_id": "once-1"}
    before = len(loaded.events())
    with track(user_id="jane"):
        with ThreadPoolExecutor(4) as pool:
            ids = set(pool.map(lambda _: loaded.meter.record("system.openai", "gpt-4o", TEXT, **told), range(8)))
        other = loaded.meter.record("system.anthropic", "claude-sonnet-4-5", TEXT, **told)

    assert ids == {format_id(event_id("shop\nsystem.openai", "once-1"))}
    assert other not in ids
    assert len(loaded.events()) - before == 2


def test_without_an_id_each_counts(loaded: Kept) -> None:
    """Two alike are two."""
    before = len(loaded.events())
    ids = {loaded.meter.record("system.openai", "gpt-4o", TEXT) for _ in range(2)}

    assert len(ids) == 2
    assert len(loaded.events()) - before == 2


def test_when_it_ended(loaded: Kept) -> None:
    """Without a time it ends now and began as long before as it took; a time without a zone is UTC."""
    before = datetime.datetime.now(datetime.UTC)
    event = recorded(loaded, "system.openai", "gpt-4o", TEXT, latency_ms=60_000)
    after = datetime.datetime.now(datetime.UTC)
    minute = datetime.timedelta(minutes=1)
    plain = recorded(loaded, "system.openai", "gpt-4o", TEXT, at=datetime.datetime(2026, 3, 1, 10))

    assert before - minute - datetime.timedelta(milliseconds=1) <= event.started_at <= after - minute
    assert plain.started_at == datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)


FUTURE = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"units": 5}, "units: 5 is no mapping"),
        ({"units": {"text": "5"}}, r"units\['text'\]: '5' is no count; write a whole number from 0 to 2147483647"),
        ({"units": {"text": 5.0}}, r"units\['text'\]: 5.0 is no count"),
        ({"units": {"text": True}}, r"units\['text'\]: True is no count"),
        ({"units": {"text": -1}}, r"units\['text'\]: -1 is out of range"),
        ({"units": {"text": 2**31}}, r"units\['text'\]: 2147483648 is out of range"),
        ({"units": {"text": (1, 2, 3)}}, r"units\['text'\]: \(1, 2, 3\) are not two counts; write \(input, output\)"),
        ({"units": {"text": (1, -2)}}, r"units\['text'\].output: -2 is out of range"),
        ({"units": {"text": {"input": False}}}, r"units\['text'\].input: False is no count"),
        ({"units": {"text": {"in": 1}}}, r"units\['text'\]: 'in' is no side; there are 'input' and 'output'"),
        ({"units": {"text": None}}, r"units\['text'\]: None is no count"),
        ({"units": {"": 1}}, "units: '' is no name"),
        ({"units": {1: 1}}, "units: 1 is no name"),
        ({"units": {"a\nb": 1}}, "control characters"),
        ({"units": {"x" * 257: 1}}, "more than 256 characters"),
        ({"units": {f"unit{n}": 1 for n in range(65)}}, "units: 65 of them; an event has 64 at most"),
        ({"category": ""}, "category: '' is no name"),
        ({"category": None}, "category: None is no name"),
        ({"resource": 5}, "resource: 5 is no name"),
        ({"provider_response_id": ""}, "provider_response_id: '' is no name"),
        ({"at": FUTURE}, "at: .* is more than 5 minutes in the future"),
        ({"at": "1999-12-31"}, "at: '1999-12-31' is before the year 2000"),
        ({"at": "yesterday"}, "at: 'yesterday' is no time; write a datetime"),
        ({"at": 1_790_000_000}, "at: 1790000000 is no time"),
        ({"at": datetime.date(2026, 1, 1)}, "at: .* is no time"),
        ({"latency_ms": -1}, "latency_ms: -1 is out of range"),
        ({"latency_ms": 1.5}, "latency_ms: 1.5 is no count"),
        ({"http_status": 42}, "http_status: 42 is no status"),
        ({"http_status": "200"}, "http_status: '200' is no count"),
        ({"cost": 0.5}, r"cost: 0.5 is no amount; write Decimal\('0.0042'\), in USD"),
        ({"cost": True}, "cost: True is no amount"),
        ({"cost": Decimal("NaN")}, r"cost: Decimal\('NaN'\) is out of range"),
        ({"cost": Decimal(-1)}, r"cost: Decimal\('-1'\) is out of range"),
        ({"cost": 1_000_001}, "cost: 1000001 is out of range"),
        ({"terms": "region:eu"}, "terms: 'region:eu' is no list"),
        ({"terms": 5}, "terms: 5 is no list"),
        ({"terms": ["eu"]}, "terms: 'eu' is not kind:value"),
        ({"terms": [f"k:{n}" for n in range(33)]}, "terms: 33 of them"),
    ],
)
def test_what_is_wrong_is_told(loaded: Kept, wrong: dict[str, Any], told: str) -> None:
    """The field, what is wrong with it, and what to write; nothing is kept."""
    before = len(loaded.events())
    values: dict[str, Any] = {"category": "system.openai", "resource": "gpt-4o", "units": TEXT} | wrong

    with pytest.raises(EventError, match=told):
        loaded.meter.record(**values)
    with pytest.raises(ValueError):
        loaded.meter.record(**values)
    assert len(loaded.events()) == before


def test_fields_that_are_none(loaded: Kept) -> None:
    """A use case that cannot be one, and a keyword that nobody knows."""
    with pytest.raises(UseCaseError, match="'not one'"):
        loaded.meter.record("system.openai", "gpt-4o", TEXT, use_case_name="not one")
    with pytest.raises(TypeError, match="unknown field 'user'"):
        loaded.meter.record("system.openai", "gpt-4o", TEXT, user="jane")  # type: ignore[call-arg]


def test_a_fault_of_ours_is_not_the_applications(loaded: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and the application gets an id as ever."""

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(loaded.meter.prices, "plan", broken)
    assert loaded.meter.record("system.openai", "gpt-4o", TEXT)
    assert health.counters()["record"] == 1


def test_users_under_pseudonyms() -> None:
    """With the setting `pseudonymize` the user stands nowhere, as with calls."""
    kept = Kept(pseudonymize="a key of many letters")
    kept.meter.record("system.openai", "gpt-4o", TEXT, user_id="jane")
    kept.meter.record("system.openai", "gpt-4o", TEXT)

    assert [event.user_id for event in kept.events()] == [pseudonym("jane", "a key of many letters"), None]


def test_disabled() -> None:
    """Nothing is kept, and what is wrong is still told."""
    kept = Kept(disabled=True)

    assert kept.meter.record("system.openai", "gpt-4o", TEXT)
    with pytest.raises(EventError):
        kept.meter.record("system.openai", "gpt-4o", 5)  # type: ignore[arg-type]
    assert kept.events() == []


CHILD = """
import sys, time
from payi_middleware import Meter, track
meter = Meter(f"sqlite:///{sys.argv[1]}/payi.db", flush_interval=3600)
with track(user_id="jane"):
    for n in range(100):
        meter.record("system.openai", "gpt-4o", {"text": (1000, 100)})
print("recorded", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool is a mapped file under POSIX")
def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """What was recorded is in the spool, and is priced by whoever takes it in."""
    process = start(CHILD, tmp_path)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "recorded\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    events = stored(tmp_path)
    assert len(events) == 100
    assert {(event.user_id, event.origin, event.cost and event.cost.total) for event in events} == {
        ("jane", "record", GPT_4O)
    }
