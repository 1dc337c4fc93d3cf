"""What every ledger keeps to. `CASES` take a ledger; `TIMED` take one that runs by a `Clock`, and that clock.

Each case has an application of its own, so that cases may share a ledger.

    @pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
    def test_rules(case, ledger): case(ledger)

    @pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
    def test_rules_of_time(case): case(MyLedger(clock=(clock := conformance.Clock())), clock)
"""

from __future__ import annotations

import datetime
import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from payi_middleware.exceptions import LimitError
from payi_middleware.limits.ledger import (
    LOGGED,
    NEW,
    SETTLED_DAYS,
    TOLD,
    Account,
    Admitted,
    Alert,
    Amount,
    Answer,
    Blocked,
    Crossed,
    Extend,
    Held,
    Ledger,
    Past,
    Release,
    Renew,
    Reserve,
    Settle,
    Settled,
    Stale,
    Standing,
    Totals,
)
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.sql import SqlKept
from payi_middleware.limits.sqlite import SqliteLedger

USD = 10**10
"""Ticks of one."""
NS = 10**9
US = 10**3
"""By so much the reset of all accounts is after what was done in the same instant."""
HOUR = 3_600
DAY = 86_400


class Clock:
    """Stands still until it is moved. It starts at noon of a Thursday, UTC."""

    def __init__(self) -> None:
        self.ns = int(datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()) * NS

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        """Or set it back."""
        self.ns += round(seconds * NS)


