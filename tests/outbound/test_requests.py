"""requests: every adapter is seen, redirect by redirect, whatever way the application reads the answer."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, Watched, encoded, stream_of
from garbage import collect
from loopback import PATH, Loopback, Reply
from requests.adapters import BaseAdapter, HTTPAdapter

from payi_middleware import health, uninstrument
from payi_middleware import requests as face

UNTOLD = stream_of(["The ", "fox"], usage=False, finish=False, done=False)
URL = "https://api.openai.com" + PATH
OPEN = threading.Event()
OPEN.set()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def post(session: Any, url: str, body: Any = STREAMED_REQUEST, **options: Any) -> Any:
    return session.post(url, data=body, **{"stream": True, "timeout": 5} | options)


WAYS: dict[str, Callable[[Any], Any]] = {
    "content": lambda answer: [answer.content],
    "text": lambda answer: [answer.text],
    "iter_content": lambda answer: list(answer.iter_content(None)),
    "iter_content some": lambda answer: list(answer.iter_content(7)),
    "iteration": list,
    "iter_lines": lambda answer: list(answer.iter_lines()),
    "raw.read": lambda answer: [answer.raw.read()],
    "raw.read some": lambda answer: list(iter(lambda: answer.raw.read(7), b"")),
    "raw.stream": lambda answer: list(answer.raw.stream(7, decode_content=False)),
    "raw lines": lambda answer: list(answer.raw),
}


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_with_and_without_the_hook(
    way: str, coding: str, framing: str, session: Any, loopback: Loopback, seen: Watched
) -> None:
    """Whatever the way of reading, the encoding and the framing, no part is changed, joined or missed."""
    body = encoded(coding, b"".join(STREAM))
    parts = [body[at : at + 37] for at in range(0, len(body), 37)]
    loopback.replies = [Reply(parts, headers={"content-encoding": coding}, framing=framing)]
    read = WAYS[way](post(session, loopback.url))
    uninstrument()
    plain = WAYS[way](post(session, loopback.url))
    if framing == "chunked" or way != "iter_content":  # else the wire itself decides what comes together
        assert read == plain
    event = seen.one
    assert (event.outcome, event.cost_source, event.streamed) == ("ok", "usage", True)
    assert event.units == {"text": (100, 20)}


def test_an_answer_that_is_read_at_once(session: Any, loopback: Loopback, seen: Watched) -> None:
    """As requests does unless told not to."""
    loopback.replies = [Reply([encoded("gzip", ANSWER)], headers={"content-encoding": "gzip"}, framing="length")]
    assert session.post(loopback.url, json={"model": "gpt-4o"}).json()["usage"]
    event = seen.one
    assert (event.outcome, event.requested_resource, event.units) == ("ok", "gpt-4o", {"text": (100, 20)})
    assert event.duration_ns >= (event.first_byte_ns or 0) > 0


def test_parts_come_when_they_come(session: Any, loopback: Loopback, seen: Watched) -> None:
    """The second part is not sent before the first has been read."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, gates=[gate])]
    parts = post(session, loopback.url).iter_content(None)
    assert next(parts) == STREAM[0]
    gate.set()
    assert b"".join(parts) == b"".join(STREAM[1:])
    assert seen.one.outcome == "ok"


@pytest.mark.parametrize("way", ["close", "drop", "with"])
def test_left_early(way: str, session: Any, loopback: Loopback, seen: Watched) -> None:
    """What was received is counted, and the event says that it is an estimate."""
    loopback.replies = [Reply([*UNTOLD, b"."], gates=[OPEN, threading.Event()])]
    if way == "with":
        with post(session, loopback.url) as answer:
            assert next(answer.iter_content(None)) == UNTOLD[0]
    else:
        answer = post(session, loopback.url)
        assert next(answer.iter_content(None)) == UNTOLD[0]
    if way == "close":
        answer.close()
        answer.close()
    del answer
    collect()
    assert (seen.one.outcome, seen.one.error_type, seen.one.cost_source) == ("aborted", None, "estimate")


