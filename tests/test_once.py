"""Usage that can be asked for again is counted once."""

from __future__ import annotations

import threading
import uuid

from payi_middleware import once
from payi_middleware.once import Told, event_id


def test_the_id_of_an_event_is_made_of_the_provider_s_own() -> None:
    """The same in every process and on every machine: the store keeps one event an id. Another for another provider's."""
    made = event_id("openai", "resp_0123")

    assert made.hex() == "fb52feebe64484e2844652bebdfba912"
    assert uuid.UUID(bytes=made).version == 8
    assert uuid.UUID(bytes=made).variant == uuid.RFC_4122
    assert len({made, event_id("azure", "resp_0123"), event_id("openai", "resp_0124")}) == 3


def test_provider_and_id_do_not_run_together() -> None:
    """`a` and `bc` is not `ab` and `c`; what is no Unicode has an id all the same."""
    assert event_id("a", "bc") != event_id("ab", "c")
    assert len(event_id("openai", "\ud800")) == 16


def test_what_was_told_is_told_once() -> None:
    """The first time it is new, and never after."""
    told = Told()

    assert [told.is_new(one) for one in (b"1", b"2", b"1", b"2", b"3")] == [True, True, False, False, True]


def test_the_oldest_are_forgotten() -> None:
    """A few thousand are remembered, so that a process that lives for months does not grow."""
    told = Told()
    for number in range(once._MOST + 10):
        assert told.is_new(number.to_bytes(16))

    assert len(told._ids) == once._MOST
    assert not told.is_new((once._MOST + 9).to_bytes(16))
    assert told.is_new((0).to_bytes(16))  # long forgotten: here the store tells them apart


def test_of_threads_that_tell_the_same_one_is_the_first() -> None:
    """Whatever they do at once, nothing is counted twice, and nothing never."""
    told, gate, new = Told(), threading.Barrier(8), []

    def tell() -> None:
        gate.wait()
        for number in range(3 * once._MOST):
            if told.is_new((number // 8).to_bytes(16)):
                new.append(number // 8)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(new) == list(range(3 * once._MOST // 8))
