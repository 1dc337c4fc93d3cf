"""A budget that is worth five calls, met by many at once over the real SDK: five reach the provider, every time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from exchanges import Watched

from payi_middleware import Limit, LimitReached, instrument, track
from payi_middleware.demo.standin import StandIn
from payi_middleware.limits.ledger import Ledger
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.sqlite import SqliteLedger

# 1,000 tokens of gpt-4o's answer cost 0.01 USD, its question next to nothing: less than what is held for it.
ASK: Any = {
    "model": "gpt-4o",
    "max_tokens": 1000,
    "service_tier": "default",  # else a strict hold is for a project that has `priority` by default
    "messages": [{"role": "user", "content": "Tell me. #output=1000 #input=10 #slow=0.05"}],
}
CALL = Decimal("0.010025")
WORTH_FIVE = {False: "0.05", True: "0.0525"}
"""By default the fifth call crosses 0.05; five holds of less than 0.0105 are all that 0.0525 has room for."""


def ledger_of(kind: str, folder: Path) -> Ledger:
    return MemoryLedger() if kind == "memory" else SqliteLedger(folder / "payi.db.ledger")


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_exactly_five_calls_reach_the_provider(kind: str, strict: bool, tmp_path: Path) -> None:
    """Of 20 and of 100 at once in asyncio, and of 64 in 32 threads; at the end nothing is held."""
    ledger = ledger_of(kind, tmp_path)
    limit = Limit("budget", WORTH_FIVE[strict], per="user", strict=strict)
    with StandIn() as standin:
        watched = Watched(hosts={standin.host: "openai"}, limits=[limit], ledger=ledger, ledger_timeout=10)
        instrument(watched.meter)
        place: Any = {"base_url": standin.url + "/v1", "api_key": "none"}
        for user, many in (("jane", 20), ("john", 100)):
            assert asyncio.run(_at_once(place, user, many)) == many - 5
            assert _reached(standin) == 5
        assert _in_threads(place, "jack") == 64 - 5
        assert _reached(standin) == 5

        events = watched.events
        (definition,) = ledger.definitions("default").limits
        for user in ("jane", "john", "jack"):
            own = [event for event in events if event.user_id == user]
            assert sum(event.cost.total for event in own if event.cost) == 5 * CALL
            (totals,) = ledger.totals("default", definition.limit_id, f'["{user}"]')
            assert (totals.spent, totals.held) == (5 * CALL * 10**10, 0)
            assert totals.requests["blocked"] == len(own) - 5
        assert {event.ledger for event in events} == {ledger.id}
        watched.meter.close()
    ledger.close()


def _reached(standin: StandIn) -> int:
    reached = len(standin.requests)
    standin.clear()
    return reached


async def _at_once(place: Any, user: str, many: int) -> int:
    """How many of so many calls are refused."""
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False, verify=False)
    with track(user_id=user):
        async with openai.AsyncOpenAI(**place, http_client=http_client) as client:
            calls = [client.chat.completions.create(**ASK) for _ in range(many)]
            return _refused(await asyncio.gather(*calls, return_exceptions=True))


def _in_threads(place: Any, user: str) -> int:
    http_client = openai.DefaultHttpxClient(trust_env=False, verify=False)
    with openai.OpenAI(**place, http_client=http_client) as client, ThreadPoolExecutor(32) as pool, track(user_id=user):
        calls = [pool.submit(client.chat.completions.create, **ASK) for _ in range(64)]
        return _refused([call.exception() for call in calls])


def _refused(results: list[Any]) -> int:
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        found = LimitReached.of(error)
        assert isinstance(error, openai.BadRequestError), error
        assert found is not None
        assert found.limit.name == "budget"
    return len(errors)
