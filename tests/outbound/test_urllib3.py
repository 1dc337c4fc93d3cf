"""urllib3, bare: what the application reads is what it would read without us, and each exchange is one event."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, Watched, encoded, stream_of
from garbage import collect
from loopback import PATH, Loopback, Reply

from payi_middleware import current, health, track, uninstrument
from payi_middleware import urllib3 as face

UNTOLD = stream_of(["The ", "fox"], usage=False, finish=False, done=False)

OPEN = threading.Event()
OPEN.set()


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        yield pool


def post(pool: Any, url: str, body: Any = STREAMED_REQUEST, **options: Any) -> Any:
    return pool.request("POST", url, body=body, **{"preload_content": False} | options)


def readinto(raw: Any) -> list[bytes]:
    room = bytearray(9)
    return [bytes(room[:n]) for n in iter(lambda: raw.readinto(room), 0)]


WAYS: dict[str, Callable[[Any], Any]] = {
    "read": lambda raw: [raw.read()],
    "read some": lambda raw: list(iter(lambda: raw.read(7, decode_content=True), b"")),
    "read1": lambda raw: list(iter(raw.read1, b"")),
    "stream": lambda raw: list(raw.stream(decode_content=True)),
    "stream some": lambda raw: list(raw.stream(7, decode_content=True)),
    "stream raw": lambda raw: list(raw.stream(decode_content=False)),
    "data": lambda raw: [raw.data],
    "lines": list,
    "readinto": readinto,
    "text": lambda raw: list(io.TextIOWrapper(io.BufferedReader(raw), "utf-8")),
    "drain": lambda raw: raw.drain_conn(),
}


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("coding", ["identity", "gzip", "br"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_with_and_without_the_hook(
    way: str, coding: str, framing: str, pool: Any, loopback: Loopback, seen: Watched
) -> None:
    """Whatever the way of reading, the encoding and the framing, no part is changed, joined or missed."""
    body = encoded(coding, b"".join(STREAM))
    parts = [body[at : at + 37] for at in range(0, len(body), 37)]
    loopback.replies = [Reply(parts, headers={"content-encoding": coding}, framing=framing)]
    read = []
    for hooked in (True, False):
        raw = post(pool, loopback.url)
        raw.auto_close = way != "text"  # as urllib3 has it for readers around
        read.append(WAYS[way](raw))
        if hooked:
            assert isinstance(raw, urllib3.HTTPResponse)
            assert seen.one.units == {"text": (100, 20)}
            uninstrument()
    if framing != "close" and way != "read1":  # there the wire itself decides what comes together
        assert read[0] == read[1]
    if read[0] is not None and way != "stream raw" and isinstance(read[0][0], bytes):
        assert b"".join(read[0]) == b"".join(STREAM)
    assert len(seen.events) == 1
    assert (seen.one.outcome, seen.one.cost_source, seen.one.streamed) == ("ok", "usage", True)


def test_an_answer_that_is_loaded_at_once(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """As urllib3 does unless told not to; encoded where it shall not decode."""
    loopback.replies = [Reply([encoded("gzip", ANSWER)], headers={"content-encoding": "gzip"}, framing="length")]
    assert post(pool, loopback.url, REQUEST, preload_content=True).data == ANSWER
    assert post(pool, loopback.url, REQUEST, preload_content=True, decode_content=False).data != ANSWER
    assert [(e.outcome, e.units, e.streamed) for e in seen.events] == [("ok", {"text": (100, 20)}, False)] * 2
    assert all(e.requested_resource == "gpt-4o-mini" for e in seen.events)


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_parts_come_when_they_come(framing: str, pool: Any, loopback: Loopback, seen: Watched) -> None:
    """The second part is not sent before the first has been read: nobody waits for more."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, framing=framing, gates=[gate])]
    raw = post(pool, loopback.url)
    parts = raw.stream() if framing == "chunked" else iter(raw.read1, b"")
    assert next(parts) == STREAM[0]
    gate.set()
    assert b"".join(parts) == b"".join(STREAM[1:])
    event = seen.one
    assert event.outcome == "ok"
    assert 0 < (event.first_byte_ns or 0) < event.duration_ns


