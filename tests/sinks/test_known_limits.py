"""Which limits may be named."""

from __future__ import annotations

import json

import pytest

from payi_middleware.sinks import known_limits
from payi_middleware.sinks.api import Answer
from payi_middleware.sinks.known_limits import FRESH_SECONDS, KnownLimits


class Server:
    """Knows some limits, and the time."""

    def __init__(self, **types: str) -> None:
        self.types = types
        self.asked: list[str] = []
        self.now = 0.0

    def get(self, path: str) -> Answer:
        self.asked.append(path.rpartition("/")[2])
        kind = self.types.get(self.asked[-1])
        return Answer(404, b"") if kind is None else Answer(200, json.dumps({"limit": {"limit_type": kind}}).encode())

    def limits(self) -> KnownLimits:
        return KnownLimits(self.get, lambda: self.now)


def test_a_limit_is_looked_up_again_after_a_while() -> None:
    """What was made, deleted or changed is seen within ten minutes; meanwhile nothing is asked."""
    server = Server(a="allow", b="block")
    limits = server.limits()
    assert limits.usable(["a", "b", "c", "a"]) == {"a"}
    server.types = {"b": "allow", "c": "allow"}
    server.now = FRESH_SECONDS - 1
    assert limits.usable(["a", "b", "c"]) == {"a"}
    assert sorted(server.asked) == ["a", "b", "c"]

    server.now = FRESH_SECONDS
    assert limits.usable(["a", "b", "c"]) == {"b", "c"}


def test_a_limit_that_was_refused_is_not_named() -> None:
    """The refusal of an event tells as much as a look-up."""
    server = Server(a="allow")
    limits = server.limits()
    assert limits.usable(["a"]) == {"a"}
    limits.refused(["a"])
    assert limits.usable(["a"]) == frozenset()


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits without end do not fill the memory."""
    monkeypatch.setattr(known_limits, "_MOST", 3)
    server = Server()
    limits = server.limits()
    for number in range(10):
        limits.usable([f"l{number}"])
    assert len(limits._known) <= 3


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"limit": 1}', b"<html>", b'{"limit": {"limit_type": null}}'])
def test_odd_answers(body: bytes) -> None:
    """What tells no type is not named."""
    assert KnownLimits(lambda path: Answer(200, body)).usable(["a"]) == frozenset()
