"""Ingest in Pay-i's shape: what stands where, what is priced how, what is told twice, what is refused."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import payi
import pytest
from servers import Server
from stores import kept_bytes

from payi_middleware.events import CallEvent
from payi_middleware.exceptions import StoreError
from payi_middleware.manual.items import Draft
from payi_middleware.server.errors import ApiError
from payi_middleware.server.settling import Load, Outcome
from payi_middleware.store import open_store

UNITS = {"text": {"input": 1000, "output": 100}}
CALL = {"category": "system.openai", "resource": "gpt-4o", "units": UNITS}


def stored(server: Server, application: str = "shop") -> list[CallEvent]:
    with open_store(server.store, create=False) as store:
        return [event for event in store.events() if event.application == application]


def encoded(headers: dict[str, str]) -> dict[str, bytes]:
    """Headers as Pay-i's client sends them: UTF-8, which HTTP does not forbid."""
    return {name.replace("_", "-"): value.encode() for name, value in headers.items()}


def sent(server: Server, body: Any = CALL, key: str | None = None, path: str = "", **headers: str) -> dict[str, Any]:
    """The answer to a body, which is accepted."""
    with server.http(key) as http:
        answer = http.post(f"/api/v1/ingest{path}", json=body, headers=encoded(headers))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def refusal(server: Server, body: Any, path: str = "", key: str | None = None, **headers: str) -> tuple[int, str]:
    """Status and code of a body that is refused."""
    raw = body if isinstance(body, bytes) else json.dumps(body)
    with server.http(key) as http:
        answer = http.post(f"/api/v1/ingest{path}", content=raw, headers=encoded(headers))
    told = answer.json()
    assert told["statusCode"] == answer.status_code
    assert told["message"]
    if not path:
        assert told["xproxy_result"] == {}
    return answer.status_code, told["xproxy_error"]["code"]


def test_a_single_ingest_tells_for_whom_in_headers(server: Server) -> None:
    """Each header is the field of a bulk; the query's id and a header that disables logging with `None` change nothing."""
    key = server.key("ingest", "headers")
    told = sent(
        server,
        CALL | {"properties": {"a": "body"}},
        key,
        "?id=chatcmpl-1",
        xProxy_User_ID="Jürgen",
        xProxy_Account_Name="acme",
        xProxy_Request_Tags="a, b,,a",
        xProxy_UseCase_Name="Told",
        xProxy_UseCase_ID="run/1",
        xProxy_UseCase_Version="7",
        xProxy_UseCase_Step="first",
        xProxy_UseCase_Properties=json.dumps({"plain": "yes"}),
        xProxy_Request_Properties=base64.b64encode(json.dumps({"a": "header", "b": "c"}).encode()).decode(),
        xProxy_Resource_Scope="datazone.us",
        xProxy_Logging_Disable="None",
        xProxy_Instrumented_Module="openai/3.54.0",
    )
    with server.http(key) as http:
        http.post("/api/v1/ingest/bulk", json=[bulk_twin()])

    one, other = stored(server, "headers")
    assert one.attribution == other.attribution
    assert one.attribution.user_id == "Jürgen"
    assert one.attribution.request_tags == ("a", "b")
    assert one.attribution.request_properties == {"a": "body", "b": "c"}
    assert told["xproxy_result"]["use_case_id"] == "run/1"
    assert told["xproxy_result"]["request_tags"] == ["a", "b"]


def bulk_twin() -> dict[str, Any]:
    return CALL | {
        "user_id": "Jürgen",
        "account_name": "acme",
        "request_tags": ["a", "b"],
        "use_case_name": "Told",
        "use_case_id": "run/1",
        "use_case_version": 7,
        "use_case_step": "first",
        "use_case_properties": {"plain": "yes"},
        "properties": {"a": "body", "b": "c", "null": None},
        "scope": "datazone.us",
    }


