"""What went wrong, counted by kind."""

from __future__ import annotations

import logging
import threading

import pytest

from payi_middleware import health


@pytest.fixture(autouse=True)
def _fresh() -> None:
    health.reset()


def test_each_kind_is_logged_once_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    """The first note of a kind is a warning, the others are only counted; counts alone log nothing."""
    for _ in range(3):
        health.note("a", "the %s is %d", "answer", 42)
    health.note("b", "three at once", n=3)
    health.count("c", 2)

    assert health.counters() == {"a": 3, "b": 3, "c": 2}
    assert [record.getMessage() for record in caplog.records] == ["the answer is 42", "three at once"]
    assert {record.name for record in caplog.records} == {"payi_middleware"}
    health.reset()
    assert health.counters() == {}


def test_foreign_values_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A value from outside is shown by its repr, at most 200 characters of it."""
    assert health.shown("a\n") == r"'a\n'"
    assert len(health.shown("x" * 10_000)) == 200


def test_a_note_within_a_note_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may end a call, which counts, while the same thread counts."""

    class Interrupted(dict[str, int]):
        def get(self, kind: str, default: int = 0) -> int:  # type: ignore[override]
            if kind == "outer":
                health.count("inner")
            return super().get(kind, default)

    monkeypatch.setattr(health, "_counters", Interrupted())
    thread = threading.Thread(target=health.count, args=("outer",), daemon=True)
    thread.start()
    thread.join(10)

    assert not thread.is_alive()
    assert health.counters() == {"outer": 1, "inner": 1}


@pytest.mark.parametrize("kind", ["filter", "handler"])
def test_logging_of_the_application_that_raises_is_not_ours(kind: str) -> None:
    """A filter or handler that raises never reaches who notes something, and what is noted counts."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

    broken = Broken()
    if kind == "filter":
        health.log.addFilter(broken)
    else:
        health.log.addHandler(broken)
    try:
        health.note("a", "something")
    finally:
        health.log.removeFilter(broken)
        health.log.removeHandler(broken)

    assert health.counters() == {"a": 1}
