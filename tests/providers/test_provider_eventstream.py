"""AWS event streams: messages with lengths and checksums, cut anywhere and spoiled anywhere."""

from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from eventstreams import chunk, event, exception, header, message, metadata, said, spoiled
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.providers._eventstream import (
    WRONG_CHECKSUM,
    Message,
    Stream,
    backwards,
    first,
    looks_like_messages,
)

MESSAGES = [*said("eight ch", "four"), metadata()]
STREAM = b"".join(MESSAGES)
WHOLE = Stream.of(STREAM).messages


def test_botocore_reads_the_same() -> None:
    """What is built here is what AWS's own library reads, message for message."""
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM + exception("throttlingException"))

    read = [(told.headers.get(":event-type") or told.headers[":exception-type"], told.payload) for told in buffer]

    assert [(told.kind, told.payload) for told in Stream.of(STREAM + exception("throttlingException")).messages] == read


def test_messages_in_order() -> None:
    """Each message with its type and its payload; an exception says so."""
    stream = Stream.of(event("a", b"1") + event("b", b"") + exception("throttlingException"))

    assert stream.messages[:2] == [Message("a", b"1"), Message("b", b"")]
    assert stream.messages[2].failed
    assert (stream.whole, stream.fault, stream.error) == (True, None, "throttlingException")


def test_an_error_has_a_code() -> None:
    """An error that is no exception of the model has its type in another header."""
    told = message(b"", (":error-code", "InternalFailure"), (":error-message", "text"), (":message-type", "error"))

    assert Stream.of(told).error == "InternalFailure"


def test_headers_of_every_type_are_passed() -> None:
    """Values that are no texts have sizes of their own, and what stands behind them is still read."""
    others = [
        b"\x01a\x00",  # true
        b"\x01b\x01",  # false
        b"\x01c\x02\x07",  # byte
        b"\x01d\x03\x00\x07",  # short
        b"\x01e\x04" + bytes(4),  # integer
        b"\x01f\x05" + bytes(8),  # long
        b"\x01g\x06\x00\x03abc",  # bytes
        b"\x01h\x08" + bytes(8),  # time
        b"\x01i\x09" + bytes(16),  # uuid
    ]

    assert Stream.of(message(b"x", *others, (":event-type", "metadata"))).messages == [Message("metadata", b"x")]


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\x01a", b"\x05a", b"\x01a\x07", b"\x01a\x07\xff\xffx", b"\x01a\x63\x00\x01"]
)
def test_malformed_headers_are_no_fault(bad: bytes) -> None:
    """A message that its checksum vouches for is one, though nothing can be made of its headers."""
    assert Stream.of(message(b"x", bad)).messages == [Message("", b"x")]


def test_a_name_is_bounded() -> None:
    """A type becomes part of an event, so nobody can make it long."""
    (told,) = Stream.of(message(b"", (":event-type", "x" * 5000))).messages

    assert len(told.kind) == 128


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_cut_at_any_byte(at: int) -> None:
    """Of a stream that ends too early the messages before the cut are read, and it is whole only between two messages."""
    ends = [len(b"".join(MESSAGES[:n])) for n in range(len(MESSAGES) + 1)]
    stream = Stream.of(STREAM[:at])

    assert stream.messages == WHOLE[: sum(end <= at for end in ends) - 1]
    assert stream.fault is None
    assert stream.whole == (at in ends)


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_spoiled_at_any_byte(at: int) -> None:
    """A message with a wrong checksum is never believed, and those after it are read all the same."""
    stream = Stream.of(spoiled(STREAM, at))

    assert len(stream.messages) == len(WHOLE) - 1
    assert all(told in WHOLE for told in stream.messages)


def test_a_wrong_checksum_is_said() -> None:
    """It is told where the length could still be believed."""
    assert Stream.of(spoiled(STREAM, len(STREAM) - 6)).fault == WRONG_CHECKSUM


@given(st.integers(1, len(STREAM) - 1), st.integers(0, len(STREAM)))
@settings(deadline=None)
def test_the_middle_left_out(head: int, left_out: int) -> None:
    """Head and tail are read as far as they hold whole messages, wherever the cuts are."""
    start = min(head + left_out, len(STREAM))
    stream = Stream.of(STREAM[:head], STREAM[start:])

    assert all(told in WHOLE for told in stream.messages)
    if start <= len(STREAM) - len(MESSAGES[-1]):
        assert stream.messages[-1] == WHOLE[-1]


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_anything_else_is_no_message(data: bytes) -> None:
    """Bytes of any kind raise nothing, and give no message that no checksum vouches for."""
    assert Stream.of(data, data).messages == []
    assert list(backwards(data)) == []
    assert first(data) is None


def test_backwards_from_the_end() -> None:
    """The messages in the order from the last, each whole."""
    assert list(backwards(STREAM)) == WHOLE[::-1]
    assert first(STREAM) == WHOLE[0]


def test_backwards_stops_at_what_is_not_whole() -> None:
    """A stream that is cut off, or whose last message is spoiled, has no message at its end."""
    assert list(backwards(STREAM[:-1])) == []
    assert list(backwards(spoiled(STREAM, len(STREAM) - 6))) == []
    assert list(backwards(spoiled(STREAM, len(STREAM) - len(MESSAGES[-1]) - 6))) == WHOLE[:-2:-1]


def test_backwards_reads_the_text_of_a_header_only_at_its_place() -> None:
    """A payload that holds what a header looks like leads nowhere."""
    trick = event("chunk", header(":event-type", "metadata") + b'{"usage":{}}')

    assert [told.kind for told in backwards(STREAM + trick)] in ([], ["chunk", *(told.kind for told in WHOLE[::-1])])


def test_what_begins_with_a_message() -> None:
    """JSON is none, nor is a part of one too short for its lengths."""
    assert looks_like_messages(chunk({}))
    assert not looks_like_messages(STREAM[:11])
    assert not looks_like_messages(b'{"usage": {"inputTokens": 1}}')