def test_the_answer_has_numbers_and_always_a_result(server: Server) -> None:
    """Currency `usd`, costs as JSON numbers, times as RFC 3339, and a result that the instrumentation finds."""
    body = CALL | {"event_timestamp": "2026-03-01T12:00:00.5+01:00"}
    told = sent(server, body)
    assert told["event_timestamp"] == "2026-03-01T11:00:00.500000Z"
    assert told["xproxy_result"] == {
        "request_id": told["request_id"],
        "limits": {},
        "cost": {"currency": "usd", "input": {"base": 0.0025}, "output": {"base": 0.001}, "total": {"base": 0.0035}},
        "duplicate_request": False,
    }


def test_what_is_told_twice_is_charged_once(server: Server) -> None:
    """By category and the provider's id, whether one by one, in one bulk or in another, at once or after one another."""
    key = server.key("admin", "twice")
    with server.payi(key) as client:
        client.limits.create(limit_name="All", max=1, limit_id="all")
    body = CALL | {"provider_response_id": "chat-1"}
    first = sent(server, body, key, xProxy_Limit_IDs="all")
    again = sent(server, body | {"units": {"text": {"input": 9, "output": 9}}}, key, xProxy_Limit_IDs="all")
    other = sent(server, body | {"category": "system.azureopenai"}, key)
    bulk = [body, body | {"provider_response_id": "chat-2", "limit_ids": ["all"]}] * 2
    with server.http(key) as http:
        counted = http.post("/api/v1/ingest/bulk", json=bulk).json()
    with ThreadPoolExecutor(8) as pool:
        third = body | {"provider_response_id": "chat-3"}
        answers = list(pool.map(lambda _: sent(server, third, key, xProxy_Limit_IDs="all"), range(16)))

    assert again["xproxy_result"] == first["xproxy_result"] | {"duplicate_request": True}
    assert other["xproxy_result"]["duplicate_request"] is False
    assert (counted["ingest_count"], counted["error_count"], counted["errors"]) == (4, 0, None)
    assert sorted(answer["xproxy_result"]["duplicate_request"] for answer in answers) == [False] + [True] * 15
    assert len({answer["request_id"] for answer in answers}) == 1
    assert len(stored(server, "twice")) == 4
    with server.payi(key) as client:
        totals = client.limits.retrieve("all").limit.totals
    assert (totals.requests.total, totals.cost.total.base) == (3, 0.0105)


def test_an_upsert_corrects_the_cost(server: Server) -> None:
    """What is there is corrected, with what its limits were charged; the same again changes nothing; what is new is stored."""
    key = server.key("admin", "upsert")
    with server.payi(key) as client:
        client.limits.create(limit_name="All", max=1, limit_id="all")
    known = CALL | {"provider_response_id": "chat-1", "limit_ids": ["all"]}
    more = known | {"units": {"text": {"input": 2000, "output": 100}}}
    with server.http(key) as http:
        http.post("/api/v1/ingest/bulk-upsert", json=[known, CALL]).raise_for_status()
        less = known | {"units": {"text": {"input": 10, "output": 0}}}
        for items in ([less, more, more], [more]):
            http.post("/api/v1/ingest/bulk-upsert", json=items).raise_for_status()
        result = http.get("/api/v1/requests/provider/system.openai/chat-1/result").json()["xproxy_result"]
        totals = http.get("/api/v1/limits/all").json()["limit"]["totals"]

    assert result["cost"]["total"]["base"] == 0.006
    assert (totals["cost"]["total"]["base"], totals["requests"]["total"]) == (0.006, 1)
    with open_store(server.store, create=False) as store:
        costs = [event.cost.total for event in store.events() if event.application == "upsert" and event.cost]
    assert sorted(costs) == [Decimal("0.0035"), Decimal("0.006")]


def test_units_in_all_their_spellings(server: Server) -> None:
    """A side may be missing, null or the unit a bare number; a failure has none at all."""
    key = server.key("ingest", "units")
    sent(server, CALL | {"units": {"text": {"output": 2}, "text_cache_read": 5, "reasoning": {"input": None}}}, key)
    failed = sent(server, CALL | {"units": {}, "http_status_code": 429}, key)
    gone = {
        "system.failure": "APIConnectionError",
        "system.failure.description": "secret",
        "system.stack_trace": "secret",
    }
    sent(server, CALL | {"units": {}, "http_status_code": 299, "properties": gone | {"kept": "yes"}}, key)

    whole, refused, broken = stored(server, "units")
    assert whole.units == {"text": (0, 2), "text_cache_read": (5, 0), "reasoning": (0, 0)}
    assert failed["xproxy_result"]["cost"]["total"]["base"] == 0
    assert (refused.outcome, refused.http_status, refused.error_type) == ("error", 429, "http_429")
    assert (broken.outcome, broken.http_status, broken.error_type) == ("error", None, "APIConnectionError")
    assert broken.attribution.request_properties == {"kept": "yes"}
    assert (broken.cost_source, broken.reason) == ("none", None)


