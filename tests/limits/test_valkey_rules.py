"""Whatever is asked of it in whatever order, the ledger in Valkey answers as the one in memory does."""

from __future__ import annotations

import dataclasses
import sys
import uuid
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from payi_middleware.limits.ledger import Account, Amount, Extend, Past, Release, Renew, Reserve, Settle, Settled
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.valkey import ValkeyLedger

sys.path.insert(0, str(Path(__file__).parent))

from conformance import NS, Clock

APPLICATION = "app"
KEYS = ("", '["jane"]', '["böb:{1}"]')
EVENTS = [bytes([n]) * 16 for n in range(12)]
LIMITS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"max": 1000}, {"max": 500, "threshold": 0.8, "alerts": (0.5, 1)}, {"max": 2000, "strict": True}],
    "soft": [{"max": 300, "type": "allow", "threshold": 0.75, "alerts": (0.1, "forecast")}],
    "calls": [{"max": 4, "unit": "calls", "window": "hour"}, {"max": 6, "unit": "calls", "window": "day"}],
    "rolling": [{"max": 800, "window": "1h", "alerts": (0.5, "forecast")}, {"max": 800, "window": "90m"}],
    "turning": [
        {"max": 700, "window": "month", "timezone": "Europe/Berlin"},
        {"max": 700, "window": "24h"},
        {"max": 90, "unit": "tokens"},
        {"max": 10**8, "strict": True, "unit": "usd", "window": "hour"},
    ],
}
_ids = st.sampled_from(sorted(LIMITS))
_accounts = st.lists(st.builds(Account, _ids, st.sampled_from(KEYS)), max_size=4).map(tuple)
_events = st.sampled_from(EVENTS)
_small = st.integers(0, 400).map(lambda usd: usd * 10**10)
_ticks = st.one_of(_small, _small, st.sampled_from([10**15, 10**17 + 1, 2**53 + 1]))
_amounts = st.builds(Amount, _ticks, st.integers(0, 60), st.integers(0, 2))


@dataclasses.dataclass
class Step:
    """One that is made when it is done: the version and the time are those that hold then."""

    kind: str
    event: bytes
    accounts: tuple[Account, ...]
    hold: Amount
    costs: tuple[int, int]
    ago: int
    failed: bool
    known: bool

    def made(self, version: int, now_ns: int) -> Any:
        if self.kind == "reserve":
            return Reserve(self.event, APPLICATION, version, self.accounts, self.hold)
        if self.kind == "settle":
            at = now_ns - self.ago * NS
            told = (*self.costs, self.hold.tokens, at, self.failed, self.known)
            return Settle(self.event, APPLICATION, self.accounts, *told)
        if self.kind == "extend":
            return Extend(self.event, self.hold)
        return Renew((self.event, EVENTS[0])) if self.kind == "renew" else Release(self.event)


_steps = st.builds(
    Step,
    st.sampled_from(["reserve", "reserve", "settle", "settle", "extend", "renew", "release"]),
    _events,
    _accounts,
    _amounts,
    st.tuples(_small, _ticks),
    st.sampled_from([0, 0, 100, 5_000, 100_000, -3_600]),
    st.booleans(),
    st.booleans(),
)
# As nearly all are asked: by themselves, about accounts of other limits each.
_usual = st.builds(
    Step,
    st.sampled_from(["reserve", "settle"]),
    _events,
    st.lists(
        st.builds(Account, st.sampled_from(["plain", "calls", "turning", "soft"]), st.just("")),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    st.builds(Amount, _ticks, st.integers(0, 60), st.integers(0, 2)),
    st.tuples(_small, _ticks),
    st.just(0),
    st.booleans(),
    st.booleans(),
)
_doings = st.one_of(
    st.tuples(st.just("run"), st.lists(_usual, min_size=1, max_size=1)),
    st.tuples(st.just("run"), st.lists(_usual, min_size=1, max_size=1)),
    st.tuples(st.just("run"), st.lists(_steps, min_size=1, max_size=6)),
    st.tuples(st.just("run"), st.lists(_steps, min_size=1, max_size=6)),
    st.tuples(st.just("define"), _ids, st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 45, 61, 700, 3_600, 5_000, 90_000, 15 * 86_400, -100])),
    st.tuples(st.sampled_from(["remove", "reset"]), _ids),
    st.tuples(st.sampled_from(["forget", "mend", "reset"]), _ids, st.sampled_from(KEYS)),
    st.tuples(st.just("prune"), st.sampled_from([0, 4_000])),
)


