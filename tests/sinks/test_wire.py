"""Events as items of Pay-i's bulk ingest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from made import HOUR, START_NS, call, some_events
from payi import Payi
from payi.types.bulk_ingest_request_param import BulkIngestRequestParam
from payiserver import KEY, PayiServer
from pydantic import ConfigDict, TypeAdapter, with_config

from payi_middleware.events import CallEvent, Cost, Unpriced, format_id
from payi_middleware.sinks.names import named, named_units
from payi_middleware.sinks.remote_errors import Unsendable
from payi_middleware.sinks.wire import item, response_id

NOW = START_NS + HOUR


def sent(event: CallEvent, *limits: str, clock_ns: int = NOW) -> dict[str, Any]:
    """The item as it arrives."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(item(event, limits, clock_ns)))
    return found


def full(**more: Any) -> CallEvent:
    """An event in which everything is told."""
    return call(
        **{
            "user_id": "jane",
            "account_name": "acme",
            "request_tags": ("red",),
            "request_properties": {"region": "north"},
            "use_case_name": "Summary",
            "use_case_id": "i1",
            "use_case_version": 3,
            "use_case_step": "draft",
            "use_case_properties": {"length": "short"},
            "limit_ids": ("l1", "l2"),
            "limit_tags": ("team",),
            "resource_scope": "datazone.us",
            "limits": {"l1": "ok"},
            "http_method": "POST",
            "http_route": "/a/{id}",
            "http_request_id": "req-1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "service_tier": "flex",
            "requested_resource": "gpt-4o-latest",
            "reason": "partly",
            "unpriced": (Unpriced("audio", 3, "no rate"),),
            "terms": ("region:eu",),
            "streamed": True,
            "provider_response_id": "chatcmpl-1",
            "call_group": bytes(16),
            "attempt": 2,
        }
        | more
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PayiServer]:
    with PayiServer() as running:
        yield running


def test_everything_has_its_place() -> None:
    """What Pay-i's schema knows stands there; the rest is in properties, as strings, beside the caller's own."""
    event = full()

    assert sent(event, "l1") == {
        "category": "system.openai",
        "resource": "gpt-4o",
        "units": {"text": {"input": 1000, "output": 100}},
        "event_timestamp": "2026-09-21T14:13:20.000000Z",
        "end_to_end_latency_ms": 800,
        "time_to_first_token_ms": 300,
        "http_status_code": 200,
        "provider_response_id": "chatcmpl-1",
        "user_id": "jane",
        "account_name": "acme",
        "request_tags": ["red"],
        "limit_ids": ["l1"],
        "use_case_name": "Summary",
        "use_case_id": "i1",
        "use_case_version": 3,
        "use_case_step": "draft",
        "use_case_properties": {"length": "short"},
        "scope": "datazone.us",
        "properties": {
            "payi_middleware.event_id": format_id(event.event_id),
            "payi_middleware.origin": "request",
            "payi_middleware.endpoint": "/v1/chat/completions",
            "payi_middleware.requested_resource": "gpt-4o-latest",
            "payi_middleware.service_tier": "flex",
            "payi_middleware.streamed": "true",
            "payi_middleware.attempt": "2",
            "payi_middleware.call_group": "00000000-0000-0000-0000-000000000000",
            "payi_middleware.cost": "0.0035",
            "payi_middleware.cost_source": "usage",
            "payi_middleware.reason": "partly",
            "payi_middleware.unpriced": '[{"unit":"audio","quantity":3,"reason":"no rate"}]',
            "payi_middleware.price_version": "genai-prices 0.2.3",
            "payi_middleware.terms": "region:eu",
            "payi_middleware.limit_ids": "l2",
            "payi_middleware.limit_tags": "team",
            "payi_middleware.limits": '{"l1":"ok"}',
            "payi_middleware.http_method": "POST",
            "payi_middleware.http_route": "/a/{id}",
            "payi_middleware.http_request_id": "req-1",
            "payi_middleware.trace_id": "0af7651916cd43dd8448eb211c80319c",
            "payi_middleware.span_id": "b7ad6b7169203331",
            "region": "north",
        },
    }


