"""A limit as its owner writes it: how much of what, for whom, in which window, and what happens when it is reached."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ..events import TICKS_PER_USD
from ..exceptions import LimitError
from ..values import ticks_of

__all__ = [
    "CALENDAR",
    "FORECAST",
    "LONGEST_NAME",
    "MOST",
    "PER",
    "Definition",
    "Limit",
    "Per",
    "Unit",
    "Window",
    "check_id",
    "differences",
    "rolling_ns",
]

Unit: TypeAlias = Literal["usd", "calls", "tokens"]
Window: TypeAlias = Literal["hour", "day", "week", "month", "quarter", "year"]
Per: TypeAlias = Literal["user", "account", "use_case", "instance", "request_tag", "model", "application"]

CALENDAR: Final = get_args(Window)
PER: Final = get_args(Per)
FORECAST: Final = "forecast"
"""Among `alerts`: tell when spending goes on as it does would reach the limit before its window ends."""
MOST: Final = 100_000_000
"""USD that a limit may be, at most: 10^18 ticks, so that sums stay within 64 bits."""

_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLLING = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_MATCHED = ("user_id", "account_name", "use_case_name", "use_case_step", "model", "provider", "application", "route")
LONGEST_NAME: Final = 128
LONGEST_ID: Final = 256
"""Characters."""


class _Named(msgspec.Struct, frozen=True):
    """What a limit cannot be without; by place, as the rest is by name."""

    name: str
    max: Decimal
    """USD, calls or tokens."""


class Limit(_Named, frozen=True, kw_only=True, omit_defaults=True):
    """How much may be spent, by whom, in which time.

    Args:
        name: What it is known by within its application; 128 characters at most.
        max: The most: USD, calls or tokens, as `unit` says.
        type: `block` refuses calls when it is reached; `allow` only tells.
        unit: What is counted.
        threshold: Share of `max` (0.75 to 0.99) from which its state is `exceeded`, by default all of it; nothing is refused by it.
        window: When it starts anew: a period of the calendar in `timezone`, a rolling time (`24h`, `90m`, `30d`, or a
            `timedelta`), or None: only a reset does it.
        timezone: An IANA name, by which days and months turn.
        per: An account for each user, model, ... or for each combination; None for one account that all share. `instance` is
            one run of a use case, its `use_case_id`.
        match: Calls it applies to, by field: `{"properties.plan": "pro", "model": "gpt-4o"}`. Fields are `user_id`,
            `account_name`, `use_case_name`, `use_case_step`, `model`, `provider`, `application`, `route`,
            `properties.NAME` (of the request) and `use_case_properties.NAME`. With neither `per`, `match` nor `tags` a
            limit applies to calls that name it in `limit_ids`, or, made in code, to every call of the application.
        tags: It applies only to calls of which one of these is among their `limit_tags`.
        strict: Whether no call may begin that could pass `max`; else the call that crosses it completes.
        on_error: When the ledger is out of reach: `open` lets calls through, `closed` refuses them. By default a block
            limit is closed and an allow limit open.
        unknown_price: What a call of a model without a known price is held at: `dearest` of its maker, `block` it, `allow` it.
            An allow limit refuses nothing, so there `block` is as `dearest`.
        alerts: Shares of `max` at which to tell, and `forecast`: `(0.5, 0.8, 1, "forecast")`.
        managed: Whether this code, when it starts and says something else than it said last, wins over what is stored; else it
            only creates what is missing.

    Raises:
        LimitError: A value cannot be; the message names it and what it may be.
    """

    type: Literal["block", "allow"] = "block"
    unit: Unit = "usd"
    threshold: float | None = None
    window: str | None = None
    timezone: str = "UTC"
    per: tuple[Per, ...] = ()
    match: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    strict: bool = False
    on_error: Literal["open", "closed"] | None = None
    unknown_price: Literal["dearest", "block", "allow"] = "dearest"
    alerts: tuple[float | str, ...] = ()
    managed: bool = True

    if TYPE_CHECKING:  # what may be given is more than what is kept

        def __init__(
            self,
            name: str,
            max: Decimal | int | float | str,
            *,
            type: Literal["block", "allow"] = "block",
            unit: Unit = "usd",
            threshold: Decimal | float | None = None,
            window: str | datetime.timedelta | None = None,
            timezone: str = "UTC",
            per: Per | Iterable[Per] | None = None,
            match: Mapping[str, str] | None = None,
            tags: Iterable[str] = (),
            strict: bool = False,
            on_error: Literal["open", "closed"] | None = None,
            unknown_price: Literal["dearest", "block", "allow"] = "dearest",
            alerts: Iterable[Decimal | float | str] | Decimal | float | str = (),
            managed: bool = True,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Bring what was given into the one form that is kept."""
        put = msgspec.structs.force_setattr
        for name in ("per", "tags", "alerts"):
            put(self, name, _several(getattr(self, name)))
        put(self, "alerts", tuple([float(one) if isinstance(one, Decimal) else one for one in self.alerts]))
        if isinstance(self.threshold, Decimal):
            put(self, "threshold", float(self.threshold))
        put(self, "match", _matched(self.name, self.match))
        put(self, "max", _amount(self.name, self.max))
        put(self, "window", _window(self.window))
        _check(self)

    @property
    def most(self) -> int:
        """`max` as it is counted: ticks, calls or tokens."""
        return ticks_of(self.max) if self.unit == "usd" else int(self.max)

    @property
    def pays_unknown(self) -> bool:
        """Whether a call without a known price costs it something: what its maker's dearest model would."""
        return self.unit == "usd" and self.unknown_price != "allow"

    @property
    def refuses_unknown(self) -> bool:
        """Whether it lets no call through without a known price; an allow limit charges those by the dearest model instead."""
        return self.unit == "usd" and self.type == "block" and self.unknown_price == "block"

    @property
    def is_dated(self) -> bool:
        """Whether its accounts tell when they were begun: runs end, and without a window no account would ever be over."""
        return "instance" in self.per and self.window is None

    @property
    def closed_on_error(self) -> bool:
        """Whether calls are refused while the ledger is out of reach."""
        return self.type == "block" if self.on_error is None else self.on_error == "closed"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A limit as a ledger keeps it."""

    limit_id: str
    application: str
    limit: Limit
    source: Literal["code", "api", "instance"] = "api"
    """Who made it: code of the application, whoever asked by REST or the command line, or a use case's `limit_config`."""
    code: Limit | None = None
    """What the code said last: what somebody else changed since stays until the code says something new."""
    properties: dict[str, str] = {}
    created_ns: int = 0
    updated_ns: int = 0
    only: frozenset[str] | None = None
    """The keys of its accounts, if no others are made: of instances whose use case gives new ones no limit any more."""

    @property
    def is_of_instances(self) -> bool:
        """Whether it is a use case's `limit_config`: see `instances`."""
        return self.source == "instance" and "instance" in self.limit.per

    @property
    def attaches(self) -> bool:
        """Whether it applies to calls that do not name it."""
        limit = self.limit
        return self.source == "code" or bool(limit.per or limit.match or limit.tags)

    @property
    def is_codes(self) -> bool:
        """Whether code made it and may change it again."""
        return self.source == "code" and self.limit.managed


