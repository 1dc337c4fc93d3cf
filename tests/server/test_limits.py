"""Limits as money runs through them."""

from __future__ import annotations

from typing import Any

import payi
import pytest
from servers import Server

from payi_middleware.limits.ledger import state_of

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}
COST = 0.0035


def code(call: Any, *args: Any, **named: Any) -> str:
    with pytest.raises(payi.BadRequestError) as caught:
        call(*args, **named)
    body: Any = caught.value.body
    return str(body["xproxy_error"]["code"])


@pytest.mark.parametrize(
    ("spent", "threshold", "state"),
    [
        (0, None, "ok"),
        (999, None, "ok"),
        (1000, None, "exceeded"),
        (1001, None, "overrun"),
        (799, 0.8, "ok"),
        (800, 0.8, "exceeded"),
        (1000, 0.8, "exceeded"),
        (1001, 0.8, "overrun"),
    ],
)
def test_the_state_of_a_limit_of_a_thousand_ticks(spent: int, threshold: float | None, state: str) -> None:
    """Exceeded from the threshold, which is all of it if none is set, to the maximum, both included; overrun above."""
    assert state_of(spent, 1000, threshold) == state


def test_a_limit_goes_through_its_states(server: Server) -> None:
    """Ok, exceeded, overrun; requests are counted by the state they leave, and what is above the maximum apart."""
    client = server.payi(server.key("admin", "states"))
    client.limits.create(limit_name="Ten calls", max=10 * COST, threshold=0.8, limit_id="ten")
    states = []
    for _ in range(12):
        result = client.ingest.units(**CALL, limit_ids=["ten"]).xproxy_result
        assert result.limits is not None
        states.append(result.limits["ten"].state)
    client.ingest.units(**CALL | {"units": {}}, http_status_code=500, limit_ids=["ten"])

    totals = client.limits.retrieve("ten").limit.totals
    assert states == ["ok"] * 7 + ["exceeded"] * 3 + ["overrun"] * 2
    counts = totals.requests
    assert (counts.ok, counts.exceeded, counts.overrun, counts.failed, counts.total) == (7, 3, 2, 1, 13)
    assert totals.cost.total.base == 0.042
    assert totals.cost.total.overrun_base == 0.007
    assert (totals.cost.input.base, totals.cost.output.base) == (0.03, 0.012)
    history = client.limits.reset("ten").limit_history
    assert history.totals == totals
    assert client.limits.retrieve("ten").limit.totals.requests.total == 0
    client.close()


def test_the_same_limit_again_is_the_same(server: Server) -> None:
    """The same id with the same maximum and threshold succeeds and returns what is stored; else it is refused."""
    client = server.payi(server.key("admin", "again"))
    first = client.limits.create(limit_name="A", max=2, threshold=0.9, limit_id="a").limit
    assert client.limits.create(limit_name="B", max=2, threshold=0.9, limit_id="a").limit == first
    create = client.limits.create
    assert code(create, limit_name="A", max=3, threshold=0.9, limit_id="a") == "create_limit_validation_failed"
    assert code(create, limit_name="A", max=2, limit_id="a") == "create_limit_validation_failed"
    assert code(create, limit_name="A", max=3) == "limit_name_already_exist"
    assert [limit.limit_id for limit in client.limits.list()] == ["a"]
    client.close()


def test_what_cannot_be_a_limit(server: Server) -> None:
    """Each with its code."""
    client = server.payi(server.key("admin", "wrong"))
    create, update = client.limits.create, client.limits.update
    assert code(create, limit_name="A", max=0) == "invalid_max_limit"
    assert code(create, limit_name="A", max=-1) == "invalid_max_limit"
    assert code(create, limit_name="A", max=1e-12) == "invalid_max_limit"
    assert code(create, limit_name="A", max=1e9) == "invalid_max_limit"
    assert code(create, limit_name="A", max=1, threshold=0.5) == "create_limit_validation_failed"
    assert code(create, limit_name="A", max=1, threshold=1) == "create_limit_validation_failed"
    assert code(create, limit_name="", max=1) == "create_limit_validation_failed"
    assert code(create, limit_name="A", max=1, limit_type="maybe") == "create_limit_validation_failed"
    client.limits.create(limit_name="A", max=1, limit_id="a")
    client.limits.create(limit_name="B", max=1)
    client.ingest.units(**CALL, limit_ids=["a"])
    assert code(update, "a", max=COST / 2) == "invalid_max_limit_update"
    assert code(update, "a", max=0) == "invalid_max_limit"
    assert code(update, "a", limit_name="B") == "limit_name_already_exist"
    assert code(update, "a", extra_body={"limit_type": "block"}) == "update_limit_validation_failed"
    assert client.limits.update("a", limit_name="A", max=COST).limit.max == COST
    client.close()


def test_a_block_limit_is_refused_on_ingest(server: Server) -> None:
    """What is over cannot be held to it; nothing is stored or charged, also not to the other limits."""
    client = server.payi(server.key("admin", "block"))
    client.limits.create(limit_name="Hard", max=1, limit_type="block", limit_id="hard")
    client.limits.create(limit_name="Soft", max=1, limit_id="soft")
    assert code(client.ingest.units, **CALL, limit_ids=["soft", "hard"]) == "blocking_limit_not_allowed"
    assert client.limits.retrieve("soft").limit.totals.requests.total == 0
    client.close()


def test_each_instance_of_a_use_case_gets_a_limit(server: Server) -> None:
    """A limit_config makes one for every new instance, whether it is begun or first told by an event, and of any type."""
    client = server.payi(server.key("admin", "configured"))
    client.use_cases.definitions.create(
        name="Chat", description="Chats.", limit_config={"max": COST, "limit_type": "block", "properties": {"a": "b"}}
    )
    for use_case_id in ("one", "one", "two"):
        client.ingest.units(**CALL, use_case_name="Chat", use_case_id=use_case_id)
    begun = client.use_cases.create("Chat")
    client.use_cases.definitions.limit_config.delete("Chat")
    free = client.use_cases.create("Chat")

    one = client.use_cases.retrieve("one", use_case_name="Chat")
    two = client.use_cases.retrieve("two", use_case_name="Chat")
    assert one.limit_id is not None
    assert two.limit_id is not None
    assert client.limits.retrieve(one.limit_id).limit.totals.requests.overrun == 1
    assert client.limits.retrieve(two.limit_id).limit.totals.requests.exceeded == 1
    assert begun.limit_id not in (None, one.limit_id, two.limit_id)
    assert free.limit_id is None
    client.close()
