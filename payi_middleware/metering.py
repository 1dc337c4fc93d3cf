"""What a call, an activity and all that asks for them need of a running `Meter`, which stands above them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import msgspec

    from .counting.estimates import Estimates
    from .hosts import Hosts
    from .limits.answer import Refused
    from .limits.charges import Ended
    from .limits.matching import Facts
    from .limits.snapshot import LimitStanding
    from .once import Told
    from .pricing import Prices
    from .pseudonyms import Pseudonyms
    from .settings import Settings
    from .spool import Spool

__all__ = ["Holding", "Limiting", "Metering"]


class Holding(Protocol):
    """One call before its limits."""

    def admit(self, call: Any) -> Refused | None:
        """Wait until a `Call` may be made; the answer in its place if it may not. Never raises."""
        ...

    async def admit_async(self, call: Any) -> Refused | None:
        """The same without holding the event loop. Raises nothing but the caller's own cancellation."""
        ...

    def room(self, received: int, streamed: bool) -> int:
        """Bytes of the answer that may still come before this is to be asked again."""
        ...

    def release(self) -> None:
        """The call never went out, or another one stands for it."""
        ...

    def end(self, ended: Ended, provider: str, use_case: str | None, model: str | None, *, waits: bool) -> None:
        """The call ended; `waits` tells whether its cost is still to be found out."""
        ...


class Limiting(Protocol):
    """The limits of an application."""

    wakes: int
    """`time.perf_counter_ns` from which a call has to look at limits."""

    def hold(self) -> Holding:
        """What limits have to do with a call that begins now."""
        ...

    def standings(self, facts: Facts, inbound: msgspec.Raw) -> tuple[LimitStanding, ...]:
        """How the limits stand that a call of such facts would meet, as far as this process knows. Never waits."""
        ...


class Metering(Protocol):
    """A running meter, as far as it is asked from below."""

    application: str
    disabled: bool
    settings: Settings
    hosts: Hosts
    prices: Prices
    told: Told
    pseudonyms: Pseudonyms | None
    carrier_key: bytes | None
    """The key beside the spool, once it was read."""
    estimates: Estimates
    spool: Spool
    cold: bool
    """Whether nothing was prepared in this process yet."""

    @property
    def limits(self) -> Limiting:
        """The application's."""
        ...

    def warm(self) -> None:
        """Load rates in the background, so that the first call finds them."""
        ...

    def read_later(self, read: Callable[[], None]) -> None:
        """Let the draining thread read an answer that would hold up an event loop."""
        ...

    def do_later(self, work: Callable[[], None]) -> None:
        """Let the draining thread do something small that raises nothing, when it next has calls to deliver."""
        ...

    def activity_ended(self) -> None:
        """The outermost block of a script is over."""
        ...