def check_id(limit_id: str) -> str:
    """An id that somebody gives a limit.

    Raises:
        LimitError: No call could name it.
    """
    if not 1 <= len(limit_id) <= LONGEST_ID or not limit_id.isprintable() or limit_id != limit_id.strip():
        raise LimitError(f"{limit_id[:LONGEST_ID]!r} is no id: one has 1 to {LONGEST_ID} printable characters")
    if "," in limit_id:
        raise LimitError(f"{limit_id!r} is no id: a comma stands between those that a header names")
    return limit_id


def differences(old: Limit, new: Limit) -> list[str]:
    """What is changed, for a person: `max: 10 -> 20`."""
    names = (name for name in Limit.__struct_fields__ if getattr(old, name) != getattr(new, name))
    return [f"{name}: {getattr(old, name)!s} -> {getattr(new, name)!s}" for name in names]


def rolling_ns(window: str | None) -> int | None:
    """How long a rolling window is, nanoseconds; None for one of the calendar, or none."""
    found = _ROLLING.fullmatch(window or "")
    return None if found is None else int(found[1]) * _SECONDS[found[2]] * 10**9


def _several(given: Any) -> tuple[Any, ...]:
    """One thing may be given for a tuple of one."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)


def _matched(name: str, given: Any) -> dict[Any, Any]:
    try:
        return dict(given or {})
    except (TypeError, ValueError):
        raise LimitError(
            f"limit {name!r}: match={given!r} is no mapping; use for example {{'properties.plan': 'pro'}}"
        ) from None


def _amount(name: str, given: Any) -> Decimal:
    try:
        # A float is meant as it is written: 0.1 is a tenth.
        amount = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
        if isinstance(given, bool):
            raise TypeError
    except (InvalidOperation, TypeError, ValueError):
        raise LimitError(f"limit {name!r}: max={given!r} is no number; use for example 10 or '12.50'") from None
    if not amount.is_finite() or not 0 < amount <= MOST * TICKS_PER_USD:
        raise LimitError(
            f"limit {name!r}: max={given!r} must be above 0, and at most {MOST:,} USD or 10^18 calls or tokens"
        )
    return amount


def _window(given: Any) -> str | None:
    if not isinstance(given, datetime.timedelta):
        return None if given == "" else given
    seconds = given.total_seconds()
    for sign in "dhm":
        if seconds % _SECONDS[sign] == 0:
            return f"{int(seconds // _SECONDS[sign])}{sign}"
    return str(given)  # refused by the check, in its own words


def _check(limit: Limit) -> None:
    """Raises LimitError."""
    name = limit.name
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise LimitError(f"limit {str(name)[:LONGEST_NAME]!r}: a name has 1 to {LONGEST_NAME} printable characters")
    _check_types(limit)
    choices = (
        ("type", limit.type, ("block", "allow")),
        ("unit", limit.unit, get_args(Unit)),
        ("on_error", limit.on_error, (None, "open", "closed")),
        ("unknown_price", limit.unknown_price, ("dearest", "block", "allow")),
        *(("per", per, PER) for per in limit.per),
    )
    for field, value, valid in choices:
        if value not in valid:
            raise LimitError(f"limit {name!r}: {field}={value!r} is not valid; use {' or '.join(map(repr, valid))}")
    if limit.unit == "usd":
        if limit.max > MOST or Fraction(limit.max) * TICKS_PER_USD % 1:
            raise LimitError(
                f"limit {name!r}: max={limit.max} USD must be at most {MOST:,}, with ten decimal places at most"
            )
    elif Fraction(limit.max) % 1:
        raise LimitError(f"limit {name!r}: max={limit.max} must be a whole number of {limit.unit}")
    if limit.threshold is not None and not 0.75 <= limit.threshold <= 0.99:
        raise LimitError(f"limit {name!r}: threshold={limit.threshold!r} must be from 0.75 to 0.99, or None")
    window: Any = limit.window
    if window is not None and not (isinstance(window, str) and (window in CALENDAR or rolling_ns(window) is not None)):
        raise LimitError(
            f"limit {name!r}: window={limit.window!r} is not valid; use {', '.join(map(repr, CALENDAR))}, a rolling time of "
            "whole minutes, hours or days such as '24h', or None"
        )
    _check_zone(limit)
    for field in limit.match:
        if field not in _MATCHED and not field.startswith(("properties.", "use_case_properties.")):
            raise LimitError(
                f"limit {name!r}: match has no field {field!r}; use {', '.join(_MATCHED)}, properties.NAME or "
                "use_case_properties.NAME"
            )
    for share in limit.alerts:
        if share != FORECAST and not (_is_number(share) and 0 < share <= 10):  # type: ignore[operator]
            raise LimitError(f"limit {name!r}: alerts are shares of max, such as 0.8, or {FORECAST!r}; not {share!r}")


def _check_types(limit: Limit) -> None:
    """Of what a ledger would write as it is, and not read again."""
    wrong = f"limit {limit.name!r}: "
    for field in ("strict", "managed"):
        if not isinstance(value := getattr(limit, field), bool):
            raise LimitError(f"{wrong}{field}={value!r} is not valid; use True or False")
    if limit.threshold is not None and not _is_number(limit.threshold):
        raise LimitError(f"{wrong}threshold={limit.threshold!r} is no number; use one from 0.75 to 0.99, or None")
    for tag in limit.tags:
        _check_text(f"{wrong}tags", tag)
        if not _TAG.fullmatch(tag):  # a call's tags are such, so none would ever be this one
            raise LimitError(f"{wrong}tags has {tag!r}, which is no tag; use 1 to 64 of A-Z a-z 0-9 _ -")
    for field, value in limit.match.items():
        _check_text(f"{wrong}match", field)
        _check_text(f"{wrong}match[{field!r}]", value)


def _check_text(where: str, value: Any) -> None:
    if not isinstance(value, str):
        cure = f"use {str(value)!r}" if isinstance(value, int | float | Decimal) else "use one text"
        raise LimitError(f"{where} has {value!r}, which is no text; {cure}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise LimitError(f"{where} has {value!a}, of which a letter is a half; write it whole")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_zone(limit: Limit) -> None:
    try:
        ZoneInfo(limit.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise LimitError(
            f"limit {limit.name!r}: timezone={limit.timezone!r} is not known here; use a name such as 'Europe/Berlin', and "
            "install tzdata where the system has no time zones"
        ) from None