def test_every_item_is_one_of_the_clients_own_request_model() -> None:
    """Each item, of calls that went well, failed and were retried, is what the real client's types say, and nothing more."""
    strict = with_config(ConfigDict(extra="forbid", strict=True))(BulkIngestRequestParam)
    model = TypeAdapter(strict)
    events = [full(), full(http_status=None, outcome="timeout"), *some_events(300)]

    for event in events:
        told = item(event, ("l1",), NOW)
        assert model.validate_python(told).keys() == told.keys()
        assert all(isinstance(value, str) for value in told["properties"].values())


def test_the_real_client_would_send_the_same(server: PayiServer) -> None:
    """The bytes that Pay-i's own client makes of our items decode to the items."""
    items = [item(event, ("l1",), NOW) for event in [full(), *some_events(20)]]

    server.limits["l1"] = "allow"
    with Payi(api_key=KEY, base_url=server.url) as client:
        answer = client.ingest.bulk(events=items)  # type: ignore[arg-type]

    assert answer.ingest_count == 21
    assert server.bodies("/api/v1/ingest/bulk")[-1] == json.loads(msgspec.json.encode(items))


@pytest.mark.parametrize(
    ("given", "status", "failure"),
    [
        ({"http_status": 429, "outcome": "error", "error_type": "rate_limit"}, 429, None),
        ({"http_status": None, "outcome": "timeout", "error_type": "ReadTimeout"}, 299, "ReadTimeout"),
        ({"http_status": None, "outcome": "blocked"}, 299, "blocked"),
        ({"http_status": 200, "outcome": "aborted"}, 200, None),
        ({"http_status": None, "outcome": "ok", "origin": "record"}, None, None),
    ],
)
def test_failures(given: dict[str, Any], status: int | None, failure: str | None) -> None:
    """A failure has its status; without one it is 299, and `system.failure` names its kind."""
    told = sent(call(**given))

    assert told.get("http_status_code") == status
    assert told["properties"].get("system.failure") == failure
    assert told["properties"].get("payi_middleware.outcome") == (None if given["outcome"] == "ok" else given["outcome"])
    assert "system.stack_trace" not in told["properties"]


def test_the_callers_properties_win() -> None:
    """A property of the application's that has one of our names stays as it is."""
    told = sent(
        call(
            http_status=None,
            outcome="error",
            request_properties={"system.failure": "mine", "payi_middleware.cost": "7"},
        )
    )

    assert told["properties"]["system.failure"] == "mine"
    assert told["properties"]["payi_middleware.cost"] == "7"


@pytest.mark.parametrize(("ahead", "is_clamped"), [(0, False), (4 * 60, False), (4 * 60 + 1, True), (86_400, True)])
def test_times_ahead_of_the_server(ahead: int, is_clamped: bool) -> None:
    """A time that Pay-i would refuse as future becomes its own, and the true one is kept as a property."""
    told = sent(call(started_ns=START_NS + ahead * 10**9), clock_ns=START_NS)

    assert (told["event_timestamp"] == "2026-09-21T14:13:20.000000Z") is (is_clamped or ahead == 0)
    assert ("payi_middleware.started_at" in told["properties"]) is is_clamped


def test_an_event_without_an_id_of_the_providers_has_ours() -> None:
    """Pay-i finds duplicates by the provider's id, so every event has one."""
    event = call()

    assert response_id(event) == f"payi_{format_id(event.event_id)}"
    assert response_id(call(provider_response_id="msg_1")) == "msg_1"


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({"terms": ("geo:us",)}, "datazone.us"),
        ({"terms": ("batch", "scope:region", "region:eu")}, "region"),
        ({"terms": ("geo:us",), "resource_scope": "global"}, "global"),
        ({"terms": ("region:eu",)}, None),
    ],
)
def test_scopes(given: dict[str, Any], scope: str | None) -> None:
    """The scope that the caller names comes before what the call told."""
    assert sent(call(**given)).get("scope") == scope


