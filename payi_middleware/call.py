"""The life of one exchange with a provider, without I/O: begin, answered, feed, end.

A face of an HTTP library makes the `Call` before it sends, tells it the answer's head, hands it each part and says how
it ended. All of this runs on the application's path, so it does as little as it can, and nothing in it may raise into a
face.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from . import context, health, record
from .body import WHOLE, Body
from .costing import Costed, cost_of
from .estimates import BY_LENGTH
from .events import CostSource, Outcome, Units
from .frames import Activity, Attributed, with_own
from .headers import given_by_headers
from .providers.base import Asked, Provider, Reading, Route

if TYPE_CHECKING:
    from .meter import Meter
    from .spool import Spool

__all__ = ["Call", "Exchange"]

_STREAM_STARTS = (b"data:", b"event:", b": ", b":\n", b"id:", b"retry:")
_OVERHEAD = 48  # bytes of memory that a part takes besides its own
_BLOCK = 64 << 10
_RETRY_NS = 600 * 10**9  # so long after a failure the same request is no retry, but the next round of a loop


class Exchange:
    """One HTTP exchange as a face sees it before sending; knows no HTTP library."""

    __slots__ = ("body", "method", "own_headers", "path", "retry")

    def __init__(
        self, method: str, path: str, body: bytes, own_headers: dict[str, str] | None, retry: str | None
    ) -> None:
        self.method = method
        self.path = path
        """Without the query."""
        self.body = body
        """The request's body; empty if it is a stream."""
        self.own_headers = own_headers
        """xProxy headers of the SDK's call, already taken off it."""
        self.retry = retry
        """The SDK's count of retries (`x-stainless-retry-count`), where it tells one and the last call failed."""


class Failed(NamedTuple):
    """A call that failed, as the next one of its context sees it."""

    group: bytes
    attempt: int
    fingerprint: int
    """Of method, path and body."""
    activity: weakref.ref[Activity] | None
    """A thread that serves request after request keeps its context: what failed for one is not another's."""
    spool: weakref.ref[Spool]
    """The meter's: after a fork, or in another test, nothing is a retry of what was before."""
    failed_ns: int


