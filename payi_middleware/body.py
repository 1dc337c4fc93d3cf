"""What is kept of an answer's bytes: references while it is small, its head and its tail once it is large.

The parts go through untouched; only references are kept. An answer over 1 MiB (a large embeddings answer, a very long
stream) is cut to its head and its tail, where model and usage stand. A compressed one is decoded when it ends, or, once
it is large, as it comes, and never beyond the bounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

__all__ = ["MAX_DECODED", "MAX_RATIO", "WHOLE", "Body", "Decoder", "decoder_of"]

MAX_DECODED = 64 << 20
"""Bytes of one decoded answer that are looked at."""
MAX_RATIO = 100
"""Decoded bytes for one received, beyond which an answer counts as a decompression bomb."""

WHOLE = 1 << 20
"""Bytes of an answer that are kept whole, unless its endpoint needs more."""
HEAD = 64 << 10
TAIL = 192 << 10
_FLOOR = 1 << 20  # a small answer may compress as well as it likes
_STEP = 64 << 10  # decoded at a time
_LONGEST = 100  # characters of a content-encoding
_GZIP = b"\x1f\x8b"  # with which a file begins
_MOST = 4  # encodings over one another: each may multiply what the last one made


class Body:
    """The parts of one answer."""

    __slots__ = (
        "_decoder",
        "_head",
        "_kept",
        "_limit",
        "_over",
        "_parts",
        "_received",
        "cut",
        "encoding",
        "note",
        "unknown",
    )

    def __init__(self, encoding: str = "", whole: int = WHOLE) -> None:
        self.encoding = encoding
        """The answer's content-encoding."""
        self.cut = 0
        """Bytes left out between head and tail."""
        self.note: str | None = None
        """What the event has to say about the bounds."""
        self.unknown = ""
        """Content-encodings that cannot be undone here. HTTP libraries pass them over: the answer may be readable."""
        self._parts: list[bytes] = []
        self._kept = 0
        self._limit = whole
        self._head = b""
        self._received = 0
        self._decoder: Decoder | None = None
        self._over = False

    @property
    def size(self) -> int:
        """Bytes seen so far; decoded ones, once decoding has begun."""
        return len(self._head) + self.cut + self._kept

    def add(self, part: bytes) -> None:
        """Keep a part as it was received."""
        if self._decoder is not None:
            self._decode(part)
            return
        self._parts.append(part)
        self._kept += len(part)
        if self._kept > self._limit:
            if self.encoding:
                self._decode_kept()
            else:
                self._keep_ends()

    def parts(self) -> tuple[bytes, bytes]:
        """(head, tail), decoded; the tail is empty if nothing was cut."""
        if self.encoding and self._decoder is None and self._parts:
            self._decode_kept()
        joined = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self.cut:
            return self._head, joined
        return self._head + joined, b""

    def _keep_ends(self) -> None:
        """The answer is large: keep its head, and of what follows the tail."""
        joined = b"".join(self._parts)
        start = 0
        if not self._head:
            self._head, start = joined[:HEAD], HEAD
            self._limit = 2 * TAIL
        tail = joined[max(start, len(joined) - TAIL) :]
        self._parts, self._kept = [tail], len(tail)
        self.cut += len(joined) - start - len(tail)
        if self.size > MAX_DECODED:
            self.note = f"the answer is over the bound of {MAX_DECODED >> 20} MB; only its head and tail were read"

    def _decode_kept(self) -> None:
        self._decoder, self.unknown = decoder_of(self.encoding)
        if self._decoder is None:
            self.encoding = ""
            if self._kept > self._limit:
                self._keep_ends()
            return
        raw, self._parts, self._kept = b"".join(self._parts), [], 0
        self._decode(raw)

    def _decode(self, raw: bytes) -> None:
        self._received += len(raw)
        if self._over or self._decoder is None:
            return
        try:
            for piece in self._decoder.pieces(raw):
                self._parts.append(piece)
                self._kept += len(piece)
                if self._kept > self._limit:
                    self._keep_ends()
                if self._too_large():
                    return
        except Exception as error:  # any codec's own error: the bytes are not what their header says
            self._over = True
            self.note = f"the answer cannot be decoded ({type(error).__name__})"

    def _too_large(self) -> bool:
        size = self.size
        if size > MAX_DECODED:
            bound = f"{MAX_DECODED >> 20} MB"
        elif size > max(_FLOOR, self._received * MAX_RATIO):
            bound = f"{MAX_RATIO} times its compressed size"
        else:
            return False
        self._over = True
        self.note = f"the answer is over the bound of {bound}; the rest was not read"
        return True


class Decoder(Protocol):
    def pieces(self, raw: bytes) -> Iterator[bytes]:
        """Decoded pieces of bounded size."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether what was given so far may be all."""
        ...

    @property
    def is_bounded(self) -> bool:
        """Whether a piece is never much larger than asked for, however well it was packed."""
        ...


