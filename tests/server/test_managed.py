"""Categories that are managed: what our rates price, listed as Pay-i lists its own."""

from __future__ import annotations

import itertools
import time
from decimal import Decimal
from typing import Any

import pytest
from servers import Server

from payi_middleware.pricing import Prices
from payi_middleware.pricing.plan import Plan, Rate, RateTable
from payi_middleware.server import managed as module
from payi_middleware.server.managed import Managed
from payi_middleware.server.paging import Paging

DAY = 86_400 * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    prices = Prices()
    prices.load()
    return prices


def pages(http: Any, path: str, **asked: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found, cursor = [], ""
    while True:
        page = (
            http.get(f"/api/v1{path}", params=asked | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
        )
        found += page["items"]
        cursor = page["cursor"]
        if not cursor:
            return found


def test_categories_are_ones_own_and_the_managed(server: Server) -> None:
    """Page by page, in either order, of any size: what is managed was there before."""
    with server.http(server.key("admin", "categories")) as http:
        for name in ("gold", "silver", "bronze"):
            http.post(f"/api/v1/categories/{name}/resources/bar", json={"units": {"bar": {}}}).raise_for_status()
        ascending = [one["category"] for one in pages(http, "/categories", sort_ascending=True)]
        assert ascending[-3:] == ["gold", "silver", "bronze"]
        assert {"system.openai", "system.aws.bedrock", "system.google.vertex"} < set(ascending[:-3])
        assert all(name.startswith("system.") for name in ascending[:-3])
        assert ascending[:-3] == sorted(set(ascending[:-3]))
        for size in (7, len(ascending) - 3, len(ascending) - 1, len(ascending)):
            for order in (True, False):
                found = [one["category"] for one in pages(http, "/categories", sort_ascending=order, limit=size)]
                assert found == (ascending if order else ascending[::-1])
        assert pages(http, "/categories", Active=False) == []
        assert len(pages(http, "/categories", Active=True)) == len(ascending)
    with server.http(server.key("read", "no categories")) as http:
        for size in (11, len(ascending) - 3):
            assert len(pages(http, "/categories", limit=size)) == len(ascending) - 3
            assert len(pages(http, "/categories", limit=size, sort_ascending=True)) == len(ascending) - 3


def test_resources_are_those_that_are_priced(server: Server, prices: Prices) -> None:
    """Each once a version, in either order; by its id; and with the rates that a call is priced by."""
    with server.http() as http:
        found = pages(http, "/categories/system.anthropic/resources", limit=7)
        assert found == pages(http, "/categories/system.anthropic/resources", limit=1000, sort_ascending=True)[::-1]
        assert len({one["resource_id"] for one in found}) == len(found)
        named = {one["resource"]: one for one in found if one["active"]}
        sonnet = named["claude-sonnet-4-5"]
        assert (sonnet["category"], sonnet["proxy_allowed"], sonnet["large_context_threshold"]) == (
            "system.anthropic",
            False,
            200_000,
        )
        plan = prices.plan("anthropic", "claude-sonnet-4-5", time.time_ns())
        assert plan is not None
        for table, suffix in zip(plan.tables, ("", "_large_context"), strict=True):
            rate = table.rates["text", "input"]
            assert Decimal(str(sonnet["units"][f"text{suffix}"]["input_price"])) == rate.usd / rate.per
        path = "/api/v1/categories/system.anthropic/resources/claude-sonnet-4-5"
        assert http.get(f"{path}/{sonnet['resource_id']}").json() == sonnet
        assert http.get(f"{path}/{named['claude-opus-4-5']['resource_id']}").status_code == 404
        versions = pages(http, "/categories/system.openai/resources/gpt-4o", limit=1)
        assert [one["active"] for one in versions] == [True] + [False] * (len(versions) - 1)
        for later, earlier in itertools.pairwise(versions):
            assert earlier["end_timestamp"] == later["start_timestamp"]


def test_an_ingest_by_a_listed_name_is_priced_as_listed(server: Server) -> None:
    """Whatever Pay-i's name of it is."""
    for path in (
        "system.google.vertex/resources/google.gemini-2.5-pro",
        "system.aws.bedrock/resources/amazon.nova-lite-v1:0",
        "system.groq/resources/llama-3.3-70b-versatile",
    ):
        with server.http() as http:
            (listed,) = pages(http, f"/categories/{path}", Active=True)
            category, _, resource = path.partition("/resources/")
            body = {"category": category, "resource": resource, "units": {"text": {"input": 1000, "output": 10}}}
            cost = http.post("/api/v1/ingest", json=body).json()["xproxy_result"]["cost"]
        text = listed["units"]["text"]
        assert cost["input"]["base"] == pytest.approx(1000 * text["input_price"])
        assert cost["output"]["base"] == pytest.approx(10 * text["output_price"])


def test_nobody_changes_what_is_managed(server: Server) -> None:
    """It takes no version, and loses none."""
    path = "/api/v1/categories/system.openai/resources/gpt-4o"
    with server.http() as http:
        version = http.get(path).json()["items"][0]["resource_id"]
        for answer in (
            http.post(path, json={"units": {"text": {"input_price": 0}}}),
            http.delete("/api/v1/categories/system.openai"),
            http.delete(path),
            http.delete(f"{path}/{version}"),
        ):
            assert (answer.status_code, "is managed" in answer.json()["message"]) == (403, True)


@pytest.mark.parametrize(
    "path", ["system.nothing/resources", "system.openai/resources/none", "system.openai/resources/gpt-4o"]
)
@pytest.mark.parametrize("cursor", ["cAAAAAAAAAAA", "bQ==", "bf8=", "bXo=", "bQAK", "%00"])
def test_cursors_of_anything(server: Server, path: str, cursor: str) -> None:
    """A row's cursor is refused where there are no rows; a mark that is none is only a place in the order."""
    with server.http() as http:
        answer = http.get(f"/api/v1/categories/{path}", params={"cursor": cursor})
        other = http.get("/api/v1/use_cases/definitions", params={"cursor": cursor})
    assert answer.status_code in (200, 400)
    assert other.status_code in (200, 400)
    if cursor.startswith("b"):
        assert other.status_code == 400


class Dated:
    """Rates whose versions are told here: real ones change seldom."""

    version = "1"

    def __init__(self, plans: list[Plan]) -> None:
        self.plans = plans
        self.asked = 0

    def models(self) -> list[tuple[str, str]]:
        return [("openai", "gpt-9"), ("openai", "veo-*"), ("openai", "free")]

    def window(self, provider: str, model: str) -> int | None:
        return None

    def unremembered(self, provider: str, model: str, at_ns: int) -> Plan | None:
        self.asked += 1
        if model == "free":
            return Plan(model, refusal="no rates")
        return next((plan for plan in self.plans if plan.starts_ns <= at_ns < plan.ends_ns), None)


def plan(start: int, end: int, usd: str) -> Plan:
    rates = {("text", "input"): Rate(Decimal(usd), 1, "here"), ("reasoning", "output"): Rate(Decimal(usd), 1, "here")}
    return Plan("gpt-9", (RateTable(-1, rates),), starts_ns=start, ends_ns=end)


def versions(managed: Managed, now: int, active: bool | None = None) -> list[tuple[int, int | None, Decimal | None]]:
    found = managed.resources("system.openai", Paging(sort_ascending=True), now, active)
    return [
        (one.start_ns // DAY, one.end_ns and one.end_ns // DAY, one.units["text"]["input_price"]) for _, one in found
    ]


def test_versions_are_the_spans_of_a_rate() -> None:
    """Earlier and later ones too, those that follow with the same rates as one; made anew when rates are replaced or one ends."""
    forever = 1 << 63
    dated = Dated(
        [plan(0, 5 * DAY, "1"), plan(5 * DAY, 6 * DAY, "1"), plan(6 * DAY, 9 * DAY, "2"), plan(9 * DAY, forever, "3")]
    )
    managed = Managed(dated)  # type: ignore[arg-type]
    expected = [(0, 6, Decimal(1)), (6, 9, Decimal(2)), (9, None, Decimal(3))]
    assert versions(managed, 7 * DAY) == expected
    assert versions(managed, 7 * DAY, active=True) == expected[1:2]
    assert versions(managed, 7 * DAY, active=False) == [expected[0], expected[2]]
    asked = dated.asked
    assert versions(managed, 8 * DAY) == expected
    assert dated.asked == asked
    assert versions(managed, 10 * DAY, active=True) == expected[2:]
    dated.plans, dated.version = [plan(0, forever, "4")], "2"
    assert versions(managed, 10 * DAY) == [(0, None, Decimal(4))]


def test_rates_of_the_hour_have_one_version() -> None:
    """Of a model whose rates change every day, only the present span is told."""
    hour = DAY // 24
    dated = Dated([plan(n * hour, (n + 1) * hour, "1") for n in range(48)])
    managed = Managed(dated)  # type: ignore[arg-type]
    assert versions(managed, 30 * hour) == [(1, 1, Decimal(1))]


def test_all_may_be_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """After which nothing is left to do."""
    monkeypatch.setattr(module, "_REST", 0)
    dated = Dated([plan(0, 1 << 63, "1")])
    managed = Managed(dated)  # type: ignore[arg-type]
    managed.warm()
    asked = dated.asked
    assert versions(managed, time.time_ns()) == [(0, None, Decimal(1))]
    assert dated.asked == asked
    assert managed.has("system.openai", "gpt-9")
    assert not managed.has("system.openai", "veo-*")
    assert not managed.has("system.none")
