"""What limits can beyond Pay-i's, by REST: windows, accounts, limits that attach themselves, limit tags, other units."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest
from servers import Server

from payi_middleware import health
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.server.limit_metrics import LimitCollector
from payi_middleware.store import open_store

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}
COST = 0.0035


def made(http: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/api/v1/limits", json={"limit_name": body["limit_id"], "max": 1} | body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["limit"])


def limit(http: httpx2.Client, limit_id: str) -> dict[str, Any]:
    return dict(http.get(f"/api/v1/limits/{limit_id}").json()["limit"])


def states(http: httpx2.Client, **told: Any) -> dict[str, str]:
    (answer,) = (http.post("/api/v1/ingest/bulk", json=[CALL | {"provider_response_id": "one"} | told]),)
    assert answer.json()["errors"] is None, answer.text
    result = http.get(
        f"/api/v1/requests/provider/system.openai/{told.get('provider_response_id', 'one')}/result"
    ).json()
    return {name: one["state"] for name, one in result["xproxy_result"]["limits"].items()}


def test_our_members_stand_beside_pay_is(server: Server) -> None:
    """They go in under their own names, come back, and Pay-i's client keeps what it does not know."""
    client = server.payi(server.key("admin", "members"))
    further = {
        "window": "month", "timezone": "Europe/Berlin", "per": ["user", "model"], "match": {"properties.plan": "pro"},
        "tags": ["premium"], "strict": True, "unit": "tokens", "on_error": "open", "unknown_price": "block",
        "alerts": [0.5, "forecast"],
    }  # fmt: skip
    answer: Any = client.limits.create(
        limit_name="All", max=5000, limit_type="block", limit_id="all", extra_body=further
    )
    assert {name: getattr(answer.limit, name) for name in further} == further
    assert (answer.limit.max, answer.limit.source, answer.limit.accounts, answer.limit.spent) == (5000, "api", 0, 0)

    changed: Any = client.limits.update("all", max=10**12, extra_body={"window": None, "strict": False, "tags": []})
    told = changed.limit
    assert (told.window, told.strict, told.tags, told.alerts, told.max) == (None, False, [], [0.5, "forecast"], 10**12)
    client.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"window": "fortnight"}, "create_limit_validation_failed"),
        ({"timezone": "Mars/Olympus"}, "create_limit_validation_failed"),
        ({"per": ["planet"]}, "create_limit_validation_failed"),
        ({"match": {"planet": "mars"}}, "create_limit_validation_failed"),
        ({"alerts": [11]}, "create_limit_validation_failed"),
        ({"alerts": ["soon"]}, "create_limit_validation_failed"),
        ({"unit": "calls", "max": 1.5}, "create_limit_validation_failed"),
        ({"unit": "calls", "max": 0}, "invalid_max_limit"),
        ({"unit": "tokens", "max": 1e19}, "invalid_max_limit"),
        ({"limit_name": "n" * 129}, "create_limit_validation_failed"),
        ({"limit_id": "mine,yours"}, "invalid_limit_id"),
        ({"limit_id": " mine"}, "invalid_limit_id"),
    ],
)
def test_what_ours_cannot_be(server: Server, body: dict[str, Any], code: str) -> None:
    """Each with a code, and nothing is made."""
    with server.http(server.key("admin", "wrong-ones")) as http:
        answer = http.post("/api/v1/limits", json={"limit_name": "A", "max": 1} | body)
        assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (400, code)
        assert http.get("/api/v1/limits").json()["items"] == []


def test_a_rolling_window_has_no_end(server: Server) -> None:
    """What it counts goes out of it as time goes on, and nothing is reset at once."""
    with server.http(server.key("admin", "rolling")) as http:
        made(http, limit_id="all", max=4 * COST, per=["user"], window="24h")
        http.post("/api/v1/ingest", json=CALL, headers={"xProxy-User-ID": "jane"}).raise_for_status()
        [account] = http.get("/api/v1/limits/all/accounts").json()["items"]
        whole = limit(http, "all")
    for told in (whole, account):
        assert told["window_starts_at"] is not None
        assert told["window_ends_at"] is None


