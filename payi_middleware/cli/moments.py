"""`--since`, `--until` and `--timezone`: ISO dates and times, or how long ago."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .faults import WrongOption
from .harmless import harmless

__all__ = ["check_range", "moment", "timezone"]

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def timezone(name: str) -> ZoneInfo:
    """The time zone of this IANA name.

    Raises:
        WrongOption: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongOption(
            "--timezone", f"{harmless(name)!r} is no time zone; give an IANA name, for example UTC or Europe/Berlin"
        ) from None


def moment(option: str, text: str | None, zone: ZoneInfo) -> int | None:
    """Nanoseconds since the epoch; None for None.

    Args:
        option: The option's name, for the message.
        text: `2026-09-21`, `2026-09-21T14:00`, `2026-09-21T14:00:00+02:00`, or how long ago: `30m`, `24h`, `7d`, `2w`.
        zone: Of times that do not name one.

    Raises:
        WrongOption: It is none of these.
    """
    if text is None:
        return None
    try:
        found = _ago(text) or datetime.datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone)
        return (found - _EPOCH) // _MICROSECOND * 1000
    except (ValueError, OverflowError):
        raise WrongOption(
            option, f"{harmless(text)!r} is no time; give for example 2026-09-21, 2026-09-21T14:00, 7d, 24h or 30m"
        ) from None


def check_range(since_ns: int | None, until_ns: int | None) -> None:
    """Refuse a range that ends before it begins.

    Raises:
        WrongOption: It does.
    """
    if since_ns is not None and until_ns is not None and until_ns <= since_ns:
        raise WrongOption("--until", "must be after --since")


def _ago(text: str) -> datetime.datetime | None:
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})
