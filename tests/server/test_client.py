"""Pay-i's own client, synchronous and not, against the server: each of its operations, with what it leaves behind."""

from __future__ import annotations

import datetime
import inspect
from typing import Any

import payi
import pytest
from servers import Blocking, Server

from payi_middleware.server.answers import ANSWERS

UNITS = {"text": {"input": 1000, "output": 100}}
SOON = datetime.timedelta(minutes=4)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def operations(resource: Any, path: str = "") -> set[str]:
    """The dotted names of a client's operations, found in the client itself."""
    found: set[str] = set()
    for name, member in inspect.getmembers(type(resource)):
        if name.startswith(("_", "with_")):
            continue
        if type(member).__name__ == "cached_property":
            part = getattr(resource, name)
            if type(part).__module__.startswith("payi.resources"):
                found |= operations(part, f"{path}{name}.")
        elif inspect.isfunction(member) and path:
            found.add(f"{path}{name}")
    return found


def refused(status: int, code: str | None, call: Any, *args: Any, **named: Any) -> None:
    """That a call is refused with a status and a code."""
    with pytest.raises(payi.APIStatusError) as caught:
        call(*args, **named)
    assert caught.value.status_code == status
    body: Any = caught.value.body
    assert (body["statusCode"], body["xproxy_error"]["code"]) == (status, code)
    assert body["message"]


OURS = {("POST", f"/api/v1/{path}") for path in ("ingest/bulk-upsert", "events")} | {
    ("GET", f"/api/v1/{path}") for path in ("capabilities", "limits/{limit_id}/accounts")
}
"""Operations that the client lacks."""


def test_every_operation_of_the_client(client: Blocking, server: Server) -> None:
    """All forty answer, and what one makes the next one reads; the server has no others but ours."""
    limits(client)
    categories(client)
    use_cases(client)
    events(client)

    every = operations(payi.Payi(api_key="none"))
    assert len(every) == 40
    assert every - client.called == set()
    assert ANSWERS.keys() - server.answered <= OURS


def limits(client: Blocking) -> None:
    made = client.limits.create(limit_name="Monthly", max=12.5, limit_id="l/1 %2F?", threshold=0.8, limit_type="allow")
    assert (made.limit.limit_id, made.limit.max, made.limit.threshold) == ("l/1 %2F?", 12.5, 0.8)
    assert client.limits.retrieve("l/1 %2F?").limit == made.limit
    changed = client.limits.update("l/1 %2F?", limit_name="Yearly", max=99).limit
    assert (changed.limit_name, changed.max, changed.limit_type) == ("Yearly", 99, "allow")
    (answered,) = client.limits.properties.update("l/1 %2F?", properties={"team": "a", "gone": "b"})
    (answered,) = client.limits.properties.update("l/1 %2F?", properties={"gone": None})
    assert answered.limit.properties == {"team": "a"}
    client.limits.create(limit_name="Other", max=1)
    assert [limit.limit_name for limit in client.limits.list(limit=1)] == ["Other", "Yearly"]
    assert [limit.limit_name for limit in client.limits.list(limit_name="Yearly")] == ["Yearly"]
    client.ingest.units(category="system.openai", resource="gpt-4o", units=UNITS, limit_ids=["l/1 %2F?"])
    spent = client.limits.retrieve("l/1 %2F?").limit.totals
    assert (spent.cost.total.base, spent.requests.ok, spent.requests.total) == (0.0035, 1, 1)
    history = client.limits.reset("l/1 %2F?", reset_date=now()).limit_history
    assert (history.limit_name, history.max, history.totals.cost.total.base) == ("Yearly", 99, 0.0035)
    assert client.limits.retrieve("l/1 %2F?").limit.totals.cost.total.base == 0
    assert client.limits.delete("l/1 %2F?").request_id
    refused(404, "limit_not_found", client.limits.retrieve, "l/1 %2F?")


def categories(client: Blocking) -> None:
    make = client.categories.resources.create
    old = make("Jupiter/1", category="planets", units={"orbit": {"input_price": 0.25}}, start_timestamp="2020-01-01")
    new = make("Jupiter/1", category="planets", units={"orbit": {"input_price": 0.5}}, max_input_units=7)
    make("Saturn", category="planets", units={"ring": {"output_price": 2}})
    make("Venus", category="inner", units={"orbit": {"input_price": 1}})
    assert (new.active, new.proxy_allowed, new.max_input_units) == (True, False, 7)
    assert new.units["orbit"].input_price == 0.5
    listed = [one.category for one in client.categories.list(active=True, limit=30)]
    assert listed[:2] == ["inner", "planets"]
    assert "system.openai" in listed
    assert "gpt-4o" in {one.resource for one in client.categories.list_resources("system.openai", active=True)}
    assert len(client.categories.list_resources("planets")) == 3
    assert [one.resource for one in client.categories.list_resources("planets", active=True, sort_ascending=True)] == [
        "Jupiter/1",
        "Saturn",
    ]
    versions = client.categories.resources.list("Jupiter/1", category="planets")
    assert [one.resource_id for one in versions] == [new.resource_id, old.resource_id]
    assert versions[1].end_timestamp == versions[0].start_timestamp
    again = client.categories.resources.retrieve(old.resource_id, category="planets", resource="Jupiter/1")
    assert (again.active, again.start_timestamp.year) == (False, 2020)
    gone = client.categories.resources.delete(new.resource_id, category="planets", resource="Jupiter/1")
    assert gone.resource_id == new.resource_id
    assert [one.resource for one in client.categories.delete_resource("Jupiter/1", category="planets")] == ["Jupiter/1"]
    assert [one.resource for one in client.categories.delete("planets")] == ["Saturn"]
    refused(404, "category_not_found", client.categories.delete, "planets")
    refused(
        404,
        "category_resource_not_found",
        client.categories.resources.retrieve,
        old.resource_id,
        category="planets",
        resource="Jupiter/1",
    )