def test_an_account_for_each_user(server: Server) -> None:
    """One definition, an account a user as they come, told dearest first page by page; maxima are each account's."""
    with server.http(server.key("admin", "accounts")) as http:
        made(http, limit_id="each", max=4 * COST, per=["user"], window="year")
        for n, user in enumerate(("jane", "bob", "eve")):
            items = [CALL | {"user_id": user}] * (n + 3)
            assert http.post("/api/v1/ingest/bulk", json=items).json()["ingest_count"] == n + 3
        http.post("/api/v1/ingest", json=CALL).raise_for_status()  # of no user
        whole = limit(http, "each")
        assert (whole["accounts"], whole["spent"], whole["max"]) == (3, 0.042, 0.014)
        assert whole["totals"]["cost"]["total"] == {"base": 0.042, "overrun_base": 0.0035}
        assert whole["totals"]["requests"] | {"total": 0} == whole["totals"]["requests"] | {
            "ok": 9,
            "exceeded": 2,
            "overrun": 1,
            "total": 0,
        }
        assert whole["window_ends_at"] > whole["window_starts_at"]

        pages, cursor = [], ""
        while cursor is not None:
            page = http.get("/api/v1/limits/each/accounts", params={"limit": 2, "cursor": cursor}).json()
            pages.append([(one["key"], one["spent"], one["left"], one["state"]) for one in page["items"]])
            cursor = page["cursor"]
        assert pages == [
            [(["eve"], 0.0175, 0, "overrun"), (["bob"], 0.014, 0, "exceeded")],
            [(["jane"], 0.0105, 0.0035, "ok")],
        ]
        answer = http.put("/api/v1/limits/each", json={"max": 0.017})
        assert answer.json()["xproxy_error"]["code"] == "invalid_max_limit_update"
        http.put("/api/v1/limits/each", json={"max": 0.0175}).raise_for_status()
        history = http.post("/api/v1/limits/each/reset").json()["limit_history"]
        assert history["totals"]["cost"]["total"]["base"] == 0.042
        assert http.get("/api/v1/limits/none/accounts").status_code == 404


def test_limits_attach_themselves(server: Server) -> None:
    """By what a request tells: its user, its properties, its limit tags, which `system.limit_tags` holds; named ones too."""
    with server.http(server.key("admin", "attach")) as http:
        made(http, limit_id="pro", match={"properties.plan": "pro"})
        made(http, limit_id="premium", tags=["premium", "gold"], per=["user"], limit_type="block")
        made(http, limit_id="named", limit_name="Named one")
        plain = CALL | {"user_id": "jane"}
        assert states(http, **plain) == {}
        assert states(http, **plain, provider_response_id="2", properties={"plan": "pro"}) == {"pro": "ok"}
        tagged = {"provider_response_id": "3", "properties": {"system.limit_tags": "free, gold"}}
        assert states(http, **plain, **tagged) == {"premium": "ok"}
        assert states(http, provider_response_id="4", limit_ids=["Named one"]) == {"named": "ok"}
        told = http.get("/api/v1/requests/provider/system.openai/3/result").json()["xproxy_result"]
        assert told["properties"] == {"system.limit_tags": "free,gold"}
        answer = http.post("/api/v1/ingest", json=CALL | {"properties": {"system.limit_tags": "no/tag"}})
        assert answer.json()["xproxy_error"]["code"] == "invalid_tags"
        history = http.post("/api/v1/limits/premium/reset").json()["limit_history"]
        assert (history["limit_tags"], history["totals"]["requests"]["ok"]) == (["premium", "gold"], 1)
    with open_store(server.store, create=False) as store:
        (event,) = [event for event in store.events() if event.attribution.limit_tags]
    assert (event.attribution.limit_tags, event.attribution.request_properties) == (("free", "gold"), {})
    assert event.limits == {"premium": "ok"}
    assert event.ledger == server.app.state.serving.ledger.id


def test_calls_and_tokens_are_counted(server: Server) -> None:
    """Maxima and what is spent are in the limit's unit; Pay-i's totals are money."""
    with server.http(server.key("admin", "units")) as http:
        made(http, limit_id="calls", unit="calls", max=3, match={"provider": "openai"}, threshold=0.75)
        made(http, limit_id="tokens", unit="tokens", max=2199, match={"provider": "openai"})
        told = [states(http, provider_response_id=f"{n}") for n in range(4)]
        assert [one["calls"] for one in told] == ["ok", "ok", "exceeded", "overrun"]
        assert [one["tokens"] for one in told] == ["ok", "overrun", "overrun", "overrun"]
        calls, tokens = limit(http, "calls"), limit(http, "tokens")
        assert (calls["spent"], calls["max"], tokens["spent"], tokens["max"]) == (4, 3, 4400, 2199)
        assert calls["totals"]["cost"]["total"] == {"base": 0.014, "overrun_base": None}


