"""What is kept of an answer: references while it is small, never much of a large one, and no bomb goes off."""

from __future__ import annotations

import json
import random
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import httpx2
import pytest
from exchanges import ANSWER, REQUEST, URL, Watched, encoded, mock, request, send, stream_of
from garbage import collect

from payi_middleware import body, call
from payi_middleware.body import HEAD, MAX_DECODED, TAIL, WHOLE, Body

EMBEDDINGS = "https://api.openai.com/v1/embeddings"
MB = 1 << 20


def embeddings(size: int) -> Iterator[bytes]:
    """An embeddings answer of about `size` bytes, in parts of 64 kB as they come from a socket."""
    vector = json.dumps({"object": "embedding", "embedding": [0.0123456789] * 1536}).encode() + b","
    yield b'{"object": "list", "data": ['
    block = vector * (65536 // len(vector) + 1)
    for _ in range(size // len(block)):
        yield block[:-1] + b","
    yield b'{}], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8000, "total_tokens": 8000}}'


class Lazy(httpx2.SyncByteStream):
    """Parts that are made as they are read, so that only what somebody keeps takes memory."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        pass


class Peak:
    """Bytes that a block took at most."""

    taken = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure a block, once no thread of an earlier test loads tokenizers any more: those are 48 MB."""
    for thread in threading.enumerate():
        if thread.name == "payi-tokens":
            thread.join(60)
            assert not thread.is_alive()
    collect()
    measured = Peak()
    tracemalloc.start()
    try:
        yield measured
        measured.taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_of(watched: Watched, parts: Any, url: str = EMBEDDINGS, sent: bytes = REQUEST, **headers: str) -> int:
    """Bytes that reading an answer takes at most, the application keeping nothing."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx2.MockTransport(lambda asked: httpx2.Response(200, headers=named, stream=Lazy(parts)))
    watched.meter.drainer.prepare()  # what the first call of a process imports is no part of it
    with httpx2.Client(transport=transport) as client, peak() as measured:
        with client.stream("POST", url, content=sent) as response:
            for _ in response.iter_raw():
                pass
    return measured.taken


def test_a_large_embeddings_answer(watched: Watched) -> None:
    """50 MB go through; we keep little of it, and its usage is exact."""
    taken = peak_of(watched, embeddings(50 * MB))
    event = watched.one
    assert (event.outcome, event.cost_source, event.reason) == ("ok", "usage", None)
    assert event.units == {"text": (8000, 0)}
    assert event.resource == "text-embedding-3-small"
    assert taken < 5 * MB


def test_a_long_stream(watched: Watched) -> None:
    """A stream of 10,000 chunks keeps about a megabyte at most, though each chunk is small; its usage is exact."""
    words = ["word "] * 10_000
    kept: list[int] = []
    with (
        httpx2.Client(transport=mock(httpx2, stream_of(words))) as client,
        client.stream("POST", URL, content=request(stream=True)) as response,
    ):
        call = response.stream._stream._call
        for n, _ in enumerate(response.iter_raw()):
            if n % 50 == 0:
                parts = call.parts + ([] if call.body is None else [call.body._head, *call.body._parts])
                kept.append(sum(map(sys.getsizeof, parts)))
    assert watched.one.units == {"text": (100, 20)}
    assert watched.one.cost_source == "usage"
    assert max(kept) < 1.5 * MB


def test_a_stream_of_crumbs(watched: Watched) -> None:
    """A stream in parts of a few bytes counts what a part takes besides them."""
    whole = b"".join(stream_of(["word "] * 8000))
    crumbs = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    taken = peak_of(watched, crumbs, URL)
    assert watched.one.units == {"text": (100, 20)}
    assert taken < 4 * MB


def test_a_long_stream_without_usage_is_scaled(watched: Watched) -> None:
    """The middle of a very long stream without usage is not kept but counted by its length, as the reason says."""
    sent = request(stream=True)
    send(httpx2, False, mock(httpx2, stream_of([" word"] * 20_000, usage=False)), body=sent)
    event = watched.one
    assert (event.outcome, event.cost_source) == ("ok", "estimate")
    assert abs(event.units["text"][1] - 20_000) < 600
    assert (event.reason or "").endswith("counted with o200k_base, the middle of the answer by its length")


def test_an_answer_over_the_bound(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 64 MB the event says so; the tail's usage counts all the same."""
    assert MAX_DECODED == 64 * MB
    taken = peak_of(watched, embeddings(66 * MB))
    event = watched.one
    assert event.reason == "the answer is over the bound of 64 MB; only its head and tail were read"
    assert (event.outcome, event.units, event.cost_source) == ("ok", {"text": (8000, 0)}, "usage")
    assert taken < 5 * MB


def test_a_mock_of_a_large_answer_is_not_copied(watched: Watched) -> None:
    """An answer that is there at once is looked at where it is."""
    whole = b"".join(embeddings(20 * MB))
    with httpx2.Client(transport=httpx2.MockTransport(lambda sent: httpx2.Response(200, content=whole))) as client:
        with peak() as measured:
            client.post(EMBEDDINGS, content=REQUEST)
    assert watched.one.units == {"text": (8000, 0)}
    assert measured.taken < 2 * MB


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb(lib: ModuleType, coding: str, watched: Watched) -> None:
    """What decompresses to a hundred times its size is left where the bound is, and the event says so."""
    bomb = encoded(coding, b'{"model": "gpt-4o-mini", "x": "' + b" " * (80 * MB) + ANSWER[1:])
    assert len(bomb) < MB
    transport = mock(lib, [bomb[at : at + 4096] for at in range(0, len(bomb), 4096)], content_encoding=coding)
    with lib.Client(transport=transport) as client, client.stream("POST", URL, content=REQUEST) as response:
        with peak() as measured:
            for _ in response.iter_raw():
                pass
    event = watched.one
    assert "the answer is over the bound of" in (event.reason or "")
    assert (event.outcome, event.cost_source) == ("ok", "estimate")
    assert measured.taken < 20 * MB


def test_a_large_compressed_answer_is_decoded_as_it_comes(watched: Watched) -> None:
    """One that is too large to keep in its compressed form is decoded part by part, and its usage is exact."""
    packer = zlib.compressobj(1, wbits=31)

    def packed() -> Iterator[bytes]:
        chance = random.Random(1)
        for n, part in enumerate(embeddings(20 * MB)):
            if 0 < n < 60:
                part = b'{"noise": "' + chance.randbytes(65536).hex().encode() + b'"},' + part
            yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()

    taken = peak_of(watched, packed(), content_encoding="gzip")
    event = watched.one
    assert (event.outcome, event.cost_source, event.units) == ("ok", "usage", {"text": (8000, 0)})
    assert taken < 6 * MB


def fed(encoding: str, parts: list[bytes]) -> Body:
    kept = Body(encoding)
    for part in parts:
        kept.add(part)
    return kept


def test_a_body_keeps_head_and_tail() -> None:
    """Between them it counts what it left out."""
    parts = [bytes([n]) * 100_000 for n in range(40)]
    kept = fed("", parts)
    head, tail = kept.parts()
    whole = b"".join(parts)
    assert head == whole[:HEAD]
    assert whole.endswith(tail)
    assert TAIL <= len(tail) <= 3 * TAIL
    assert kept.cut == len(whole) - len(head) - len(tail)
    assert kept.size == len(whole)
    assert kept.note is None


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "gzip, identity"])
def test_a_body_decodes_as_it_comes_once_it_is_large(encoding: str) -> None:
    """Incompressible bytes over a megabyte are decoded part by part, with the same result as at once."""
    plain = random.Random(1).randbytes(3 * MB)
    packed = encoded("gzip", plain)
    head, tail = fed(encoding, [packed[at : at + 9999] for at in range(0, len(packed), 9999)]).parts()
    assert head == plain[:HEAD]
    assert plain.endswith(tail)
    assert len(tail) >= TAIL


