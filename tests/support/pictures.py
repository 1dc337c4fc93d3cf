"""Small pictures, sounds and documents as bytes, made here: headers as their formats have them, and little else."""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib

__all__ = ["encoded", "gif", "jpeg", "pdf", "png", "wav", "webp"]


def png(width: int, height: int) -> bytes:
    """The signature and the header, which tells the size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))


def gif(width: int, height: int) -> bytes:
    """The header of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def webp(width: int, height: int) -> bytes:
    """An extended WebP's header."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def jpeg(width: int, height: int, before: int = 0) -> bytes:
    """A JPEG's frame header, behind so many bytes of other segments, as cameras write them."""
    segments = b""
    while len(segments) < before:
        segments += b"\xff\xe1" + struct.pack(">H", 60_002) + bytes(60_000)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + segments + frame


def wav(milliseconds: int, *, length_known: bool = True) -> bytes:
    """Silence at 24 kHz, 16 bit; a stream's header does not know the length."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(bytes(milliseconds * 24 * 2))
    raw = sound.getvalue()
    return raw if length_known else raw[:40] + b"\xff\xff\xff\xff" + raw[44:]


def pdf(pages: int) -> bytes:
    """A document's page objects."""
    kinds = b"".join(b"%d 0 obj << /Type /Page /Parent 1 0 R >> endobj\n" % (n + 2) for n in range(pages))
    return b"%PDF-1.4\n1 0 obj << /Type /Pages /Count " + str(pages).encode() + b" >> endobj\n" + kinds


def encoded(raw: bytes, mime: str = "") -> str:
    """Base64, as a data URL if there is a MIME type."""
    text = base64.b64encode(raw).decode()
    return f"data:{mime};base64,{text}" if mime else text