class Team:
    """An application of a ledger, and its calls."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.name = f"app-{uuid.uuid4().hex}"

    def limit(self, name: str, most: Any, /, *, limit_id: str | None = None, **terms: Any) -> str:
        """Define one; its id."""
        limit_id = limit_id or f"{name}-{self.name}"
        return self.ledger.define(
            Definition(limit_id=limit_id, application=self.name, limit=Limit(name, most, **terms))
        ).limit_id

    def ask(self, *limits: str | Account, usd: float = 1, tokens: int = 10, event: bytes | None = None) -> Reserve:
        """The step that asks for a call held at so much."""
        hold = Amount(round(usd * USD), tokens)
        return Reserve(event or call(), self.name, self.version, accounts(limits), hold)

    def told(self, event: bytes, *limits: str | Account, usd: float = 1, tokens: int = 10, **more: Any) -> Settle:
        """The step that settles a call of such a cost, a quarter of it input."""
        ticks = round(usd * USD)
        at = more.pop("at_ns", None) or self.ledger.now_ns()
        return Settle(event, self.name, accounts(limits), ticks // 4, ticks - ticks // 4, tokens, at, **more)

    def reserve(self, *limits: str | Account, **more: Any) -> Answer:
        """Ask for a call."""
        return self.do(self.ask(*limits, **more))

    def settle(self, event: bytes, *limits: str | Account, **more: Any) -> Settled:
        """Settle a call."""
        answer = self.do(self.told(event, *limits, **more))
        assert isinstance(answer, Settled)
        return answer

    def begin(self, *limits: str | Account, **more: Any) -> bytes:
        """A call that is admitted."""
        step = self.ask(*limits, **more)
        assert isinstance(self.do(step), Admitted)
        return step.event_id

    def spend(self, *limits: str | Account, usd: float = 1, **more: Any) -> Settled:
        """A call from begin to end."""
        return self.settle(self.begin(*limits, usd=usd), *limits, usd=usd, **more)

    def do(self, step: Any) -> Answer:
        """One step by itself."""
        (answer,) = self.ledger.run([step])
        return answer

    @property
    def version(self) -> int:
        """Of the definitions."""
        return self.ledger.definitions(self.name).version

    def totals(self, limit_id: str, key: str | None = None) -> Totals:
        """Of a limit with one account, or of one account."""
        (totals,) = self.ledger.totals(self.name, limit_id, key)
        return totals

    def stands(self, limit_id: str, key: str | None = None) -> tuple[float, float]:
        """What is spent and what is held, USD."""
        totals = self.totals(limit_id, key)
        return totals.spent / USD, totals.held / USD

    def history(self, limit_id: str) -> list[Past]:
        """The rows that are over."""
        return self.ledger.history(self.name, limit_id)

    def held(self) -> list[Held]:
        """Its calls that are held."""
        return [one for one in self.ledger.held() if one.application == self.name]

    def alerts(self, lease_seconds: float = 0) -> list[Alert]:
        """What waits to be told, of this application."""
        return [one for one in self.ledger.outbox_take(lease_seconds) if one.application == self.name]


def kept(ledger: Any) -> str:
    """All that a ledger keeps, as text."""
    if isinstance(ledger, SqlKept):
        named = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if not isinstance(ledger, SqliteLedger):
            named = "SELECT tablename FROM pg_tables WHERE schemaname = 'payi_ledger'"
        with ledger._transaction():
            return repr([ledger._ask(f"SELECT * FROM {name}", ()) for (name,) in ledger._ask(named, ())])
    if isinstance(ledger, MemoryLedger):
        book = ledger._kept
        return repr([vars(ledger), book.changed, book.by_account, book.records, book._rows])
    address = ledger._client.address
    with redis.Redis.from_url(address.url) as client:
        names = [name for name in client.scan_iter() if name.startswith(address.key.encode())]
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda name: client.zrange(name, 0, -1),
            b"list": lambda name: client.lrange(name, 0, -1),
        }
        return repr([(name, read[client.type(name)](name)) for name in names])


def call() -> bytes:
    """An id of an event."""
    return os.urandom(16)


def accounts(limits: tuple[str | Account, ...]) -> tuple[Account, ...]:
    """Of limits that have one account, or as they are."""
    return tuple(one if isinstance(one, Account) else Account(one) for one in limits)


def admitted(answer: Answer) -> tuple[Standing, ...]:
    """How the accounts of an admitted call stand."""
    assert isinstance(answer, Admitted), answer
    return answer.standings


def blocked(answer: Answer) -> dict[str, str]:
    """The states of a refused call, by the name of the limit."""
    assert isinstance(answer, Blocked), answer
    return {standing.name: standing.state for standing in answer.standings}


def name(case: Callable[..., None]) -> str:
    """For `pytest.mark.parametrize`."""
    return case.__name__


# ---- admission


def a_call_is_held_and_then_counted(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10)
    (standing,) = admitted(team.do(step := team.ask(limit, usd=2)))
    assert standing == Standing(limit, "L", "", "block", "usd", "ok", 10 * USD, 0, 2 * USD, None, None)
    assert standing.left == 8 * USD
    assert team.settle(step.event_id, limit, usd=1.5) == Settled({limit: "ok"}, fresh=True)
    totals = team.totals(limit)
    assert (totals.spent, totals.held, totals.key) == (15 * USD // 10, 0, "")
    assert (totals.input_ticks, totals.output_ticks) == (15 * USD // 40, 45 * USD // 40)
    assert totals.requests == {"ok": 1, "exceeded": 0, "overrun": 0, "blocked": 0, "blocked_external": 0, "failed": 0}
    assert (totals.starts_ns, totals.ends_ns) == (None, None)


def the_call_that_crosses_completes_and_the_next_is_refused(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    for _ in range(4):
        team.spend(limit, usd=1.2)
    assert team.spend(limit, usd=1.2).states == {limit: "overrun"}
    answer = team.reserve(limit)
    assert blocked(answer) == {"L": "blocked"}
    assert isinstance(answer, Blocked)
    assert (answer.standings[0].spent, answer.standings[0].held) == (6 * USD, 0)
    assert team.totals(limit).requests == {
        "ok": 4,
        "exceeded": 0,
        "overrun": 1,
        "blocked": 1,
        "blocked_external": 0,
        "failed": 0,
    }


def what_is_held_counts(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    answers = ledger.run([team.ask(limit, usd=1) for _ in range(20)])
    assert [isinstance(answer, Admitted) for answer in answers] == [True] * 5 + [False] * 15
    assert team.stands(limit) == (0, 5)


def room_that_a_call_did_not_use_is_there_for_the_next(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1)
    first = team.begin(limit, usd=1)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    team.settle(first, limit, usd=0.3)
    assert admitted(team.reserve(limit))


def strict_admits_only_what_fits(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, strict=True)
    team.begin(limit, usd=3)
    assert blocked(team.reserve(limit, usd=2.1)) == {"L": "blocked"}
    team.begin(limit, usd=2)  # just fits
    assert blocked(team.reserve(limit, usd=0.0000000001)) == {"L": "blocked"}


def an_allow_limit_refuses_nothing(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, type="allow", threshold=0.75)
    assert [team.spend(limit, usd=0.5).states[limit] for _ in range(4)] == ["ok", "exceeded", "overrun", "overrun"]


def all_accounts_or_none(ledger: Ledger) -> None:
    team = Team(ledger)
    full, roomy, soft = team.limit("full", 1), team.limit("roomy", 10), team.limit("soft", 10, type="allow")
    team.spend(full, usd=1)
    answer = team.reserve(roomy, full, soft)
    assert blocked(answer) == {"roomy": "blocked_external", "full": "blocked", "soft": "blocked_external"}
    assert team.stands(roomy) == (0, 0)
    assert team.totals(roomy).requests["blocked_external"] == 1
    assert team.totals(full).requests["blocked"] == 1
    assert team.held() == []


def states_follow_the_threshold_as_it_is_written(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, threshold=0.8)
    states = [team.spend(limit, usd=usd).states[limit] for usd in (0.7999999999, 0.0000000001, 0.2)]
    assert states == ["ok", "exceeded", "exceeded"]  # at the very maximum it is not over
    assert blocked(team.reserve(limit)) == {"L": "blocked"}


def calls_and_tokens_are_counted_too(ledger: Ledger) -> None:
    team = Team(ledger)
    calls, tokens = team.limit("calls", 3, unit="calls"), team.limit("tokens", 100, unit="tokens")
    team.settle(team.begin(calls, tokens, tokens=50), calls, tokens, tokens=30)
    team.begin(calls, tokens, tokens=60)
    assert (team.totals(calls).spent, team.totals(calls).held) == (1, 1)
    assert (team.totals(tokens).spent, team.totals(tokens).held) == (30, 60)
    team.begin(calls, tokens, tokens=60)
    assert blocked(team.reserve(calls, tokens)) == {"calls": "blocked", "tokens": "blocked"}
    assert team.totals(calls).input_ticks == USD // 4  # money is told whatever is counted


def each_key_has_an_account_of_its_own(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=1)
    assert blocked(team.reserve(jane)) == {"L": "blocked"}
    assert admitted(team.reserve(bob, usd=0.25))[0].key == '["bob"]'
    assert team.stands(limit, '["jane"]') == (1, 0)
    assert team.stands(limit, '["bob"]') == (0, 0.25)
    assert team.stands(limit, '["eve"]') == (0, 0)
    assert {totals.key for totals in ledger.totals(team.name, limit)} == {'["jane"]', '["bob"]'}


def several_accounts_of_one_limit_are_each_charged(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, per="request_tag", threshold=0.75)
    red, blue = Account(limit, '["red"]'), Account(limit, '["blue"]')
    team.spend(red, usd=1)
    assert team.spend(red, blue, red, usd=0.5).states == {
        limit: "exceeded"
    }  # the worse of the two; none is charged twice
    assert team.stands(limit, '["red"]') == (1.5, 0)
    assert team.stands(limit, '["blue"]') == (0.5, 0)


def amounts_are_exact_to_the_last_tick_of_the_largest_limit(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 100_000_000, strict=True)
    most = 10**18
    team.settle(call(), limit, usd=0, tokens=0)
    event = call()
    team.do(Settle(event, team.name, (Account(limit),), most - 7, 0, 0, ledger.now_ns()))
    assert team.totals(limit).spent == most - 7
    too_much = Reserve(call(), team.name, team.version, (Account(limit),), Amount(8, 0))
    fits = Reserve(call(), team.name, team.version, (Account(limit),), Amount(7, 0))
    assert isinstance(team.do(too_much), Blocked)
    assert admitted(team.do(fits))[0].left == 0
    team.do(Settle(fits.event_id, team.name, (Account(limit),), 3, 4, 0, ledger.now_ns()))
    assert (team.totals(limit).spent, team.totals(limit).held) == (most, 0)


def what_overruns_all_bounds_stays_full(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1)
    for _ in range(11):
        team.do(Settle(call(), team.name, (Account(limit),), 10**18, 10**18 // 4, 0, ledger.now_ns()))
    assert team.totals(limit).spent >= 9 * 10**18
    assert blocked(team.reserve(limit)) == {"L": "blocked"}


# ---- the same again


def an_event_is_reserved_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit, usd=2)
    assert admitted(team.reserve(limit, usd=3, event=event))[0].held == 2 * USD
    team.settle(event, limit, usd=1)
    assert admitted(team.reserve(limit, usd=3, event=event))
    assert team.stands(limit) == (1, 0)


def a_refused_event_stays_refused_and_is_counted_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1)
    other = team.begin(limit, usd=1)
    event = call()
    assert blocked(team.reserve(limit, event=event)) == {"L": "blocked"}
    team.do(Release(other))
    assert blocked(team.reserve(limit, event=event)) == {"L": "blocked"}
    assert team.totals(limit).requests["blocked"] == 1
    # Its event is recorded like any other; it cost nothing, and is no call that ended.
    assert team.settle(event, limit, usd=0) == Settled({limit: "blocked"}, fresh=False)
    assert team.totals(limit).requests["ok"] == 0


def a_refused_event_that_went_out_all_the_same_is_counted(ledger: Ledger) -> None:
    """Whoever asked did not wait for the refusal, and its limit lets calls through meanwhile."""
    team = Team(ledger)
    limit = team.limit("L", 1)
    team.spend(limit, usd=1)
    event = call()
    assert blocked(team.reserve(limit, event=event)) == {"L": "blocked"}
    team.do(Release(event))
    assert team.settle(event, limit, usd=2).states == {limit: "overrun"}
    assert team.settle(event, limit, usd=2).fresh is False
    assert team.stands(limit) == (3, 0)


def an_event_is_settled_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, threshold=0.75)
    event = team.begin(limit)
    assert team.settle(event, limit, usd=4) == Settled({limit: "exceeded"}, fresh=True)
    team.spend(limit, usd=2)
    assert team.settle(event, limit, usd=4) == Settled({limit: "exceeded"}, fresh=False)
    assert team.stands(limit) == (6, 0)
    assert team.totals(limit).requests["exceeded"] == 1


def an_event_without_a_hold_is_settled_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = call()
    assert team.settle(event, limit, usd=4) == Settled({limit: "ok"}, fresh=True)
    assert team.settle(event, limit, usd=4) == Settled({limit: "ok"}, fresh=False)
    assert team.stands(limit) == (4, 0)


def a_correction_adds_money_and_no_call(ledger: Ledger) -> None:
    team = Team(ledger)
    limit, calls = team.limit("L", 5), team.limit("C", 5, unit="calls")
    team.settle(call(), limit, calls, usd=4)
    correction = call()
    for fresh in (True, False):
        assert team.settle(correction, limit, calls, usd=-1.5, tokens=-4, counts=False).fresh is fresh
    assert team.stands(limit) == (2.5, 0)
    assert team.totals(limit).requests["ok"] == sum(team.totals(limit).requests.values()) == 1
    assert team.totals(calls).spent == team.totals(calls).requests["ok"] == 1
    assert ledger.reset(team.name, limit)
    team.settle(call(), limit, usd=-1, counts=False)  # of what was counted before
    assert team.stands(limit) == (0, 0)


def a_release_counts_nothing(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit)
    assert ledger.run([Release(event), Release(event), Release(call())]) == [None, None, None]
    assert team.stands(limit) == (0, 0)
    assert sum(team.totals(limit).requests.values()) == 0
    team.begin(limit, event=event)  # it never went out, so it may be asked for again
    assert team.stands(limit) == (0, 1)


def a_release_after_a_settle_changes_nothing(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit)
    team.settle(event, limit)
    team.do(Release(event))
    assert team.stands(limit) == (1, 0)
    assert team.settle(event, limit).fresh is False


def steps_of_one_run_see_each_other(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1)
    first, second, third = (team.ask(limit, usd=1) for _ in range(3))
    steps = [first, second, team.told(first.event_id, limit, usd=0.5), third, first, Release(third.event_id)]
    answers = ledger.run(steps)
    assert [type(answer) for answer in answers] == [Admitted, Blocked, Settled, Admitted, Admitted, type(None)]
    assert team.stands(limit) == (0.5, 0)


def no_steps_are_no_answers(ledger: Ledger) -> None:
    assert ledger.run([]) == []


# ---- holds


def a_hold_grows_and_never_shrinks(ledger: Ledger) -> None:
    team = Team(ledger)
    limit, tokens = team.limit("L", 5), team.limit("T", 100, unit="tokens")
    event = team.begin(limit, tokens, usd=2, tokens=10)
    assert team.do(Extend(event, Amount(3 * USD, 5))) is None
    assert team.stands(limit) == (0, 3)
    assert team.totals(tokens).held == 10
    team.do(Extend(event, Amount(1, 20)))
    assert (team.totals(limit).held, team.totals(tokens).held) == (3 * USD, 20)
    team.settle(event, limit, tokens, usd=3.5)
    assert team.stands(limit) == (3.5, 0)
    assert team.totals(tokens).held == 0
    team.do(Extend(event, Amount(9 * USD, 99)))
    team.do(Extend(call(), Amount(9 * USD, 99)))
    assert team.stands(limit) == (3.5, 0)


def what_is_held_can_be_listed(ledger: Ledger) -> None:
    team = Team(ledger)
    limit, per = team.limit("L", 5), team.limit("P", 5, per="user")
    event = team.begin(limit, Account(per, '["jane"]'), usd=2, tokens=7)
    (held,) = team.held()
    assert held[:4] == (event, team.name, (Account(limit), Account(per, '["jane"]')), Amount(2 * USD, 7))
    assert 0 < held.lease_ns - ledger.now_ns() <= ledger.lease_seconds * NS
    team.do(Release(event))
    assert team.held() == []


def a_call_of_unknown_cost_is_charged_its_hold_where_it_is_strict(ledger: Ledger) -> None:
    team = Team(ledger)
    strict, loose = team.limit("S", 5, strict=True), team.limit("L", 5)
    event = team.begin(strict, loose, usd=2)
    team.settle(event, strict, loose, usd=0, known=False)
    assert team.stands(strict) == (2, 0)
    assert team.stands(loose) == (0, 0)
    team.settle(call(), strict, loose, usd=0.5, known=False)  # nothing was held
    assert team.stands(strict) == (2.5, 0)


def a_failed_call_is_counted_as_such(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit)
    assert team.settle(event, limit, usd=0, tokens=0, failed=True).states == {limit: "ok"}
    assert team.totals(limit).requests["failed"] == 1
    assert team.totals(limit).requests["ok"] == 0


# ---- definitions


def definitions_have_a_version_that_each_change_changes(ledger: Ledger) -> None:
    team = Team(ledger)
    assert ledger.definitions(team.name).limits == ()
    seen = [team.version]
    limit = team.limit("L", 5)
    seen.append(team.version)
    team.limit("M", 5)
    seen.append(team.version)
    team.limit("L", 6, limit_id=limit)
    seen.append(team.version)
    assert ledger.remove(team.name, limit)
    seen.append(team.version)
    assert len(set(seen)) == 5
    assert not ledger.remove(team.name, limit)
    assert team.version == seen[-1]
    assert [one.limit.name for one in ledger.definitions(team.name).limits] == ["M"]
    assert team.name in ledger.applications()


def the_same_definition_again_changes_nothing(ledger: Ledger) -> None:
    team = Team(ledger)
    team.limit("L", 5)
    before = ledger.definitions(team.name)
    assert before.limits[0].created_ns == before.limits[0].updated_ns > 0
    again = ledger.define(Definition(limit_id=before.limits[0].limit_id, application=team.name, limit=Limit("L", 5)))
    assert again == before.limits[0]
    assert ledger.definitions(team.name) == before


def everything_of_a_definition_is_kept(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = Limit(
        "Jörg's limit",
        "12.5",
        type="allow",
        threshold=0.8,
        window="month",
        timezone="Europe/Berlin",
        per=("user", "model"),
        match={"properties.plan": "pro"},
        tags=["premium"],
        strict=True,
        on_error="open",
        unknown_price="block",
        alerts=(0.5, 1, "forecast"),
        managed=False,
    )
    given = Definition(
        limit_id="odd id/ü",
        application=team.name,
        limit=limit,
        source="code",
        code=Limit("Jörg's limit", 12),
        properties={"system.a": "b"},
        only=frozenset(('["one"]', '["two"]')),
    )
    kept = ledger.define(given)
    assert kept.limit == limit
    assert (kept.limit_id, kept.source, kept.properties) == ("odd id/ü", "code", {"system.a": "b"})
    assert (kept.code, kept.only) == (given.code, given.only)
    assert ledger.definitions(team.name).limits == (kept,)


def a_limit_from_elsewhere_keeps_its_age(ledger: Ledger) -> None:
    team = Team(ledger)
    old = Definition(limit_id="old", application=team.name, limit=Limit("L", 5), created_ns=7 * NS)
    assert ledger.define(old).created_ns == 7 * NS
    assert ledger.definitions(team.name).limits[0].created_ns == 7 * NS


def names_are_unique_within_an_application(ledger: Ledger) -> None:
    team, other = Team(ledger), Team(ledger)
    team.limit("L", 5, limit_id="one")
    with pytest.raises(LimitError, match="'L'"):
        team.limit("L", 5, limit_id="two")
    other.limit("L", 5, limit_id="one")  # the id is another application's too
    other.spend("one", usd=2)
    assert team.stands("one") == (0, 0)
    ledger.remove(team.name, "one")
    team.limit("L", 5, limit_id="two")
    assert other.stands("one") == (2, 0)


def a_name_is_no_other_limit_s_id(ledger: Ledger) -> None:
    """Calls name limits by either."""
    team = Team(ledger)
    definition = Definition(limit_id="a-1", application=team.name, limit=Limit("A", 1))
    ledger.define(definition)
    for limit_id, name in (("b", "a-1"), ("A", "b")):
        with pytest.raises(LimitError, match="name limits by name or id"):
            ledger.define(Definition(limit_id=limit_id, application=team.name, limit=Limit(name, 1)))
    ledger.define(Definition(limit_id="own", application=team.name, limit=Limit("own", 1)))


def accounts_found_by_older_definitions_are_stale(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    step = team.ask(limit)
    team.limit("L", 6, limit_id=limit)
    assert team.do(step) == Stale(team.version)
    assert team.stands(limit) == (0, 0)
    assert admitted(team.do(step._replace(version=team.version)))


def raising_and_lowering_hold_at_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2)
    event = team.begin(limit, usd=2)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    team.limit("L", 3, limit_id=limit)
    second = team.begin(limit, usd=1)
    team.limit("L", 1, limit_id=limit)
    team.do(Release(second))
    assert blocked(team.reserve(limit)) == {"L": "blocked"}  # what is held stays held
    assert team.settle(event, limit, usd=0.5).states == {limit: "ok"}
    assert admitted(team.reserve(limit))[0].most == USD


def calls_of_a_deleted_limit_are_settled_to_nothing(ledger: Ledger) -> None:
    team = Team(ledger)
    gone, stays = team.limit("gone", 5), team.limit("stays", 5)
    team.spend(gone, stays)
    event = team.begin(gone, stays)
    ledger.remove(team.name, gone)
    assert team.settle(event, gone, stays, usd=2).states == {stays: "ok"}
    assert team.settle(call(), gone, usd=2).states == {}
    assert ledger.totals(team.name, gone) == []
    (past,) = team.history(gone)
    assert (past.totals.spent, past.totals.held, past.reset) == (USD, 0, False)
    team.limit("gone", 5, limit_id=gone)  # made again, it begins anew
    assert team.stands(gone) == (0, 0)
    assert len(team.history(gone)) == 1


def a_change_of_unit_begins_anew(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    team.spend(limit, usd=2)
    event = team.begin(limit, usd=1, tokens=3)
    team.limit("L", 100, limit_id=limit, unit="tokens")
    assert (team.totals(limit).spent, team.totals(limit).held) == (0, 0)
    team.settle(event, limit, tokens=50)
    assert team.totals(limit).held == 0
    assert [past.totals.spent for past in team.history(limit)] == [2 * USD]


# ---- reset, mending, forgetting


def a_change_of_per_begins_anew(ledger: Ledger) -> None:
    """What a user spent is no account's of the same name; what runs is settled to nothing."""
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    acme = Account(limit, '["acme"]')
    team.spend(acme, usd=5)
    running = team.ask(acme)
    assert blocked(team.do(running)) == {"L": "blocked"}
    team.limit("L", 5, limit_id=limit, per="account")
    assert ledger.totals(team.name, limit) == []
    assert [(past.totals.key, past.totals.spent) for past in team.history(limit)] == [(acme.key, 5 * USD)]
    team.spend(acme, usd=1)
    assert team.stands(limit, acme.key) == (1, 0)
    team.limit("L", 5, limit_id=limit, per=("account", "user"))
    assert ledger.totals(team.name, limit) == []


