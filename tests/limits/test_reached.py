"""`LimitReached.of`: found in whatever an SDK raised, and nowhere else."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest

from payi_middleware import LimitReached
from payi_middleware.events import Attribution
from payi_middleware.limits.answer import refused
from payi_middleware.limits.ledger import Amount, Standing, State
from payi_middleware.limits.places import EXTENSION, HEADER
from payi_middleware.limits.reached import reached

MONTH_NS = 1_800_000_000 * 10**9 + 1


def standing(name: str, state: State, **more: Any) -> Standing:
    values: dict[str, Any] = {
        "limit_id": f"id-{name}",
        "name": name,
        "key": '["jane"]',
        "type": "block",
        "unit": "usd",
        "state": state,
        "most": 10 * 10**10,
        "spent": 10 * 10**10 + 5,
        "held": 0,
        "starts_ns": 0,
        "resets_ns": MONTH_NS,
    }
    return Standing(**(values | more))


TWO = [
    standing("premium", "blocked"),
    standing("others", "blocked_external", spent=7, most=9),
    standing("calls", "blocked", unit="calls", most=3, spent=3, resets_ns=None),
]
FOUND = reached("request-1", TWO, own=("id-premium",))
ANSWER = refused(FOUND, TWO, Attribution(user_id="jane"))


class Failed(Exception):
    """As an SDK's own."""

    def __init__(self, **members: Any) -> None:
        super().__init__("failed")
        self.__dict__.update(members)


def test_what_is_told() -> None:
    """Those that refused, with their figures; those that did not, nothing of."""
    assert [(one.name, one.unit, one.spent, one.max, one.own) for one in FOUND.limits] == [
        ("premium", "usd", Decimal("10.0000000005"), Decimal(10), True),
        ("calls", "calls", Decimal(3), Decimal(3), False),
    ]
    assert FOUND.message == (
        "limit 'premium' is reached: 10.0000000005 USD of 10 USD, until 2027-01-15 08:00:01 UTC; "
        "limit 'calls' is reached: 3 calls of 3 calls, until it is reset"
    )
    assert FOUND.limit.resets_at == datetime.datetime(2027, 1, 15, 8, 0, 1, tzinfo=datetime.UTC)
    assert FOUND.resets_at is None  # one of them waits for a reset
    assert reached("r", TWO[:1]).resets_at == FOUND.limit.resets_at
    assert ANSWER.states == {"id-premium": "blocked", "id-others": "blocked_external", "id-calls": "blocked"}
    assert "others" not in json.dumps(json.loads(ANSWER.body)["xproxy_result"]["blocked_limits"])
    assert ANSWER.headers[HEADER].isascii()


CALL = Amount(4 * 10**9, 1000)


@pytest.mark.parametrize(
    ("spent", "held", "most", "strict", "reason", "words"),
    [
        (10, 5, 10, False, "spent", "is reached: 1 USD of 1 USD, until 2027-01-15 08:00:01 UTC"),
        (
            0,
            10,
            10,
            False,
            "held",
            "has no room until calls end that run now: 0 spent and 1 held by running calls of 1 USD; this call may take 0.4 USD",
        ),
        (
            0,
            8,
            10,
            True,
            "held",
            "has no room until calls end that run now: 0 spent and 0.8 held by running calls of 1 USD; this call may take 0.4 USD",
        ),
        (
            6,
            1,
            10,
            True,
            "held",
            "has no room until calls end that run now: 0.6 spent and 0.1 held by running calls of 1 USD; "
            "this call may take 0.4 USD",
        ),
        (
            7,
            0,
            10,
            True,
            "spent",
            "has no room for this call until 2027-01-15 08:00:01 UTC: 0.7 spent and 0 held by running calls "
            "of 1 USD; this call may take 0.4 USD",
        ),
        (12, 0, 10, True, "spent", "is reached: 1.2 USD of 1 USD, until 2027-01-15 08:00:01 UTC"),
        (0, 0, 3, True, "size", "is smaller than what this call may take: 0.4 USD of 0.3 USD"),
    ],
)
def test_what_leaves_no_room_is_told_apart(
    spent: int, held: int, most: int, strict: bool, reason: str, words: str
) -> None:
    """What was spent waits for the reset, what is held for calls to end, and a call that is too large for nothing."""
    one = standing("m", "blocked", spent=spent * 10**9, held=held * 10**9, most=most * 10**9)
    found = reached("r", [one], strict=[one.limit_id] if strict else (), wanted=CALL)

    assert (found.limit.reason, found.message) == (reason, f"limit 'm' {words}")
    assert (found.resets_at is not None, found.passes) == (reason == "spent", reason == "held")
    assert (found.limit.held, found.limit.wanted) == (Decimal(held) / 10, Decimal("0.4"))
    body = json.loads(refused(found, [one], Attribution()).body)
    assert LimitReached.of(Failed(body=body)) == found