@pytest.mark.parametrize("way", ["close", "drop", "generator"])
def test_left_early(way: str, pool: Any, loopback: Loopback, seen: Watched) -> None:
    """What was received is counted, and the event says that it is an estimate."""
    loopback.replies = [Reply([*UNTOLD, b"."], gates=[OPEN, threading.Event()])]
    raw = post(pool, loopback.url)
    parts = raw.stream()
    assert next(parts) == UNTOLD[0]
    assert next(parts) == UNTOLD[1]
    if way == "close":
        raw.close()
        raw.close()
    elif way == "generator":
        parts.close()
    else:
        del raw, parts
        collect()
    assert (seen.one.outcome, seen.one.error_type, seen.one.cost_source) == ("aborted", None, "estimate")


def test_closed_after_the_last_event(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """The provider had said everything."""
    loopback.replies = [Reply(STREAM, framing="close")]
    raw = post(pool, loopback.url)
    while b"[DONE]" not in raw.read1():
        pass
    raw.close()
    assert (seen.one.outcome, seen.one.cost_source) == ("ok", "usage")


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("way", ["stream", "read", "lines"])
def test_broken_off(way: str, framing: str, pool: Any, loopback: Loopback, seen: Watched) -> None:
    """The application gets urllib3's error, and the event its name."""
    loopback.replies = [Reply(UNTOLD, framing=framing, breaks=True)]
    raw = post(pool, loopback.url)
    with pytest.raises(urllib3.exceptions.ProtocolError) as told:
        WAYS[way](raw)
    raw.close()
    assert (seen.one.outcome, seen.one.error_type) == ("error", type(told.value).__name__)


def test_too_slow(loopback: Loopback, seen: Watched) -> None:
    """A timeout in the middle of an answer, and one before it: told as such behind what urllib3 makes of its last attempt."""
    gate = threading.Event()

    def sleepy(asked: Any) -> Reply:
        gate.wait(5)
        return Reply()

    loopback.replies = [Reply(UNTOLD, gates=[gate]), sleepy]
    with urllib3.PoolManager(timeout=0.2) as pool:
        raw = post(pool, loopback.url)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            raw.read()
        with pytest.raises(urllib3.exceptions.MaxRetryError):
            post(pool, loopback.url, retries=urllib3.Retry(total=1, backoff_factor=0, allowed_methods=None))
    gate.set()
    assert [(e.outcome, e.error_type, e.http_status) for e in seen.events] == [
        ("timeout", "ReadTimeoutError", 200),
        ("timeout", "ReadTimeoutError", None),
    ]


def test_no_answer(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """A connection that ends without an answer is an event without a cost."""
    loopback.replies = [Reply(silent=True)]
    with pytest.raises(urllib3.exceptions.ProtocolError):
        post(pool, loopback.url)
    assert (seen.one.outcome, seen.one.error_type, seen.one.cost_source) == ("error", "ProtocolError", "none")


def test_what_a_pool_tries_again_is_one_exchange(loopback: Loopback, seen: Watched) -> None:
    """urllib3's own retries happen inside."""
    loopback.replies = [Reply(status=503), Reply(silent=True), Reply()]
    retries = urllib3.Retry(total=5, backoff_factor=0, allowed_methods=None, status_forcelist=[503])
    with urllib3.PoolManager(retries=retries) as pool:
        assert post(pool, loopback.url, REQUEST).json()["usage"]
    assert len(loopback.asked) == 3
    assert (seen.one.outcome, seen.one.http_status) == ("ok", 200)


def test_redirects(loopback: Loopback, seen: Watched) -> None:
    """A manager's are events of one call, hop by hop; headers of the call tell for whom each is."""
    loopback.replies = [Reply([], status=307, headers={"location": PATH}), Reply()]
    headers = {"xProxy-User-ID": "jane", "x-other": "1"}
    with urllib3.PoolManager() as pool:
        post(pool, loopback.url, REQUEST, headers=headers, preload_content=True)
    first, second = seen.events
    assert [(e.http_status, e.user_id, e.attempt) for e in seen.events] == [(307, "jane", 1), (200, "jane", 1)]
    assert first.call_group == second.call_group
    assert headers == {"xProxy-User-ID": "jane", "x-other": "1"}
    assert not [name for sent in loopback.asked for name in sent.headers if name.lower().startswith("xproxy")]
    assert all(sent.headers["x-other"] == "1" for sent in loopback.asked)


@pytest.mark.parametrize("path", [PATH, "/v1/models"])
def test_a_redirect_to_who_is_no_provider(path: str, loopback: Loopback, seen: Watched) -> None:
    """Who a call is for is not told to whatever host a provider leads to, nor to where that one leads; to others it is."""
    headers = {"xProxy-User-ID": "jane", "x-other": "1"}
    with Loopback() as other, Loopback() as third, Loopback() as own, urllib3.PoolManager() as pool:
        loopback.replies = [Reply([], status=307, headers={"location": other.url}, framing="length")]
        other.replies = [Reply([], status=302, headers={"location": third.url}, framing="length")]
        for url in (f"http://{loopback.host}{path}", own.url):
            assert post(pool, url, REQUEST, headers=headers, preload_content=True).data == ANSWER
        own.replies = [Reply([], status=307, headers={"location": PATH + "/again"}, framing="length"), Reply()]
        assert post(pool, own.url, REQUEST, headers=headers, preload_content=True).data == ANSWER
        told = [host.asked[0].headers.get("xproxy-user-id") for host in (loopback, other, third)]
        assert told == [None, None, None]
        assert {host.asked[0].headers["x-other"] for host in (loopback, other, third)} == {"1"}
        assert [sent.headers["xproxy-user-id"] for sent in own.asked] == ["jane"] * 3
    assert headers == {"xProxy-User-ID": "jane", "x-other": "1"}
    assert [e.user_id for e in seen.events] == (["jane"] if path == PATH else [])


@pytest.mark.parametrize("value", [b"Strau\xc3\x9f", b"Strau\xdf", "Strauß"])
def test_a_name_beyond_ascii(value: Any, pool: Any, loopback: Loopback, seen: Watched) -> None:
    """As bytes it is UTF-8, or else what HTTP once had."""
    post(pool, loopback.url, REQUEST, headers={"xProxy-User-ID": value}, preload_content=True)
    assert seen.one.user_id == "Strauß"


def test_a_redirect_inside_a_pool(loopback: Loopback, seen: Watched) -> None:
    """A pool that follows a redirect by itself: whoever watches the answer has it, once."""
    loopback.replies = [Reply([], status=303, headers={"location": "/v1/chat/completions/1"}), Reply()]
    host, _, port = loopback.host.partition(":")
    with urllib3.HTTPConnectionPool(host, int(port)) as pool:
        pool.urlopen("POST", PATH, REQUEST)
        assert len(seen.events) == 1
        loopback.replies = [Reply([], status=307, headers={"location": "/v1/embeddings"}), Reply()]
        with track(user_id="jane"):
            assert pool.urlopen("POST", PATH, io.BytesIO(REQUEST), preload_content=False).read() == ANSWER
            assert (current().calls, current().pending) == (1, 0)
    assert [e.endpoint for e in seen.events] == [PATH, "/v1/embeddings"]


def test_a_proxy(loopback: Loopback, seen: Watched) -> None:
    """A request through a proxy is its provider's."""
    with urllib3.ProxyManager(f"http://{loopback.host}") as pool:
        post(pool, "http://api.groq.com/openai/v1/chat/completions", REQUEST, preload_content=True)
    assert (seen.one.provider, seen.one.outcome) == ("groq", "ok")


def test_headers_of_a_pool(loopback: Loopback, seen: Watched) -> None:
    """xProxy headers that a pool sends with everything are read each time, and stay the pool's."""
    host, _, port = loopback.host.partition(":")
    with urllib3.HTTPConnectionPool(host, int(port), headers={"xProxy-User-ID": "jane"}) as pool:
        for _ in range(2):
            pool.urlopen("POST", PATH, REQUEST, retries=False)
        assert pool.headers == {"xProxy-User-ID": "jane"}
    assert [e.user_id for e in seen.events] == ["jane", "jane"]


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (REQUEST, "gpt-4o-mini"),
        (REQUEST.decode(), "gpt-4o-mini"),
        (bytearray(REQUEST), "gpt-4o-mini"),
        (io.BytesIO(REQUEST), None),
        (None, None),
    ],
)
def test_bodies(body: Any, model: str | None, pool: Any, loopback: Loopback, seen: Watched) -> None:
    """A body in memory is read; one that only urllib3 may read is left alone."""
    post(pool, loopback.url, body, preload_content=True)
    assert loopback.asked[0].body == (b"" if body is None else REQUEST)
    assert seen.one.requested_resource == model