def use_cases(client: Blocking) -> None:
    definitions, kpis = client.use_cases.definitions, client.use_cases.definitions.kpis
    made = definitions.create(name="Answers", description="Answers questions.", limit_config={"max": 2.5})
    assert (made.type_version, made.limit_config.max, made.limit_config.limit_type) == (1, 2.5, "allow")
    assert definitions.update("Answers", description="Answers them well.").description == "Answers them well."
    assert definitions.retrieve("Answers").description == "Answers them well."
    assert client.use_cases.definitions.version.increment("Answers").type_version == 2
    assert definitions.limit_config.delete("Answers").limit_config is None
    assert definitions.limit_config.delete("Answers").limit_config is None
    assert definitions.limit_config.create("Answers", max=5, threshold=0.9).limit_config.threshold == 0.9
    definitions.create(name="Other", description="Does something else.")
    assert [one.name for one in definitions.list(limit=1)] == ["Other", "Answers"]
    assert [one.name for one in definitions.list(use_case_name="Answers")] == ["Answers"]

    kpi = kpis.create("Answers", name="Thumbs up", description="The user liked it.", goal=0.9, kpi_type="boolean")
    assert (kpi.name, kpi.kpi_type, kpi.goal) == ("Thumbs up", "boolean", 0.9)
    kpis.create("Answers", name="Stars", description="How well.", goal=4, kpi_type="likert5")
    assert kpis.update("Thumbs up", use_case_name="Answers", goal=0.95).goal == 0.95
    assert kpis.retrieve("Thumbs up", use_case_name="Answers").goal == 0.95
    assert [one.kpi_name for one in kpis.list("Answers", sort_ascending=True, limit=1)] == ["Thumbs up", "Stars"]

    run = client.use_cases.create("Answers")
    assert (run.type_version, run.use_case_name) == (2, "Answers")
    assert client.limits.retrieve(run.limit_id).limit.max == 5
    assert client.use_cases.retrieve(run.use_case_id, use_case_name="Answers") == run
    properties = client.use_cases.properties.update
    assert properties(run.use_case_id, use_case_name="Answers", properties={"a": "b"}).properties == {"a": "b"}
    scored = {"use_case_name": "Answers", "use_case_id": run.use_case_id}
    client.use_cases.kpis.update("Thumbs up", score=True, **scored)
    client.use_cases.kpis.update("Stars", score=4, **scored)
    client.use_cases.kpis.update("Stars", score=5, **scored)
    scores = client.use_cases.kpis.list(run.use_case_id, use_case_name="Answers", limit=1, sort_ascending=True)
    assert [(one.kpi_name, one.score) for one in scores] == [("Thumbs up", 1), ("Stars", 5)]
    assert [
        one.kpi_name for one in client.use_cases.kpis.list(run.use_case_id, use_case_name="Answers", kpi_name="Stars")
    ]
    refused(400, "request_processing_error", client.use_cases.kpis.update, "Stars", score=6, **scored)

    assert kpis.delete("Stars", use_case_name="Answers").name == "Stars"
    assert client.use_cases.delete(run.use_case_id, use_case_name="Answers").use_case_id == run.use_case_id
    refused(404, "use_case_instance_not_found", client.use_cases.retrieve, run.use_case_id, use_case_name="Answers")
    assert definitions.delete("Answers").name == "Answers"
    refused(404, "use_case_not_found", definitions.retrieve, "Answers")
    refused(404, "use_case_not_found", client.use_cases.create, "Answers")


def events(client: Blocking) -> None:
    one = client.ingest.units(
        category="system.openai",
        resource="gpt-4o",
        units=UNITS,
        provider_response_id="chat/1",
        user_id="jane",
        account_name="acme",
        use_case_name="Told",
        use_case_step="first",
        properties={"a": "b", "c": "d"},
        event_timestamp=now() + SOON,
    )
    told = one.xproxy_result
    assert (told.user_id, told.account_name, told.use_case_name, told.use_case_step) == (
        "jane",
        "acme",
        "Told",
        "first",
    )
    assert (told.cost.currency, told.cost.total.base, told.duplicate_request) == ("usd", 0.0035, False)
    assert client.requests.request_id.result.retrieve(one.request_id).xproxy_result.cost == told.cost
    by_provider = client.requests.response_id
    assert by_provider.result.retrieve("chat/1", category="system.openai").xproxy_result.request_id == one.request_id
    client.requests.request_id.properties.update(one.request_id, properties={"a": None, "e": "f"})
    answer = by_provider.properties.update("chat/1", category="system.openai", properties={"g": "h"})
    assert answer.request_id == one.request_id
    properties = client.requests.request_id.result.retrieve(one.request_id).xproxy_result.properties
    assert properties == {"c": "d", "e": "f", "g": "h"}
    refused(404, "request_not_found", client.requests.request_id.result.retrieve, "chat/1")
    bulk = client.ingest.bulk(
        events=[
            {"category": "system.openai", "resource": "gpt-4o", "units": UNITS, "provider_response_id": "chat/1"},
            {"category": "system.openai", "resource": "gpt-4o", "units": UNITS, "limit_ids": ["none"]},
        ]
    )
    assert (bulk.ingest_count, bulk.error_count, bulk.total_count) == (1, 1, 2)
    assert bulk.errors[0].item_index == 1
    assert bulk.errors[0].xproxy_result.xproxy_error.code == "invalid_limit_ids"
    assert client.ingest.bulk().ingest_count == 0
