"""What recorded exchanges cost, and that it is what live ones cost."""

from __future__ import annotations

import base64
import gzip
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, URL, Watched, answer, mock, stream_of
from msgspec.structs import replace
from recordings import DATE_NS, recorded

from payi_middleware import health, instrument
from payi_middleware.exceptions import SettingsError
from payi_middleware.providers import named
from payi_middleware.providers.base import Facts, Provider, Reading, Route
from payi_middleware.recorded import Pricer, Result
from payi_middleware.recorded.summary import Summary

ROUTER = "https://openrouter.ai/api/v1/chat/completions"


@pytest.fixture(scope="module")
def pricer() -> Pricer:
    return Pricer()


def routed(cost: float, **usage: Any) -> str:
    """An answer of OpenRouter that states its cost."""
    counts = {"prompt_tokens": 1000, "completion_tokens": 100, "cost": cost} | usage
    return json.dumps({"id": "g", "model": "openai/gpt-4o-mini", "choices": [], "usage": counts})


def test_a_recorded_exchange_has_a_cost(tmp_path: Path, pricer: Pricer) -> None:
    """Provider, model, units, cost and its source, at the recording's date."""
    result = pricer.price(recorded(tmp_path))
    told = result.to_dict()

    assert told | {"cost": None} == {
        "source": "made#0",
        "provider": "openai",
        "model": "gpt-4o-mini-2024-07-18",
        "at": "2026-11-20T12:00:00.000000Z",
        "at_source": "header",
        "endpoint": "/v1/chat/completions",
        "framing": "json",
        "streamed": False,
        "units": {"text": {"input": 100, "output": 20}},
        "cost": None,
        "cost_source": "usage",
        "unpriced": [],
        "reason": None,
        "billable": True,
    }
    assert told["cost"]["total"] == "0.000027"
    assert [line["unit"] for line in told["cost"]["lines"]] == ["text", "text"]


LIVE: dict[str, tuple[int, bytes, bytes, dict[str, str]]] = {
    "whole": (200, REQUEST, ANSWER, {}),
    "gzip": (200, REQUEST, gzip.compress(ANSWER), {"content-encoding": "gzip"}),
    "streamed": (200, STREAMED_REQUEST, b"".join(STREAM), {"content-type": "text/event-stream"}),
    "streamed without usage": (200, STREAMED_REQUEST, b"".join(stream_of(["a fox"] * 9, usage=False)), {}),
    "broken off": (
        200,
        STREAMED_REQUEST,
        b"".join(stream_of(["a fox"] * 9, finish=False, usage=False, done=False)),
        {},
    ),
    "no usage": (200, REQUEST, answer(usage=None), {}),
    "no JSON": (200, REQUEST, b"<html>", {}),
    "empty": (200, REQUEST, b"", {}),
    "refused": (429, REQUEST, b'{"error": {"type": "rate_limit"}}', {}),
    "large": (200, REQUEST, answer("fox " * 500_000), {}),
}


@pytest.mark.parametrize("case", LIVE)
def test_a_recorded_exchange_costs_what_the_live_one_did(case: str, tmp_path: Path, pricer: Pricer) -> None:
    """Through the hook and from a file: the same units, cost, source, reasons."""
    status, sent, body, headers = LIVE[case]
    watched = Watched()
    instrument(watched.meter)
    with httpx2.Client(transport=mock(httpx2, [body], status, **headers)) as client:
        client.post(URL, content=sent)
    live = watched.one

    result = pricer.price(
        recorded(
            tmp_path,
            request_body=sent.decode(),
            status=status,
            response_headers=headers,
            response_b64=base64.b64encode(body).decode(),
        )
    )

    assert result.units == live.units
    assert result.cost == live.cost
    assert (result.cost_source, result.unpriced, result.reason) == (live.cost_source, live.unpriced, live.reason)
    assert (result.streamed, result.model) == (live.streamed, live.resource)