def test_broken_off_and_too_slow(session: Any, loopback: Loopback, seen: Watched) -> None:
    """The application gets requests' error, and the event the one beneath."""
    gate = threading.Event()
    loopback.replies = [Reply(UNTOLD, breaks=True), Reply(UNTOLD, gates=[gate])]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(session, loopback.url, stream=False)
    with pytest.raises(requests.exceptions.ConnectionError):
        post(session, loopback.url, stream=False, timeout=0.2)
    gate.set()
    assert [(e.outcome, e.error_type) for e in seen.events] == [
        ("error", "ProtocolError"),
        ("timeout", "ReadTimeoutError"),
    ]


def test_no_answer(session: Any, loopback: Loopback, seen: Watched) -> None:
    """A call without an answer is an event without a cost; a timeout is one."""
    gate = threading.Event()

    def sleepy(asked: Any) -> Reply:
        gate.wait(5)
        return Reply()

    loopback.replies = [Reply(silent=True), sleepy]
    with pytest.raises(requests.ConnectionError):
        post(session, loopback.url)
    with pytest.raises(requests.ReadTimeout):
        post(session, loopback.url, timeout=0.2)
    gate.set()
    assert [(e.outcome, e.error_type, e.cost_source) for e in seen.events] == [
        ("error", "ConnectionError", "none"),
        ("timeout", "ReadTimeout", "none"),
    ]


@pytest.mark.parametrize("location", [PATH, PATH + "/?key=secret", "http://{host}" + PATH])
def test_redirects_hop_by_hop(location: str, session: Any, loopback: Loopback, seen: Watched) -> None:
    """Each hop is an event of the same call; who the call is for, told by its headers, holds for all of them."""
    loopback.replies = [Reply([], status=307, headers={"location": location.format(host=loopback.host)}), Reply()]
    headers = {"xProxy-User-ID": "jane", "XPROXY-request-tags": "a,b"}
    answer = session.post(loopback.url, data=REQUEST, headers=headers)
    assert answer.content == ANSWER
    assert len(answer.history) == 1
    first, second = seen.events
    assert (first.http_status, first.outcome, first.cost_source) == (307, "error", "none")
    assert (second.outcome, second.cost_source, second.requested_resource) == ("ok", "usage", "gpt-4o-mini")
    assert (second.call_group, second.attempt) == (first.call_group, 1)
    assert {e.user_id for e in (first, second)} == {"jane"}
    assert second.attribution.request_tags == ("a", "b")
    assert not [name for sent in loopback.asked for name in sent.headers if name.lower().startswith("xproxy")]
    assert "secret" not in second.to_json()


def test_the_same_request_again(session: Any, loopback: Loopback, seen: Watched) -> None:
    """A prepared request that was redirected once is another call when it is sent again, for the same user."""
    redirect = Reply([], status=307, headers={"location": PATH})
    loopback.replies = [redirect, Reply(), Reply()]
    sent = session.prepare_request(requests.Request("POST", loopback.url, {"xProxy-User-ID": "jane"}, data=REQUEST))
    session.send(sent)
    session.send(sent)
    first, second, third = seen.events
    assert first.call_group == second.call_group != third.call_group
    assert third.user_id == "jane"


class Own(BaseAdapter):
    """An adapter of the application's own; each answer's body is what it is given."""

    def __init__(self, body: Any, coding: str = "") -> None:
        super().__init__()
        self.body = body
        self.coding = coding
        self.seen: list[Any] = []

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        self.seen.append(request)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, request.url, request
        if self.coding:
            answer.headers["content-encoding"] = self.coding
        if isinstance(self.body, bytes):
            answer._content = self.body
            answer._content_consumed = True
        else:
            answer.raw = self.body
        return answer

    def close(self) -> None:
        self.seen.append("closed")


class Streaming(io.BytesIO):
    """What an answer is read from that has a `stream` of its own, as urllib3's have."""

    def stream(self, size: int | None = None, decode_content: bool = False) -> Iterator[bytes]:
        yield from iter(lambda: self.read(size or -1), b"")