@pytest.mark.parametrize(
    ("call", "total"),
    [
        # 300,000 tokens in are a long prompt to Gemini 2.5 Pro: 2.50 and 15 USD a million instead of 1.25 and 10.
        (
            {
                "category": "system.google.vertex",
                "resource": "google.gemini-2.5-pro",
                "units": {"text_large_context": {"input": 300_000, "output": 1000}},
            },
            0.765,
        ),
        ({"category": "system.anthropic", "resource": "claude-sonnet-4-5", "units": {"text": {"output": 1000}}}, 0.015),
        ({"category": "system.groq", "resource": "llama-3.3-70b-versatile", "units": {"text": {"input": 10**6}}}, 0.59),
    ],
)
def test_categories_are_priced_by_their_providers_rates(server: Server, call: dict[str, Any], total: float) -> None:
    """Pay-i's categories are our providers; its mark of long prompts and the maker before a Vertex model are understood."""
    assert sent(server, call)["xproxy_result"]["cost"]["total"]["base"] == total


def test_what_has_no_price_is_said(server: Server) -> None:
    """A model that nobody lists, and a unit without a rate, are named in the answer and in the event."""
    key = server.key("ingest", "unpriced")
    nobody = sent(server, CALL | {"resource": "gpt-nobody"}, key)["xproxy_result"]
    partly = sent(server, CALL | {"units": UNITS | {"smell": {"input": 3}}}, key)["xproxy_result"]
    unnamed = sent(server, {"category": "system.openai", "units": UNITS}, key)["xproxy_result"]

    assert nobody["unknown_units"] == UNITS
    assert nobody["warnings"] == ["no rates for model gpt-nobody of openai"]
    assert partly["unknown_units"] == {"smell": {"input": 3, "output": 0}}
    assert partly["cost"]["total"]["base"] == 0.0035
    assert len(unnamed["warnings"]) == 1
    assert [event.cost_source for event in stored(server, "unpriced")] == ["none", "usage", "none"]


def test_an_applications_own_prices_hold_at_the_events_time(server: Server) -> None:
    """By the version whose midnight has come, not by the one of now; before the first there is no price."""
    key = server.key("admin", "planets")
    path = "/api/v1/categories/planets/resources/Jupiter"
    with server.http(key) as http:
        for start, price in (("2024-01-01T15:00:00Z", 0.1), ("2025-01-01", 0.2), ("2026-01-01", 0.1234567891)):
            units = {"orbit": {"input_price": price}, "day": {"output_price": 1}}
            http.post(path, json={"units": units, "start_timestamp": start}).raise_for_status()
        with_ids = http.get(path, params={"sort_ascending": True}).json()["items"]

    def costs(day: str) -> tuple[float, list[str], Any]:
        units = {"orbit": {"input": 10, "output": 1}, "day": {"output": 3}, "ring": {"input": 1}}
        body = {"category": "planets", "resource": "Jupiter", "units": units, "event_timestamp": day}
        told = sent(server, body, key)["xproxy_result"]
        return told["cost"]["total"]["base"], sorted(told["unknown_units"]), told.get("resource_id")

    ids = [version["resource_id"] for version in with_ids]
    assert costs("2023-12-31T23:59:59Z") == (0, ["day", "orbit", "ring"], None)
    assert costs("2024-01-01") == (4.0, ["orbit", "ring"], ids[0])
    assert costs("2024-12-31T23:59:59.999999Z") == (4.0, ["orbit", "ring"], ids[0])
    assert costs("2025-01-01T00:00:00Z") == (5.0, ["orbit", "ring"], ids[1])
    assert costs("2026-06-01")[0] == 4.234567891
    early, *_, late = stored(server, "planets")
    assert early.reason == "no price of planets/Jupiter holds on 2023-12-31"
    assert late.cost is not None
    assert [(line.rate, line.valid_from) for line in late.cost.lines] == [
        ("0.1234567891", "2026-01-01"),
        ("1", "2026-01-01"),
    ]
    assert late.provider == "planets"


