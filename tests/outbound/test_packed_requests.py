"""Requests with a content-encoding: what they ask for is read of what they unpack to, and they are sent as they are."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from botocore.awsrequest import AWSPreparedRequest
from exchanges import ANSWER, STREAM, STREAMED_REQUEST, URL, Watched, encoded, request
from loopback import Loopback, Reply

from payi_middleware import PayiTransport, health
from payi_middleware._outbound import body_of
from payi_middleware.unpacking import MAX_UNPACKED, encoding_of, unpacked

CODINGS = ["gzip", "deflate", "deflate-raw", "br", "zstd"]


def by_httpx(url: str, body: bytes, headers: dict[str, str]) -> None:
    httpx.post(url, content=body, headers=headers, trust_env=False)


def by_httpx2(url: str, body: bytes, headers: dict[str, str]) -> None:
    httpx2.post(url, content=body, headers=headers, trust_env=False)


def by_requests(url: str, body: bytes, headers: dict[str, str]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.post(url, data=body, headers=headers, timeout=5)


def by_urllib3(url: str, body: bytes, headers: dict[str, str]) -> None:
    with urllib3.PoolManager(headers=headers) as pool:
        pool.request("POST", url, body=body)


def by_aiohttp(url: str, body: bytes, headers: dict[str, str]) -> None:
    async def run() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers, skip_auto_headers=["content-type"]) as answer,
        ):
            await answer.read()

    asyncio.run(run())


@pytest.mark.parametrize("send", [by_httpx, by_httpx2, by_requests, by_urllib3, by_aiohttp])
def test_each_library(send: Callable[..., None], loopback: Loopback, seen: Watched) -> None:
    """The model and the stream are seen, and the provider gets the packed bytes."""
    loopback.replies = [Reply(STREAM, headers={"content-type": "text/event-stream"})]
    packed = encoded("gzip", STREAMED_REQUEST)

    send(loopback.url, packed, {"Content-Encoding": "gzip"})

    event = seen.one
    assert (event.requested_resource, event.streamed, event.units) == ("gpt-4o-mini", True, {"text": (100, 20)})
    assert (loopback.asked[0].body, loopback.asked[0].headers["content-encoding"]) == (packed, "gzip")
    assert health.counters().keys() <= {"unattributed"}


@pytest.mark.parametrize("coding", CODINGS)
def test_each_encoding(coding: str, loopback: Loopback, seen: Watched) -> None:
    """Also deflate without its header."""
    by_httpx2(loopback.url, encoded(coding, request()), {"content-encoding": coding.removesuffix("-raw")})
    assert seen.one.requested_resource == "gpt-4o-mini"


def test_what_aiohttp_packs_itself(loopback: Loopback, seen: Watched) -> None:
    """Its header says so before it is done: what is there is read as it is, whatever it begins with."""

    async def run(body: bytes) -> None:
        async with aiohttp.ClientSession() as session, session.post(loopback.url, data=body, compress="gzip"):
            pass

    for body in (request(), b"\n" + request()):
        asyncio.run(run(body))
    assert [event.requested_resource for event in seen.events] == ["gpt-4o-mini"] * 2
    assert gzip.decompress(loopback.asked[0].body) == request()
    assert "request_packed" not in health.counters()


def test_a_form(loopback: Loopback, seen: Watched) -> None:
    """A packed form is one, too."""
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"}
    by_httpx2(loopback.url.replace("chat/completions", "audio/transcriptions"), encoded("gzip", form), headers)
    assert seen.one.requested_resource == "whisper-1"


def test_a_redirect(loopback: Loopback, seen: Watched) -> None:
    """What follows it has the first request's bytes as a stream."""
    loopback.replies = [Reply([b""], 307, {"location": loopback.url}, "length"), Reply()]
    with httpx2.Client(trust_env=False, follow_redirects=True) as client:
        client.post(loopback.url, content=encoded("gzip", request()), headers={"content-encoding": "gzip"})
    assert [event.requested_resource for event in seen.events] == ["gpt-4o-mini"] * 2