@pytest.mark.parametrize("kind", [bytes, io.BytesIO, Streaming])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_an_adapter_of_the_applications_own(coding: str, stream: bool, kind: type, session: Any, seen: Watched) -> None:
    """It gets the very request; its answer is watched, whatever it is read from, and whoever decodes it."""
    own = Own(kind(ANSWER if kind is not io.BytesIO else encoded(coding, ANSWER)), coding)
    session.mount("https://api.openai.com", own)
    answer = post(session, URL, REQUEST, stream=stream)
    assert answer.content == (encoded(coding, ANSWER) if kind is io.BytesIO else ANSWER)
    assert own.seen == [answer.request]
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


@pytest.mark.parametrize("way", ["read", "readline", "iterate", "nothing", "break"])
def test_a_file_of_the_applications_own(way: str, session: Any, seen: Watched) -> None:
    """Read in its own ways, or not at all."""

    class Broken(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise OSError("gone")

    file = (Broken if way == "break" else io.BytesIO)(b"".join(STREAM))
    session.mount("https://api.openai.com", Own(file))
    raw = post(session, URL).raw
    assert isinstance(raw, io.BytesIO)
    assert raw.seekable()
    if way == "read":
        assert raw.read(5) + raw.read() == b"".join(STREAM)
    elif way == "readline":
        assert b"".join(iter(raw.readline, b"")) == b"".join(STREAM)
    elif way == "iterate":
        assert b"".join(raw) == b"".join(STREAM)
    elif way == "break":
        with pytest.raises(OSError, match="gone"):
            raw.read()
    with raw:
        pass
    assert file.closed
    outcome = {"nothing": "aborted", "break": "error"}.get(way, "ok")
    assert (seen.one.outcome, seen.one.units) == (outcome, {"text": (100, 20)} if outcome == "ok" else {})


def test_a_file_that_is_dropped_or_breaks_in_iteration(session: Any, seen: Watched) -> None:
    """Its call ends when nobody holds it, or when it breaks."""

    def parts() -> Iterator[bytes]:
        yield UNTOLD[0]
        raise OSError("gone")

    session.mount("https://api.openai.com", Own(parts()))
    with pytest.raises(OSError, match="gone"):
        list(post(session, URL).raw)
    session.mount("https://api.openai.com", Own(io.BytesIO(b"".join(STREAM))))
    next(iter(post(session, URL).raw))
    collect()
    assert [(e.outcome, e.error_type) for e in seen.events] == [("error", "OSError"), ("aborted", None)]


def test_what_get_adapter_returns(session: Any, loopback: Loopback, seen: Watched) -> None:
    """For a provider an adapter that has all of the session's own one; for others that one itself."""
    plain = session.adapters["http://"]
    assert session.get_adapter("http://example.com/") is plain
    assert session.get_adapter("http://[broken/") is plain
    wrapped = session.get_adapter(loopback.url)
    assert isinstance(wrapped, HTTPAdapter)
    assert wrapped.poolmanager is plain.poolmanager
    copied = copy.copy(wrapped)
    assert type(copied) is HTTPAdapter
    assert copied.max_retries is plain.max_retries
    wrapped.max_retries = wrapped.added = 7
    assert (plain.max_retries, plain.added) == (7, 7)
    del wrapped.added
    assert not hasattr(plain, "added")
    session.mount("http://", own := Own(b""))
    session.get_adapter(loopback.url).close()
    assert own.seen == ["closed"]


def test_a_send_of_the_applications_own(session: Any, loopback: Loopback, seen: Watched) -> None:
    """What an application puts in the place of an adapter's `send` is asked, once, and so is what was there before."""
    asked: list[Any] = []
    adapter = session.get_adapter(loopback.url)
    before = adapter.send

    def send(request: Any, **options: Any) -> Any:
        asked.append(request.url)
        return before(request, **options)

    adapter.send = send
    assert session.post(loopback.url, data=REQUEST).content == ANSWER
    session.get_adapter(loopback.url).send = before
    assert session.post(loopback.url, data=REQUEST).content == ANSWER
    assert asked == [loopback.url]
    assert [event.outcome for event in seen.events] == ["ok", "ok"]


@pytest.mark.parametrize("value", [b"Strau\xc3\x9f", b"Strau\xdf", "Strauß"])
def test_a_name_beyond_ascii(value: Any, session: Any, loopback: Loopback, seen: Watched) -> None:
    """As bytes it is UTF-8, or else what HTTP once had."""
    session.post(loopback.url, data=REQUEST, headers={"xProxy-User-ID": value})
    assert seen.one.user_id == "Strauß"


@pytest.mark.parametrize("headers", [{}, {"xProxy-User-ID": "jane"}])
def test_hooks_of_a_request(headers: dict[str, str], session: Any, loopback: Loopback, seen: Watched) -> None:
    """A request's hooks have nothing in them but the application's, so that another request can be made with them."""
    loopback.replies = [Reply([], status=307, headers={"location": PATH}), Reply()]
    told: list[int] = []

    def hook(answer: Any, **_: Any) -> None:
        told.append(answer.status_code)

    request = session.post(loopback.url, data=REQUEST, headers=headers, hooks={"response": hook}).request
    assert request.hooks == {"response": [hook]}
    assert requests.Request("POST", loopback.url, hooks=request.hooks).prepare().hooks == request.hooks
    assert type(copy.deepcopy(request.hooks)) is dict
    assert told == [307, 200]
    assert len(seen.events) == 2


@pytest.mark.parametrize(
    ("body", "model"),
    [(REQUEST, "gpt-4o-mini"), (REQUEST.decode(), "gpt-4o-mini"), (iter([REQUEST]), None), (io.BytesIO(REQUEST), None)],
)
def test_bodies(body: Any, model: str | None, session: Any, loopback: Loopback, seen: Watched) -> None:
    """A body in memory is read; one that only the library may read is left alone."""
    post(session, loopback.url, body, stream=False)
    assert loopback.asked[0].body == REQUEST
    assert seen.one.requested_resource == model


def test_retries_of_an_adapter_are_one_exchange(session: Any, loopback: Loopback, seen: Watched) -> None:
    """They happen inside of it."""
    from urllib3 import Retry

    loopback.replies = [Reply(status=503), Reply()]
    retry = Retry(2, backoff_factor=0, allowed_methods=None, status_forcelist=[503])
    session.mount("http://", HTTPAdapter(max_retries=retry))
    post(session, loopback.url, stream=False)
    assert len(loopback.asked) == 2
    assert (seen.one.outcome, seen.one.http_status) == ("ok", 200)


def test_who_is_no_provider(session: Any, loopback: Loopback, seen: Watched) -> None:
    """Neither a request elsewhere nor one that consumes nothing is an event; nothing of it is changed."""
    with Loopback() as other:
        post(session, other.url, headers={"xProxy-User-ID": "jane"}, stream=False)
        assert other.asked[0].headers["xproxy-user-id"] == "jane"
    assert session.get(loopback.url.replace("chat/completions", "models")).content == ANSWER
    uninstrument()
    post(session, loopback.url, stream=False)
    assert seen.events == []


def test_faults_of_ours(session: Any, seen: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is counted and logged; the application gets its answer."""

    def fault(*args: Any) -> Any:
        raise RuntimeError("ours")

    session.mount("https://api.openai.com", Own(ANSWER))
    with monkeypatch.context() as patching:
        patching.setattr(face, "path_of", fault)
        assert post(session, URL).content == ANSWER
    with monkeypatch.context() as patching:
        patching.setattr(face._raw, "ended_with", fault)
        assert post(session, URL).content == ANSWER
    assert (health.counters()["call_begin"], health.counters()["tap"]) == (1, 1)
    assert seen.one.outcome == "unknown"
