"""Estimates: rough on the application's path, counted by the draining thread once its tokenizers are loaded."""

from __future__ import annotations

import threading

import httpx2
import pytest
from exchanges import Watched, mock, request, send, stream_of

from payi_middleware.estimates import Estimates
from payi_middleware.tokens import Tokens

UNTOLD = stream_of(["The ", "fox"], usage=False)
ASKED = request(stream=True)


def test_tokenizers_are_loaded_when_they_are_needed(watched: Watched) -> None:
    """The first estimate loads them, in a thread of their own."""
    watched.meter.estimates = Estimates()
    send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
    assert (watched.one.reason or "").endswith("counted with o200k_base")


def test_a_download_that_hangs_holds_up_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until tokenizers are there, texts are counted by length; the draining thread waits two seconds, once."""
    release = threading.Event()
    monkeypatch.setattr(Tokens, "load", lambda self: release.wait(60))
    watched.meter.estimates = Estimates()
    for _ in range(3):
        send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
    assert {(e.reason or "").rpartition("; ")[2] for e in watched.events} == {"counted as characters / 4"}
    assert all(e.cost is not None for e in watched.events)
    release.set()


def test_rough_counts() -> None:
    """Four bytes a token; of a stream a token an event; what was left out of the middle by its share."""
    estimates = Estimates()
    assert estimates.rough(b"x" * 9, b"y" * 8) == {"text": (3, 2)}
    assert estimates.rough(b"", b"data: a\n\ndata: b\n\n") == {"text": (0, 2)}
    assert estimates.rough(b"", b"y" * 8, 16) == {"text": (0, 6)}
    assert estimates.rough(b"", b"", 16) == {"text": (0, 0)}


def test_nothing_waits_for_a_call_that_was_not_kept() -> None:
    """A call of another process has no texts here."""
    assert Estimates().counted(b"unknown") is None
