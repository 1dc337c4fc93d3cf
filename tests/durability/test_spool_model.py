"""The spool against a model of it: whatever is appended, taken, committed, closed or killed, in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers

from payi_middleware import intake, record
from payi_middleware.events import Attribution, CallEvent, Inbound
from payi_middleware.pricing import Prices
from payi_middleware.spool import BEGUN, Spool, waiting_bytes

SMALL = 1 << 10
"""Bytes of a segment here, so that a handful of records fills it."""


class Spooling(RuleBasedStateMachine):
    """One process after the other, each with a spool in the same folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.number = 0
        self.running: list[int] = []
        self.appended: set[int] = set()
        """Calls that ended."""
        self.delivered: set[int] = set()
        self.taken: list[bytes] = []
        self.unknown: set[int] = set()
        self.cut_off: set[int] = set()
        """Calls that ran when their process was killed."""
        self._start()

    def _start(self) -> None:
        self.spool = Spool(self.folder, limit=1 << 24, wake=lambda: True)
        self.spool._next_bytes = self.spool._largest = SMALL
        self.spool._owner = f"{self.number:08}"  # else a random one, and no two runs would be the same

    @rule(many=integers(1, 4))
    def begin(self, many: int) -> None:
        for _ in range(many):
            self.number += 1
            self.running.append(self.number)
            self.spool.append(_begun(self.number))

    @precondition(lambda self: self.running)
    @rule(which=integers(0, 1000), many=integers(1, 4))
    def end(self, which: int, many: int) -> None:
        for _ in range(min(many, len(self.running))):
            call = self.running.pop(which % len(self.running))
            self.appended.add(call)
            self.spool.append(record.ended(call.to_bytes(16, "big"), _event(call)))

    @precondition(lambda self: self.running)
    @rule()
    def take_over(self) -> None:
        self.spool.append(record.void(self.running.pop().to_bytes(16, "big")))

    @precondition(lambda self: not self.taken)
    @rule(most=integers(1, 20))
    def take(self, most: int) -> None:
        self.taken = self.spool.take(most)
        assert len(self.taken) <= most

    @rule()
    def commit(self) -> None:
        self._deliver([record.event_of(payload)[0] for payload in self.taken])
        self.taken = []
        self.spool.commit()

    def _deliver(self, events: list[CallEvent]) -> None:
        for event in events:
            call = int.from_bytes(event.event_id, "big")
            if event.outcome == "unknown":
                assert call in self.cut_off or call in self.delivered, "a running call was taken for lost"
                if call not in self.delivered:
                    self.unknown.add(call)
            else:
                assert call in self.appended
                assert call not in self.unknown, "an ended call was counted as unknown before"
                self.delivered.add(call)

    @rule()
    def close(self) -> None:
        """Taken but not committed is the meter's to keep, and on disk besides."""
        if not self.taken:
            self.spool.close()

    @precondition(lambda self: self.number % 5 == 0)
    @rule()
    def kill(self) -> None:
        """Letting go of the maps is what the end of a process does."""
        self.cut_off.update(self.running)
        self.running.clear()
        self.taken = []
        self._start()

    @rule()
    def adopt(self) -> None:
        intake.orphans(self.folder, "", Prices(), lambda events: self._deliver(list(events)))

    @invariant()
    def memory_is_not_used(self) -> None:
        assert self.spool.durable
        assert not self.spool._memory

    @invariant()
    def the_spool_knows_no_call_that_is_over(self) -> None:
        known = {int.from_bytes(call, "big") for call in self.spool._open}
        assert known <= set(self.running) | (self.appended - self.delivered) | known & self._unread()

    def _unread(self) -> set[int]:
        """Calls whose end, or void, still waits to be read."""
        return {
            int.from_bytes(payload[1:17], "big")
            for segment in self.spool._segments
            for _, payload in segment.records(segment.read, segment.end)
        }

    def teardown(self) -> None:
        self.commit()
        while taken := self.spool.take(1000):
            self.taken = taken
            self.commit()
        self.spool.commit()
        running = set(self.running)
        self.kill()
        self.adopt()
        files = [path.name for path in self.folder.iterdir() if path.name != intake.LOCK]
        shutil.rmtree(self.folder)
        assert files == []
        assert self.delivered == self.appended
        assert running <= self.unknown <= self.cut_off
        assert waiting_bytes(self.folder) == 0


def _begun(call: int) -> bytes:
    who, where = Attribution(user_id="jane"), Inbound()
    fields = ("app", "track", call, "openai", "system.openai", "m", "/v1", False, 1, b"g" * 16, who, where)
    return BEGUN + call.to_bytes(16, "big") + record.encode(fields)


def _event(call: int) -> CallEvent:
    unfinished = record.unfinished(_begun(call))
    return msgspec.structs.replace(unfinished, outcome="ok")


TestSpooling = Spooling.TestCase
TestSpooling.settings = settings(
    max_examples=100, stateful_step_count=80, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
