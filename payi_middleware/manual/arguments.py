"""What code tells of an event, checked: the one place of this package that raises at what an application passes.

A dropped count would be a wrong bill without a word, so nothing is guessed here. Pure, but for the clock.
"""

from __future__ import annotations

import datetime
import operator
import re
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, SupportsIndex, TypeAlias, TypedDict

from .. import health
from ..attribution import NOTHING, Given, check_use_case, clean
from ..events import Units
from ..exceptions import EventError
from ..values import ns_of, ticks_of

__all__ = ["AHEAD_NS", "OLDEST_NS", "Told", "UnitsGiven", "Who", "told_of"]

MOST_COUNT: Final = 2**31 - 1
"""Of one side of a unit, and of milliseconds: Pay-i's bound."""
MOST_UNITS: Final = 64
MOST_NAME: Final = 256
"""Characters."""
MOST_TERMS: Final = 32
MOST_USD: Final = 1_000_000
AHEAD_NS: Final = 300 * 10**9
"""How far in the future an event may be; Pay-i's bound."""
OLDEST_NS: Final = 946_684_800 * 10**9
"""2000-01-01, before there was anything to be priced."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNITS_CURE = "write for example {'text': (1200, 300)}, {'text': {'input': 1200, 'output': 300}} or {'page': 3}"

Count: TypeAlias = SupportsIndex
UnitsGiven: TypeAlias = Mapping[str, "Count | tuple[Count, Count] | Mapping[str, Count | None]"]


class Who(TypedDict, total=False):
    """For whom and for what an event is, where it differs from what runs; as `track` and `use_case` take it."""

    user_id: str | int | None
    account_name: str | None
    request_tags: Iterable[str] | str | None
    request_properties: Mapping[str, Any] | None
    use_case_name: str | None
    use_case_id: str | None
    use_case_version: int | None
    use_case_step: str | None
    use_case_properties: Mapping[str, Any] | None
    limit_ids: Iterable[str] | str | None
    limit_tags: Iterable[str] | str | None
    price_as: str | None
    resource_scope: str | None


class Told(NamedTuple):
    """What the application tells of an event, checked."""

    category: str
    resource: str | None
    units: Units
    started_ns: int | None
    """None for an event that ends now."""
    latency_ms: int
    http_status: int | None
    response_id: str | None
    stated_ticks: int | None
    service_tier: str | None
    terms: tuple[str, ...]
    who: Given


def told_of(
    category: object,
    resource: object,
    units: object,
    *,
    at: datetime.datetime | str | None,
    latency_ms: object,
    http_status: object,
    provider_response_id: object,
    cost: object,
    terms: object,
    who: Who,
) -> Told:
    """An event as `Meter.record` takes it.

    Raises:
        EventError: A value cannot be.
        UseCaseError: The use case's name cannot be one.
        TypeError: A field of `who` has another name.
    """
    tier, others = _terms(terms)
    use_case = who.get("use_case_name")
    if use_case:
        check_use_case(use_case)
    return Told(
        category=_name("category", category),
        resource=None if resource is None else _name("resource", resource),
        units=_units(units),
        started_ns=_moment(at),
        latency_ms=_whole("latency_ms", latency_ms),
        http_status=_status(http_status),
        response_id=None if provider_response_id is None else _name("provider_response_id", provider_response_id),
        stated_ticks=_ticks(cost),
        service_tier=tier,
        terms=others,
        who=clean(**who) if who else NOTHING,
    )


def _units(told: object) -> Units:
    """Counts by unit, (input, output). A bare number went in.

    Raises:
        EventError: There is another shape in it, or a number that is no count.
    """
    if not isinstance(told, Mapping):
        raise EventError(f"units: {health.shown(told)} is no mapping of units; {_UNITS_CURE}")
    if len(told) > MOST_UNITS:
        raise EventError(f"units: {len(told)} of them; an event has {MOST_UNITS} at most")
    return {_name("units", unit): _sides(unit, sides) for unit, sides in told.items()}


def _sides(unit: str, told: object) -> tuple[int, int]:
    where = f"units[{unit!r}]"
    if isinstance(told, Mapping):
        unknown = [side for side in told if side not in ("input", "output")]
        if unknown:
            raise EventError(f"{where}: {health.shown(unknown[0])} is no side; there are 'input' and 'output'")
        return _side(where, "input", told.get("input")), _side(where, "output", told.get("output"))
    if isinstance(told, (tuple, list)):
        if len(told) != 2:
            raise EventError(f"{where}: {health.shown(told)} are not two counts; write (input, output)")
        return _side(where, "input", told[0]), _side(where, "output", told[1])
    return _whole(where, told), 0


def _side(where: str, side: str, told: object) -> int:
    return 0 if told is None else _whole(f"{where}.{side}", told)


def _whole(field: str, told: object) -> int:
    """A count from 0 to 2,147,483,647.

    Raises:
        EventError: It is none: a bool, a float, a text, negative or too large.
    """
    cure = f"write a whole number from 0 to {MOST_COUNT}"
    try:
        if isinstance(told, bool):
            raise TypeError
        number = operator.index(told)  # type: ignore[arg-type]  # that it may be anything is the point
    except TypeError:
        raise EventError(f"{field}: {health.shown(told)} is no count; {cure}") from None
    if not 0 <= number <= MOST_COUNT:
        raise EventError(f"{field}: {number} is out of range; {cure}")
    return number


def _name(field: str, told: object) -> str:
    """A short line of text.

    Raises:
        EventError: It is none.
    """
    if not isinstance(told, str) or not told.strip():
        raise EventError(f"{field}: {health.shown(told)} is no name; write a text of 1 to {MOST_NAME} characters")
    text = told.strip()
    if len(text) > MOST_NAME or _CONTROL.search(text):
        raise EventError(
            f"{field}: {health.shown(text)} has more than {MOST_NAME} characters, or control characters; shorten it"
        )
    return text


def _moment(told: datetime.datetime | str | None) -> int | None:
    """Nanoseconds since the epoch; without a zone it is UTC. None for None.

    Raises:
        EventError: It is no time, before the year 2000 or more than five minutes ahead.
    """
    if told is None:
        return None
    cure = "write a datetime, or a text such as '2026-02-03T10:00:00Z'"
    try:
        moment = datetime.datetime.fromisoformat(told) if isinstance(told, str) else told
        if not isinstance(moment, datetime.datetime):
            raise ValueError
        ns = ns_of(moment)
    except (ValueError, OverflowError):
        raise EventError(f"at: {health.shown(told)} is no time; {cure}") from None
    if ns > time.time_ns() + AHEAD_NS:
        raise EventError(
            f"at: {health.shown(told)} is more than 5 minutes in the future; tell when it began",
            "invalid_ingest_event_timestamp",
        )
    if ns < OLDEST_NS:
        raise EventError(f"at: {health.shown(told)} is before the year 2000; {cure}", "invalid_ingest_event_timestamp")
    return ns


def _status(told: object) -> int | None:
    """An HTTP status; None for None.

    Raises:
        EventError: It is none.
    """
    if told is None:
        return None
    status = _whole("http_status", told)
    if not 100 <= status <= 599:
        raise EventError(f"http_status: {status} is no status; write one from 100 to 599, or leave it out")
    return status


def _ticks(told: object) -> int | None:
    """USD as ticks, rounded half to even; None for None.

    Raises:
        EventError: It is no amount: a float, negative, or more than a million dollars.
    """
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, (Decimal, int)):
        raise EventError(f"cost: {health.shown(told)} is no amount; write Decimal('0.0042'), in USD")
    amount = Decimal(told)
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise EventError(f"cost: {health.shown(told)} is out of range; write USD from 0 to {MOST_USD}")
    return ticks_of(amount)


def _terms(told: object) -> tuple[str | None, tuple[str, ...]]:
    """(service tier, what else the rates depend on), of terms of which `tier:NAME` may be one.

    Raises:
        EventError: One is not `kind:value`.
    """
    cure = "write for example ('region:eu', 'tier:batch')"
    if isinstance(told, str) or not isinstance(told, Iterable):
        raise EventError(f"terms: {health.shown(told)} is no list; {cure}")
    terms = [_name("terms", term) for term in told]
    if len(terms) > MOST_TERMS:
        raise EventError(f"terms: {len(terms)} of them; an event has {MOST_TERMS} at most")
    tier = None
    kept: list[str] = []
    for term in terms:
        kind, _, value = term.partition(":")
        if not kind or not value:
            raise EventError(f"terms: {health.shown(term)} is not kind:value; {cure}")
        if kind == "tier":
            tier = value
        else:
            kept.append(term)
    return tier, tuple(kept)
