"""OpenAI's sound: speech by characters and tokens, transcriptions by tokens and seconds, and by what else tells a length."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, exchanged, named_events

HOST = "api.openai.com"
SPEECH, HEARD, TRANSLATED = (f"/v1/audio/{kind}" for kind in ("speech", "transcriptions", "translations"))
MP3 = b"\xff\xfb\x90\xc4" + b"\x00" * 31_996  # 128 kbit/s: 2 s
MP3_2 = b"\xff\xf3\x84\xc4" + b"\x00" * 15_996  # MPEG 2, 64 kbit/s: 2 s
TAGGED = b"ID3\x04\x00\x00\x00\x00\x01\x00" + b"\x00" * 128 + MP3
WAV = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + (24_000).to_bytes(4, "little")
WAV += (48_000).to_bytes(4, "little") + b"\x02\x00\x10\x00data\xff\xff\xff\xff" + b"\x00" * 96_000
SAID = {"input": "Tell me about the fox.", "voice": "alloy"}


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd", "my-voice"])
def test_speech_by_characters(model: str) -> None:
    """TTS models are billed by the characters of the text, which the request tells."""
    reading = exchanged(HOST, SPEECH, MP3, SAID | {"model": model})

    assert (reading.units, reading.reason, reading.estimated) == ({"text_character": (22, 0)}, None, False)


@pytest.mark.parametrize(
    ("sound", "more", "seconds"),
    [
        (MP3, {}, 2),
        (MP3_2, {}, 2),
        (TAGGED, {}, 2),
        (WAV, {"response_format": "wav"}, 2),
        (b"\x00" * 96_000, {"response_format": "pcm"}, 2),
        (b"OggS" + b"\x00" * 500, {"response_format": "opus"}, 22 / 15),
        (b"\xff\xfb\xf0\xc4", {}, 22 / 15),
        (b"ID3", {}, 22 / 15),
        (b"RIFF\x00\x00\x00\x00WAVE" + b"\x00" * 40, {}, 22 / 15),
        (b"", {}, 22 / 15),
    ],
)
def test_speech_by_its_length(sound: bytes, more: dict[str, str], seconds: float) -> None:
    """Tokens that no answer tells are counted by the sound's length, or by the text's, as an estimate."""
    asked = SAID | more | {"model": "gpt-4o-mini-tts", "instructions": "Be calm."}

    reading = exchanged(HOST, SPEECH, sound, asked)

    assert reading.units == {"text": (8, 0), "audio": (0, -(-int(seconds * 20_000) // 1000))}
    assert reading.estimated
    assert (reading.reason or "").startswith("a sound tells no usage")


def test_a_large_sound_is_as_long_as_its_header_says() -> None:
    """Where only the head was kept, the length of the whole is the header's, or else the text's."""
    asked = SAID | {"model": "gpt-4o-mini-tts"}
    head = MP3[:4] + b"\x00" * ((64 << 10) - 4)

    told = exchanged(HOST, SPEECH, head, asked, headers={"content-length": "1600000"})
    untold = exchanged(HOST, SPEECH, head, asked, headers={"content-length": "1600000", "content-encoding": "gzip"})

    assert (told.units or {})["audio"] == (0, 2000)
    assert (untold.units or {})["audio"] == (0, 30)
    assert endpoint(HOST, SPEECH).read_cut(MP3, MP3).reason == "a sound tells no usage"


@pytest.mark.parametrize("request_", [None, {"model": "tts-1"}, {"model": "tts-1", "input": 7}, b"\xff"])
def test_speech_of_an_unknown_text(request_: Any) -> None:
    """A request that was a stream tells nothing, and that is said."""
    reading = exchanged(HOST, SPEECH, MP3, request_)

    assert reading.units is None
    assert reading.reason == "a sound tells no usage, and the request's text could not be read"


def test_speech_as_events() -> None:
    """Speech that is streamed as events ends with its usage."""
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    data = named_events(
        {"type": "speech.audio.delta", "audio": "x" * 99}, {"type": "speech.audio.done", "usage": usage}
    )

    reading = exchanged(HOST, SPEECH, data, SAID | {"model": "gpt-4o-mini-tts", "stream_format": "sse"})

    assert (reading.units, reading.estimated) == ({"text": (14, 0), "audio": (0, 101)}, False)
    assert endpoint(HOST, SPEECH).read(data).units == reading.units
    assert endpoint(HOST, SPEECH).read_stream(MP3).reason == "a sound tells no usage"
    for end in range(9, len(data)):
        cut = exchanged(HOST, SPEECH, data[:end], SAID | {"model": "gpt-4o-mini-tts"})
        assert cut.units == reading.units or cut.estimated


def test_an_error_in_place_of_a_sound() -> None:
    """A gateway may answer an error with 200; it costs nothing that we know."""
    reading = exchanged(HOST, SPEECH, body({"error": {"code": "bad", "message": "secret"}}), SAID)

    assert (reading.units, reading.error_type) == (None, "bad")


TOKENS = {
    "type": "tokens",
    "input_tokens": 40,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 30},
    "output_tokens": 12,
    "total_tokens": 52,
}


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ({"text": "A fox.", "usage": TOKENS}, {"audio": (30, 0), "text": (10, 12)}),
        ({"text": "A fox.", "usage": {"type": "duration", "seconds": 7}}, {"audio_second": (7, 0)}),
        ({"text": "A fox.", "usage": {"type": "duration", "seconds": 7.2}}, {"audio_second": (8, 0)}),
        ({"text": "A fox.", "duration": 8.470000267028809}, {"audio_second": (9, 0)}),
        ({"text": "A fox.", "duration": "3.0"}, {"audio_second": (3, 0)}),
        ({"text": "A fox.", "duration": 3.0000001}, {"audio_second": (3, 0)}),
    ],
)
def test_a_transcription(answer: dict[str, Any], units: dict[str, tuple[int, int]]) -> None:
    """Tokens or seconds, as told; a second begun is a second."""
    reading = exchanged(HOST, HEARD, body(answer), {"model": "whisper-1"})

    assert (reading.units, reading.reason, reading.estimated) == (units, None, False)


SRT = b"1\n00:00:00,000 --> 00:00:02,500\nA fox.\n\n2\n00:01:02,500 --> 00:01:04,120\nAnd a dog.\n"
VTT = b"WEBVTT\n\n00:00.000 --> 00:02.500\nA fox.\n\n01:02.500 --> 01:04.120\nAnd a dog.\n"


@pytest.mark.parametrize(
    ("answer", "model", "units", "how"),
    [
        (SRT, "whisper-1", {"audio_second": (65, 0)}, "the last timestamp"),
        (VTT, "whisper-1", {"audio_second": (65, 0)}, "the last timestamp"),
        (b"A fox jumps over a lazy dog.\n", "whisper-1", {"audio_second": (2, 0)}, "the length of its text"),
        (
            body({"text": "A fox jumps over a lazy dog."}),
            "whisper-1",
            {"audio_second": (2, 0)},
            "the length of its text",
        ),
        (b"x" * 150, "gpt-4o-transcribe", {"audio": (100, 0), "text": (0, 38)}, "the length of its text"),
        (b"", "whisper-1", None, None),
    ],
)
def test_a_transcription_without_usage(answer: bytes, model: str, units: Any, how: str | None) -> None:
    """Text and subtitles tell no usage: their length is that of the last timestamp or of the words, an estimate."""
    reading = exchanged(HOST, HEARD, answer, {"model": model})

    assert (reading.units, reading.estimated) == (units, how is not None)
    assert reading.reason == (f"usage is missing; the sound's length is told by {how}" if how else "usage is missing")


def test_nothing_names_a_model() -> None:
    """Where a form could not be read: seconds are whisper-1's, as all translations are; tokens are anybody's."""
    seconds = exchanged(HOST, HEARD, body({"usage": {"type": "duration", "seconds": 7}}))
    translated = exchanged(HOST, TRANSLATED, body({"text": "A fox."}))
    tokens = exchanged(HOST, HEARD, body({"usage": TOKENS}))

    assert (seconds.model, seconds.reason) == (
        "whisper-1",
        "nothing names a model; seconds are how whisper-1 is billed",
    )
    assert (translated.model, translated.units) == ("whisper-1", {"audio_second": (1, 0)})
    assert (tokens.model, tokens.units) == (None, {"audio": (30, 0), "text": (10, 12)})


def test_a_transcription_as_events() -> None:
    """The last event of a stream tells its usage; without it, the words that came are counted."""
    deltas = [{"type": "transcript.text.delta", "delta": "A fox jumps over the lazy dog."}] * 2
    done = {"type": "transcript.text.done", "text": "secret", "usage": TOKENS}
    request = {"model": "gpt-4o-mini-transcribe", "stream": True}

    whole = exchanged(HOST, HEARD, named_events(*deltas, done), request)
    broken = exchanged(HOST, HEARD, named_events(*deltas), request)

    assert (whole.units, whole.complete, whole.estimated) == ({"audio": (30, 0), "text": (10, 12)}, True, False)
    assert (broken.units, broken.complete, broken.estimated) == ({"audio": (40, 0), "text": (0, 15)}, False, True)
    failed = exchanged(HOST, HEARD, named_events({"type": "error", "error": {"code": "bad"}}), request)
    assert (failed.units, failed.error_type) == (None, "bad")


def test_a_large_transcription() -> None:
    """Of a large answer the usage stands at the end."""
    raw = body({"text": "x" * 5000, "usage": TOKENS})
    heard = endpoint(HOST, HEARD)

    assert heard.read_cut(raw[:100], raw[-300:]).units == {"audio": (30, 0), "text": (10, 12)}
    assert heard.read_cut(SRT, SRT).reason == "usage is missing"
    assert heard.read_stream(raw).units == {"audio": (30, 0), "text": (10, 12)}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"usage": {"type": "duration", "seconds": -1}}, "usage.seconds: expected float >= 0.0"),
        ({"usage": {"type": "duration", "seconds": "x"}}, "usage.seconds: expected float, got str"),
        ({"duration": "long"}, "usage is missing"),
        ({"duration": -4}, "usage is missing"),
        ({"error": {"code": "x"}}, "the answer is an error"),
    ],
)
def test_faults(answer: dict[str, Any], reason: str) -> None:
    """What cannot be counted has its reason."""
    reading = endpoint(HOST, HEARD).read(body(answer))

    assert (reading.units, reading.reason) == (None, reason)