def test_a_transport_that_packs(unhooked: Watched) -> None:
    """Around ours: what it packed is read behind it."""
    from payi_middleware import instrument

    instrument(unhooked.meter)

    class Packing(httpx2.BaseTransport):
        def __init__(self, inner: httpx2.BaseTransport) -> None:
            self._inner = inner

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            packed = gzip.compress(request.read())
            headers = {**request.headers, "content-encoding": "gzip", "content-length": str(len(packed))}
            return self._inner.handle_request(
                httpx2.Request(request.method, request.url, headers=headers, content=packed)
            )

    mock = httpx2.MockTransport(lambda _: httpx2.Response(200, content=ANSWER))
    with httpx2.Client(transport=Packing(PayiTransport(mock))) as client:
        client.post(URL, content=request())
    assert unhooked.one.requested_resource == "gpt-4o-mini"


def test_its_input_is_estimated(loopback: Loopback, seen: Watched) -> None:
    """Where the provider tells no usage, of the words and not of the packed bytes."""
    loopback.replies = [Reply([json.dumps({**json.loads(ANSWER), "usage": None}).encode()])]
    body = request()
    for sent, headers in ((body, {}), (encoded("gzip", body), {"content-encoding": "gzip"})):
        by_httpx2(loopback.url, sent, headers)
    plain, packed = seen.events
    assert packed.units == plain.units
    assert packed.cost_source == "estimate"


def test_a_stream_is_not_asked_for_its_usage(loopback: Loopback) -> None:
    """`include_usage` would have to pack the body anew: it goes out as it was packed."""
    from payi_middleware import instrument

    watched = Watched(hosts={loopback.host: "openai"}, include_usage=True)
    instrument(watched.meter)
    packed = encoded("gzip", request(stream=True))
    by_httpx2(loopback.url, packed, {"content-encoding": "gzip"})
    assert loopback.asked[0].body == packed
    assert watched.one.streamed
    watched.meter.close()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", encoded("gzip", b'{"model": "m", "words": "' + b"x" * (2 << 20) + b'"}')),
        ("gzip", encoded("gzip", request())[:-9]),
        ("gzip", b"no gzip"),
        ("br", b"\xff" * 9),
        ("snappy", b"\x00\x01"),
        ("gzip, snappy", encoded("gzip", request())),
        ("gzip, gzip, gzip, gzip, gzip", encoded("gzip", request())),
    ],
    ids=["ratio", "cut", "mislabelled", "damaged", "unknown", "unknown over", "many"],
)
def test_what_stays_packed_is_not_seen(coding: str, body: bytes, loopback: Loopback, seen: Watched) -> None:
    """The call goes out as it is, is counted by its answer, and that is said."""
    by_httpx2(loopback.url, body, {"content-encoding": coding})
    event = seen.one
    assert (event.requested_resource, event.cost is not None) == (None, True)
    assert loopback.asked[0].body == body
    assert health.counters()["request_packed"] >= 1


def test_the_largest() -> None:
    """16 MB are read, a byte more is not: of words that pack to less than a hundredth of it, and of others."""
    noise = json.dumps({"words": bytes(range(256)).hex() * 97}).encode()
    sized = (noise * (MAX_UNPACKED // len(noise) + 1))[:MAX_UNPACKED]
    packed = [encoded("gzip", body) for body in (sized, sized + b"x")]
    assert unpacked(packed[0] + b"\0" * (200 << 10), "gzip") == sized
    assert unpacked(packed[1] + b"\0" * (200 << 10), "gzip") is None


def test_a_codec_that_cannot_be_bounded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brotli before 1.2 makes all at once of what it is given."""
    from payi_middleware import body

    monkeypatch.setattr(body._Brotli, "is_bounded", False)
    assert unpacked(encoded("br", request()), "br") is None


def test_what_is_plain_stays() -> None:
    """Whatever its header says; and a body that says that it is nothing else."""
    assert unpacked(request(), "gzip") == request()
    assert unpacked(b"", "gzip") == b""
    assert unpacked(b" {}", "") == b" {}"
    assert unpacked(b" {}", "identity") == b" {}"


def test_a_request_of_botocore() -> None:
    """Its headers have a class of their own."""
    headers = {"Content-Encoding": "gzip"}
    sent = AWSPreparedRequest(
        "POST", URL, requests.structures.CaseInsensitiveDict(headers), encoded("gzip", request()), False
    )
    assert body_of(sent.body, sent.headers) == request()
    assert body_of(bytearray(encoded("gzip", request())), {b"content-encoding": b"gzip"}) == request()
    assert encoding_of({"Content-Encoding": "gzip", "content-encoding": "br", "accept-encoding": "zstd"}) == "gzip, br"