@settings(max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(doings=st.lists(_doings, max_size=25))
def test_as_in_memory(valkey: Any, doings: list[tuple[Any, ...]]) -> None:
    clock = Clock()
    pair = (
        MemoryLedger(clock=clock),
        ValkeyLedger(f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}", clock=clock),
    )
    for name in LIMITS:
        define(pair, name, 0)
    for doing in doings:
        answers = [done(ledger, clock, *doing) for ledger in pair]
        assert answers[0] == answers[1], apart(answers[0], answers[1])
        if doing[0] == "wait":
            clock.advance(doing[1])
        looked = [seen(ledger) for ledger in pair]
        assert looked[0] == looked[1], apart(looked[0], looked[1])
    pair[1].close()


def define(pair: Any, name: str, which: int) -> None:
    for ledger in pair:
        done(ledger, Clock(), "define", name, which)


def done(ledger: Any, clock: Clock, kind: str, *rest: Any) -> Any:
    """Do a thing; what comes of it."""
    if kind == "run":
        version, now = ledger.definitions(APPLICATION).version, ledger.now_ns()
        return [comparable(answer) for answer in ledger.run([step.made(version, now) for step in rest[0]])]
    if kind == "define":
        terms = dict(LIMITS[rest[0]][rest[1] % len(LIMITS[rest[0]])])
        limit = Limit(rest[0], terms.pop("max"), per="user", **terms)
        return ledger.define(Definition(limit_id=rest[0], application=APPLICATION, limit=limit))
    if kind == "remove":
        return ledger.remove(APPLICATION, rest[0])
    if kind == "reset":
        return used(ledger.reset(APPLICATION, *rest))
    if kind == "forget":
        ledger.forget(APPLICATION, Account(*rest))
    if kind == "prune":
        ledger.prune(ledger.now_ns() - rest[0] * NS)
    if kind == "mend":
        for totals in ledger.totals(APPLICATION, *rest):
            ledger.set_spent(APPLICATION, Account(*rest), None, totals._replace(spent=7, output_ticks=7))
    return None


def comparable(answer: Any) -> Any:
    """An answer without the order of what has none."""
    return answer._replace(crossed=sorted(answer.crossed, key=str)) if isinstance(answer, Settled) else answer


def used(rows: Any) -> Any:
    """Those in which something was counted: a row with nothing in it may be there, or not."""
    counted = [
        row
        for row in rows
        for told in [row.totals if isinstance(row, Past) else row]
        if sum(told.requests.values()) + told.spent + told.held
    ]
    return sorted(counted, key=str)


def unstarted(rows: Any) -> Any:
    """The same of a rolling window: where nothing is spent or held, slices with nothing in them may be there, or not."""
    return sorted([row if row.spent or row.held else row._replace(starts_ns=None) for row in used(rows)], key=str)


def apart(left: Any, right: Any) -> Any:
    """Where two values differ first: what pytest shows of long ones ends before it."""
    if isinstance(left, dict) and isinstance(right, dict):
        left, right = list(left.items()), list(right.items())
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)) and len(left) == len(right):
        return next(apart(*pair) for pair in zip(left, right, strict=True) if pair[0] != pair[1])
    return left, right


def seen(ledger: Any) -> Any:
    """All that a ledger tells."""
    ledger.run([Release(b"-" * 16)])  # leases that are over end
    return {
        "now": ledger.now_ns(),
        "definitions": ledger.definitions(APPLICATION).limits,
        "applications": ledger.applications(),
        "held": sorted((one[:4] for one in ledger.held()), key=str),
        "totals": [
            (unstarted if limit_id == "rolling" else used)(ledger.totals(APPLICATION, limit_id)) for limit_id in LIMITS
        ],
        "history": [used(ledger.history(APPLICATION, limit_id)) for limit_id in LIMITS],
        "alerts": sorted((alert[1:] for alert in ledger.outbox_take(0)), key=str),
    }
