"""The frozen values that events are made of: for whom a call is made, what it consumed, what that cost.

Money is counted in ticks of 10^-10 USD (integers) and shown as `Decimal`; times are integer nanoseconds since the epoch, UTC,
and shown as RFC 3339. The structs are arrays in msgpack (spool, store). None can be part of a cycle, so the garbage collector need
not know of them (`gc=False`).
"""

from __future__ import annotations

import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "COST_SOURCES",
    "MONEY",
    "NO_LEDGER",
    "OUTCOMES",
    "SCHEMA",
    "TICK",
    "TICKS_PER_USD",
    "Attribution",
    "Cost",
    "CostSource",
    "Inbound",
    "Line",
    "Outcome",
    "Part",
    "Side",
    "Units",
    "Unpriced",
    "format_id",
    "format_time",
    "moment",
    "ns_of",
    "plain",
    "ticks_of",
    "usd",
]

SCHEMA = 1
"""Version of the JSON form of a `CallEvent`."""

TICKS_PER_USD = 10**10
TICK = Decimal("1e-10")

MONEY = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""In which money is reckoned, by this context's own methods: the application's may have four digits, or raise at each rounding."""

NO_LEDGER = "none"
"""In place of a ledger's name in an event that is to be counted to no limit: it never went out."""

Outcome: TypeAlias = Literal["ok", "error", "aborted", "timeout", "blocked", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "aborted", "timeout", "blocked", "unknown")
"""How a call ended; the order is part of the store's format."""

CostSource: TypeAlias = Literal["provider", "usage", "estimate", "none"]
COST_SOURCES: tuple[CostSource, ...] = ("provider", "usage", "estimate", "none")
"""Where a cost is from: stated by the provider, computed from reported usage, from counted tokens, or nowhere."""

Side: TypeAlias = Literal["input", "output"]

Units: TypeAlias = dict[str, tuple[int, int]]
"""What was consumed, by Pay-i unit name: (input, output). Units never overlap: `text` is without cached and reasoning tokens."""


def usd(ticks: int) -> Decimal:
    """Ticks as exact US dollars."""
    return MONEY.scaleb(ticks, -10) if ticks else Decimal(0)


def ticks_of(amount: Decimal) -> int:
    """US dollars as ticks, rounded half to even."""
    return round(MONEY.multiply(amount, TICKS_PER_USD))


def plain(amount: Decimal) -> Decimal:
    """The same amount without needless zeros, and without an exponent, since it is read by people."""
    return Decimal(format(MONEY.normalize(amount), "f"))


def format_time(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, with microseconds."""
    return moment(ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(ns: int) -> datetime.datetime:
    """The same as a time; a float of seconds would lose microseconds."""
    whole, rest = divmod(ns, 1_000_000_000)
    return datetime.datetime.fromtimestamp(whole, datetime.UTC).replace(microsecond=rest // 1000)


def ns_of(moment: datetime.datetime) -> int:
    """Nanoseconds since the epoch; a time without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1000


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _money(value: Decimal) -> str:
    """A plain decimal string, never with an exponent."""
    text = format(plain(value), "f")
    return "0" if text == "-0" else text


class Attribution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """For whom and for what a call is made."""

    user_id: str | None = None
    account_name: str | None = None
    request_tags: tuple[str, ...] = ()
    request_properties: dict[str, str] = {}
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: dict[str, str] = {}
    limit_ids: tuple[str, ...] = ()
    limit_tags: tuple[str, ...] = ()
    price_as: str | None = None
    """`category/resource` or a resource alone, by which to price instead of the model that answered."""
    resource_scope: str | None = None


class Inbound(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The web request during which a call is made."""

    http_method: str | None = None
    http_route: str | None = None
    """The route's template, never the raw path."""
    http_request_id: str | None = None
    trace_id: str | None = None
    """32 hexadecimal digits of W3C `traceparent`."""
    span_id: str | None = None


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One priced unit of a call."""

    unit: str
    side: Side
    quantity: int
    rate: str
    """USD for `per` units, a decimal string."""
    per: int
    source: str
    """Where the rate is from, for example `genai-prices`."""
    valid_from: str | None = None
    """ISO date since which the rate holds; None where the source does not tell."""

    @property
    def amount(self) -> Decimal:
        """USD, exact, unrounded."""
        return MONEY.divide(MONEY.multiply(Decimal(self.rate), self.quantity), self.per)


class Cost(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a call cost, in ticks; `input_ticks + output_ticks == total_ticks`."""

    input_ticks: int
    output_ticks: int
    total_ticks: int
    """The exact sum of the lines, rounded once, half to even."""
    lines: tuple[Line, ...] = ()

    @property
    def input(self) -> Decimal:
        """USD of the input side."""
        return usd(self.input_ticks)

    @property
    def output(self) -> Decimal:
        """USD of the output side."""
        return usd(self.output_ticks)

    @property
    def total(self) -> Decimal:
        """USD in all."""
        return usd(self.total_ticks)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: money as decimal strings."""
        return {
            "currency": "usd",
            "input": _money(self.input),
            "output": _money(self.output),
            "total": _money(self.total),
            "lines": [
                {
                    "unit": line.unit,
                    "side": line.side,
                    "quantity": line.quantity,
                    "rate": line.rate,
                    "per": line.per,
                    "amount": _money(line.amount),
                    "source": line.source,
                    "valid_from": line.valid_from,
                }
                for line in self.lines
            ],
        }


class Unpriced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that was consumed and that the cost leaves out, and why."""

    unit: str
    quantity: int
    reason: str


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one model consumed of a call that several served: an advisor, a tool's own model, a line of a batch."""

    model: str | None
    units: Units
    service_tier: str | None = None
    terms: tuple[str, ...] = ()
    provider: str | None = None
    """Set if it is another one than the call's: a gateway tells who answered."""
    once: str | None = None
    """Set if it is charged once, with the first call that tells of it: 32 hexadecimal digits, the same wherever it is told."""


def format_id(value: bytes) -> str:
    """The usual text form of a UUID's 16 bytes."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