def test_the_date_of_the_price(tmp_path: Path) -> None:
    """The caller's, the answer's, the recording's, what the answer says of its making, else today."""
    pricer, then = Pricer(), 1_600_000_000
    dated = recorded(tmp_path)._replace(recorded_ns=then * 10**9, body=answer(created=then + 5))
    undated = dated._replace(headers={})

    assert Pricer(at_ns=7).price(dated)[1:3] == (7, "option")
    assert pricer.price(dated)[1:3] == (DATE_NS, "header")
    assert pricer.price(undated)[1:3] == (then * 10**9, "recording")
    assert pricer.price(undated._replace(recorded_ns=None))[1:3] == ((then + 5) * 10**9, "body")
    bare = pricer.price(undated._replace(recorded_ns=None, body=ANSWER))
    assert bare.at_source == "now"
    assert 0 <= time.time_ns() - bare.at_ns < 60 * 10**9


def test_a_date_to_come_says_nothing(tmp_path: Path, pricer: Pricer) -> None:
    """A made-up date is passed over."""
    made_up = recorded(tmp_path, response_headers={"date": "Fri, 20 Nov 2099 12:00:00 GMT"})

    assert pricer.price(made_up).at_source == "now"


def test_rates_of_the_date_hold(tmp_path: Path, pricer: Pricer) -> None:
    """o3 cost 10 and 40 USD a million until 2025-06-10, 2 and 8 since (genai-prices)."""
    body = answer(model="o3", prompt=1_000_000, completion=0)
    costs = [
        pricer.price(recorded(tmp_path, response_body=body.decode(), response_headers={"date": date})).cost
        for date in ("Sun, 01 Jun 2025 12:00:00 GMT", "Tue, 01 Jul 2025 12:00:00 GMT")
    ]

    assert [cost and cost.total for cost in costs] == [10, 2]


def test_a_stated_cost_has_the_computed_one_beside_it(tmp_path: Path, pricer: Pricer) -> None:
    """What the provider states is the cost; what the usage comes to is told too."""
    told = pricer.price(recorded(tmp_path, url=ROUTER, response_body=routed(0.5))).to_dict()

    assert (told["provider"], told["cost_source"], told["cost"]["total"]) == ("openrouter", "provider", "0.5")
    assert told["units"] == {"text": {"input": 1000, "output": 100}}
    assert told["cost_computed"]["total"] == "0.00021"
    assert told["computed_unpriced"] == []


def test_a_stated_cost_that_cannot_be_computed(tmp_path: Path, pricer: Pricer) -> None:
    """Without a rate there is none beside it."""
    body = routed(0.5).replace("openai/gpt-4o-mini", "nobody/knows-this")

    assert pricer.price(recorded(tmp_path, url=ROUTER, response_body=body)).to_dict()["cost_computed"] is None


def test_what_is_free_says_so(tmp_path: Path, pricer: Pricer) -> None:
    """A rule makes it free, and its cost is none, for that reason."""
    result = pricer.price(recorded(tmp_path, method="GET", url="https://api.openai.com/v1/models"))

    assert (result.billable, result.cost, result.cost_source) == (False, None, "none")
    assert result.reason == "free: openai bills nothing for this kind of call"


def test_a_refused_call_is_not_billable(tmp_path: Path, pricer: Pricer) -> None:
    """Who answers 4xx or 5xx bills nothing; the next call is no second attempt of it."""
    refused = pricer.price(recorded(tmp_path, status=429, response_body='{"error": {}}'))

    assert (refused.billable, refused.reason) == (False, "the provider answered 429")
    assert pricer.price(recorded(tmp_path)).billable


def test_a_strange_host_is_none_until_it_is_named(tmp_path: Path, pricer: Pricer) -> None:
    """As with the setting `hosts`, a port may be told."""
    found = recorded(tmp_path, url="http://LLM.internal:8080/v1/chat/completions")
    result = pricer.price(found)

    assert (result.provider, result.billable, result.reason) == (None, None, "host llm.internal is no provider")
    assert Pricer({"llm.internal:8080": "openai"}).price(found).cost_source == "usage"
    with pytest.raises(SettingsError, match="no provider is named 'nobody'"):
        Pricer({"llm.internal": "nobody"})


