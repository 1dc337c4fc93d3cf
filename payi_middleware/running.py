"""`current()`: what the running request looks like from inside."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from . import carrier, context, identify
from ._outbound import HOOK, meter_of
from .attributed import attributed
from .attribution import clean
from .events import Attribution, usd
from .frames import Activity
from .limits.snapshot import LimitStanding
from .limits.view import standings_of

__all__ = ["Current", "current"]


class Current:
    """A view of the running request, or of the outermost `track` block. Outside of both it is empty, and nothing raises."""

    __slots__ = ("_activity", "_frame")

    def __init__(self) -> None:
        self._frame = context.frame.get()
        self._activity: Activity | None = None if self._frame is None else self._frame.activity

    @property
    def attribution(self) -> Attribution:
        """For whom a call begun now would be made; asks `identify`, if nobody has yet.

        An async `identify` that waits for something is not known in a coroutine before its first call or `acarrier`.
        """
        if self._activity is not None:
            identify.ask(self._activity)
        return attributed(self._frame).attribution

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return 0 if self._activity is None else self._activity.ended_calls

    @property
    def pending(self) -> int:
        """Calls in flight."""
        return 0 if self._activity is None else self._activity.pending

    @property
    def cost(self) -> Decimal:
        """USD of the calls that ended and could be priced."""
        if self._activity is None:
            return usd(0)
        self._activity.add_up()
        return usd(self._activity.cost_ticks)

    @property
    def complete(self) -> bool:
        """Whether `cost` is the whole cost: nothing in flight, estimated or unpriced."""
        if self._activity is None:
            return True
        if self._activity.pending:  # first: a call that ends after this look is added up below
            return False
        self._activity.add_up()
        return not self._activity.inexact

    @property
    def limits(self) -> tuple[LimitStanding, ...]:
        """How the limits stand that a call begun now would meet, and what is left of them; waits for nothing.

        It is what this process heard last, and says how old that is. Limits that go by a model or provider are not among them, as
        those are not known before a call.
        """
        meter = meter_of(self._frame)
        if self._activity is None or meter is None or meter.disabled:
            return ()
        identify.ask(self._activity)
        return standings_of(meter, self._frame)

    def set(self, **fields: Any) -> None:
        """Tell more of the request, from a dependency, a thread or a task; for calls begun afterwards.

        Args:
            fields: `user_id`, `account_name`, `request_tags`, `request_properties`, `use_case_name`, `use_case_id`,
                `use_case_version`, `use_case_step`, `use_case_properties`, `limit_ids`, `limit_tags`, `price_as`,
                `resource_scope`. None tells nothing, an empty value clears.

        Raises:
            TypeError: A field has another name.
        """
        given = clean(**fields)
        if self._activity is not None:
            self._activity.change(given)

    def carrier(self) -> dict[str, str]:
        """A small signed mapping for a job queue; `track.from_carrier(mapping)` opens the same attribution in the worker.

        Empty outside of a request. In a coroutine, where `identify` may have to be awaited, use `acarrier`.
        """
        if self._activity is None:
            return {}
        return carrier.make(self.attribution, HOOK.meter_for(self._frame))

    async def acarrier(self) -> dict[str, str]:
        """The same from a coroutine: it awaits an async `identify`."""
        if self._activity is None:
            return {}
        await identify.ask_async(self._activity)
        return carrier.make(attributed(self._frame).attribution, HOOK.meter_for(self._frame))


def current() -> Current:
    """The running request's view."""
    return Current()
