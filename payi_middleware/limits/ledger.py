"""What a ledger is asked, what it answers, and what every ledger keeps to. Values and protocols only.

A ledger keeps definitions of limits, and for each limit its accounts: one, or one for each user, model, ... (`Limit.per`), and of
each one row a window. A row has what is **spent** (calls that ended) and what is **held** (calls that run, at the most they
are thought to cost). All amounts are integers in the limit's unit: ticks of 10^-10 USD, calls, or tokens.

The rules:

* A call is admitted to all of its accounts or to none. A block limit admits it if `spent + held < max`; a strict one if
  `spent + held + hold <= max`; an allow limit always. A repeated `Reserve` of an event changes nothing.
* `Settle` takes back the hold and adds the cost, to the rows in which it was reserved; an event counts once, however often
  it is settled. Where nothing is held (told by hand, or the lease ended long ago) it counts to the rows of `accounts` in
  whose window `at_ns` lies. `Release` takes back the hold and counts nothing.
* A hold has a lease. When it ends the hold no longer counts as held, but it is kept, so that a late `Settle` finds its rows.
* Windows turn by the ledger's clock, which never goes back: the greatest time that it has seen holds.
* A reset begins counting anew from its instant, in the same row: spent and the counters go to the history and become 0;
  what is held stays held. That of all accounts is one instant and takes no longer than that of one: each account goes through it
  when it is next looked at, and nothing has changed in it meanwhile.
* States of an account, after a call: `ok`, `exceeded` (from `threshold` of max, without one when all of it is spent), `overrun`
  (above max); of a call that was refused `blocked` (the limit that refused) and `blocked_external` (its others); `failed` counts
  calls that the provider refused, whose account is told to be `ok`, `exceeded` or `overrun` all the same. Where a limit has
  several accounts of a call, the worst is told.
* A refusal is remembered like a settled event: asked for again it is refused again, settled it is charged nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, Protocol, TypeAlias

from .limit import Definition, Unit

__all__ = [
    "LEASE_SECONDS",
    "LEFT",
    "LOGGED",
    "NEW",
    "SETTLED_DAYS",
    "STAGES",
    "STATES",
    "TOLD",
    "Account",
    "Admitted",
    "Alert",
    "Amount",
    "Answer",
    "Blocked",
    "Crossed",
    "Definitions",
    "Deleted",
    "Extend",
    "Held",
    "Ledger",
    "Past",
    "Release",
    "Renew",
    "Reserve",
    "Settle",
    "Settled",
    "Stale",
    "Standing",
    "State",
    "Step",
    "Totals",
    "Unreadable",
    "state_of",
]

State: TypeAlias = Literal["ok", "exceeded", "overrun", "blocked", "blocked_external", "failed"]
STATES: tuple[State, ...] = ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")

NEW, TOLD, LOGGED, LEFT = range(4)
"""How far an alert has come: nobody told it; an application did, and one of its processes sends it on; the log has it, and whoever
has more to tell it to has not come yet; it was left by an application, and whoever shares the ledger told it and sends it on."""
STAGES = (NEW, TOLD, LOGGED, LEFT)
LEASE_SECONDS = 60
"""How long a hold lives without being renewed: that long a killed process's calls count."""
SETTLED_DAYS = 14
"""How long a ledger knows which events it has settled; what waited longer in a spool is left to `payi limits audit`."""


class Account(NamedTuple):
    """Whose account of which limit."""

    limit_id: str
    key: str = ""
    """Empty for the one that all share; else the values of `per`, as a JSON array: `["jane"]`."""


class Amount(NamedTuple):
    """What a call takes, in each unit that a limit may count."""

    ticks: int
    tokens: int
    calls: int = 1

    def of(self, unit: Unit) -> int:
        """The one of a limit's unit."""
        return self.ticks if unit == "usd" else self.calls if unit == "calls" else self.tokens


class Reserve(NamedTuple):
    """Before a call: may it be made? Answered by `Admitted`, `Blocked` or `Stale`."""

    event_id: bytes
    application: str
    version: int
    """Of the definitions by which the accounts were found; if the ledger has others, the answer is `Stale`."""
    accounts: tuple[Account, ...]
    hold: Amount