def test_what_has_no_price_is_never_for_nothing(server: Server) -> None:
    """It is charged as its maker's dearest model would be, until its price is known, unless the limit says otherwise."""
    with server.http(server.key("admin", "unpriced")) as http:
        made(http, limit_id="dear", match={"provider": "openai"}, max=1000)
        odd = CALL | {"resource": "model-of-tomorrow", "provider_response_id": "odd"}
        assert http.post("/api/v1/ingest/bulk", json=[odd]).json()["ingest_count"] == 1
        assert limit(http, "dear")["spent"] > COST
        priced = odd | {"resource": "gpt-4o"}
        assert http.post("/api/v1/ingest/bulk-upsert", json=[priced]).json()["ingest_count"] == 1
        assert (limit(http, "dear")["spent"], limit(http, "dear")["totals"]["requests"]["total"]) == (COST, 1)
        http.put("/api/v1/limits/dear", json={"unknown_price": "allow"}).raise_for_status()
        again = odd | {"provider_response_id": "again"}
        assert http.post("/api/v1/ingest/bulk", json=[again]).json()["ingest_count"] == 1
        assert (limit(http, "dear")["spent"], limit(http, "dear")["totals"]["requests"]["total"]) == (COST, 2)


def test_metrics_tell_how_limits_stand(server: Server) -> None:
    """By name and never by account; limits of instances have no label."""
    key = server.key("admin", "told")
    with server.http(key) as http:
        made(http, limit_id="m", limit_name="Monthly", max=2, per=["user"])
        http.post("/api/v1/ingest/bulk", json=[CALL | {"user_id": user} for user in ("jane", "bob")]).raise_for_status()
        http.post(
            "/api/v1/use_cases/definitions", json={"name": "Chat", "description": "-", "limit_config": {"max": 1}}
        )
        http.post("/api/v1/use_cases/instances/Chat").raise_for_status()
        lines = [line for line in http.get("/metrics").text.splitlines() if 'application="told"' in line]
        assert "payi_ledger_up 1.0" in http.get("/metrics").text
    label = '{application="told",limit="Monthly",unit="usd"}'
    assert sorted(lines) == sorted(
        [
            f"payi_limit_spent{label} 0.007",
            f"payi_limit_held{label} 0.0",
            f"payi_limit_max{label} 2.0",
            f"payi_limit_refused{label} 0.0",
        ]
    )


def test_a_change_of_a_limit_of_code_says_how_long_it_stays(server: Server) -> None:
    limit = Limit("all", 10)
    for limit_id, source in (("code", "code"), ("api", "api")):
        named = msgspec.structs.replace(limit, name=limit_id)
        server.app.state.serving.ledger.define(
            Definition(limit_id=limit_id, application="codes", limit=named, source=source, code=named)
        )
    with server.http(server.key("admin", "codes")) as http:
        told = http.put("/api/v1/limits/code", json={"max": 20}).json()
        assert told["message"] == "made by code: this change stays until the code says something else of it"
        assert (told["limit"]["max"], told["limit"]["source"]) == (20, "code")
        assert http.put("/api/v1/limits/api", json={"max": 20}).json()["message"] is None


def test_metrics_tell_that_the_ledger_is_away() -> None:
    """And nothing of limits then."""

    class Away(MemoryLedger):
        def applications(self) -> list[str]:
            raise LedgerError("away")

    told = list(LimitCollector(Away()).collect())
    assert [(family.name, [sample.value for sample in family.samples]) for family in told] == [("payi_ledger_up", [0])]
    assert health.counters()["server_ledger"] == 1
    health.reset()


def test_a_ledger_that_is_away_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are answered 503, which clients send again, and so is an instance that should get one; events are taken."""
    ledger = server.app.state.serving.ledger

    def away(*args: object) -> Any:
        raise LedgerError("the ledger is away")

    with server.http(server.key("admin", "away")) as http:
        http.post(
            "/api/v1/use_cases/definitions", json={"name": "Chat", "description": "-", "limit_config": {"max": 1}}
        )
        for name in ("definitions", "define", "run"):
            monkeypatch.setattr(ledger, name, away)
        monkeypatch.setattr(server.app.state.serving.writer._asked, "_until", 0.0)
        answers = [
            http.get("/api/v1/limits"),
            http.post("/api/v1/limits", json={"limit_name": "A", "max": 1}),
            http.post("/api/v1/use_cases/instances/Chat"),
        ]
        assert [(one.status_code, one.headers["retry-after"]) for one in answers] == [(503, "1")] * 3
        assert "the ledger is away" in answers[0].json()["message"]
        named = {"xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "run"}
        assert http.post("/api/v1/ingest", json=CALL, headers=named).json()["xproxy_result"]["limits"] == {}
        with server.http(server.key("ingest", "never-seen")) as others:
            answer = others.post("/api/v1/ingest", json=CALL, headers={"xProxy-Limit-IDs": "may-be-there"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        monkeypatch.undo()
        server.app.state.serving.writer._asked._until = 0.0
        assert len(http.post("/api/v1/ingest", json=CALL, headers=named).json()["xproxy_result"]["limits"]) == 1
    health.reset()
