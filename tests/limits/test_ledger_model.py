"""Whatever happens to a ledger, in whichever order: it admits by the rules, and its sums are those of the calls.

The model knows nothing of rows: it keeps a list of calls, and adds up those that count.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import HOUR, NS, Clock, call
from hasty import Hasty
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from payi_middleware.limits.ledger import (
    Account,
    Admitted,
    Amount,
    Blocked,
    Extend,
    Ledger,
    Release,
    Renew,
    Reserve,
    Settle,
    Settled,
)
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.sqlite import SqliteLedger

APP = "app"
LEASE = 60
SLICE = 60  # seconds of an hour that rolls
LIMITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strict": {"strict": True},
    "hourly": {"window": "hour"},
    "rolling": {"window": "1h", "strict": True},
    "calls": {"unit": "calls", "window": "day"},
    "soft": {"type": "allow", "window": "hour"},
}
EACH: dict[str, dict[str, Any]] = {
    "user": {"per": "user"},
    "user hourly": {"per": "user", "window": "hour"},
    "user rolling": {"per": "user", "window": "1h", "strict": True},
}
"""An account for each of some users."""
USERS = ('["jane"]', '["bob"]')
ACCOUNTS = [Account(name) for name in LIMITS] + [Account(name, key) for name in EACH for key in USERS]
STRICT = ("strict", "rolling", "user rolling")

chosen = st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=4, unique=True)
ticks = st.integers(0, 12)


@dataclass
class Called:
    """A call as the model knows it."""

    event_id: bytes
    accounts: list[Account]
    at: int
    hold: int
    lease: int
    """When it ends."""
    held: bool = True
    cost: int | None = None
    since_reset: dict[Account, bool] = field(default_factory=dict)
    """Whether its cost counts: until the account is reset after it was settled."""

    def amount(self, account: Account, value: int) -> int:
        return 1 if account.limit_id == "calls" else value


class Model(RuleBasedStateMachine):
    """A ledger, and beside it all calls there ever were."""

    running = Bundle("running")
    ended = Bundle("ended")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger: Ledger = self.opened()
        self.most: dict[str, int] = {}
        self.calls: dict[bytes, Called] = {}
        self.now = self.clock.ns
        """The greatest time that the ledger has seen."""

    def opened(self) -> Ledger:
        return MemoryLedger(lease_seconds=LEASE, clock=self.clock)

    @initialize()
    def limits(self) -> None:
        for name, terms in (LIMITS | EACH).items():
            self.define(name, 20, **terms)

    def define(self, name: str, most: int, **terms: Any) -> None:
        limit = Limit(name, most if name == "calls" else f"{most}e-10", **terms)
        self.ledger.define(Definition(limit_id=name, application=APP, limit=limit))
        self.most[name] = most

    def do(self, *steps: Any) -> list[Any]:
        self.now = max(self.now, self.clock.ns)
        answers: list[Any] = self.ledger.run(steps)
        return answers

    # ---- what the model says

    def counts(self, account: Account, at: int, *, counted: bool = True) -> bool:
        """Whether what began then is in the window that runs."""
        window = (LIMITS | EACH)[account.limit_id].get("window")
        if window == "hour":
            return at // (HOUR * NS) == self.now // (HOUR * NS)
        if window == "day":
            return at // (24 * HOUR * NS) == self.now // (24 * HOUR * NS)
        if window == "1h":
            return (at // (SLICE * NS) + 1) * SLICE * NS > self.now - HOUR * NS
        return counted

    def spent(self, account: Account) -> int:
        return sum(
            one.amount(account, one.cost)
            for one in self.calls.values()
            if one.cost is not None and one.since_reset.get(account) and self.counts(account, one.at)
        )

    def holding(self, account: Account) -> int:
        return sum(
            one.amount(account, one.hold)
            for one in self.calls.values()
            if one.held and one.lease > self.now and account in one.accounts and self.counts(account, one.at)
        )

    def refuses(self, account: Account, hold: int) -> bool:
        limit_id, most = account.limit_id, self.most[account.limit_id]
        if limit_id == "soft":
            return False
        taken = self.spent(account) + self.holding(account)
        return taken + hold > most if limit_id in STRICT else taken >= most

    # ---- what happens

    @rule(target=running, accounts=chosen, hold=ticks)
    def reserve(self, accounts: list[Account], hold: int) -> Any:
        version = self.ledger.definitions(APP).version
        event = call()
        (answer,) = self.do(Reserve(event, APP, version, tuple(accounts), Amount(hold, 0)))
        refusing = {account for account in accounts if self.refuses(account, hold)}
        states = {Account(one.limit_id, one.key): one.state for one in answer.standings}
        if refusing:
            assert isinstance(answer, Blocked)
            assert {account for account, state in states.items() if state == "blocked"} == refusing
            return multiple()
        assert isinstance(answer, Admitted)
        self.calls[event] = Called(event, accounts, self.now, hold, self.now + LEASE * NS)
        return event

    @rule(target=ended, event=consumes(running), cost=ticks, known=st.booleans())
    def settle(self, event: bytes, cost: int, known: bool) -> bytes:
        one = self.calls[event]
        (answer,) = self.do(self.told(event, one.accounts, cost, known=known))
        assert answer.fresh
        assert set(answer.states) == {account.limit_id for account in one.accounts}
        one.held, one.cost = False, cost
        one.since_reset = dict.fromkeys(one.accounts, True)
        if not known:  # strict ones are charged the hold, if that is more: two calls for the model
            self.charge_more(one, [account for account in one.accounts if account.limit_id in STRICT])
        return event

    def charge_more(self, one: Called, accounts: list[Account]) -> None:
        more = one.hold - (one.cost or 0)
        if accounts and more > 0:
            extra = Called(call(), [], one.at, 0, 0, held=False, cost=more)
            extra.since_reset = dict.fromkeys(accounts, True)
            self.calls[extra.event_id] = extra

    def told(self, event: bytes, accounts: list[Account], cost: int, *, known: bool = True, at: int = 0) -> Settle:
        return Settle(event, APP, tuple(accounts), cost // 3, cost - cost // 3, 0, at or self.now, known=known)

    @rule(event=ended, cost=ticks)
    def settle_again(self, event: bytes, cost: int) -> None:
        (answer,) = self.do(self.told(event, ACCOUNTS, cost))
        assert isinstance(answer, Settled)
        assert not answer.fresh

    @rule(target=ended, accounts=chosen, cost=ticks, ago=st.integers(-60, 2 * HOUR))
    def tell_by_hand(self, accounts: list[Account], cost: int, ago: int) -> bytes:
        event, at = call(), max(self.now, self.clock.ns) - ago * NS
        (answer,) = self.do(self.told(event, accounts, cost, at=at))
        assert answer.fresh
        one = Called(event, accounts, min(at, self.now), 0, 0, held=False, cost=cost)
        one.since_reset = dict.fromkeys(accounts, True)
        self.calls[event] = one
        return event

    @rule(event=consumes(running))
    def release(self, event: bytes) -> None:
        assert self.do(Release(event), Release(event)) == [None, None]
        del self.calls[event]

    @rule(event=running, hold=ticks)
    def extend(self, event: bytes, hold: int) -> None:
        self.do(Extend(event, Amount(hold, 0)))
        one = self.calls[event]
        one.hold = max(one.hold, hold)

    @rule(event=running)
    def renew(self, event: bytes) -> None:
        self.do(Renew((event, call())))
        self.calls[event].lease = self.now + LEASE * NS

    @rule(name=st.sampled_from([*LIMITS, *EACH]), most=st.integers(1, 60))
    def raise_or_lower(self, name: str, most: int) -> None:
        self.define(name, most, **(LIMITS | EACH)[name])

    @rule(account=st.sampled_from(ACCOUNTS))
    def reset(self, account: Account) -> None:
        self.do()
        spent, held = self.spent(account), self.holding(account)
        (past,) = self.ledger.reset(APP, account.limit_id, account.key)
        assert (past.totals.spent, past.totals.held) == (spent, held)
        self.begins_anew(account)

    @rule(limit_id=st.sampled_from([*EACH]))
    def reset_all(self, limit_id: str) -> None:
        """In one instant; what was counted in no account is not told."""
        self.do()
        accounts = [Account(limit_id, key) for key in USERS]
        spent = {account: self.spent(account) for account in accounts}
        past = {Account(limit_id, one.totals.key): one for one in self.ledger.reset(APP, limit_id)}
        assert len({one.closed_ns for one in past.values()}) <= 1
        assert {account: past[account].totals.spent if account in past else 0 for account in accounts} == spent
        told = {(one.closed_ns, one.totals.key): one for one in self.ledger.history(APP, limit_id) if one.reset}
        assert [told.get((one.closed_ns, one.totals.key)) for one in past.values()] == list(past.values())
        for account in accounts:
            self.begins_anew(account)

    def begins_anew(self, account: Account) -> None:
        for one in self.calls.values():
            if self.counts(account, one.at):
                one.since_reset[account] = False

    @precondition(lambda self: all(one.cost is not None for one in self.calls.values()))
    @rule()
    def prune(self) -> None:
        """Nothing that counts goes; nor what a call holds that runs, as none does."""
        self.ledger.prune(self.now)

    @rule(seconds=st.sampled_from([0.3, 7, 59, 60, 61, 600, HOUR, 25 * HOUR]))
    def go_on(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([0.4, 30, HOUR]))
    def clock_is_set_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)

    @rule()
    def crash(self) -> None:
        """Nothing is lost, and nobody is told."""
        self.ledger = self.crashed()

    def crashed(self) -> Ledger:
        return self.ledger

    @invariant()
    def sums_are_those_of_the_calls(self) -> None:
        if "user rolling" not in self.most:
            return
        self.do()
        for account in ACCOUNTS:
            (totals,) = self.ledger.totals(APP, account.limit_id, account.key)
            assert (totals.spent, totals.held) == (self.spent(account), self.holding(account)), account

    def teardown(self) -> None:
        """At rest nothing is held, whatever became of the calls."""
        try:
            if "user rolling" in self.most:
                self.clock.ns = max(self.clock.ns, self.now) + LEASE * NS
                self.do()
                for account in ACCOUNTS:
                    (totals,) = self.ledger.totals(APP, account.limit_id, account.key)
                    assert totals.held == 0
                for held in self.ledger.held():  # found in the spools of the dead
                    self.do(self.told(held.event_id, [], 0))
                assert self.ledger.held() == []
        finally:
            self.ledger.close()
            self.folder.cleanup()


class SqliteModel(Model):
    """The same in a file, which is opened again after a crash."""

    def opened(self) -> Ledger:
        return SqliteLedger(Path(self.folder.name) / "a.ledger", lease_seconds=LEASE, clock=self.clock)

    def crashed(self) -> Ledger:
        self.ledger.close()
        # A new process knows the greatest time to the second only.
        self.clock.ns = max(self.clock.ns, self.now)
        return self.opened()


class HastyModel(SqliteModel):
    """The same where steps are done at once."""

    def opened(self) -> Ledger:
        return Hasty(Path(self.folder.name) / "a.ledger", lease_seconds=LEASE, clock=self.clock)


TestMemory = Model.TestCase
TestMemory.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestSqlite = SqliteModel.TestCase
TestSqlite.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
TestHasty = HastyModel.TestCase
TestHasty.settings = settings(TestSqlite.settings, max_examples=5)
