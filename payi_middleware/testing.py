"""The pytest plugin for users' own suites: the fixture `payi_events`.

    def test_summary_is_charged_to_jane(client, payi_events):
        client.post("/summaries", headers={"authorization": "Bearer jane"})

        event = payi_events.one(user_id="jane")
        assert event.use_case_name == "Document-Summary"
        assert payi_events.cost < Decimal("0.01")

While the fixture lives, nothing is written: every meter of the process keeps its events in memory.

pytest loads this at its start, in every suite: what the fixture needs is imported with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .events import CallEvent
    from .sinks.memory import MemorySink

__all__ = ["Events", "payi_events"]


class Events:
    """The calls that ended since the fixture began; each look delivers what is pending first."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink

    def all(self, **where: Any) -> list[CallEvent]:
        """The events whose fields (by their JSON names, or an attribute's) have the values given, oldest first."""
        from .meter import meters

        for meter in meters():
            meter.flush()
        return [event for event in self._sink.events if all(_is(event, name, value) for name, value in where.items())]

    def one(self, **where: Any) -> CallEvent:
        """The one event with these values; an AssertionError tells what there is instead."""
        found = self.all(**where)
        if len(found) != 1:
            seen = "\n".join(f"  {_summary(event, where)}" for event in self.all()) or "  (none)"
            raise AssertionError(f"{len(found)} events match {where}, not one; there are:\n{seen}")
        return found[0]

    @property
    def cost(self) -> Decimal:
        """USD of all events."""
        from .events import usd

        return usd(sum(event.cost.total_ticks for event in self.all() if event.cost is not None))

    def __len__(self) -> int:
        return len(self.all())

    def __iter__(self) -> Iterator[CallEvent]:
        return iter(self.all())


def _is(event: CallEvent, name: str, value: Any) -> bool:
    """Whether a field has a value, in the form of either: a list or a tuple of tags, an id as text or bytes."""
    return bool(_field(event, name) == value or getattr(event, name, None) == value)


def _field(event: CallEvent, name: str) -> Any:
    told = event.to_dict()
    if name in told and name != "cost":
        return told[name]
    return getattr(event, name)


def _summary(event: CallEvent, where: dict[str, Any]) -> str:
    names = dict.fromkeys(("provider", "resource", "outcome", "user_id", "use_case_name", *where))
    return ", ".join(f"{name}={_field(event, name)!r}" for name in names)


@pytest.fixture
def payi_events() -> Iterator[Events]:
    """The GenAI calls that the test makes, in memory; a hook and default meter that it made are removed afterwards."""
    from .instrumentation import hooked, instrument, uninstrument
    from .meter import Meter, existing_default, forget_default
    from .sinks.memory import MemorySink

    sink = MemorySink()
    hooked_before, default_before = hooked(), existing_default()
    with Meter.capturing(sink):
        # Not a default meter: each test's application makes that one, with settings of its own.
        instrument(None if hooked_before else default_before or Meter())
        try:
            yield Events(sink)
        finally:
            if not hooked_before:
                uninstrument()
            if default_before is None:
                forget_default()