def test_whoever_waits_waits_for_all() -> None:
    """One limit is full while calls run, the other one until its reset."""
    full = standing("full", "blocked", spent=0, held=10**11)
    found = reached("r", [full, standing("spent", "blocked")], wanted=CALL)
    assert [limit.reason for limit in found.limits] == ["held", "spent"]
    assert (found.passes, found.resets_at) == (False, found.limits[1].resets_at)


def test_the_cure_is_told_where_it_cures() -> None:
    """Not where the limit counts calls, or all of it is spent."""
    full = {"spent": 0, "held": 10**11}
    for one, is_told in (
        (standing("m", "blocked", **full), True),
        (standing("m", "blocked", unit="calls", **full), False),
        (standing("m", "blocked"), False),
    ):
        assert reached("r", [one], wanted=CALL, cure="say less").message.endswith("; say less") == is_told


def test_a_limit_of_which_one_account_refused_has_refused() -> None:
    """Whichever of its accounts comes last."""
    both = [standing("tags", "blocked", key='["a"]'), standing("tags", "blocked_external", key='["b"]')]
    for standings in (both, both[::-1]):
        assert refused(reached("r", standings), standings, Attribution()).states == {"id-tags": "blocked"}


@pytest.mark.parametrize(
    "members",
    [
        {"response": httpx.Response(400, extensions={EXTENSION: FOUND})},
        {"response": httpx.Response(400, headers=ANSWER.headers, content=ANSWER.body)},
        {"raw_response": SimpleNamespace(headers=ANSWER.headers)},
        {"headers": ANSWER.headers},
        {"response": {"ResponseMetadata": {"HTTPHeaders": ANSWER.headers}}},
    ],
)
def test_all_of_it_is_found(members: dict[str, Any]) -> None:
    """In an answer's extensions, or in our header."""
    assert LimitReached.of(Failed(**members)) == FOUND


@pytest.mark.parametrize("body", [json.loads(ANSWER.body), ANSWER.body, ANSWER.body.decode()])
def test_a_body_is_enough(body: Any) -> None:
    """Parsed or not."""
    found = LimitReached.of(Failed(body=body))

    assert found is not None
    assert [msgspec.structs.replace(one, own=False) for one in FOUND.limits] == [
        msgspec.structs.replace(one, own=False) for one in found.limits
    ]
    assert (found.message, found.request_id, found.why) == (FOUND.message, "request-1", "reached")


def test_pay_is_own_proxy_tells_less() -> None:
    """Its body has the ids of the limits, and no figures."""
    body = {
        "statusCode": 400,
        "message": "Bad Request",
        "xproxy_error": {"code": "limit_reached"},
        "xproxy_result": {"blocked_limit_ids": ["a"], "limits": {"a": {"state": "blocked"}}},
    }
    found = LimitReached.of(Failed(body=body))

    assert found is not None
    assert (found.message, found.limit.name, found.limit.spent, found.limit.max) == ("Bad Request", "a", None, None)


def test_it_is_found_behind_other_errors() -> None:
    """What caused the error, what it was raised in, and what is in a group; a circle ends."""
    inner = Failed(body=ANSWER.body)
    caused, within = Failed(), Failed()
    caused.__cause__ = inner
    within.__context__ = caused
    assert LimitReached.of(within) is not None
    assert LimitReached.of(ExceptionGroup("several", [Failed(), within])) is not None
    inner.__context__ = within
    inner.body = b"other"
    assert LimitReached.of(within) is None


class Odd:
    """Whose members raise."""

    @property
    def headers(self) -> Any:
        raise RuntimeError("not read yet")


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("xproxy_result"),
        Failed(response=Odd()),
        Failed(response=None, body=None, details=7, headers={}),
        Failed(body="xproxy_result is no JSON"),
        Failed(body={"xproxy_result": {"blocked_limit_ids": []}, "xproxy_error": {"code": "limit_reached"}}),
        Failed(body={"xproxy_result": {"blocked_limit_ids": ["a"]}, "xproxy_error": {"code": "invalid_limit_id"}}),
        Failed(body={"xproxy_result": None, "xproxy_error": None}),
        Failed(headers={HEADER: "no JSON"}),
        Failed(
            body={
                "xproxy_error": {"code": "limit_reached"},
                "xproxy_result": {"blocked_limit_ids": ["a"], "blocked_limits": [{"limit_id": "a", "max": "ten"}]},
            }
        ),
    ],
)
def test_other_errors_tell_of_no_limit(error: Any) -> None:
    """And whatever they have in them, nothing raises."""
    found = LimitReached.of(error)
    assert found is None or found.limit.max is None
