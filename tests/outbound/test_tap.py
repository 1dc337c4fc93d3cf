"""The tap: the application reads what it would read without us, and the call is seen whole."""

from __future__ import annotations

from types import ModuleType

import pytest
from exchanges import ANSWER, REQUEST, STREAM, Watched, encoded, mock, send

from payi_middleware import instrument, uninstrument

WAYS = ["read", "iter_bytes", "iter_raw", "iter_lines", "iter_text"]
CODINGS = ["identity", "gzip", "deflate", "deflate-raw", "br", "zstd"]


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("way", WAYS)
def test_the_application_reads_the_same_with_and_without_the_hook(
    lib: ModuleType, is_async: bool, way: str, coding: str, watched: Watched
) -> None:
    """Whatever the encoding and the way of reading, no part is changed or joined; one event has the usage."""
    parts = cut(encoded(coding, b"".join(STREAM)), 37)
    transport = mock(lib, parts, content_encoding=coding.removesuffix("-raw"), content_type="text/event-stream")
    seen = send(lib, is_async, transport, way)
    uninstrument()
    assert seen == send(lib, is_async, transport, way)
    instrument(watched.meter)

    event = watched.one
    assert (event.outcome, event.cost_source, event.streamed) == ("ok", "usage", True)
    assert event.units == {"text": (100, 20)}
    assert event.cost is not None
    assert event.cost.total_ticks == 270_000
    assert event.provider_response_id == "chatcmpl-2"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_whole_answer_is_read(lib: ModuleType, is_async: bool, coding: str, watched: Watched) -> None:
    """An answer that is no stream has its usage, however it is encoded, and whether it comes at once or in parts."""
    body = encoded(coding, ANSWER)
    name = coding.removesuffix("-raw")
    for parts in (body, cut(body, 50)):
        if lib.__name__ == "httpx" and coding == "zstd" and isinstance(parts, bytes):
            continue  # decoded by the library as it is made, if its own decoder is installed
        assert send(lib, is_async, mock(lib, parts, content_encoding=name), body=REQUEST)
    assert {(e.outcome, e.cost_source, e.units["text"], e.streamed) for e in watched.events} == {
        ("ok", "usage", (100, 20), False)
    }


def test_encodings_laid_over_one_another(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """A body that was compressed twice is read as the library reads it."""
    body = encoded("gzip", encoded("deflate", ANSWER))
    assert send(lib, is_async, mock(lib, [body], content_encoding="deflate, gzip"), body=REQUEST) == [ANSWER]
    assert watched.one.units == {"text": (100, 20)}


def test_an_encoding_that_is_none_is_passed_over_as_the_libraries_do(
    lib: ModuleType, is_async: bool, watched: Watched
) -> None:
    """Servers that say `content-encoding: utf-8` are read as they are."""
    assert send(lib, is_async, mock(lib, [ANSWER], content_encoding="utf-8"), body=REQUEST) == [ANSWER]
    assert watched.one.cost_source == "usage"
    assert watched.one.reason is None


def test_an_encoding_nobody_knows_is_the_reason_why_nothing_was_read(
    lib: ModuleType, is_async: bool, watched: Watched
) -> None:
    """Bytes in an unknown encoding go through, and the event says why it has no usage."""
    body = bytes(range(256))
    assert send(lib, is_async, mock(lib, [body], content_encoding="secret"), body=REQUEST) == [body]
    assert "content-encoding 'secret' is unknown here" in (watched.one.reason or "")
    assert watched.one.cost_source == "estimate"


def test_frame_after_frame_of_zstd(watched: Watched) -> None:
    """A server may end a zstd frame at each flush; all of them are read."""
    import httpx2

    body = b"".join(encoded("zstd", part) for part in STREAM)
    assert send(httpx2, False, mock(httpx2, cut(body, 61), content_encoding="zstd")) == [b"".join(STREAM)]
    assert watched.one.units == {"text": (100, 20)}


def test_a_damaged_encoding_is_the_applications_to_see(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The library raises its own error as ever; the event says that the answer cannot be decoded."""
    body = encoded("gzip", ANSWER)
    damaged = body[:40] + b"\xff\xff" + body[42:]
    with pytest.raises(lib.DecodingError):
        send(lib, is_async, mock(lib, [damaged], content_encoding="gzip"), body=REQUEST)
    assert "cannot be decoded (error)" in (watched.one.reason or "")


def test_elapsed_is_told_as_ever(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """`response.elapsed` is there once the answer was read."""
    import asyncio

    from exchanges import URL

    async def elapsed() -> float:
        async with lib.AsyncClient(transport=mock(lib, [ANSWER])) as client:
            return (await client.post(URL, content=REQUEST)).elapsed.total_seconds()

    if is_async:
        assert asyncio.run(elapsed()) > 0
    else:
        with lib.Client(transport=mock(lib, [ANSWER])) as client:
            assert client.post(URL, content=REQUEST).elapsed.total_seconds() > 0
    assert watched.one.duration_ns > 0