def test_the_setting_hosts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no host is named here, those of the environment hold, as in the application."""
    monkeypatch.setenv("PAYI_HOSTS", "llm.internal=openai")

    assert Pricer().price(recorded(tmp_path, url="https://llm.internal/v1/chat/completions")).provider == "openai"


def test_a_path_is_decoded_as_http_libraries_do(tmp_path: Path, pricer: Pricer) -> None:
    """Models stand in some paths, percent-encoded."""
    body = json.dumps({"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 1}})
    url = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash%3AgenerateContent?key=k"

    result = pricer.price(recorded(tmp_path, url=url, response_body=body))

    assert (result.model, result.cost_source) == ("gemini-2.5-flash", "usage")


def test_a_fault_of_ours_costs_one_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, logged and told; the next one is priced."""
    pricer = Pricer()
    with monkeypatch.context() as broken:
        broken.setattr("payi_middleware.recorded.price.finished", lambda *_: 1 / 0)
        result = pricer.price(recorded(tmp_path))

    assert result.reason == "the exchange could not be priced: a fault of payi-middleware, see its log"
    assert health.counters()["recorded"] == 1
    pricer._meter.spool.take(9)
    assert pricer.price(recorded(tmp_path)).cost_source == "usage"


def test_usage_that_is_told_again_counts_once(tmp_path: Path) -> None:
    """As for live traffic: what a provider tells whenever it is asked has one event, and a poll before has none."""

    def refine(reading: Reading, facts: Facts) -> Reading:
        assert (facts.host, facts.headers.get("x-done")) == ("polls.example", "yes")
        return reading._replace(untold=True) if b"queued" in facts.answer else reading._replace(once="job-1")

    plain = named("openai").route("POST", "/v1/chat/completions")
    assert plain is not None
    polled = Route(replace(plain.endpoint, refine=refine))
    pricer = Pricer({"polls.example": "openai"})
    pricer._meter.hosts._known["polls.example"] = Provider("openai", "system.openai", lambda *_: polled)
    bodies = '{"status": "queued"}', ANSWER.decode(), ANSWER.decode()
    headers = {"x-done": "yes"}

    results = [
        pricer.price(recorded(tmp_path, url="https://polls.example/job", response_body=body, response_headers=headers))
        for body in bodies
    ]

    assert [result.cost_source for result in results] == ["none", "usage", "none"]
    assert [result.billable for result in results] == [False, True, False]
    assert results[2].reason == "free: a poll of what counts once, when it is done, or that was counted before"


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a store nor a spool is made."""
    monkeypatch.chdir(tmp_path)
    exchange = recorded(tmp_path)
    Pricer().price(exchange)

    assert [path.name for path in tmp_path.iterdir()] == ["made.jsonl"]


def test_a_summary(tmp_path: Path, pricer: Pricer) -> None:
    """Who was priced by what, why the rest was not, and how sure the total is."""
    summary = Summary()
    made: list[Result] = [
        pricer.price(recorded(tmp_path, **changes))
        for changes in (
            {},
            {"status": 500, "response_body": ""},
            {"method": "GET", "url": "https://api.openai.com/v1/models"},
            {"url": "https://unknown.example/x", "response_headers": {}, "response_body": ""},
            {"url": ROUTER, "response_body": routed(0.5)},
            {"url": ROUTER, "response_body": routed(0.00021)},
            {"response_body": answer(usage=None).decode()},
            {"response_body": answer(service_tier="ultra").decode()},
            {"response_body": answer(model="nobody-knows-this").decode()},
        )
    ]
    for result in made:
        summary.add(result)

    total = summary.total
    assert (total.exchanges, total.billable) == (9, 6)
    assert total.by_source == {"usage": 2, "provider": 2, "estimate": 1, "none": 1}
    assert {key: tally.exchanges for key, tally in summary.by.items()} == {
        ("openai", "json"): 5,
        ("openai", "text"): 1,
        ("(none)", "text"): 1,
        ("openrouter", "json"): 2,
    }
    assert {name: sure.exchanges for name, sure in summary.sure.items()} == {"exact": 3, "estimated": 1, "partial": 1}
    assert total.ticks == sum(sure.ticks for sure in summary.sure.values())
    assert (summary.stated, summary.met, summary.undated) == (2, 1, 1)
    assert summary.reasons["none", "host unknown.example is no provider"] == 1
    assert any(reason.startswith("unpriced: no rate for service tier ultra") for _, reason in summary.reasons)