class Settle(NamedTuple):
    """After a call: what it cost. Answered by `Settled`."""

    event_id: bytes
    application: str
    accounts: tuple[Account, ...]
    """Charged where nothing is held for the event; of limits that are gone, nothing is."""
    input_ticks: int
    output_ticks: int
    tokens: int
    at_ns: int
    """When the call began, UTC."""
    failed: bool = False
    """Whether the provider refused it: counted as `failed`."""
    known: bool = True
    """Whether the cost is known. Of a call whose process died it is not: a strict limit is then charged what is held."""
    counts: bool = True
    """Whether it is a call. Else it is by how much one that was settled costs otherwise, under an id of its own: amounts may be
    below 0, and neither calls nor states are counted."""


class Release(NamedTuple):
    """A call that was admitted and never went out, or one that went out before its refusal came. Answered by None."""

    event_id: bytes


class Extend(NamedTuple):
    """A running call takes more than was thought: hold at least so much. Answered by None."""

    event_id: bytes
    hold: Amount


class Renew(NamedTuple):
    """These calls still run: their leases begin anew. Answered by None."""

    event_ids: tuple[bytes, ...]


Step: TypeAlias = Reserve | Settle | Release | Extend | Renew


class Standing(NamedTuple):
    """How an account stands."""

    limit_id: str
    name: str
    key: str
    type: str
    unit: Unit
    state: State
    most: int
    spent: int
    held: int
    starts_ns: int | None
    """When the window began; None without a window."""
    resets_ns: int | None
    """When the next window begins; of a rolling one, when room first returns. None without a window."""

    @property
    def left(self) -> int:
        """What may still be spent."""
        return max(0, self.most - self.spent - self.held)


class Admitted(NamedTuple):
    """A call may be made; its hold is taken. How its accounts stand, this call included."""

    standings: tuple[Standing, ...]


class Blocked(NamedTuple):
    """A call may not be made, and nothing is held. `state` tells `blocked` from `blocked_external`."""

    standings: tuple[Standing, ...]


class Stale(NamedTuple):
    """Limits were defined or changed since: find the call's accounts anew and ask again."""

    version: int


class Crossed(NamedTuple):
    """An account came to a share of its limit at which to tell; each is answered once a window, to one process alone."""

    limit_id: str
    key: str
    share: float | str
    """Of the limit's `alerts`; `forecast` is one of them."""
    spent: int
    starts_ns: int | None


class Alert(NamedTuple):
    """What is to be told of a share that was crossed; kept in the ledger until somebody has told it."""

    alert_id: str
    """The same for as long as it waits, and no other's in this ledger."""
    application: str
    limit_id: str
    name: str
    key: str
    share: float | str
    unit: Unit
    spent: int
    most: int
    window: str | None
    starts_ns: int | None
    at_ns: int
    stage: int = NEW


class Settled(NamedTuple):
    """A call is counted."""

    states: dict[str, str]
    """By limit id, as the call left it; the same again for an event that was settled before."""
    fresh: bool
    """Whether it was counted now."""
    crossed: tuple[Crossed, ...] = ()


Answer: TypeAlias = Admitted | Blocked | Stale | Settled | None


class Unreadable(NamedTuple):
    """A limit that was kept by another version of this package, or wrongly: it holds no call back, and can only be deleted."""

    limit_id: str
    name: str
    why: str


class Definitions(NamedTuple):
    """The limits of an application; the version changes with each change of one."""

    version: int
    limits: tuple[Definition, ...]
    unreadable: tuple[Unreadable, ...] = ()


class Deleted(NamedTuple):
    """A limit that is no more, as it was last."""

    definition: Definition
    at_ns: int


class Totals(NamedTuple):
    """What was counted in an account's row."""

    key: str
    spent: int
    held: int
    input_ticks: int
    output_ticks: int
    requests: dict[str, int]
    """By state."""
    starts_ns: int | None
    """When the window began; without one, when an account that is one instance's did."""
    ends_ns: int | None


class Past(NamedTuple):
    """A row that is over: its window ended, or its limit was reset."""

    totals: Totals
    most: int
    closed_ns: int
    reset: bool


class Held(NamedTuple):
    """What is held for a running call."""

    event_id: bytes
    application: str
    accounts: tuple[Account, ...]
    hold: Amount
    lease_ns: int
    """When the lease ends, by the ledger's clock."""


