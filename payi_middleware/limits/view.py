"""The limits of a running request, before it calls: for `current().limits`, and for a header of its response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..attributed import attributed
from ..frames import Frame
from .defined import FOREVER
from .matching import Facts
from .snapshot import LimitStanding

if TYPE_CHECKING:
    from ..metering import Metering

__all__ = ["REMAINING", "remaining", "standings_of"]

REMAINING: Final = "x-payi-limit-remaining"


def standings_of(meter: Metering, frame: Frame | None) -> tuple[LimitStanding, ...]:
    """How the limits stand that a call begun now would meet, but for those that go by its model or provider."""
    limits = meter.limits
    if limits.wakes == FOREVER:
        return ()
    known = attributed(frame)
    who = known.attribution if meter.pseudonyms is None else meter.pseudonyms.named(known.attribution)
    return limits.standings(Facts(who, meter.application, "", None, None), known.inbound_raw)


def remaining(meter: Metering, frame: Frame) -> str | None:
    """What is left of the block limits that count the user or the customer alone: a list as of RFC 9651, `"premium";usd=4.98`.

    It goes to the end user, whom what others spent is nobody's business of.
    """
    if meter.limits.wakes:
        return None
    told = [
        f"{_quoted(one.name)};{one.unit}={one.left:f}"
        for one in standings_of(meter, frame)
        if one.own and one.type == "block" and one.left is not None
    ]
    return ", ".join(told) or None


def _quoted(name: str) -> str:
    """A string of RFC 9651, which is ASCII."""
    plain = name.encode("ascii", "replace").decode()
    return '"{}"'.format(plain.replace("\\", "\\\\").replace('"', '\\"'))
