"""Users who spend a budget that is worth five calls, all at once, over OpenAI's SDK."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import openai
from exchanges import Watched

from payi_middleware import Limit, LimitReached, instrument, track, uninstrument
from payi_middleware.demo.standin import StandIn
from payi_middleware.limits.ledger import Ledger

__all__ = ["spend"]

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


def spend(ledger: Ledger, users: dict[str, int], *, threads: int = 0, strict: bool) -> dict[str, int]:
    """Each user in turn makes so many calls at once.

    Args:
        ledger: Where their budgets are kept.
        users: How many calls each makes.
        threads: So many make them; none: they are tasks of one event loop.
        strict: Of which kind their limit is.

    Returns:
        How many calls of each reached the provider; all else is asserted.
    """
    limit = Limit("budget", WORTH_FIVE[strict], per="user", strict=strict)
    reached: dict[str, int] = {}
    with StandIn() as standin:
        watched = Watched(hosts={standin.host: "openai"}, limits=[limit], ledger=ledger, ledger_timeout=30)
        instrument(watched.meter)
        place: Any = {"base_url": standin.url + "/v1", "api_key": "none", "timeout": 120}
        for user, many in users.items():
            with track(user_id=user):
                refused = _in_threads(place, many, threads) if threads else asyncio.run(_at_once(place, many))
            reached[user] = len(standin.requests)
            standin.clear()
            assert refused == many - reached[user]
        _check(watched, ledger, reached)
        uninstrument()
        watched.meter.close()
    return reached


def _check(watched: Watched, ledger: Ledger, reached: dict[str, int]) -> None:
    """What reached the provider is what is counted, and nothing is held."""
    events = watched.events
    (definition,) = ledger.definitions("default").limits
    for user, calls in reached.items():
        own = [event for event in events if event.user_id == user]
        assert sum(event.cost.total for event in own if event.cost) == calls * CALL
        (totals,) = ledger.totals("default", definition.limit_id, f'["{user}"]')
        assert (totals.spent, totals.held) == (calls * CALL * 10**10, 0)
        assert totals.requests["blocked"] == len(own) - calls
    assert {event.ledger for event in events} == {ledger.id}


async def _at_once(place: Any, many: int) -> int:
    """How many of so many calls are refused."""
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False, verify=False)
    async with openai.AsyncOpenAI(**place, http_client=http_client) as client:
        calls = [client.chat.completions.create(**ASK) for _ in range(many)]
        return _refused(await asyncio.gather(*calls, return_exceptions=True))


def _in_threads(place: Any, many: int, threads: int) -> int:
    http_client = openai.DefaultHttpxClient(trust_env=False, verify=False)
    with openai.OpenAI(**place, http_client=http_client) as client, ThreadPoolExecutor(threads) as pool:
        calls = [
            pool.submit(contextvars.copy_context().run, client.chat.completions.create, **ASK) for _ in range(many)
        ]
        return _refused([call.exception() for call in calls])


def _refused(results: list[Any]) -> int:
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        found = LimitReached.of(error)
        assert isinstance(error, openai.BadRequestError), error
        assert found is not None
        assert found.limit.name == "budget"
    return len(errors)
