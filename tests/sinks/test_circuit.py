"""When a server that failed is tried again."""

from __future__ import annotations

import pytest

from payi_middleware.sinks.circuit import FULL, Circuit


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_double_up_to_a_minute() -> None:
    """Each failure in a row waits twice as long, at most a minute; a success begins anew."""
    circuit = Circuit(Clock(), lambda: 1.0)

    assert [circuit.failed() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    circuit.succeeded()
    assert circuit.failed() == 0.5


def test_processes_do_not_come_back_together() -> None:
    """A pause is between half of it and all of it."""
    assert Circuit(Clock(), lambda: 0.0).failed() == 0.25
    assert Circuit(Clock(), lambda: 0.5).failed() == 0.375
    assert len({Circuit().failed() for _ in range(20)}) > 1


def test_after_a_failure_one_event_probes() -> None:
    """What may be sent is one event after a failure, and everything again after a success."""
    circuit = Circuit(Clock(), lambda: 1.0)
    assert (circuit.size, circuit.is_open) == (FULL, False)
    circuit.failed()
    assert (circuit.size, circuit.is_open) == (1, False)
    circuit.failed()
    assert (circuit.size, circuit.is_open) == (1, True)
    circuit.succeeded()
    assert (circuit.size, circuit.is_open, circuit.seconds) == (FULL, False, 0.0)


def test_how_far_it_is_looked_for_an_event_that_gets_through() -> None:
    """Not at all at first, then twice as far each time up to a bound; a success begins anew."""
    circuit = Circuit(Clock(), lambda: 1.0)
    looked = []
    for _ in range(12):
        looked.append(circuit.looked)
        circuit.failed()
    assert looked == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 32, 32]
    circuit.succeeded()
    assert circuit.looked == 0


@pytest.mark.parametrize(
    ("asked", "pause", "seconds"), [(7.0, 0.0, 7.0), (0.1, 0.0, 0.5), (10.0**9, 0.0, 3600.0), (0.0, 60.0, 60.0)]
)
def test_what_the_server_asks(asked: float, pause: float, seconds: float) -> None:
    """A server is left alone as long as it asks, an hour at most, and not shorter than without it."""
    clock = Clock()
    circuit = Circuit(clock, lambda: 1.0)

    assert circuit.failed(asked, pause) == seconds
    assert circuit.seconds == seconds
    clock.now += seconds
    assert circuit.seconds == 0.0