class Call:
    """One call of a GenAI API."""

    __slots__ = (
        "_once",
        "_parts",
        "_size",
        "activity",
        "asked",
        "attempt",
        "attributed",
        "body",
        "encoding",
        "exchange",
        "first_byte",
        "group",
        "id",
        "meter",
        "provider",
        "route",
        "started",
        "started_ns",
        "status",
        "taken",
    )

    def __init__(
        self,
        meter: Meter,
        activity: Activity | None,
        attributed: Attributed,
        provider: Provider,
        route: Route,
        exchange: Exchange,
    ) -> None:
        self.meter = meter
        self.activity = activity
        self.provider = provider = route.provider or provider
        self.route = route
        self.exchange = exchange
        self.asked: Asked = route.endpoint.ask(exchange.body) if exchange.body else _ASKED_NOTHING
        own = exchange.own_headers
        self.attributed = with_own(attributed, given_by_headers(own), activity) if own else attributed
        self.status: int | None = None
        self.taken = False
        """Whether an inner face took this exchange over."""
        self.first_byte: int | None = None
        self.encoding = ""
        """The answer's content-encoding."""
        self.body: Body | None = None
        """Keeps the parts of an answer that is large or encoded; of any other the list below is enough."""
        self._parts: list[bytes] = []
        self._size = 0
        self._once = [True]
        self.started_ns = now = time.time_ns()
        self.id = self.group = call_id = record.new_id(now)
        self.attempt = 1
        if context.last_attempt.get() is not None:
            self._join_attempts()
        asked = self.asked
        meter.spool.append(
            record.begun(
                call_id,
                (
                    meter.application,
                    "track" if activity is None else activity.origin,
                    now,
                    provider.id,
                    provider.category,
                    asked.model or route.model,
                    route.endpoint.template,
                    asked.streamed,
                    self.attempt,
                    self.group,
                    self.attributed.attribution_raw,
                    self.attributed.inbound_raw,
                ),
            )
        )
        if activity is not None:
            activity.begin_call()
        self.started = time.perf_counter_ns()

    def _join_attempts(self) -> None:
        """Find out whether this is another attempt of the call that failed last in this context."""
        failed = context.last_attempt.get()
        context.last_attempt.set(None)
        if not failed:
            return
        try:
            last = failed.pop()
        except IndexError:  # a parallel task was faster
            return
        if last.activity is not _ref(self.activity) or last.spool is not weakref.ref(self.meter.spool):
            return
        if self.started_ns - last.failed_ns > _RETRY_NS:
            return
        retry = self.exchange.retry
        told = retry is not None and retry.isdecimal()
        if (told and retry != "0") or (not told and last.fingerprint == self._fingerprint()):
            self.group, self.attempt = last.group, last.attempt + 1

    def _remember_failure(self, attempt: int) -> None:
        activity, spool = _ref(self.activity), weakref.ref(self.meter.spool)
        context.last_attempt.set([Failed(self.group, attempt, self._fingerprint(), activity, spool, time.time_ns())])

    def _fingerprint(self) -> int:
        exchange = self.exchange
        return hash((exchange.method, exchange.path, exchange.body))

    def give_way(self) -> None:
        """An inner face is about to begin this exchange anew: it shall find what is known of earlier attempts."""
        if self.attempt > 1 and not self.taken:
            self._remember_failure(self.attempt - 1)

    def take_over(self) -> None:
        """An inner face has this exchange from now on: this call will have no event of its own."""
        if not self.taken:
            self.taken = True
            self._once.clear()
            if self.activity is not None:
                self.activity.forget_call()
            self.meter.spool.append(record.void(self.id))

    def answered(self, status: int, encoding: str | None) -> None:
        """The head of the answer has come."""
        self.status = status
        if encoding and encoding != "identity":
            self.encoding = encoding
        if status >= 400:
            self._remember_failure(self.attempt)

    def feed(self, part: bytes) -> None:
        """Take a part of the answer's body as it was received. Never raises."""
        if self.first_byte is None:
            self.first_byte = time.perf_counter_ns()
        self._parts.append(part)
        self._size += len(part) + _OVERHEAD
        if self._size > WHOLE:
            self._spill()

    def _spill(self) -> None:
        """The answer is large: keep no more of it than its usage needs."""
        try:
            if self.body is None:
                self.body = Body(self.encoding)
            self.body.add(b"".join(self._parts))
        except Exception:
            health.note("call_feed", "a part of an answer could not be kept", exc_info=True)
        self._parts.clear()
        self._size = WHOLE - _BLOCK

    def whole(self, content: bytes) -> None:
        """The answer was there at once, decoded; it ends the call."""
        self.encoding = ""
        self.feed(content)
        self.end()

    def failed(self, error: BaseException) -> None:
        """No answer came, or it broke off with an error."""
        self.end(_outcome_of(error), type(error).__name__)

    def end(self, outcome: Outcome | None = None, error_type: str | None = None) -> None:
        """The call is over; only the first end counts. Never raises.

        Args:
            outcome: How it ended if the answer is not whole; None if the answer was exhausted.
            error_type: The type of the error it broke off with.
        """
        try:
            self._once.pop()
        except IndexError:
            return
        now = time.perf_counter_ns()
        try:
            self._end(now, outcome, error_type)
        except Exception:
            health.note("call_end", "an answer could not be read; its call is recorded without a cost", exc_info=True)
            self._end_unread(now, outcome, error_type)
        self._parts = []  # an answer may be kept long after it was read
        self.body = None

    def _end_unread(self, now: int, outcome: Outcome | None, error_type: str | None) -> None:
        """What can be said of a call that a fault of ours keeps from being read; else it would stay in flight."""
        costed = Costed(None, "none", (), "the answer could not be read: a fault of payi-middleware, see its log")
        try:
            self._record(
                now,
                Reading(),
                self.asked.model,
                None,
                costed,
                outcome or "unknown",
                error_type,
                b"",
                self.asked.streamed,
            )
        except Exception:
            if self.activity is not None:
                self.activity.end_call(0, exact=False)

    def _end(self, now: int, outcome: Outcome | None, error_type: str | None) -> None:
        reading, answer, streamed = self._read()
        broke_off = error_type is not None
        outcome, error_type = self._outcome(reading, bool(answer), outcome, error_type)
        if broke_off and outcome != "ok":
            self._remember_failure(self.attempt)
        model = reading.model or self.route.model or self.asked.model
        units, reason = reading.units, reading.reason
        if self.body is not None:
            reason = self._bounds(self.body, units) or reason
        source: CostSource = "estimate" if reading.estimated else "usage"
        if units is None and self._is_worth_counting(reading, answer):
            units, source = self.meter.estimates.rough(self.exchange.body, answer, self._cut), "estimate"
            reason = f"no usage was told{f' ({reason})' if reason else ''}; {BY_LENGTH}"
        costed = self._costed(reading, model, units, source, reason, outcome)
        self._record(now, reading, model, units, costed, outcome, error_type, answer, streamed)

    def _read(self) -> tuple[Reading, bytes, bool]:
        """What the answer tells, its bytes (for counting, if need be), and whether it is a stream."""
        status, asked = self.status, self.asked.streamed
        if status is None:
            return _NO_ANSWER, b"", asked
        head, tail = self._answer()
        endpoint = self.route.endpoint
        if (asked and 200 <= status < 300) or head.startswith(_STREAM_STARTS):
            answer = head + b"\n\n" + tail if tail else head
            return endpoint.read_stream(answer), answer, True
        if tail:
            return endpoint.read_cut(head, tail), head, asked
        return endpoint.read(head), head, asked

    def _answer(self) -> tuple[bytes, bytes]:
        """(head, tail) of the answer, decoded; the tail is empty if nothing was cut."""
        parts = self._parts
        if self.body is None and not self.encoding:
            return (parts[0] if len(parts) == 1 else b"".join(parts)), b""
        self._spill()
        assert self.body is not None
        return self.body.parts()

    @property
    def _cut(self) -> int:
        return 0 if self.body is None else self.body.cut

    def _bounds(self, body: Body, units: Units | None) -> str | None:
        """What of the answer could not be looked at, as a reason."""
        if units is None and body.unknown and not body.note:
            return f"the answer's content-encoding {body.unknown!r} is unknown here"
        return body.note

    def _outcome(
        self, reading: Reading, came: bool, outcome: Outcome | None, error_type: str | None
    ) -> tuple[Outcome, str | None]:
        status = self.status
        if status is not None and not 200 <= status < 300:  # a redirect is an answer of its own, and no help either
            return "error", reading.error_type or f"http_{status}"
        if reading.error_type:
            return "error", reading.error_type
        if came and reading.complete and (reading.units is not None or self.route.endpoint.texts is not None):
            return "ok", None  # the provider had said everything, even if the reader stopped or it broke off after that
        if outcome is None and (self.route.endpoint.texts is None or (self.body is not None and self.body.note)):
            return "ok", None  # exhausted, and we cannot read whether the end is one
        return outcome or "aborted", error_type

    def _is_worth_counting(self, reading: Reading, answer: bytes) -> bool:
        return (
            bool(answer)
            and reading.stated_ticks is None
            and not reading.error_type
            and self.status is not None
            and 200 <= self.status < 300
            and self.route.endpoint.texts is not None
        )

    def _costed(
        self,
        reading: Reading,
        model: str | None,
        units: Units | None,
        source: CostSource,
        reason: str | None,
        outcome: Outcome,
    ) -> Costed:
        """The cost; of source `estimate` or `usage` without a cost if it has to wait for the draining thread."""
        stated = reading.stated_ticks
        if units is None and stated is None:
            return Costed(None, "none", reading.unpriced, _why_nothing(outcome, self.status, reason))
        prices = self.meter.prices
        if stated is None and (reading.units is None or not prices.ready):
            return Costed(None, source, reading.unpriced, reason)
        return cost_of(
            prices,
            self.provider.id,
            model,
            units or {},
            self.started_ns,
            reading.service_tier,
            stated,
            self.attributed.attribution.price_as,
            source,
            reading.unpriced,
            reason,
        )

    def _record(
        self,
        now: int,
        reading: Reading,
        model: str | None,
        units: Units | None,
        costed: Costed,
        outcome: Outcome,
        error_type: str | None,
        answer: bytes,
        streamed: bool,
    ) -> None:
        meter, activity, provider, asked, endpoint = (
            self.meter,
            self.activity,
            self.provider,
            self.asked,
            self.route.endpoint,
        )
        cost, source, unpriced, reason = costed
        waits = cost is None and source != "none"
        if waits and reading.units is None:
            meter.estimates.keep(self.id, endpoint, self.exchange.body, answer, streamed, model, self._cut)
        attributed = self.attributed
        meter.spool.append(
            record.ended(
                self.id,
                (
                    self.id,
                    meter.application,
                    "track" if activity is None else activity.origin,
                    self.started_ns,
                    now - self.started,
                    None if self.first_byte is None else self.first_byte - self.started,
                    provider.id,
                    provider.category,
                    model,
                    asked.model or self.route.model,
                    endpoint.template,
                    reading.service_tier,
                    self.status,
                    outcome,
                    error_type,
                    streamed,
                    self.attempt,
                    self.group,
                    attributed.attribution_raw,
                    attributed.inbound_raw,
                    units or {},
                    cost,
                    source,
                    unpriced,
                    reason,
                    meter.prices.version or None,
                    reading.response_id,
                    {},
                ),
                to_price=waits,
            )
        )
        if activity is not None:
            if cost is not None:
                activity.end_call(cost.total_ticks, exact=not unpriced and source != "estimate")
            else:  # a refused attempt costs nothing, and that is known
                activity.end_call(0, exact=not waits and outcome == "error" and source == "none" and not unpriced)


_ASKED_NOTHING = Asked()
_NO_ANSWER = Reading(complete=False, reason="no answer came")


def _ref(activity: Activity | None) -> weakref.ref[Activity] | None:
    """The one weak reference to an activity, which tells it apart even when it is gone."""
    return None if activity is None else weakref.ref(activity)


def _why_nothing(outcome: Outcome, status: int | None, reason: str | None) -> str:
    if status is not None and not 200 <= status < 300:
        return f"the provider answered {status}"
    if reason:
        return reason
    return "no usage was told" if outcome == "ok" else f"the call ended as {outcome} without usage"


def _outcome_of(error: BaseException) -> Outcome:
    """How a call ended that broke off with an error, by the error's name: each library has types of its own."""
    name = type(error).__name__
    if "Timeout" in name:
        return "timeout"
    if "Cancelled" in name or isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
        return "aborted"
    return "error"