def test_a_large_body_in_an_unknown_encoding() -> None:
    """It is kept as it is."""
    kept = fed("secret", [b"x" * WHOLE, b"y" * WHOLE])
    head, tail = kept.parts()
    assert (head[:1], tail[-1:], kept.unknown) == (b"x", b"y", "secret")


def test_too_many_encodings() -> None:
    """Over four encodings over one another nobody means well."""
    kept = fed("gzip, gzip, gzip, gzip, gzip", [b"x"])
    assert kept.parts() == (b"x", b"")
    assert kept.unknown


def test_a_long_name_of_an_encoding_is_cut() -> None:
    """What stands in a reason is short, whatever a server sends."""
    kept = fed("x" * 10_000, [b"x"])
    assert kept.parts() == (b"x", b"")
    assert len(kept.unknown) <= 100


def test_a_body_of_chained_bombs() -> None:
    """The bound holds over encodings over one another."""
    bomb = encoded("gzip", encoded("gzip", b"x" * (80 * MB)))
    kept = fed("gzip, gzip", [bomb])
    kept.parts()
    assert "over the bound of" in (kept.note or "")
    kept.add(b"more")
    assert kept.size < 70 * MB


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_the_package_zstandard_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx asks for zstd with the package `zstandard`; frames over frames, and a bomb."""
    pytest.importorskip("zstandard")
    frames = [encoded("zstd", part) for part in (b"first ", b"second")]
    bomb = encoded("zstd", b" " * (80 * MB))
    without(monkeypatch, "backports", "backports.zstd", "compression")
    assert fed("zstd", [b"".join(frames)]).parts() == (b"first second", b"")
    kept = fed("zstd", [bomb])
    kept.parts()
    assert "over the bound of" in (kept.note or "")


def test_no_library_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a decoder the bytes are kept as they are, and the event will say why."""
    without(monkeypatch, "backports", "backports.zstd", "compression", "zstandard", "brotli", "brotlicffi")
    assert (fed("zstd", [b"x"]).parts(), fed("br", [b"x"]).parts()) == ((b"x", b""), (b"x", b""))
    kept = fed("br", [b"x"])
    kept.parts()
    assert kept.unknown == "br"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("size", [70_000, 100_108, 131_072, 400_001])
@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_a_compressed_answer_is_decoded_to_its_last_byte(coding: str, size: int, step: int) -> None:
    """Whatever its size is to the pieces in which it is decoded: the usage stands at the end."""
    plain = random.Random(size).randbytes(size // 2).hex().encode()[:size]
    packed = encoded(coding, plain)

    kept = fed(coding, [packed[at : at + step] for at in range(0, len(packed), step)])

    assert kept.parts() == (plain, b"")


def test_brotli_without_a_bound_on_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before brotli 1.2 it gets little at a time."""
    import brotli

    class Old:
        def __init__(self) -> None:
            self.inner = brotli.Decompressor()

        def process(self, raw: bytes) -> bytes:
            assert len(raw) <= 1024
            return bytes(self.inner.process(raw))

    plain = bytes(range(256)) * 40
    packed = encoded("br", plain)
    monkeypatch.setitem(body._MAKERS, "br", lambda: body._Brotli(Old()))
    assert fed("br", [packed]).parts() == (plain, b"")


def test_the_overhead_of_a_part_is_counted() -> None:
    """The constant is what CPython takes for a bytes object and the reference to it, or a little more."""
    assert sys.getsizeof(b"") + 8 <= call.OVERHEAD
