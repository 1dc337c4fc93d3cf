"""What an answer that is over tells, read from what was kept of it."""

from __future__ import annotations

from .body import Body
from .events import Units, Unpriced
from .providers.base import Endpoint, Reading

__all__ = ["CUT_SHORT", "is_worth_counting", "read_kept", "unseen"]

_STREAM_STARTS = (b"data:", b"event:", b": ", b":\n", b"id:", b"retry:")
_NO_ANSWER = Reading(complete=False, reason="no answer came")
_UNREAD = "the results were not read to their end; they are counted when they are read whole"
CUT_SHORT = Reading(complete=False, reason=_UNREAD, unpriced=(Unpriced("batch_line", 1, _UNREAD),), pending=True)
"""Half of the results, counted under the id of the whole, would keep the whole from being counted."""


def read_kept(
    endpoint: Endpoint, status: int | None, asked: bool, parts: list[bytes], body: Body | None
) -> tuple[Reading, bytes, bool]:
    """What the answer tells, its bytes (for counting, if need be), and whether it is a stream.

    Args:
        endpoint: Which it is of.
        status: None if none came.
        asked: Whether a stream was asked for.
        parts: All of it, where there is no body.
        body: What is kept of one that is large or encoded.
    """
    if status is None:
        return _NO_ANSWER, b"", asked
    if body is None:
        head, tail, cut = (parts[0] if len(parts) == 1 else b"".join(parts)), b"", 0
    else:
        head, tail = body.parts()
        cut = body.cut
    if (asked and 200 <= status < 300 and head[:1] != b"{") or head.startswith(_STREAM_STARTS):
        return endpoint.read_stream(head, tail, cut), (head + b"\n\n" + tail if tail else head), True
    if tail:
        return endpoint.read_cut(head, tail), head, asked
    return endpoint.read(head), head, asked


def unseen(body: Body, units: Units | None) -> str | None:
    """What of the answer could not be looked at, as a reason."""
    if units is None and body.unknown and not body.note:
        return f"the answer's content-encoding {body.unknown!r} is unknown here"
    return body.note


def is_worth_counting(endpoint: Endpoint, reading: Reading) -> bool:
    """Whether the texts of an answer that came and tells no usage are to be counted."""
    return (
        reading.stated_ticks is None
        and (not reading.error_type or reading.estimated)
        and not reading.pending
        and endpoint.texts is not None
    )