def test_own_prices_of_long_prompts(server: Server) -> None:
    """They price units of their names, which are kept; a side without one costs what it does in a short prompt."""
    key = server.key("admin", "long")
    units = {
        "text": {"input_price": 1, "output_price": 5},
        "text_large_context": {"input_price": 2},
        "text_cache_read": {"input_price": 0.25},
        "image_large_context": {"input_price": 9},
        "dust": {"input_price": "1e-40"},
    }
    with server.http(key) as http:
        http.post("/api/v1/categories/moon/resources/Io", json={"units": units}).raise_for_status()

    def told(units: dict[str, Any]) -> tuple[float, Any]:
        result = sent(server, {"category": "moon", "resource": "Io", "units": units}, key)["xproxy_result"]
        return result["cost"]["total"]["base"], result.get("unknown_units")

    assert told({"text": {"input": 10}, "text_large_context": {"input": 10, "output": 1}}) == (35, None)
    assert told({"text_large_context": {"output": 1}, "text_cache_read_large_context": {"input": 4}}) == (6, None)
    assert told({"image_large_context": {"input": 1, "output": 3}}) == (
        9,
        {"image_large_context": {"input": 0, "output": 3}},
    )
    assert told({"dust": {"input": 1}}) == (0, None)
    assert [event.units for event in stored(server, "long")] == [
        {"text": (10, 0), "text_large_context": (10, 1)},
        {"text": (0, 1), "text_cache_read": (4, 0)},
        {"image_large_context": (1, 3)},
        {"dust": (1, 0)},
    ]


BAD: list[tuple[Any, str]] = [
    (b"", "invalid_json"),
    (b"{", "invalid_json"),
    (b'{"a":' * 100_000, "request_processing_error"),
    (b'{"category": "a", "units": {}, "more": ' + b"[" * 100_000, "request_processing_error"),
    (b'{"category": "\xff"}', "invalid_json"),
    (b'{"category": "a", "units": {}, "resource": "\\ud800"}', "invalid_json"),
    ([], "request_processing_error"),
    ({"category": "a"}, "required_field_missing"),
    ({"units": {}}, "required_field_missing"),
    (CALL | {"category": ""}, "request_processing_error"),
    (CALL | {"category": " "}, "required_field_missing"),
    (CALL | {"category": "a\u0000b"}, "request_processing_error"),
    (CALL | {"category": "a" * 257}, "request_processing_error"),
    (CALL | {"units": {"text": {"input": -1}}}, "request_processing_error"),
    (CALL | {"units": {"text": {"input": 2**31}}}, "request_processing_error"),
    (CALL | {"units": {"text": {"input": 1.5}}}, "request_processing_error"),
    (CALL | {"units": {"text": {"sideways": 1}}}, "request_processing_error"),
    (CALL | {"units": {f"u{n}": 1 for n in range(65)}}, "request_processing_error"),
    (CALL | {"units": []}, "request_processing_error"),
    (CALL | {"more": 1}, "request_processing_error"),
    (CALL | {"user_id": "jane"}, "request_processing_error"),
    (CALL | {"event_timestamp": "yesterday"}, "request_processing_error"),
    (CALL | {"event_timestamp": "2999-01-01T00:00:00Z"}, "invalid_ingest_event_timestamp"),
    (CALL | {"event_timestamp": "0001-01-01T00:00:00+14:00"}, "invalid_ingest_event_timestamp"),
    (CALL | {"properties": {"": "a"}}, "request_processing_error"),
    (CALL | {"properties": {"a": "b" * 1025}}, "request_processing_error"),
    (CALL | {"properties": {str(n): "b" for n in range(65)}}, "request_processing_error"),
    (CALL | {"properties": {"a": 1}}, "request_processing_error"),
    (CALL | {"http_status_code": "200"}, "request_processing_error"),
]