class _Chain:
    """Encodings laid over one another, the outermost first."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._outer, *rest = decoders
        self._inner = rest[0] if len(rest) == 1 else _Chain(rest)

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        for piece in self._outer.pieces(raw):
            yield from self._inner.pieces(piece)

    @property
    def is_whole(self) -> bool:
        return self._outer.is_whole and self._inner.is_whole

    @property
    def is_bounded(self) -> bool:
        return self._outer.is_bounded and self._inner.is_bounded


class _Zlib:
    """gzip, also file after file (RFC 1952, 2.2), zlib and raw deflate."""

    is_bounded = True

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inner = zlib.decompressobj(wbits)
        self._deflate = wbits == zlib.MAX_WBITS
        self._over = False

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        if self._over:
            return
        try:
            piece = self._inner.decompress(raw, _STEP)
        except zlib.error:
            if not self._deflate:
                raise
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers send deflate without its header
            piece = self._inner.decompress(raw, _STEP)
        self._deflate = False
        while piece:
            yield piece
            piece = self._inner.decompress(self._inner.unconsumed_tail, _STEP)
        if self._inner.unused_data:
            yield from self._further()

    def _further(self) -> Iterator[bytes]:
        """What follows the end of a file: another one, or nothing that counts."""
        while self._wbits != zlib.MAX_WBITS and (rest := self._inner.unused_data).startswith(_GZIP):
            self._inner = zlib.decompressobj(self._wbits)
            piece = self._inner.decompress(rest, _STEP)
            while piece:
                yield piece
                piece = self._inner.decompress(self._inner.unconsumed_tail, _STEP)
        self._over = not _GZIP.startswith(self._inner.unused_data)

    @property
    def is_whole(self) -> bool:
        return self._inner.eof


class _Brotli:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        process = getattr(self._inner, "process", None) or self._inner.decompress
        if not hasattr(self._inner, "can_accept_more_data"):  # before brotli 1.2 output cannot be bounded: small inputs
            for start in range(0, len(raw), 1024):
                yield process(raw[start : start + 1024])
            return
        piece = process(raw, output_buffer_limit=_STEP)
        while piece:  # that it can accept more does not say that nothing is left to hand out
            yield piece
            piece = process(b"", output_buffer_limit=_STEP)

    @property
    def is_whole(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def is_bounded(self) -> bool:
        return hasattr(self._inner, "can_accept_more_data")


class _Zstd:
    """The standard library's since 3.14, and its backport."""

    is_bounded = True

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._inner = make()

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        while raw:
            if self._inner.eof:
                self._inner = self._make()  # a server may send frame after frame
            piece = self._inner.decompress(raw, _STEP)
            while piece:
                yield piece
                if self._inner.eof or self._inner.needs_input:
                    break
                piece = self._inner.decompress(b"", _STEP)
            raw = self._inner.unused_data if self._inner.eof else b""

    @property
    def is_whole(self) -> bool:
        return bool(self._inner.eof)


class _Zstandard:
    """The package `zstandard`, which httpx uses: its output cannot be bounded, so it gets little at a time."""

    is_bounded = True  # 256 bytes are 64 blocks of 128 KiB at most (RFC 8878, 3.1.1.2.4)

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._inner = make()

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        for start in range(0, len(raw), 256):
            piece = raw[start : start + 256]
            while piece:
                if self._inner.eof:
                    self._inner = self._make()
                yield self._inner.decompress(piece)
                piece = self._inner.unused_data if self._inner.eof else b""

    @property
    def is_whole(self) -> bool:
        return bool(self._inner.eof)


def decoder_of(encodings: str) -> tuple[Decoder | None, str]:
    """(the decoder of a content-encoding, or None; the encodings that are unknown, or whose library is not here)."""
    decoders: list[Decoder] = []
    unknown: list[str] = []
    for encoding in reversed(encodings[:_LONGEST].split(",")):
        name = encoding.strip().lower()
        try:
            decoders.append(_MAKERS[name]())
        except (KeyError, ImportError):
            if name != "identity":
                unknown.append(name)
    if len(decoders) > _MOST:
        return None, encodings[:_LONGEST]
    decoder = None if not decoders else decoders[0] if len(decoders) == 1 else _Chain(decoders)
    return decoder, ", ".join(unknown)


def _gzip() -> Decoder:
    return _Zlib(zlib.MAX_WBITS | 16)


def _deflate() -> Decoder:
    return _Zlib(zlib.MAX_WBITS)


def _brotli() -> Decoder:
    try:
        import brotli
    except ImportError:
        import brotlicffi as brotli
    return _Brotli(brotli.Decompressor())


def _zstd() -> Decoder:
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            import zstandard

            return _Zstandard(lambda: zstandard.ZstdDecompressor().decompressobj())
    return _Zstd(zstd.ZstdDecompressor)


_MAKERS: dict[str, Callable[[], Decoder]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
