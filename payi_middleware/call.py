"""The life of one exchange with a provider, without I/O: begin, answered, feed, end.

A face of an HTTP library makes the `Call` before it sends, tells it the answer's head, hands it each part and says how
it ended. All of this runs on the application's path, so it does as little as it can, and nothing in it may raise into a
face.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from . import attempts, health, record
from .body import WHOLE, Body
from .costing import Costed, cost_answered, cost_read, is_absurd
from .counting.estimates import BY_LENGTH
from .events import NO_LEDGER, CallEvent, Cost, CostSource, Outcome, Units
from .exchange import Exchange
from .frames import Activity
from .limits.charges import Ended
from .once import event_id, with_firsts
from .outcomes import outcome_of, outcome_read
from .providers.base import Asked, Facts, Headers, Provider, Reading, Route
from .reading import CUT_SHORT, is_worth_counting, read_kept, unseen
from .spool import ANSWERED, BEGUN

if TYPE_CHECKING:
    from .encoded import Attributed
    from .limits.answer import Refused
    from .metering import Holding, Metering

__all__ = ["OVERHEAD", "Call", "owner"]

_BLOCK = 64 << 10
_ANSWERS = 16 << 20
"""Bytes that are kept of an answer, at most, where it is one and not the results of a batch."""
_LONG = 64 << 10
"""Bytes of results that are read at once: some 200 lines, in 5 ms; a batch of 50,000 lines takes seconds."""

OVERHEAD = 48
"""Bytes of memory that a part takes besides its own."""


_NO_HEADERS: Headers = MappingProxyType({})
_LET_GO = Exchange("", "", None)
"""In place of what an ended call sent."""


class Call(msgspec.Struct, eq=False):
    """One call of a GenAI API.

    A face that hands on an answer's parts appends each to `parts`, and calls `told_parts` when the room that it told last is
    used up, each part taking its bytes and `OVERHEAD`; the first part is to be told at once.
    """

    meter: Metering
    activity: Activity | None
    attributed: Attributed
    provider: Provider
    route: Route
    exchange: Exchange
    asked: Asked
    origin: str
    id: bytes
    group: bytes
    attempt: int
    started_ns: int
    started: int
    begun: msgspec.Raw
    """What is on record of its beginning."""
    hold: Holding | None
    once: list[object]
    """The process it began in, until it ended."""
    status: int | None = None
    taken: bool = False
    """Whether an inner face took this exchange over."""
    sending: bool = False
    """Whether the face is waiting for the head of the answer: who sends the same meanwhile, sends this very exchange."""
    body_now: Callable[[], bytes | None] | None = None
    """Tells the request's body as it is by now, while what sends it may change it."""
    first_byte: int | None = None
    encoding: str = ""
    """The answer's content-encoding."""
    headers: Headers = _NO_HEADERS
    """The answer's, as its library has them."""
    body: Body | None = None
    """Keeps the parts of an answer that is large or encoded; of any other the list below is enough."""
    parts: list[bytes] = []
    """The parts of the answer's body as they were received."""

    __repr__ = object.__repr__  # a log that shows one must not show what was asked

    def is_sending(self, method: str, path: str, body: bytes | None, provider: Provider) -> bool:
        """Whether a request that begins now, inside of this call, is this very exchange on its way out.

        Not so what a transport asks beside it (a guard, a token), nor what was begun in there and lives on. Of two known bodies
        both are the same, as a guard may ask at the same path; a gateway may be at another one.

        Args:
            provider: At whose host the request is; a gateway's path may name another one, as it did to this call.
        """
        if not self.sending:
            return False
        exchange = self.exchange
        if body and exchange.body:
            return body == exchange.body or (self.body_now is not None and body == self.body_now())
        if method != exchange.method or path != exchange.path:
            return False
        route = provider.route(method, path)
        return route is not None and (route.provider or provider).id == self.provider.id

    def give_way(self) -> None:
        """An inner face is about to begin this exchange anew: it shall find what is known of earlier attempts."""
        if self.attempt > 1 and not self.taken:
            self.remember(self.attempt - 1)

    def remember(self, attempt: int) -> None:
        """What comes next in the running context may be another attempt of this call, after that many."""
        attempts.remember(self.exchange, self.activity, self.meter.spool, self.group, attempt)

    def take_over(self) -> None:
        """An inner face has this exchange from now on: this call will have no event of its own."""
        if not self.taken:
            self.taken = True
            self.once.clear()
            self._forget()

    def _forget(self) -> None:
        """This call has no event."""
        if self.activity is not None:
            self.activity.forget_call(self.id)
        if self.hold is not None:
            self.hold.release()
        self.meter.spool.append(record.void(self.id))

    def goes_out(self) -> None:
        """Its limits let it: from here on a process that dies leaves an event of it. Never raises."""
        try:
            self.meter.spool.append(BEGUN + self.id + bytes(self.begun))
        except Exception:
            health.note("call_begin", "that a call goes out could not be kept on record", exc_info=True)

    def refuse(self, refusal: Refused, ledger: str | None) -> None:
        """A limit refuses this call: it has an event, and never goes out."""
        try:
            self.once.pop()
        except IndexError:
            return
        if self.activity is not None:
            self.activity.refused = True
        now, error_type = time.perf_counter_ns(), refusal.code
        costed = Costed(None, "none", (), refusal.reached.message)
        model = self.asked.model or self.route.model
        self._record(
            now, Reading(), model, None, costed, "blocked", error_type, self.asked.streamed, refusal.states, ledger
        )

    def given_up(self, error: BaseException, ledger: str | None) -> None:
        """Whoever made this call no longer waits for its limits: it has an event, never goes out, and counts to none of them."""
        try:
            self.once.pop()
        except IndexError:
            return
        now, error_type = time.perf_counter_ns(), type(error).__name__
        costed = Costed(None, "none", (), "it was given up before it went out")
        model = self.asked.model or self.route.model
        self._record(
            now,
            Reading(),
            model,
            None,
            costed,
            outcome_of(error),
            error_type,
            self.asked.streamed,
            {},
            ledger or NO_LEDGER,
        )

    def answered(self, status: int, encoding: str | None, headers: Headers | None = None) -> None:
        """The head of the answer has come."""
        self.status = status
        if headers is not None:
            self.headers = headers
        if encoding and encoding != "identity":
            self.encoding = encoding
        if status >= 400:
            self.remember(self.attempt)

    def told_parts(self) -> int:
        """Parts have come. Returns how many more bytes may come before this is to be called again. Never raises."""
        if self.first_byte is None:
            self.first_byte = time.perf_counter_ns()
        size = sum(map(len, self.parts)) + OVERHEAD * len(self.parts)
        if size <= WHOLE and self.body is None:
            return WHOLE - size if self.hold is None else min(WHOLE - size, self._room(size))
        self._spill()
        return _BLOCK if self.hold is None or self.body is None else min(_BLOCK, self._room(self.body.size))

    def _room(self, received: int) -> int:
        """What a hold has room for."""
        assert self.hold is not None
        return self.hold.room(received, self.asked.streamed)

    def _spill(self) -> None:
        """The answer is large: keep no more of it than its usage needs."""
        try:
            if self.body is None:
                self.body = Body(self.encoding, self.route.endpoint.whole)
            self.body.add(b"".join(self.parts))
        except Exception:
            health.note("call_feed", "a part of an answer could not be kept", exc_info=True)
        self.parts.clear()

    def whole(self, content: bytes) -> None:
        """The answer was there at once, decoded; it ends the call."""
        if self.encoding:
            self.encoding = ""
        self.parts.append(content)
        if len(content) > WHOLE:
            self.told_parts()
        else:
            self.first_byte = time.perf_counter_ns()
        self.end()

    def failed(self, error: BaseException) -> None:
        """No answer came, or it broke off with an error."""
        self.end(outcome_of(error), type(error).__name__)

    def end(
        self,
        outcome: Outcome | None = None,
        error_type: str | None = None,
        *,
        here: bool = False,
        ended: int | None = None,
    ) -> None:
        """The call is over: read the answer and write the record. Only the first end counts. Never raises.

        Args:
            outcome: How it ended if the answer is not whole; None if the answer was exhausted.
            error_type: The type of the error it broke off with.
            here: Whether to read even a long answer before this returns, and not on the draining thread.
            ended: When it ended, if that was said before and only the reading was left.
        """
        # A function that was not called for a millisecond takes about two microseconds, whatever it does: the common case has few.
        if ended is None:
            try:
                began_in = self.once.pop()
            except IndexError:
                return
            if began_in is not process:
                return  # this is a copy in a forked child: the call is the parent's, who tells how it ends
            ended = time.perf_counter_ns()
            if self.route[0].whole > _ANSWERS and not here and self._is_long():
                self.meter.read_later(partial(self.end, outcome, error_type, ended=ended))
                return
        try:
            # Fields of a named tuple are looked up, each time anew, by the slowest way there is: they are unpacked.
            endpoint, _, _ = self.route
            status, parts, activity, body = self.status, self.parts, self.activity, self.body
            served = status is not None and 200 <= status < 300
            cut_short = endpoint.lines and outcome is not None and status is not None and status < 300
            if cut_short:
                reading, answer, streamed = CUT_SHORT, b"", False
            elif served and body is None and not self.encoding and len(parts) == 1 and parts[0][:1] == b"{":
                answer, (_, streamed) = parts[0], self.asked
                reading = endpoint.read(answer)
            else:
                if status is not None and (self.encoding or self.body is not None):
                    self._spill()
                    assert self.body is not None
                reading, answer, streamed = read_kept(endpoint, status, self.asked.streamed, parts, self.body)
            if (endpoint.refine is not None or endpoint.repeats) and served and not cut_short:
                refined = self._refined(reading, answer, streamed)
                if refined is None:
                    self._forget()
                    return
                reading = refined
            meter = self.meter
            model, _, units, complete, _, stated, _, failed, _, estimated, _, _, _, once, _, _ = reading
            if not (
                served
                and model
                and units is not None
                and complete
                and error_type is None
                and failed is None
                and not estimated
                and stated is None
                and once is None
                and self.hold is None
                and self.body is None
                and model in meter.estimates.settled
                and meter.prices.may_wait
            ):
                self._end_otherwise(ended, reading, answer, streamed, outcome, error_type)
                return
            # An ordinary answer, whose cost nobody asks for on the way: the draining thread does the rest.
            first = None if self.first_byte is None else self.first_byte - self.started
            fields = (self.begun, ended - self.started, first, status, streamed, reading)
            meter.spool.append(ANSWERED + self.id + record.encode(fields))
            if activity is not None:
                who = self.attributed.shared
                price = partial(cost_answered, meter.prices, self.provider.id, self.started_ns, who, reading)
                activity.end_unpriced_call(self.id, price, meter)
        except Exception:
            health.note("call_end", "an answer could not be read; its call is recorded without a cost", exc_info=True)
            self._end_unread(ended, outcome, error_type)
        finally:
            # An answer may be kept long after it was read. And asyncio keeps the context in which a connection was made, with the
            # call that was the `owner` there, as long as that connection.
            self.parts.clear()
            self.exchange, self.headers = _LET_GO, _NO_HEADERS
            if self.body is not None:
                self.body = None

    def _is_long(self) -> bool:
        kept = 0 if self.body is None else self.body.size
        return bool(self.encoding) or kept + sum(map(len, self.parts)) > _LONG

    def _end_unread(self, now: int, outcome: Outcome | None, error_type: str | None) -> None:
        """What can be said of a call that a fault of ours keeps from being read; else it would stay in flight."""
        costed = Costed(None, "none", (), "the answer could not be read: a fault of payi-middleware, see its log")
        try:
            self._record(
                now, Reading(), self.asked.model, None, costed, outcome or "unknown", error_type, self.asked.streamed
            )
        except Exception:
            if self.activity is not None:
                self.activity.end_call(self.id, 0, exact=False)

    def _refined(self, reading: Reading, answer: bytes, streamed: bool) -> Reading | None:
        """A reading with what the body does not tell; None if the exchange is no event."""
        endpoint = self.route.endpoint
        if endpoint.refine is not None:
            reading = endpoint.refine(reading, self._facts(answer, streamed))
        if reading.untold or (reading.once is not None and not self._is_told_first(reading.once)):
            return None
        if reading.firsts:
            if endpoint.refine_firsts is not None:
                reading = endpoint.refine_firsts(reading, self._facts(answer, streamed))
            reading = with_firsts(reading, self.provider.id, self.meter.told)
        return reading

    def _end_otherwise(
        self,
        now: int,
        reading: Reading,
        answer: bytes,
        streamed: bool,
        outcome: Outcome | None,
        error_type: str | None,
    ) -> None:
        """The record of an answer that is not an ordinary one, of none, or of one whose cost is asked for."""
        endpoint, status = self.route.endpoint, self.status
        served = status is not None and 200 <= status < 300
        broke_off = error_type is not None
        if served and answer and reading.complete and reading.units is not None and not reading.error_type:
            outcome, error_type = "ok", None
        else:
            came, is_cut = bool(answer), self.body is not None and bool(self.body.note)
            outcome, error_type = outcome_read(
                endpoint, status, self.headers, reading, came, is_cut, outcome, error_type
            )
        if broke_off and outcome != "ok":
            self.remember(self.attempt)
        model = reading.model or self.route.model or self.asked.model
        units, reason = reading.units, reading.reason
        if self.body is not None:
            reason = unseen(self.body, units) or reason
        source: CostSource = "estimate" if reading.estimated else "usage"
        estimates = self.meter.estimates
        if units is None and served and answer and is_worth_counting(endpoint, reading):
            sent = self.exchange.body
            units, source = estimates.rough(sent, answer, self._cut), "estimate"
            reading = reading._replace(unpriced=reading.unpriced + estimates.uncounted(sent))
            reason = f"no usage was told{f' ({reason})' if reason else ''}; {BY_LENGTH}"
        elif model not in estimates.settled and model and units is not None and reading.complete and source == "usage":
            estimates.learn(endpoint, self.exchange.body, answer, streamed, model, units)
        costed, price = cost_read(
            self.meter.prices,
            self.provider.id,
            self.started_ns,
            self.attributed.shared,
            status,
            reading,
            model,
            units,
            source,
            reason,
            outcome,
            self.hold is not None,
        )
        if costed.cost is None and is_absurd(costed):
            reading, units = reading._replace(units=None, parts=()), None
        told = reading.units
        if source == "estimate" and costed.cost is None and not reading.parts and (told is None or reading.by_length):
            # counted better by the draining thread
            estimates.keep(self.id, endpoint, self.exchange.body, answer, streamed, model, self._cut, told)
        self._record(now, reading, model, units, costed, outcome, error_type, streamed, price=price)

    def _facts(self, answer: bytes, streamed: bool) -> Facts:
        exchange = self.exchange
        # The tuple made directly: its generated constructor takes twice as long.
        told = (exchange.host, exchange.path, exchange.body, self.asked, self.headers, answer, streamed)
        return tuple.__new__(Facts, told)

    def _is_told_first(self, once: str) -> bool:
        """Whether usage that can be asked for again is new here; its event then has the id that it has everywhere."""
        shared = event_id(self.provider.id, once)
        if not self.meter.told.is_new(shared):
            return False
        self.meter.spool.append(record.void(self.id))
        if self.group == self.id:
            self.group = shared
        if self.activity is not None:
            self.activity.rename_call(self.id, shared)
        self.id = shared
        return True

    @property
    def _cut(self) -> int:
        return 0 if self.body is None else self.body.cut

    def _record(
        self,
        now: int,
        reading: Reading,
        model: str | None,
        units: Units | None,
        costed: Costed,
        outcome: Outcome,
        error_type: str | None,
        streamed: bool,
        states: dict[str, str] | None = None,
        ledger: str | None = None,
        *,
        price: Callable[[], Costed] | None = None,
    ) -> None:
        meter, activity, provider = self.meter, self.activity, self.provider
        cost, source, unpriced, reason = costed
        waits = cost is None and source != "none"
        first_byte, started, attributed = self.first_byte, self.started, self.attributed
        fields: tuple[Any, ...] = (
            self.id,
            meter.application,
            self.origin,
            self.started_ns,
            now - started,
            None if first_byte is None else first_byte - started,
            provider.id,
            provider.category,
            model,
            self.asked.model or self.route.model,
            self.route.endpoint.template,
            reading.service_tier,
            self.status,
            outcome,
            error_type,
            streamed,
            self.attempt,
            self.group,
            attributed.whole_raw,
            attributed.inbound_raw,
            units or {},
            cost,
            source,
            unpriced,
            reason,
            meter.prices.version or None,
            reading.response_id,
            {},
            reading.terms,
            reading.parts,
        )
        if states is not None:
            fields = (*fields[:_LIMITS], states, *fields[_LIMITS + 1 :], ledger)
        meter.spool.append(record.ended(self.id, fields, to_price=waits))
        if activity is not None:
            if cost is not None:
                activity.end_call(self.id, cost.total_ticks, exact=not unpriced and source != "estimate")
            elif price is not None:
                activity.end_unpriced_call(self.id, price, meter)
            else:  # a refused attempt costs nothing, and that is known
                nothing = outcome in ("error", "blocked") and source == "none" and not unpriced
                activity.end_call(self.id, 0, exact=not waits and nothing)
        if self.hold is not None and states is None:
            self._settle(outcome, units, cost, waits=waits)

    def _settle(self, outcome: Outcome, units: Units | None, cost: Cost | None, *, waits: bool) -> None:
        """Count it to its limits. Never raises: the draining thread settles whatever was not."""
        hold = self.hold
        assert hold is not None
        try:
            ended = Ended(self.id, self.meter.application, self.started_ns, outcome, self.status, units or {}, cost)
            use_case, model = self.attributed.shared.use_case_name, self.asked.model or self.route.model
            hold.end(ended, self.provider.id, use_case, model, waits=waits)
        except Exception:
            health.note("limit_fault", "a call could not be settled at its end; it is when it is stored", exc_info=True)


process: object = object()
"""Stands for the process that a call began in: in a forked child there is another."""


owner: ContextVar[Call | None] = ContextVar("payi_owner", default=None)
"""The call of the outermost face that is sending now; inner faces see it and keep silent."""


def _after_fork() -> None:
    global process
    process = object()
    owner.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_LIMITS = CallEvent.__struct_fields__.index("limits")