def a_reset_begins_anew_and_what_is_held_stays(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2)
    team.spend(limit, usd=1.5)
    event = team.begin(limit, usd=0.5)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    (past,) = ledger.reset(team.name, limit)
    assert (past.totals.spent, past.totals.held, past.most, past.reset) == (15 * USD // 10, USD // 2, 2 * USD, True)
    assert past.totals.requests["ok"] == 1
    assert past.totals.requests["blocked"] == 1
    assert 0 <= ledger.now_ns() - past.closed_ns < 60 * NS
    assert team.stands(limit) == (0, 0.5)
    assert sum(team.totals(limit).requests.values()) == 0
    team.settle(event, limit, usd=0.25)
    assert team.stands(limit) == (0.25, 0)
    assert team.history(limit) == [past]


def a_reset_of_one_account_leaves_the_others(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane)
    team.spend(bob)
    assert [past.totals.key for past in ledger.reset(team.name, limit, '["jane"]')] == ['["jane"]']
    assert team.stands(limit, '["jane"]') == (0, 0)
    assert team.stands(limit, '["bob"]') == (1, 0)
    team.spend(jane)
    assert {past.totals.key for past in ledger.reset(team.name, limit)} == {'["jane"]', '["bob"]'}
    assert len(team.history(limit)) == 3


def a_limit_that_was_never_used_can_be_reset(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2)
    (past,) = ledger.reset(team.name, limit)
    assert (past.totals.spent, past.totals.key) == (0, "")
    assert ledger.reset(team.name, "none") == []
    assert ledger.totals(team.name, "none") == []
    assert ledger.history(team.name, "none") == []


def a_row_can_be_corrected(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    team.spend(limit, usd=1)
    team.begin(limit, usd=0.5)
    right = team.totals(limit)._replace(spent=3 * USD, input_ticks=USD, output_ticks=2 * USD, held=77)
    right = right._replace(requests={**right.requests, "ok": 4})
    ledger.set_spent(team.name, Account(limit), None, right)
    assert team.totals(limit) == right._replace(held=USD // 2)  # what is held is known by the calls that are
    ledger.set_spent(team.name, Account("none"), None, right)


def an_account_can_be_forgotten(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane)
    team.spend(bob)
    ledger.reset(team.name, limit)
    team.spend(jane)
    running = team.begin(jane)
    assert ledger.forget(team.name, jane) == 2
    assert team.settle(running, jane).states == {}
    assert [totals.key for totals in ledger.totals(team.name, limit)] == ['["bob"]']
    assert [past.totals.key for past in team.history(limit)] == ['["bob"]']
    assert ledger.forget(team.name, jane) == 0


def nothing_is_kept_of_who_is_forgotten(ledger: Ledger) -> None:
    team = Team(ledger)
    plain = team.limit("L", 5, per="user", alerts=(0.1,))
    rolling = team.limit("M", 5, per="user", window="1h", alerts=(0.1,))
    name = uuid.uuid4().hex
    of = {who: (Account(plain, f'["{who}"]'), Account(rolling, f'["{who}"]')) for who in (name, "bob")}
    for them in of.values():
        team.spend(*them)
        team.spend(Account(rolling, them[0].key), Account(plain, them[0].key))
    ledger.reset(team.name, plain)
    calls = [team.begin(*them) for them in of.values()]
    assert name in kept(ledger)
    assert len(team.alerts(60)) == 4
    for account in of[name]:
        ledger.forget(team.name, account)
    assert name not in kept(ledger)
    assert sorted(one.accounts for one in team.held()) == [(), of["bob"]]
    for event, them in zip(calls, of.values(), strict=True):
        team.settle(event, *them)
    assert name not in kept(ledger)
    assert [team.stands(one.limit_id, one.key) for one in of["bob"]] == [(1, 0), (3, 0)]


def alerts_of_who_is_forgotten_or_of_an_erased_limit_are_told_to_nobody(ledger: Ledger) -> None:
    team = Team(ledger)
    limits = [team.limit(name, 5, per="user", alerts=(0.1,)) for name in ("L", "M")]
    for limit in limits:
        team.settle(call(), Account(limit, '["jane"]'), Account(limit, '["bob"]'))
    ledger.forget(team.name, Account(limits[0], '["jane"]'))
    assert sorted((one.name, one.key) for one in team.alerts()) == [
        ("L", '["bob"]'),
        ("M", '["bob"]'),
        ("M", '["jane"]'),
    ]
    ledger.erase(team.name, limits[1])
    assert [(one.name, one.key) for one in team.alerts()] == [("L", '["bob"]')]


# ---- alerts


def accounts_are_named_after_their_limit_is_gone(ledger: Ledger) -> None:
    team = Team(ledger)
    limit, other = team.limit("L", 5, per="user"), team.limit("M", 5)
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.settle(call(), jane, bob, other)
    ledger.reset(team.name, limit, bob.key)
    ledger.remove(team.name, limit)
    assert sorted(ledger.accounts(team.name)) == sorted([bob, jane, Account(other)])
    assert team.name in ledger.applications()
    assert ledger.forget(team.name, jane)
    assert sorted(ledger.accounts(team.name)) == sorted([bob, Account(other)])
    assert ledger.accounts("nobody") == []


def an_alert_is_told_once(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10, alerts=(0.5, 0.8, 1))
    assert team.spend(limit, usd=4.9).crossed == ()
    event = team.begin(limit)
    settled = team.settle(event, limit, usd=3.5)
    assert settled.crossed == tuple(Crossed(limit, "", share, 84 * USD // 10, None) for share in (0.5, 0.8))
    assert team.settle(event, limit, usd=3.5).crossed == ()
    assert team.spend(limit, usd=1).crossed == ()
    assert [crossed.share for crossed in team.spend(limit, usd=2).crossed] == [1]
    assert team.settle(call(), limit, usd=50).crossed == ()
    ledger.reset(team.name, limit)
    assert [crossed.share for crossed in team.spend(limit, usd=5).crossed] == [0.5]


def each_account_is_told_by_itself(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, per="user", alerts=(1,))
    for key in ('["jane"]', '["bob"]'):
        assert [crossed.key for crossed in team.spend(Account(limit, key)).crossed] == [key]


def alerts_wait_in_the_outbox_until_they_are_told(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10, alerts=(0.5, 0.8))
    team.spend(limit, usd=9)
    alerts = team.alerts()
    assert [alert.share for alert in alerts] == [0.5, 0.8]
    assert len({alert.alert_id for alert in alerts}) == 2
    assert alerts[0][1:] == (
        team.name,
        limit,
        "L",
        "",
        0.5,
        "usd",
        9 * USD,
        10 * USD,
        None,
        None,
        alerts[0].at_ns,
        NEW,
    )
    assert 0 <= ledger.now_ns() - alerts[0].at_ns < 60 * NS
    assert team.alerts(60) == alerts  # nobody told them in the time they were his to tell
    assert team.alerts(60) == []
    ledger.outbox_done([alerts[0].alert_id, alerts[0].alert_id])
    ledger.outbox_done([alert.alert_id for alert in alerts])
    assert team.alerts() == []


def an_alert_that_is_told_waits_to_be_sent_on(ledger: Ledger) -> None:
    team = Team(ledger)
    team.spend(team.limit("L", 10, alerts=(0.5,)), usd=9)
    (alert,) = team.alerts()
    ledger.outbox_told([alert.alert_id])
    assert team.alerts() == [alert._replace(stage=TOLD)]
    assert ledger.outbox_take(0, team.name, stages=(NEW, LOGGED)) == []
    ledger.outbox_told([alert.alert_id], LOGGED, 60)
    assert ledger.outbox_take(0, team.name) == []  # it is somebody's
    ledger.outbox_told([alert.alert_id], LOGGED)
    assert ledger.outbox_take(0, team.name, stages=(NEW, LOGGED)) == [alert._replace(stage=LOGGED)]
    ledger.outbox_done([alert.alert_id])
    ledger.outbox_told([alert.alert_id])  # another was quicker
    assert team.alerts() == []


def alerts_are_taken_by_application_and_age(ledger: Ledger) -> None:
    mine, yours = Team(ledger), Team(ledger)
    for team in (mine, yours):
        team.spend(team.limit("L", 10, alerts=(0.5,)), usd=9)
    (alert,) = ledger.outbox_take(60, mine.name)
    assert alert.application == mine.name
    assert ledger.outbox_take(60, yours.name, alert.at_ns - 60 * NS) == []
    (other,) = ledger.outbox_take(0, yours.name, ledger.now_ns())
    ledger.outbox_done([alert.alert_id, other.alert_id])


def alerts_of_others_are_in_nobody_s_way(ledger: Ledger) -> None:
    """However many there are that nobody tells."""
    other, team = Team(ledger), Team(ledger)
    limit = other.limit("L", 10, per="user", alerts=(0.5,))
    for first in range(0, 1_010, 101):
        users = [Account(limit, f'["{n}"]') for n in range(first, first + 101)]
        ledger.run([other.told(call(), user, usd=9) for user in users])
    team.spend(team.limit("L", 10, alerts=(0.5, 0.8)), usd=9)

    assert [alert.share for alert in ledger.outbox_take(60, team.name, most=1)] == [0.5]
    mine = ledger.outbox_take(60, team.name)
    assert [alert.share for alert in mine] == [0.8]
    theirs = ledger.outbox_take(60, other.name, most=2_000)
    assert len({alert.alert_id for alert in theirs}) == 1_010
    ledger.outbox_done([alert.alert_id for alert in mine + theirs])


def all_accounts_are_reset_in_one_instant(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    jane, bob, eve = (Account(limit, f'["{user}"]') for user in ("jane", "bob", "eve"))
    team.spend(jane, usd=5)
    team.spend(bob, usd=2)
    event = team.begin(bob, usd=0.5)
    waiting = team.begin(eve)
    past = {one.totals.key: one for one in ledger.reset(team.name, limit)}
    assert {key: (one.totals.spent, one.totals.held) for key, one in past.items()} == {
        jane.key: (5 * USD, 0),
        bob.key: (2 * USD, USD // 2),  # of eve's nothing was counted
    }
    (closed,) = {one.closed_ns for one in past.values()}
    assert [(one.closed_ns, one.reset, one.most) for one in team.history(limit)] == [(closed, True, 5 * USD)] * 2
    assert [team.stands(limit, one.key) for one in (jane, bob, eve)] == [(0, 0), (0, 0.5), (0, 1)]
    team.settle(event, bob, usd=0.25)  # counts anew
    team.do(Release(waiting))
    assert admitted(team.reserve(jane))[0].spent == 0
    assert [team.stands(limit, one.key) for one in (jane, bob, eve)] == [(0, 1), (0.25, 0), (0, 0)]
    told = {one.totals.key: one for one in team.history(limit)}
    assert told == past  # as it stood in that instant, whoever was looked at since
    (again,) = ledger.reset(team.name, limit)
    assert (again.totals.key, again.totals.spent) == (bob.key, USD // 4)
    assert again.closed_ns > closed
    assert sorted(one.totals.spent for one in team.history(limit)) == [USD // 4, 2 * USD, 5 * USD]
    assert ledger.reset(team.name, limit) == []
    assert ledger.reset(team.name, "unknown") == []


def an_alert_is_told_again_after_all_were_reset(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, per="user", alerts=(0.5,))
    jane = Account(limit, '["jane"]')
    assert team.spend(jane).crossed != ()
    ledger.reset(team.name, limit)
    assert team.spend(jane, usd=0.5).crossed == ()
    assert [crossed.spent for crossed in team.spend(jane, usd=0.5).crossed] == [USD]


def a_limit_that_is_deleted_keeps_what_was_reset(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=1)
    event = team.begin(bob, usd=3)
    ledger.reset(team.name, limit)
    team.spend(jane, usd=2)
    ledger.remove(team.name, limit)
    team.settle(event, bob, usd=3)  # to nothing
    found = sorted((one.totals.key, one.totals.spent, one.reset) for one in team.history(limit) if one.totals.spent)
    assert found == [(jane.key, USD, True), (jane.key, 2 * USD, False)]


def deleted_limits_are_listed_with_their_history(ledger: Ledger) -> None:
    team = Team(ledger)
    first, second = team.limit("first", 5, per="user"), team.limit("second", 7)
    team.spend(Account(first, '["jane"]'), usd=2)
    team.spend(second, usd=3)
    assert ledger.deleted(team.name) == []
    ledger.remove(team.name, first)
    ledger.remove(team.name, second)
    found = ledger.deleted(team.name)
    assert [(one.definition.limit_id, one.definition.limit.name) for one in found] == [
        (second, "second"),
        (first, "first"),
    ]
    assert found[0].at_ns >= found[1].at_ns > 0
    assert [past.totals.spent for past in team.history(found[1].definition.limit_id)] == [2 * USD]
    team.limit("first again", 6, limit_id=first)
    assert [one.definition.limit_id for one in ledger.deleted(team.name)] == [second]
    ledger.remove(team.name, first)
    assert [one.definition.limit.name for one in ledger.deleted(team.name)] == ["first again", "second"]


def a_limit_can_be_erased(ledger: Ledger) -> None:
    team = Team(ledger)
    first, second = team.limit("jane's", 5, match={"user_id": "jane"}), team.limit("Jane too", 7, tags=("jane",))
    team.spend(first, usd=2)
    team.spend(second, usd=3)
    ledger.remove(team.name, second)
    ledger.erase(team.name, first)
    ledger.erase(team.name, second)
    assert ledger.definitions(team.name).limits == ()
    found = [one.definition for one in ledger.deleted(team.name)]
    assert "jane" not in repr(found).lower().replace(team.name, "")
    spent = [past.totals.spent for one in found for past in team.history(one.limit_id)]
    assert sorted(spent) == [2 * USD, 3 * USD]
    assert team.history(first) == []


def an_account_that_was_reset_with_all_can_be_forgotten_and_corrected(ledger: Ledger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=1)
    team.spend(bob, usd=2)
    ledger.reset(team.name, limit)
    ledger.set_spent(team.name, bob, None, team.totals(limit, bob.key)._replace(spent=4 * USD))
    assert team.stands(limit, bob.key) == (4, 0)
    assert ledger.forget(team.name, jane) >= 1
    assert [(one.totals.key, one.totals.spent) for one in team.history(limit)] == [(bob.key, 2 * USD)]
    (past,) = ledger.reset(team.name, limit, bob.key)
    assert past.totals.spent == 4 * USD
    assert len(team.history(limit)) == 2


CASES: list[Callable[[Ledger], None]] = [
    a_call_is_held_and_then_counted,
    the_call_that_crosses_completes_and_the_next_is_refused,
    what_is_held_counts,
    room_that_a_call_did_not_use_is_there_for_the_next,
    strict_admits_only_what_fits,
    an_allow_limit_refuses_nothing,
    all_accounts_or_none,
    states_follow_the_threshold_as_it_is_written,
    calls_and_tokens_are_counted_too,
    each_key_has_an_account_of_its_own,
    several_accounts_of_one_limit_are_each_charged,
    amounts_are_exact_to_the_last_tick_of_the_largest_limit,
    what_overruns_all_bounds_stays_full,
    an_event_is_reserved_once,
    a_refused_event_stays_refused_and_is_counted_once,
    a_refused_event_that_went_out_all_the_same_is_counted,
    an_event_is_settled_once,
    an_event_without_a_hold_is_settled_once,
    a_correction_adds_money_and_no_call,
    a_release_counts_nothing,
    a_release_after_a_settle_changes_nothing,
    steps_of_one_run_see_each_other,
    no_steps_are_no_answers,
    a_hold_grows_and_never_shrinks,
    what_is_held_can_be_listed,
    a_call_of_unknown_cost_is_charged_its_hold_where_it_is_strict,
    a_failed_call_is_counted_as_such,
    definitions_have_a_version_that_each_change_changes,
    the_same_definition_again_changes_nothing,
    everything_of_a_definition_is_kept,
    a_limit_from_elsewhere_keeps_its_age,
    names_are_unique_within_an_application,
    a_name_is_no_other_limit_s_id,
    accounts_found_by_older_definitions_are_stale,
    raising_and_lowering_hold_at_once,
    calls_of_a_deleted_limit_are_settled_to_nothing,
    a_change_of_unit_begins_anew,
    a_change_of_per_begins_anew,
    a_reset_begins_anew_and_what_is_held_stays,
    a_reset_of_one_account_leaves_the_others,
    a_limit_that_was_never_used_can_be_reset,
    all_accounts_are_reset_in_one_instant,
    an_alert_is_told_again_after_all_were_reset,
    a_limit_that_is_deleted_keeps_what_was_reset,
    deleted_limits_are_listed_with_their_history,
    a_limit_can_be_erased,
    an_account_that_was_reset_with_all_can_be_forgotten_and_corrected,
    a_row_can_be_corrected,
    an_account_can_be_forgotten,
    nothing_is_kept_of_who_is_forgotten,
    alerts_of_who_is_forgotten_or_of_an_erased_limit_are_told_to_nobody,
    accounts_are_named_after_their_limit_is_gone,
    an_alert_is_told_once,
    each_account_is_told_by_itself,
    alerts_wait_in_the_outbox_until_they_are_told,
    an_alert_that_is_told_waits_to_be_sent_on,
    alerts_are_taken_by_application_and_age,
    alerts_of_others_are_in_nobody_s_way,
]


# ---- time


def a_window_turns_at_its_time(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, window="day", timezone="Europe/Berlin")  # midnight there is 23:00 UTC
    noon = clock.ns
    standing = admitted(team.do(step := team.ask(limit)))[0]
    assert (standing.starts_ns, standing.resets_ns) == (noon - 13 * HOUR * NS, noon + 11 * HOUR * NS)
    team.settle(step.event_id, limit)
    clock.advance(11 * HOUR - 1)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    clock.advance(1)
    assert admitted(team.reserve(limit))
    (past,) = team.history(limit)
    assert (past.totals.spent, past.closed_ns, past.reset, past.most) == (USD, noon + 11 * HOUR * NS, False, USD)
    assert past.totals.requests["blocked"] == 1


def a_call_is_settled_in_the_window_in_which_it_was_reserved(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, window="hour", alerts=(1,))
    event = team.begin(limit, usd=2)
    began = clock.ns
    clock.advance(HOUR)
    assert team.stands(limit) == (0, 0)  # what yesterday's calls hold is yesterday's
    assert team.settle(event, limit, usd=2.5).crossed == (Crossed(limit, "", 1, 25 * USD // 10, began),)
    assert team.stands(limit) == (0, 0)
    (past,) = team.history(limit)
    assert (past.totals.spent, past.totals.held) == (25 * USD // 10, 0)


def what_is_told_late_counts_to_its_own_window(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, window="hour")
    began = clock.ns
    clock.advance(2 * HOUR)
    team.settle(call(), limit, usd=1, at_ns=began)
    team.settle(call(), limit, usd=0.5, at_ns=clock.ns + 5 * HOUR * NS)  # another's clock is fast
    assert team.stands(limit) == (0.5, 0)
    assert [(past.totals.spent, past.totals.starts_ns) for past in team.history(limit)] == [(USD, began)]


def a_lease_that_ends_frees_its_hold(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, strict=True)
    event = team.begin(limit)
    clock.advance(ledger.lease_seconds - 0.5)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    clock.advance(0.5)
    second = team.begin(limit)
    assert team.stands(limit) == (0, 1)
    assert {held.event_id: held.lease_ns for held in team.held()} == {
        event: clock.ns,
        second: clock.ns + round(ledger.lease_seconds * NS),
    }
    team.settle(event, limit, usd=0, known=False)  # found in a spool: at its hold, as it may have cost
    team.do(Release(second))
    assert team.stands(limit) == (1, 0)
    assert team.settle(event, limit).fresh is False


def a_lease_that_ended_is_seen_by_whoever_looks(ledger: Ledger, clock: Clock) -> None:
    team, other = Team(ledger), Team(ledger)
    limit, theirs, third = team.limit("L", 5), other.limit("L", 5), other.limit("M", 5)
    for _ in range(3):
        team.begin(limit)
        clock.advance(1)
        other.begin(theirs)
    clock.advance(ledger.lease_seconds - 3)
    assert (team.stands(limit), other.stands(theirs)) == ((0, 2), (0, 3))
    clock.advance(3)
    assert (team.stands(limit), other.stands(theirs)) == ((0, 0), (0, 0))
    team.begin(limit)
    clock.advance(ledger.lease_seconds)
    other.spend(third)  # a step about another account looks, too
    assert team.stands(limit) == (0, 0)


def a_call_whose_lease_ended_is_settled_where_it_was_reserved(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, window="day")
    event = team.begin(limit)
    clock.advance(2 * DAY)
    assert team.settle(event, limit, usd=0.5, at_ns=clock.ns).fresh
    assert team.stands(limit) == (0, 0)
    assert [past.totals.spent for past in team.history(limit)] == [USD // 2]
    assert team.held() == []


def a_renewed_lease_lives_on(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2)
    first, second = team.begin(limit), team.begin(limit)
    for _ in range(3):
        clock.advance(ledger.lease_seconds - 1)
        assert team.do(Renew((first, call()))) is None
    assert team.stands(limit) == (0, 1)
    team.do(Renew((second,)))  # it lived after all
    assert team.stands(limit) == (0, 2)
    team.do(Extend(second, Amount(2 * USD, 0)))
    clock.advance(ledger.lease_seconds)
    team.do(Extend(first, Amount(5 * USD, 0)))
    assert team.stands(limit) == (0, 0)
    team.do(Renew((first, second)))
    assert team.stands(limit) == (0, 7)
    team.do(Release(second))
    clock.advance(ledger.lease_seconds)
    team.do(Release(first))
    assert team.stands(limit) == (0, 0)
    assert team.held() == []


def a_lease_that_is_renewed_is_not_over(ledger: Ledger, clock: Clock) -> None:
    """Of many, all of which were over, and though a call that is refused beside it looks for those that are."""
    team = Team(ledger)
    limit, full = team.limit("L", 200, unit="calls"), team.limit("full", 1)
    steps = [team.ask(limit) for _ in range(150)]
    ledger.run(steps)
    team.settle(call(), full)
    clock.advance(61)
    *_, refused = ledger.run([Renew(tuple(step.event_id for step in steps)), team.ask(full)])
    assert blocked(refused) == {"full": "blocked"}
    clock.advance(59)
    assert team.totals(limit).held == 150
    clock.advance(2)
    assert team.totals(limit).held == 0


def settled_events_are_known_for_days(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit)
    team.settle(event, limit)
    clock.advance(SETTLED_DAYS * DAY - 1)
    assert team.settle(event, limit).fresh is False
    for _ in range(3):  # not at once, but soon after
        clock.advance(2)
        team.do(Release(call()))
    assert team.settle(event, limit).fresh is True


def the_clock_never_goes_back(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 1, window="hour")
    team.spend(limit)
    clock.advance(HOUR)
    team.spend(limit, usd=0.5)
    greatest = ledger.now_ns()
    clock.advance(-HOUR)
    assert ledger.now_ns() == greatest
    assert admitted(team.reserve(limit))[0].spent == USD // 2


def a_rolling_window_is_never_passed(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 6, window="60m")  # slices of a minute
    spent: list[int] = []
    for _ in range(160):
        if isinstance(team.do(step := team.ask(limit)), Admitted):
            team.settle(step.event_id, limit)
            spent.append(clock.ns)
        clock.advance(97)
    assert len(spent) > 18
    for begins in spent:
        assert sum(begins <= at <= begins + HOUR * NS for at in spent) <= 6
    # Nor is much left unused: of four hours no more than a slice each.
    assert len(spent) >= 6 * (160 * 97 // (HOUR + 60))


def room_returns_slice_by_slice(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, window="1h", alerts=(1,))
    begins = clock.ns
    step = team.ask(limit, usd=1)
    assert admitted(team.do(step))[0].starts_ns == begins - HOUR * NS
    team.settle(step.event_id, limit)
    clock.advance(600)
    assert team.spend(limit).crossed == (Crossed(limit, "", 1, 2 * USD, clock.ns - HOUR * NS),)
    answer = team.reserve(limit)
    assert isinstance(answer, Blocked)
    assert answer.standings[0].resets_ns == begins + (HOUR + 60) * NS
    clock.ns = begins + (HOUR + 60) * NS
    assert team.stands(limit) == (1, 0)
    assert team.totals(limit).starts_ns == begins + 600 * NS
    assert team.spend(limit).crossed == ()  # told within this hour
    clock.advance(600)
    assert team.spend(limit).crossed != ()
    clock.advance(2 * HOUR)
    assert team.stands(limit) == (0, 0)
    assert team.history(limit) == []


def a_rolling_window_is_reset_and_corrected_as_a_whole(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10, window="1h")
    for _ in range(3):
        team.spend(limit)
        clock.advance(300)
    event = team.begin(limit, usd=0.5)
    (past,) = ledger.reset(team.name, limit)
    assert past.totals.spent == 3 * USD
    assert past.totals.requests["ok"] == 3
    assert team.stands(limit) == (0, 0.5)
    clock.advance(300)
    team.settle(event, limit, usd=1)
    ledger.set_spent(team.name, Account(limit), None, team.totals(limit)._replace(spent=2 * USD))
    assert team.stands(limit) == (2, 0)
    assert team.settle(call(), limit, at_ns=clock.ns - 3 * HOUR * NS).states == {limit: "ok"}
    assert team.stands(limit) == (2, 0)  # it was out of the window before it was told


def a_removed_rolling_limit_leaves_what_counted(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10, window="1h")
    team.settle(call(), limit, usd=5, at_ns=clock.ns - 3 * HOUR * NS)  # counted when it was out of the window
    team.spend(limit, usd=2)
    assert ledger.remove(team.name, limit)
    clock.advance(5 * HOUR)
    assert [past.totals.spent for past in team.history(limit)] == [2 * USD]


def a_new_window_begins_anew(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 2, window="month")
    team.spend(limit)
    event = team.begin(limit)
    team.limit("L", 2, limit_id=limit, window="day")
    assert team.stands(limit) == (0, 0)
    team.settle(event, limit)
    assert team.stands(limit) == (0, 0)
    assert [past.totals.spent for past in team.history(limit)] == [2 * USD]
    team.limit("L", 2, limit_id=limit, window="24h")
    team.spend(limit)
    team.limit("L", 2, limit_id=limit)
    assert team.stands(limit) == (0, 0)
    assert clock.ns <= ledger.now_ns()


def a_longer_window_that_began_together_goes_on(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    clock.advance(5 * DAY)  # the first of December, a Tuesday
    limit = team.limit("L", 2, window="day")
    team.spend(limit)
    team.limit("L", 2, limit_id=limit, window="month")
    assert admitted(team.reserve(limit))[0].spent == USD
    clock.advance(2 * DAY)
    assert team.totals(limit).spent == USD
    assert team.history(limit) == []


def a_forecast_is_told_before_the_limit_is_reached(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 24, window="day", alerts=("forecast", 1))
    clock.advance(12 * HOUR)  # midnight
    clock.advance(HOUR)
    assert team.spend(limit, usd=2).crossed == ()  # one hour tells too little
    clock.advance(5 * HOUR)
    assert team.spend(limit, usd=3).crossed == ()  # 5 in 6 hours
    assert [crossed.share for crossed in team.spend(limit, usd=1).crossed] == ["forecast"]
    assert team.spend(limit, usd=1).crossed == ()
    rolling = team.limit("R", 24, window="24h", alerts=("forecast",))
    team.spend(rolling, usd=2)
    clock.advance(6 * HOUR)
    assert [crossed.share for crossed in team.spend(rolling, usd=4).crossed] == ["forecast"]
    whole = team.limit("W", 24, alerts=("forecast",))
    assert team.spend(whole, usd=23).crossed == ()


def an_alert_that_nobody_tells_goes_after_two_weeks(ledger: Ledger, clock: Clock) -> None:
    """Though no other is written, and whoever looks."""
    team = Team(ledger)
    first, second = [team.limit(name, 5, alerts=(0.1,)) for name in ("L", "M")]
    team.spend(first)
    clock.advance(5)
    team.spend(second)
    clock.advance(14 * DAY - 6)
    assert [one.name for one in team.alerts()] == ["L", "M"]
    clock.advance(1)
    assert ledger.outbox_take(0, "another") == []
    assert [one.name for one in team.alerts()] == ["M"]


def rows_that_are_over_can_be_pruned(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    hourly, whole = team.limit("H", 9, window="hour"), team.limit("W", 9)
    gone, rolling = team.limit("G", 9), team.limit("R", 9, window="1h")
    for _ in range(3):
        team.spend(hourly, whole, gone, rolling)
        clock.advance(HOUR)
    ledger.reset(team.name, whole)
    ledger.remove(team.name, gone)
    team.spend(hourly, whole, rolling)
    assert (len(team.history(hourly)), len(team.history(whole)), len(team.history(gone))) == (3, 1, 1)
    ledger.prune(clock.ns - HOUR * NS)
    assert (len(team.history(hourly)), len(team.history(whole)), len(team.history(gone))) == (1, 1, 1)
    clock.advance(1)
    ledger.prune(clock.ns + 9 * DAY * NS)
    assert (len(team.history(hourly)), len(team.history(whole)), len(team.history(gone))) == (0, 0, 0)
    assert [team.stands(limit)[0] for limit in (hourly, whole, rolling)] == [1, 1, 2]


def a_reset_of_all_is_of_the_window_that_ran_then(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user", window="hour")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    noon = clock.ns
    team.spend(jane, usd=1)
    team.spend(bob, usd=2)
    clock.advance(600)
    event = team.begin(jane, usd=0.5)
    clock.advance(600)
    assert sorted(one.totals.spent for one in ledger.reset(team.name, limit)) == [USD, 2 * USD]
    at = clock.ns + US
    clock.advance(HOUR)
    assert team.stands(limit, bob.key) == (0, 0)
    team.settle(event, jane, usd=0.25)
    assert team.stands(limit, jane.key) == (0, 0)
    assert ledger.reset(team.name, limit) == []
    clock.advance(HOUR)
    team.spend(bob, usd=3)
    found = {
        (one.totals.key, one.totals.spent, one.totals.starts_ns, one.closed_ns, one.reset)
        for one in team.history(limit)
        if one.totals.spent
    }
    assert found == {
        (jane.key, USD, noon, at, True),
        (jane.key, USD // 4, noon, noon + HOUR * NS, False),  # of the window in which it was reserved
        (bob.key, 2 * USD, noon, at, True),
    }


def who_was_not_there_between_two_resets_is_closed_by_the_first(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=1)
    team.spend(bob, usd=2)
    first = clock.ns + US
    ledger.reset(team.name, limit)
    clock.advance(DAY)
    team.spend(jane, usd=3)
    assert [one.totals.spent for one in ledger.reset(team.name, limit)] == [3 * USD]
    second = clock.ns + US
    clock.advance(DAY)
    for _ in range(2):  # before it is looked at, and after
        assert {(one.totals.key, one.totals.spent, one.closed_ns) for one in team.history(limit)} == {
            (jane.key, USD, first),
            (bob.key, 2 * USD, first),
            (jane.key, 3 * USD, second),
        }
        team.spend(bob, usd=0.5)
    assert team.stands(limit, bob.key) == (1, 0)


def a_reset_of_all_is_of_all_slices(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 10, per="user", window="1h", alerts=(0.5,))
    jane, bob, eve = (Account(limit, f'["{user}"]') for user in ("jane", "bob", "eve"))
    for _ in range(3):
        team.spend(jane, bob, eve)
        clock.advance(300)
    event = team.begin(jane, usd=0.5)
    past = ledger.reset(team.name, limit)
    assert [(one.totals.spent, one.totals.requests["ok"]) for one in past] == [(3 * USD, 3)] * 3
    assert (team.stands(limit, jane.key), team.stands(limit, bob.key)) == ((0, 0.5), (0, 0))
    clock.advance(300)
    team.settle(event, jane, usd=4)
    assert [crossed.spent for crossed in team.spend(jane).crossed] == [5 * USD]
    assert admitted(team.reserve(bob, usd=9))[0].held == 9 * USD
    assert sorted(team.history(limit)) == sorted(past)
    clock.advance(5 * HOUR)  # its slices go with the first of the new ones, and not what they had come to
    for one in (bob, eve):
        assert admitted(team.reserve(one))[0].spent == 0
    assert sorted(team.history(limit)) == sorted(past)


def accounts_go_on_in_a_longer_window_without_being_looked_at(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    clock.advance(5 * DAY)  # the first of December, a Tuesday
    first = clock.ns - 12 * HOUR * NS
    limit = team.limit("L", 9, per="user", window="day")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=2)
    team.spend(bob, usd=3)
    team.limit("L", 9, limit_id=limit, per="user", window="month")
    team.limit("L", 8, limit_id=limit, per="user", window="month")
    clock.advance(2 * DAY)
    assert {one.key: one.spent for one in ledger.totals(team.name, limit)} == {jane.key: 2 * USD, bob.key: 3 * USD}
    assert team.history(limit) == []
    assert admitted(team.reserve(jane, usd=1))[0].resets_ns == first + 31 * DAY * NS
    (past,) = [one for one in ledger.reset(team.name, limit) if one.totals.key == bob.key]
    assert (past.totals.spent, past.totals.starts_ns, past.totals.ends_ns) == (3 * USD, first, first + 31 * DAY * NS)
    clock.advance(40 * DAY)
    assert sorted((one.totals.key, one.totals.spent) for one in team.history(limit) if one.reset) == [
        (bob.key, 3 * USD),
        (jane.key, 2 * USD),
    ]
    assert {one.closed_ns for one in team.history(limit) if not one.reset} <= {first + 31 * DAY * NS}


def what_was_reset_with_all_can_be_pruned(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit, hourly = team.limit("L", 9, per="user"), team.limit("H", 9, per="user", window="hour")
    gone = team.limit("G", 9, per="user")
    users = [f'["{user}"]' for user in ("jane", "bob", "eve")]
    for key in users:
        team.spend(Account(limit, key), Account(hourly, key), Account(gone, key))
    for one in (limit, hourly, gone):
        ledger.reset(team.name, one)
    ledger.remove(team.name, gone)
    team.spend(Account(limit, users[0]), Account(hourly, users[0]), usd=2)
    clock.advance(2 * HOUR)
    before = [spent_in(team.history(one)) for one in (limit, hourly, gone)]
    assert before == [[1, 1, 1], [1, 1, 1, 2], [1, 1, 1]]
    ledger.prune(clock.ns - 3 * HOUR * NS)
    assert [spent_in(team.history(one)) for one in (limit, hourly, gone)] == before
    ledger.prune(clock.ns - HOUR * NS - 1)  # rows of the hour are over since, what was reset in it is not
    assert spent_in(team.history(hourly)) == [2]
    ledger.prune(clock.ns)
    assert [spent_in(team.history(one)) for one in (limit, hourly, gone)] == [[], [], []]
    assert [team.stands(limit, key)[0] for key in users] == [2, 0, 0]


def spent_in(past: list[Past]) -> list[float]:
    """USD, in order."""
    return sorted(one.totals.spent / USD for one in past if one.totals.spent)


def accounts_of_instances_tell_when_they_were_begun(ledger: Ledger, clock: Clock) -> None:
    """So that those of old runs can go: without a window none would ever be over. Of a limit that runs share, none tells."""
    team = Team(ledger)
    runs, users = (team.limit(name, 9, per=name, alerts=("forecast",)) for name in ("instance", "user"))
    old, lately, new, running = (Account(runs, f'["{name}"]') for name in ("old", "lately", "new", "running"))
    begun = clock.ns
    assert team.spend(old, usd=7).crossed == ()
    team.spend(Account(users, '["jane"]'))
    held = team.begin(running)
    clock.advance(DAY)
    team.spend(lately)
    team.spend(old)
    team.do(Renew((held,)))
    asked = team.ask(old, usd=0.5)
    assert [(one.starts_ns, one.resets_ns, one.spent) for one in admitted(team.do(asked))] == [(None, None, 8 * USD)]
    team.do(Release(asked.event_id))
    team.limit("instance", 9, limit_id=runs, per="instance", timezone="Europe/Berlin", alerts=("forecast",))
    nothing = dict.fromkeys(team.totals(runs, old.key).requests, 0)
    ledger.set_spent(team.name, new, None, Totals(new.key, 2 * USD, 0, 2 * USD, 0, nothing, None, None))
    assert {one.key: one.starts_ns for one in ledger.totals(team.name, runs)} == {
        old.key: begun,
        running.key: begun,
        lately.key: clock.ns,
        new.key: clock.ns,
    }
    assert {(one.ends_ns, team.stands(users)) for one in ledger.totals(team.name, runs)} == {(None, (1, 0))}
    assert team.history(runs) == []

    assert ledger.prune(begun) >= 1
    assert {one.key for one in ledger.totals(team.name, runs)} == {lately.key, new.key, running.key}
    assert (team.stands(runs, running.key), team.stands(runs, new.key), team.stands(users)) == ((0, 1), (2, 0), (1, 0))
    team.settle(held)
    team.spend(old)
    assert (team.stands(runs, running.key), team.stands(runs, old.key)) == ((1, 0), (1, 0))
    assert [past.totals.spent for past in ledger.reset(team.name, runs, old.key)] == [USD]
    ledger.remove(team.name, runs)
    gone = [past for past in team.history(runs) if not past.reset]
    assert {(past.closed_ns, past.totals.ends_ns) for past in gone} == {(clock.ns, None)}
    assert {past.totals.starts_ns for past in gone} == {begun, clock.ns}


def accounts_of_instances_that_are_reset_tell_it_still(ledger: Ledger, clock: Clock) -> None:
    team = Team(ledger)
    limit = team.limit("L", 9, per="instance")
    one, other = Account(limit, '["one"]'), Account(limit, '["other"]')
    begun = clock.ns
    team.spend(one, other)
    clock.advance(DAY)
    assert {(past.totals.spent, past.totals.starts_ns) for past in ledger.reset(team.name, limit)} == {(USD, begun)}
    team.spend(one)
    assert {(past.totals.spent, past.totals.starts_ns) for past in team.history(limit)} == {(USD, begun)}
    assert {(told.key, told.spent, told.starts_ns) for told in ledger.totals(team.name, limit)} == {
        (one.key, USD, begun),
        (other.key, 0, begun),
    }
    assert ledger.prune(begun) == 2
    assert ledger.totals(team.name, limit) == []
    assert len(team.history(limit)) == 2


def accounts_of_instances_turn_with_their_window(ledger: Ledger, clock: Clock) -> None:
    """Where they have one, as any other's do."""
    team = Team(ledger)
    limit = team.limit("L", 1, per="instance", window="hour")
    run = Account(limit, '["run"]')
    team.spend(run)
    assert blocked(team.reserve(run)) == {"L": "blocked"}
    clock.advance(HOUR)
    team.spend(run)
    ended = clock.ns // (HOUR * NS) * HOUR * NS
    assert [(past.totals.ends_ns, past.closed_ns) for past in team.history(limit)] == [(ended, ended)]
    assert ledger.totals(team.name, limit, run.key)[0].starts_ns == ended


TIMED: list[Callable[[Ledger, Clock], None]] = [
    a_window_turns_at_its_time,
    a_call_is_settled_in_the_window_in_which_it_was_reserved,
    what_is_told_late_counts_to_its_own_window,
    a_lease_that_ends_frees_its_hold,
    a_lease_that_ended_is_seen_by_whoever_looks,
    a_call_whose_lease_ended_is_settled_where_it_was_reserved,
    a_renewed_lease_lives_on,
    a_lease_that_is_renewed_is_not_over,
    settled_events_are_known_for_days,
    the_clock_never_goes_back,
    a_rolling_window_is_never_passed,
    room_returns_slice_by_slice,
    a_rolling_window_is_reset_and_corrected_as_a_whole,
    a_removed_rolling_limit_leaves_what_counted,
    a_new_window_begins_anew,
    a_longer_window_that_began_together_goes_on,
    a_reset_of_all_is_of_the_window_that_ran_then,
    who_was_not_there_between_two_resets_is_closed_by_the_first,
    a_reset_of_all_is_of_all_slices,
    accounts_go_on_in_a_longer_window_without_being_looked_at,
    what_was_reset_with_all_can_be_pruned,
    a_forecast_is_told_before_the_limit_is_reached,
    an_alert_that_nobody_tells_goes_after_two_weeks,
    rows_that_are_over_can_be_pruned,
    accounts_of_instances_tell_when_they_were_begun,
    accounts_of_instances_that_are_reset_tell_it_still,
    accounts_of_instances_turn_with_their_window,
]