class Ledger(Protocol):
    """Where limits are counted. Safe to be used by several threads; a method raises `LedgerError` if nothing was done."""

    @property
    def id(self) -> str:
        """Names the ledger in events (`sqlite:5f0c...`): made once, with its data, and read at first use, which may wait."""
        ...

    def names(self) -> frozenset[str]:
        """Its id, and those of the data that was lost before it: calls whose events name one of these are its to count."""
        ...

    waits: bool
    """Whether a step may wait for a disk or a network: then `run` is called by a thread of ours alone."""
    lease_seconds: float
    """How long a hold lives without being renewed."""

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one transaction or pipeline; the answers in the same order."""
        ...

    def applications(self) -> list[str]:
        """Whose limits are kept here, or were."""
        ...

    def definitions(self, application: str) -> Definitions:
        """The limits of an application, in the order in which they were made."""
        ...

    def deleted(self, application: str) -> list[Deleted]:
        """The limits that an application had and has not, each as it was last, the last deleted first."""
        ...

    def define(self, definition: Definition) -> Definition:
        """Keep a new limit, or one of the same id anew; what was spent stays. One of its id or name that cannot be read goes.

        Raises:
            LimitError: Another limit of the application has the name.
        """
        ...

    def remove(self, application: str, limit_id: str) -> bool:
        """Delete a limit; its history stays, and calls that run are settled to nothing."""
        ...

    def erase(self, application: str, limit_id: str) -> None:
        """Delete a limit, or what is kept of one, but for its history, which stays under an id and a name that tell nothing.

        Alerts of it are told to nobody any more.
        """
        ...

    def reset(self, application: str, limit_id: str, key: str | None = None) -> list[Past]:
        """Begin counting anew, in all accounts or in one; what they had come to. Of all, those in which something was counted."""
        ...

    def totals(self, application: str, limit_id: str, key: str | None = None) -> list[Totals]:
        """The running rows of a limit's accounts, or of one, which is all zero if nothing was counted yet."""
        ...

    def history(self, application: str, limit_id: str) -> list[Past]:
        """The rows that are over, the newest first."""
        ...

    def held(self) -> list[Held]:
        """What is held now, lease or not."""
        ...

    def set_spent(self, application: str, account: Account, starts_ns: int | None, totals: Totals) -> None:
        """Correct a row by what the events say, and what it holds by the calls that are held; for `payi limits audit`.

        Of a rolling window all that counts now is replaced, as if it was spent in this instant.
        """
        ...

    def accounts(self, application: str) -> list[Account]:
        """All accounts that have rows, running or over, also of limits that are deleted."""
        ...

    def forget(self, application: str, account: Account) -> int:
        """Delete an account with its history and alerts; how many rows it had. What is held for its calls is settled to nothing."""
        ...

    def prune(self, before_ns: int) -> int:
        """Delete rows that were over by then, and dated accounts (`Limit.is_dated`) that were begun by then; how many."""
        ...

    def outbox_take(
        self,
        lease_seconds: float,
        application: str | None = None,
        before_ns: int | None = None,
        *,
        stages: Collection[int] = STAGES,
        most: int = 1000,
    ) -> list[Alert]:
        """Alerts that nobody is telling, the oldest first; for so long they are this caller's to tell, then anybody's again.

        Args:
            lease_seconds: How long.
            application: Whose; None for everybody's.
            before_ns: Only those that were due by then.
            stages: Only those that have come so far.
            most: So many of them.
        """
        ...

    def outbox_told(self, alert_ids: Sequence[str], stage: int = TOLD, lease_seconds: float = 0) -> None:
        """These have come so far, and stay; for so long they are nobody else's."""
        ...

    def outbox_done(self, alert_ids: Sequence[str]) -> None:
        """Nothing is left to do for these."""
        ...

    def now_ns(self) -> int:
        """The ledger's clock, UTC."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def state_of(spent: int, most: int, threshold: float | None) -> State:
    """The state of an account of which so much is spent."""
    if spent > most:
        return "overrun"
    # The threshold as it was written: 0.8 is four fifths, not the nearest binary fraction. Without one it is all of max.
    from_share = 1 if threshold is None else Fraction(str(threshold))
    return "exceeded" if spent >= from_share * most else "ok"
