"""One call before its limits: may it be made, and what becomes of its hold when it ends.

What is waited for is a future, and the waiting is all that differs between a thread and a coroutine: both drive the same steps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .. import health
from ..events import format_id
from .charges import Ended, settle_of, waits_for_price
from .groups import Group
from .instances import as_told
from .ledger import Account, Admitted, Amount, Blocked, Extend, Release, Reserve, Stale, Standing, State
from .limit import Definition
from .matching import Facts, accounts_of, route_of
from .outline import MAX_READ
from .reached import Why, reached
from .snapshot import is_own
from .waiting import polled, shared, within

if TYPE_CHECKING:
    from ..call import Call
    from .answer import Refused
    from .held import Held
    from .holds import Sizes
    from .known import Known

__all__ = ["Hold"]

_TRIES: Final = 4
"""Times that limits may change between their reading and a reserve; after that the ledger is of no use."""
_FINDING: Final = 10.0
"""Seconds that the first call of a maker without a known price waits for its dearest model: without it nothing would be held."""
_GROWN: Final = 0.8
"""Share of its hold from which a stream asks for more."""
_STREAMED_BYTES, _WHOLE_BYTES = 150, 4
"""Of an answer, for a token: an event of a stream has a token and what is around it."""
_STREAMED_BY: Final = {"anthropic": 50, "aws": 50, "google": 15}
"""Of providers whose events have several tokens each: medians of recorded streams of a hundred tokens or more, rounded."""

_ONE_CALL: Final = Amount(0, 0)
_CURE: Final = (
    "the request does not say how long its answer may be: with `max_tokens`, or its like, less is held for it"
)

Awaited: TypeAlias = "Future[Any] | Reserve | Known"
"""What is waited for: something that our own thread does, a step of the ledger, or nothing."""
Steps: TypeAlias = "Generator[tuple[Awaited, float], Any, Refused | None]"


class Hold:
    """What limits have to do with one call."""

    __slots__ = ("_limits", "_streamed_bytes", "accounts", "event_id", "group", "output", "sizes")

    def __init__(self, limits: Held) -> None:
        self._limits = limits
        self._streamed_bytes = _STREAMED_BYTES
        self.accounts: tuple[Account, ...] = ()
        """That the call is charged to."""
        self.event_id: bytes | None = None
        """Under which something is held; None if nothing is."""
        self.sizes: Sizes | None = None
        self.output = 0
        """Tokens of the answer for which there is room."""
        self.group: Group | None = None
        """The limits that apply, together."""

    def admit(self, call: Call) -> Refused | None:
        """Wait until the call may be made; the answer in its place if it may not. Never raises."""
        steps = self._admission(call)
        try:
            awaited, seconds = next(steps)
            while True:
                try:
                    result: Any = self._limits.ask(awaited) if isinstance(awaited, Reserve) else awaited
                    if isinstance(result, Future):
                        result = result.result(seconds)
                except Exception as error:
                    awaited, seconds = steps.throw(error)
                else:
                    awaited, seconds = steps.send(result)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        except Exception:
            return self._broken()
        except BaseException as error:
            self._given_up(call, error)
            raise

    async def admit_async(self, call: Call) -> Refused | None:
        """The same without holding the event loop. Raises nothing but the caller's own cancellation."""
        steps = self._admission(call)
        try:
            awaited, seconds = next(steps)
            while True:
                try:
                    result = await self._awaited(awaited, seconds)
                except Exception as error:
                    awaited, seconds = steps.throw(error)
                else:
                    awaited, seconds = steps.send(result)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        except Exception:
            return self._broken()
        except BaseException as error:
            self._given_up(call, error)
            raise

    async def _awaited(self, awaited: Awaited, seconds: float) -> Any:
        import asyncio  # a synchronous application may have no use for it

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            found: Any = self._limits.ask(awaited) if isinstance(awaited, Reserve) else awaited
            return await polled(found, seconds) if isinstance(found, Future) else found
        if isinstance(awaited, Reserve):
            found = self._limits.wait(awaited)
        else:
            found = shared(awaited, loop) if isinstance(awaited, Future) else awaited
        return await within(found, seconds, loop) if isinstance(found, asyncio.Future) else found

    def _broken(self) -> Refused | None:
        """A fault of ours lets the call go, as ever; what is held, if anything, is settled at its end."""
        health.note("limit_fault", "limits could not be asked; a call goes through unlimited", exc_info=True)
        return None

    def _given_up(self, call: Call, error: BaseException) -> None:
        """Whoever waited does not any more."""
        self.release()
        call.given_up(error, self._limits.ledger_id)

    # How it goes:

    def _admission(self, call: Call) -> Steps:
        limits = self._limits
        if call.exchange.method == "GET":
            return None  # it asks for what was ordered before, and is settled if it tells what that consumed
        known = limits.known()
        if isinstance(known, Future):
            try:
                known = yield known, limits.opening
            except Exception as error:
                limits.went_away(error)
                known = limits.last()
        for _ in range(_TRIES):
            self.accounts = accounts = accounts_of(
                known.definitions, facts_of_call(call, needs_route=known.needs_route)
            )
            if not accounts:
                return None
            self.group = group = known.group(accounts)
            if not group.holds_up:
                return None  # it is settled when it ended
            if limits.is_away:  # asked first: of a ledger that never could be opened the rates are not loaded either
                return self._unreachable(call, known)
            amount = _ONE_CALL if group.counts_calls_alone else (yield from self._amount(call, group))
            if amount is None:
                return self._refuse(call, known, "unpriced")
            self.event_id = call.id  # from here on it may be held, whatever becomes of the answer
            try:
                answer = yield (
                    Reserve(call.id, limits.application, known.definitions.version, accounts, amount),
                    limits.patience,
                )
            except Exception as error:
                limits.went_away(error)
                return self._unreachable(call, known)
            if answer.__class__ is Admitted:
                limits.admitted(call.id, answer)
                return None
            self.event_id = None
            if isinstance(answer, Blocked):
                limits.snapshot.see(answer.standings)
                return self._refused(call, known, answer.standings, "reached")
            assert isinstance(answer, Stale)
            try:
                known = yield limits.changed(), limits.patience
            except Exception as error:
                limits.went_away(error)
                return self._unreachable(call, known)
        health.note("limit_stale", "limits change faster than calls can be held to them")
        return self._unreachable(call, known)

    def _amount(self, call: Call, group: Group) -> Generator[tuple[Awaited, float], Any, Amount | None]:
        """What to hold; None if a limit refuses what has no price."""
        from .quoting import is_billed_by_sound
        from .sizing import sizes_of

        limits, seen = self._limits, call.exchange.body
        if seen is not None and len(seen) > MAX_READ:
            seen = yield from self._outlined(seen)
        self.sizes = sizes = sizes_of(limits, call, group, seen)
        if sizes is None:
            if group.refuses_unknown and not is_billed_by_sound(
                limits.prices, call, call.asked.model or call.route.model
            ):
                return None
            if group.pays_unknown and not limits.dearest.known(call.provider.id):
                try:
                    yield limits.find_dearest(call.provider.id), _FINDING
                except Exception:
                    health.note("limit_dearest", "the dearest model of a maker could not be found", exc_info=True)
            self.sizes = sizes = sizes_of(limits, call, group, seen, by_dearest=True)
            assert sizes is not None
        self.output = sizes.output
        self._streamed_bytes = _STREAMED_BY.get(call.provider.id, _STREAMED_BYTES)
        return sizes.amount

    def _outlined(self, body: bytes) -> Generator[tuple[Awaited, float], Any, bytes | None]:
        """What of a long body tells what it asks for, read by a thread of ours; None if that takes too long."""
        try:
            found: bytes | None = yield self._limits.outlined(body), self._limits.patience
        except Exception:
            health.count("limit_unread")
            return None
        return found

    def _unreachable(self, call: Call, known: Known) -> Refused | None:
        """The ledger does not answer: what the limits say of that."""
        if self.group is not None and self.group.is_closed:
            self.release()
            return self._refuse(call, known, "unavailable")
        health.count("limit_open")
        # Should the ledger refuse it after all, that would be all that it knows of a call that is made: it is to be counted.
        if self.event_id is not None:
            self.release()
        return None

    def _refuse(self, call: Call, known: Known, why: Why) -> Refused:
        """Refused by what no ledger has told."""
        applying = [(known.by_id[account.limit_id], account) for account in self.accounts]
        standings = [_stated(definition, account, _refuses(definition, why)) for definition, account in applying]
        return self._refused(call, known, standings, why)

    def _refused(self, call: Call, known: Known, standings: Sequence[Standing], why: Why) -> Refused:
        from .answer import refused

        applying, who = [known.by_id[standing.limit_id] for standing in standings], call.attributed.attribution
        told = reached(
            format_id(call.id),
            [as_told(standing, who) for standing in standings],
            why,
            own=[one.limit_id for one in applying if is_own(one)],
            strict=[one.limit_id for one in applying if one.limit.strict],
            wanted=self._held,
            cure="" if self.sizes is None or self.sizes.is_told else _CURE,
            message=_words(why, standings, call),
        )
        model = call.asked.model or call.route.model
        refusal = refused(told, standings, who, model, call.provider.id)
        call.refuse(refusal, self._limits.ledger_id)
        return refusal

    # How it ends:

    @property
    def _held(self) -> Amount:
        """What is held, if anything is."""
        return _ONE_CALL if self.sizes is None else self.sizes.amount

    def release(self) -> None:
        """The call never went out, or another one stands for it."""
        event_id, self.event_id = self.event_id, None
        if event_id is not None:
            self._limits.released(event_id, self.accounts, self._held)

    def end(self, ended: Ended, provider: str, use_case: str | None, model: str | None, *, waits: bool) -> None:
        """The call ended, and its record is in the spool.

        Args:
            ended: What it came to.
            provider: By whose dearest model it is charged if its own has no price.
            use_case: Whose answer it was.
            model: That was asked for.
            waits: Whether its price is found by the draining thread, which then settles it.
        """
        limits = self._limits
        event_id, self.event_id = self.event_id, None
        if event_id is not None:
            limits.leases.drop(event_id)
            if event_id != ended.event_id:  # known by another id since, as it can be asked for again
                limits.tell(Release(event_id))
        if ended.outcome == "ok" and (self.sizes is None or not self.sizes.is_bound):
            limits.recent.add(use_case, model, sum([sides[1] for sides in ended.units.values()]))
        if waits or not self.accounts or limits.is_away:
            return
        dearest = None
        if self.group is not None and self.group.pays_unknown and waits_for_price(ended):
            if not limits.dearest.known(provider):
                return  # the draining thread finds it
            dearest = limits.dearest.price(provider, ended.units, ended.started_ns)
        settle = settle_of(ended, self.accounts, dearest)
        limits.tell(settle)
        limits.snapshot.settled(settle, None if event_id is None else self._held)

    def room(self, received: int, streamed: bool) -> int:
        """Bytes that may still come before this is to be asked again; a stream that outgrows its hold asks for more.

        Args:
            received: Bytes of the answer so far.
            streamed: Whether they are events.
        """
        sizes = self.sizes
        if sizes is None or sizes.is_bound or self.event_id is None or not self.output:
            return 1 << 62
        each = self._streamed_bytes if streamed else _WHOLE_BYTES
        if received >= self.output * each * _GROWN:
            amount, first = sizes.amount, max(sizes.output, 1)
            self.output *= 2
            # What the input is held at is counted twice, too: that is little, and on the safe side.
            grown = -(-self.output // first)
            self._limits.tell(Extend(self.event_id, Amount(amount.ticks * grown, amount.tokens * grown)))
        return max(int(self.output * each * _GROWN) - received, 1)


def facts_of_call(call: Call, *, needs_route: bool) -> Facts:
    """What limits ask of a call; the same as `matching.facts_of` finds in its event."""
    attributed, pseudonyms = call.attributed, call.meter.pseudonyms
    who = attributed.attribution
    return Facts(
        who if pseudonyms is None else pseudonyms.named(who),
        call.meter.application,
        call.provider.id,
        call.asked.model or call.route.model,
        route_of(attributed.inbound_raw) if needs_route else None,
    )


def _stated(definition: Definition, account: Account, refuses: bool) -> Standing:
    """A standing of which nothing is known but who it is."""
    limit = definition.limit
    state: State = "blocked" if refuses else "blocked_external"
    return Standing(
        account.limit_id, limit.name, account.key, limit.type, limit.unit, state, limit.most, 0, 0, None, None
    )


def _refuses(definition: Definition, why: Why) -> bool:
    limit = definition.limit
    return limit.closed_on_error if why == "unavailable" else limit.refuses_unknown


def _words(why: Why, standings: Sequence[Standing], call: Call) -> str | None:
    if why == "reached":
        return None
    names = ", ".join(repr(standing.name) for standing in standings if standing.state == "blocked")
    if why == "unavailable":
        return f"the ledger of limits is out of reach, and limit {names} lets nothing through meanwhile"
    return f"no price is known of model {str(call.asked.model)[:128]!r}, and limit {names} refuses such calls"