@pytest.mark.parametrize("n", range(len(BAD)))
def test_bad_bodies_are_refused_with_a_code(server: Server, n: int) -> None:
    """Never a 5xx, and the message says what is wrong."""
    body, code = BAD[n]
    assert refusal(server, body) == (400, code)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"xProxy-Limit-IDs": "none"}, "invalid_limit_ids"),
        ({"xProxy-Limit-IDs": "a,a"}, "duplicate_limit_id"),
        ({"xProxy-Limit-IDs": "a" * 257}, "invalid_limit_id"),
        ({"xProxy-Limit-IDs": ",".join(map(str, range(33)))}, "invalid_limit_ids"),
        ({"xProxy-Request-Tags": "a b"}, "invalid_tags"),
        ({"xProxy-Request-Tags": ",".join(map(str, range(33)))}, "invalid_tags"),
        ({"xProxy-User-ID": "a" * 257}, "invalid_user_id"),
        ({"xProxy-User-ID": "a\x85b"}, "invalid_user_id"),
        ({"xProxy-UseCase-Name": "two words"}, "invalid_use_case_name"),
        ({"xProxy-UseCase-ID": "a"}, "required_field_missing"),
        ({"xProxy-UseCase-Version": "-1"}, "request_processing_error"),
        ({"xProxy-UseCase-Version": "9" * 5000}, "request_processing_error"),
        ({"xProxy-UseCase-Properties": "{"}, "request_processing_error"),
        ({"xProxy-Request-Properties": "no base64!"}, "request_processing_error"),
        ({"xProxy-Request-Properties": '{"a": {"b": 1}}'}, "request_processing_error"),
    ],
)
def test_bad_headers_are_refused_with_a_code(server: Server, headers: dict[str, str], code: str) -> None:
    """As bad bodies are."""
    assert refusal(server, CALL, **headers) == (400, code)


def test_the_good_items_of_a_bulk_are_stored(server: Server) -> None:
    """Each bad one is told by its index, whether it is no item at all, cannot be, or names what is not there."""
    key = server.key("ingest", "partial")
    bad = [body for body, _ in BAD if isinstance(body, dict) and "user_id" not in body]
    items: list[Any] = [CALL, *bad, [], None, 7, CALL | {"limit_ids": ["none"]}, CALL]
    with server.http(key) as http:
        answer = http.post("/api/v1/ingest/bulk", json=items)
        only_bad = http.post("/api/v1/ingest/bulk", json=items[1:-1])
        none = http.post("/api/v1/ingest/bulk", content=b"")

    told = answer.json()
    assert answer.status_code == 200
    assert (told["ingest_count"], told["total_count"]) == (2, len(items))
    assert [error["item_index"] for error in told["errors"]] == list(range(1, len(items) - 1))
    assert all(error["xproxy_result"]["statusCode"] == 400 for error in told["errors"])
    assert (only_bad.status_code, only_bad.json()["ingest_count"]) == (400, 0)
    assert (none.status_code, none.json()["ingest_count"]) == (200, 0)
    assert len(stored(server, "partial")) == 2


FAULTS = [
    (ApiError(503, "too many events are waiting"), 503),
    (StoreError("the disk is full"), 503),
    (ZeroDivisionError(), 500),
]


@pytest.mark.parametrize(("fault", "status"), FAULTS)
def test_a_bulk_whose_later_part_cannot_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int
) -> None:
    """What was written is told so, and the rest by its indexes: a client that sends again what fails stores nothing twice."""
    name = f"parts-{type(fault).__name__}"
    writer, loads = server.app.state.serving.writer, list[Load]()
    write = writer.ingest

    async def first(load: Load) -> list[Outcome]:
        loads.append(load)
        if len(loads) % 2 == 0:
            raise fault
        found: list[Outcome] = await write(load)
        return found

    monkeypatch.setattr(writer, "ingest", first)
    monkeypatch.setattr("payi_middleware.server.api.ingest._AT_ONCE", 3)
    items: list[Any] = [CALL, {}, CALL, CALL, {}, CALL, CALL]
    with payi.Payi(base_url=server.url, api_key=server.key("ingest", name), max_retries=2) as client:
        told = client.ingest.bulk(events=items)

    assert (told.ingest_count, told.total_count) == (2, 7)
    refused = [(error.item_index, error.xproxy_result) for error in told.errors or ()]
    statuses = [(index, why and why.status_code) for index, why in refused]
    assert statuses == [(1, 400), (3, status), (4, 400), (5, status), (6, status)]
    assert len(stored(server, name)) == 2