@pytest.mark.parametrize("quantity", [-1, 1 << 31])
def test_quantities_that_the_schema_cannot_hold(quantity: int) -> None:
    """Such an event is not cut to fit, which would price it wrongly; it is refused by name."""
    with pytest.raises(Unsendable, match=r"text: a quantity is not in 0\.\.2147483647"):
        item(call(units={"text": (quantity, 0)}, ticks=1), (), NOW)


def test_what_is_not_told_is_left_out() -> None:
    """Units are always there, even none; a scope may come from the call itself."""
    told = sent(call(units={}, cost_source="none", terms=("scope:region",), first_byte_ns=10**9))

    assert told["units"] == {}
    assert told["scope"] == "region"
    assert not told.keys() & {"user_id", "request_tags", "limit_ids", "time_to_first_token_ms", "use_case_properties"}
    assert "payi_middleware.cost" not in told["properties"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ("system.openai", "gpt-4o")),
        ({"resource": None}, ("system.openai", "gpt-4o")),
        ({"resource": None, "requested_resource": None}, ("system.openai", "system.unknown_model")),
        ({"category": "system.google.vertex", "resource": "gemini-2.5-pro"}, ("system.google.vertex", "google.gemini-2.5-pro")),
        ({"category": "system.google.vertex", "resource": "claude-sonnet-4-5"}, ("system.google.vertex", "anthropic.claude-sonnet-4-5")),
        ({"category": "system.google.vertex", "resource": "google.gemini-x"}, ("system.google.vertex", "google.gemini-x")),
        ({"category": "system.google.vertex", "resource": "meta/llama"}, ("system.google.vertex", "meta/llama")),
        ({"price_as": "system.anthropic/claude"}, ("system.anthropic", "claude")),
        ({"price_as": "my-model"}, ("system.openai", "my-model")),
        ({"price_as": "/odd"}, ("system.openai", "/odd")),
    ],
)  # fmt: skip
def test_names(given: dict[str, Any], names: tuple[str, str]) -> None:
    """Category and resource are Pay-i's; what the owner prices a call as comes first, and the true names are kept."""
    event = call(**given)
    told = sent(event)["properties"]

    assert named(event) == names
    assert told.get("payi_middleware.category") == (None if names[0] == event.category else event.category)
    assert told.get("payi_middleware.resource") == (None if names[1] == event.resource else event.resource)


@pytest.mark.parametrize(
    ("model", "prompt", "is_large"),
    [
        ("claude-sonnet-4-5", 199_999, False),
        ("claude-sonnet-4-5", 200_000, True),
        ("anthropic.claude-sonnet-4-5", 200_000, True),
        ("google.gemini-2.5-pro", 200_000, False),
        ("google.gemini-2.5-pro", 200_001, True),
        ("gemini-1.5-pro", 128_001, True),
        ("gpt-4.1", 900_000, False),
    ],
)
def test_large_prompts(model: str, prompt: int, is_large: bool) -> None:
    """Where Pay-i counts a prompt as large, tokens have names of their own; cached ones count, searches have no size."""
    units = {"text": (prompt - 9, 5), "text_cache_read": (9, 0), "reasoning": (0, 3), "web_search_request": (0, 2)}
    end = "_large_context" if is_large else ""

    assert set(named_units(call(units=units, ticks=1), model)) == {
        f"text{end}", f"text_cache_read{end}", f"reasoning{end}", "web_search_request"
    }  # fmt: skip


def test_units_that_were_told_as_large_stay_so() -> None:
    """As events have them that a resource of one's own has priced."""
    units = {"text_large_context": (300_000, 5), "text_cache_read_large_context": (300_000, 0)}

    assert list(named_units(call(units=units), "claude-sonnet-4-5")) == list(units)


def test_a_cost_in_ticks_is_told_exactly() -> None:
    """A cost is a plain decimal string."""
    told = sent(call(cost=Cost(1, 0, 1), units={"text": (1, 0)}))

    assert told["properties"]["payi_middleware.cost"] == "0.0000000001"