def test_who_is_no_provider(pool: Any, loopback: Loopback, unhooked: Watched, seen: Watched) -> None:
    """Neither a request elsewhere nor one that consumes nothing is an event; nothing of it is changed."""
    with Loopback() as other:
        raw = post(pool, other.url, headers={"xProxy-User-ID": "jane"})
        assert type(raw) is urllib3.HTTPResponse
        raw.read()
        assert other.asked[0].headers["xproxy-user-id"] == "jane"
    assert pool.request("GET", loopback.url.replace("chat/completions", "models")).data == ANSWER
    uninstrument()
    assert post(pool, loopback.url, preload_content=True).data == ANSWER
    assert seen.events == []


def test_a_refusal(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """A refused call has its status, and the next attempt joins it."""
    loopback.replies = [Reply([b'{"error": {"code": "no_way"}}'], status=429), Reply()]
    with track(user_id="jane"):
        for _ in range(2):
            post(pool, loopback.url, REQUEST, preload_content=True)
    first, second = seen.events
    assert (first.outcome, first.error_type, second.outcome, second.attempt) == ("error", "no_way", "ok", 2)
    assert first.call_group == second.call_group
    assert second.user_id == "jane"


def test_a_large_answer_keeps_only_what_is_needed(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """Of several megabytes the usage is read, and memory is let go on the way."""
    loopback.replies = [Reply([*STREAM[:1], *([b": " + b"x" * 100_000 + b"\n\n"] * 30), *STREAM[1:]])]
    raw = post(pool, loopback.url)
    most = 0
    for _ in raw.stream():
        most = max(most, sum(map(len, raw._payi_call.parts)))
    assert most < 2_000_000
    assert seen.one.units == {"text": (100, 20)}


def test_faults_of_ours(
    pool: Any, loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is counted and logged; the application gets its answer."""

    def fault(*args: Any) -> Any:
        raise RuntimeError("ours")

    with monkeypatch.context() as patching:
        patching.setattr(face, "path_of", fault)
        assert post(pool, loopback.url, preload_content=True).data == ANSWER
    with monkeypatch.context() as patching:
        patching.setattr(face._raw, "watch", fault)
        assert post(pool, loopback.url).read() == ANSWER
    with monkeypatch.context() as patching, Loopback() as other:
        patching.setattr(face, "take_own", fault)
        loopback.replies = [Reply([], status=307, headers={"location": other.url}, framing="length")]
        url = loopback.url.replace("chat/completions", "models")
        assert post(pool, url, headers={"xProxy-User-ID": "jane"}, preload_content=True, retries=2).data == ANSWER
    assert health.counters()["call_begin"] == 2
    assert (health.counters()["hook"], health.counters()["tap"]) == (1, 1)
    assert seen.events[0].outcome == "unknown"
    assert "ours" in caplog.text


def test_a_url_of_another_kind(pool: Any, loopback: Loopback, seen: Watched) -> None:
    """What is no text is urllib3's to refuse."""
    host, _, port = loopback.host.partition(":")
    with urllib3.HTTPConnectionPool(host, int(port)) as own, pytest.raises(TypeError):
        own.urlopen("POST", PATH.encode(), REQUEST)
    assert (seen.events, health.counters()["hook"]) == ([], 1)


@pytest.mark.parametrize("way", ["read", "data"])
def test_an_answer_of_another_class(
    way: str, pool: Any, loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is not urllib3's own HTTP/1 one is watched from around."""

    class Other:
        status, headers = 200, urllib3.HTTPHeaderDict()

        def __init__(self) -> None:
            self.file = io.BytesIO(ANSWER)

        def read(self, amt: int | None = None) -> bytes:
            return self.file.read(amt)

        @property
        def data(self) -> bytes:
            return self.file.getvalue()

        def close(self) -> None:
            self.file.close()

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "_make_request", lambda *a, **k: Other())
    monkeypatch.setattr(Other, "get_redirect_location", lambda self: None, raising=False)
    monkeypatch.setattr(Other, "_pool", None, raising=False)
    host, _, port = loopback.host.partition(":")
    with urllib3.HTTPConnectionPool(host, int(port), retries=False) as own:
        raw = own.urlopen("POST", PATH, REQUEST, redirect=False, preload_content=False, retries=urllib3.Retry(0))
    assert (raw.read() if way == "read" else raw.data + raw.data[:0]) == ANSWER
    assert seen.one.units == {"text": (100, 20)}


def test_a_version_that_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.0 urllib3 read in another way: nothing is patched, and the doctor is told."""
    monkeypatch.delattr(urllib3.HTTPResponse, "_raw_read")
    assert face.hook(None) == "unsupported"  # type: ignore[arg-type]