def test_a_bulk_of_which_nothing_is_written_is_refused_whole(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is sent again, though a part of it, which had nothing to store, was done with."""

    async def none(load: Load) -> list[Outcome]:
        if any(isinstance(one, Draft) for one in load.events):
            raise StoreError("the disk is full")
        return [one for one in load.events if isinstance(one, ApiError)]

    monkeypatch.setattr(server.app.state.serving.writer, "ingest", none)
    monkeypatch.setattr("payi_middleware.server.api.ingest._AT_ONCE", 2)
    assert refusal(server, [{}, {}, CALL], "/bulk") == (503, "unexpected_error")


@pytest.mark.parametrize(("body", "code"), [(b"{}", "request_processing_error"), (b"[{]", "invalid_json")])
def test_what_is_no_array_is_refused_whole(server: Server, body: bytes, code: str) -> None:
    """In the shape of a bulk's answer and of an error's."""
    assert refusal(server, body, "/bulk") == (400, code)


def test_counts_that_cannot_be_true_are_refused(server: Server) -> None:
    """What would spoil every sum is the sender's fault, and holds up nobody who shares the transaction."""
    key = server.key("admin", "absurd")
    with server.http(key) as http:
        http.post("/api/v1/categories/gold/resources/bar", json={"units": {"bar": {"input_price": 1_000_000}}})
        item = {"category": "gold", "resource": "bar", "units": {"bar": {"input": 2**31 - 1}}}
        told = http.post("/api/v1/ingest/bulk", json=[CALL, item]).json()
    assert (told["ingest_count"], [error["item_index"] for error in told["errors"]]) == (1, [1])


def test_no_text_of_a_call_is_kept(server: Server) -> None:
    """Requests, answers, headers and function calls are taken, and are nowhere in the store's files."""
    canary = "canary-7f3a"
    body = CALL | {
        "provider_request_json": canary,
        "provider_request_reasoning_json": canary,
        "provider_response_json": [canary, canary],
        "provider_request_headers": [{"name": canary, "value": canary}],
        "provider_response_headers": [{"name": canary}],
        "provider_response_function_calls": [{"name": canary, "arguments": canary}],
        "provider_uri": f"https://{canary}/",
    }
    sent(server, body)
    sent(server, [body | {"provider_response_json": canary}], path="/bulk")
    kept = kept_bytes(server.path.parent)
    assert canary.encode() not in kept
    assert b"gpt-4o" in kept


def test_many_at_once_are_all_kept(server: Server) -> None:
    """Singles from eight threads and bulks of a hundred beside them: every one is there, with its cost, once."""
    key = server.key("admin", "crowd")
    with server.payi(key) as client:
        client.limits.create(limit_name="All", max=1000, limit_id="all")
    with server.http(key) as http, ThreadPoolExecutor(8) as pool:
        singles = [
            pool.submit(http.post, "/api/v1/ingest", json=CALL, headers={"xProxy-Limit-IDs": "all"}) for _ in range(200)
        ]
        items = [CALL | {"limit_ids": ["all"]}] * 100
        bulks = [pool.submit(http.post, "/api/v1/ingest/bulk", json=items) for _ in range(5)]
        assert {answer.result().status_code for answer in [*singles, *bulks]} == {200}
        totals = http.get("/api/v1/limits/all").json()["limit"]["totals"]

    assert (totals["requests"]["ok"], totals["cost"]["total"]["base"]) == (700, 2.45)
    with open_store(server.store, create=False) as store:
        (row,) = [row for row in store.report(("application",)).rows if row.key[0] == "crowd"]
    assert (row.sums.calls, row.sums.cost_ticks) == (700, 24_500_000_000)
