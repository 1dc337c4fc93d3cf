"""Estimates: rough on the application's path, counted by the draining thread once its tokenizers are loaded."""

from __future__ import annotations

import base64
import json
import threading

import httpx2
import pytest
from exchanges import Watched, mock, request, send, stream_of

from payi_middleware.estimates import MAX_COUNTED, Estimates
from payi_middleware.events import Unpriced
from payi_middleware.providers import find
from payi_middleware.providers.base import Endpoint
from payi_middleware.tokens import Tokens

UNTOLD = stream_of(["The ", "fox"], usage=False)
ASKED = request(stream=True)
ANSWER = b"".join(UNTOLD)
PICTURE = base64.b64encode(bytes(1_500_000)).decode()
SEEN = request(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}])


def chat() -> Endpoint:
    provider = find("api.openai.com")
    assert provider is not None
    route = provider.route("POST", "/v1/chat/completions")
    assert route is not None
    return route.endpoint


def test_tokenizers_are_loaded_when_they_are_needed(watched: Watched) -> None:
    """The first estimate loads them, in a thread of their own, and is counted by them if they come in time."""
    watched.meter.estimates = Estimates(patience=150)
    send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
    assert watched.meter.flush(150)
    assert (watched.one.reason or "").endswith("counted with o200k_base")


def test_a_download_that_hangs_holds_up_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until tokenizers are there, texts are counted by length; the draining thread waits for them once, a little."""
    release = threading.Event()
    monkeypatch.setattr(Tokens, "load", lambda self: release.wait())
    watched.meter.estimates = Estimates(patience=0.01)
    try:
        for _ in range(3):
            send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
        events = watched.events
        assert not release.is_set()  # the events are there, and the download still hangs
    finally:
        release.set()
    assert {(e.reason or "").rpartition("; ")[2] for e in events} == {"counted as characters / 4"}
    assert all(e.cost is not None for e in events)


def test_rough_counts() -> None:
    """Four bytes a token; of a stream a token an event; what was left out of the middle by its share."""
    estimates = Estimates()
    assert estimates.rough(b"x" * 9, b"y" * 8) == {"text": (3, 2)}
    assert estimates.rough(b"", b"data: a\n\ndata: b\n\n") == {"text": (0, 2)}
    assert estimates.rough(b"", b"y" * 8, 16) == {"text": (0, 6)}
    assert estimates.rough(b"", b"", 16) == {"text": (0, 0)}
    assert estimates.rough(None, b"y" * 8) == {"text": (0, 2)}


def test_a_picture_is_not_counted_by_its_length() -> None:
    """What is encoded in base64 is no text, sent or received, and is named as not counted."""
    estimates = Estimates()

    assert max(estimates.rough(SEEN, json.dumps({"b64_json": PICTURE}).encode())["text"]) < 100
    assert estimates.uncounted(SEEN) == (Unpriced("image", 1, "not counted"),)
    assert estimates.uncounted(ASKED) == ()


def test_a_request_that_cannot_be_read_is_said() -> None:
    """A body that is a stream only the transport may read: nothing of it is counted, and that is said."""
    estimates = Estimates(patience=0.01)
    (said,) = estimates.uncounted(None)
    estimates.keep(b"a", chat(), None, ANSWER, True, "claude-x")

    counted = estimates.counted(b"a")

    assert (said.unit, said.reason) == ("input", "not counted: the request's body is a stream")
    assert counted == ({"text": (0, 2)}, "counted as characters / 4, the request not at all", (said,))


def test_parts_that_are_no_text_are_named(watched: Watched) -> None:
    """What the tokenizer leaves out stands in the event, once."""
    send(httpx2, False, mock(httpx2, UNTOLD), body=SEEN[:-1] + b',"stream":true}')

    event = watched.one

    assert (event.cost_source, event.units["text"][0] < 100) == ("estimate", True)
    assert event.unpriced == (Unpriced("image", 1, "not counted"),)


def test_texts_beyond_the_bound_are_counted_by_length() -> None:
    """Megabytes of text would hold the drainer and the interpreter: they are counted by length, and the reason says so."""
    estimates = Estimates(patience=0.01)
    long = request(messages=[{"role": "user", "content": "the fox " * (MAX_COUNTED // 8)}])
    estimates.keep(b"a", chat(), long, ANSWER, True, "gpt-4o")
    estimates.keep(b"b", chat(), SEEN * 3, ANSWER, True, "gpt-4o")

    counted, pictures = estimates.counted(b"a"), estimates.counted(b"b")

    assert counted is not None
    assert (counted[0], counted[1]) == (estimates.rough(long, ANSWER), "counted by length, as its texts are over 4 MB")
    assert pictures is not None
    assert pictures[1].startswith("counted as characters / 4")  # base64 is not among the bytes that take long


def test_token_ids_count() -> None:
    """A prompt sent as numbers has as many tokens."""
    estimates = Estimates(patience=0.01)
    body = json.dumps({"model": "davinci-002", "prompt": [[1, 2, 3]] * 1000}).encode()
    estimates.keep(b"a", chat(), body, b"{}", False, "davinci-002")

    counted = estimates.counted(b"a")

    assert counted is not None
    assert counted[0]["text"][0] == 3006


def test_nothing_waits_for_a_call_that_was_not_kept() -> None:
    """A call of another process has no texts here."""
    assert Estimates().counted(b"unknown") is None
