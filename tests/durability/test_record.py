"""The payloads of records."""

from __future__ import annotations

import os
import time
import uuid

import pytest
from made import call

from payi_middleware import health, record
from payi_middleware.events import Attribution, Inbound
from payi_middleware.pending import finished
from payi_middleware.pricing import Prices
from payi_middleware.spool import BEGUN


def test_ids_are_uuids_of_version_7_ordered_by_time() -> None:
    """An id tells its millisecond, is never given twice, and sorts by the time of its call."""
    now = time.time_ns()
    ids = [record.new_id(now + n * 1_000_000) for n in range(2000)]

    made = [uuid.UUID(bytes=an_id) for an_id in ids]
    assert {(an_id.version, an_id.variant) for an_id in made} == {(7, uuid.RFC_4122)}
    assert [an_id.int >> 80 for an_id in made] == [now // 1_000_000 + n for n in range(2000)]
    assert ids == sorted(set(ids))


def test_a_forked_child_draws_ids_of_its_own() -> None:
    """Parent and child share no id, though both go on from the same state."""
    reading, writing = os.pipe()
    now = time.time_ns()
    pid = os.fork()
    if not pid:
        os.write(writing, b"".join(record.new_id(now) for _ in range(100)))
        os._exit(0)
    mine = {record.new_id(now) for _ in range(100)}
    os.waitpid(pid, 0)
    told = os.read(reading, 1 << 16)
    os.close(reading)
    os.close(writing)

    theirs = {told[at : at + 16] for at in range(0, len(told), 16)}
    assert len(theirs) == 100
    assert mine & theirs == set()


def test_an_event_comes_back_whole() -> None:
    """What is written as an ended record is read as the same event."""
    event = call(user_id="jane", request_tags=("a", "b"), http_route="/x")

    assert record.event_of(record.ended(event.event_id, event)) == (event, False)
    assert record.event_of(record.ended(event.event_id, event, to_price=True)) == (event, True)


def test_a_call_cut_off_is_unknown_and_costs_nothing() -> None:
    """The event of a begun record has its attribution, no cost, and the reason."""
    an_id = record.new_id(1)
    who, where = Attribution(user_id="jane"), Inbound(http_route="/x")
    fields = ("app", "request", 5, "openai", "system.openai", "m", "/v1", True, 2, an_id, who, where)
    begun = BEGUN + an_id + record.encode(fields)

    event = record.unfinished(begun)

    assert (event.event_id, event.attribution, event.inbound) == (an_id, who, where)
    assert (event.outcome, event.cost, event.cost_source) == ("unknown", None, "none")
    assert event.reason == "the process ended while the call was in flight"
    assert event.to_dict()["streamed"] is True


def test_records_that_cannot_be_read_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A record of another version, or one that cannot be priced, holds up no other."""
    health.reset()
    good = call()
    payloads = [record.ended(good.event_id, ("too", "short")), record.ended(good.event_id, good), b"\x02" + bytes(16)]

    assert finished(payloads, Prices()) == [good]
    assert health.counters() == {"record_unreadable": 2}
    assert len(caplog.records) == 1
    health.reset()
