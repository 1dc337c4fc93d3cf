"""Jobs that are asked after until they are done: only the answer that tells the usage is an event, and only once.

Asking may go on after that, and the answer stays the same; so the job's id, or the path by which it is asked after, is
what is counted once.
"""

from __future__ import annotations

from typing import Final

from ._json import key_string
from .base import Facts, Reading

__all__ = ["begun", "poll"]

LATER: Final = "billed when the job is done, which a later answer tells"


def poll(reading: Reading, facts: Facts) -> Reading:
    """An answer to a question after a job: nothing, or its usage."""
    if reading.units is None and reading.stated_ticks is None:
        return reading._replace(untold=True)
    return reading._replace(once=reading.response_id or facts.path)


def begun(reading: Reading, facts: Facts) -> Reading:
    """An answer that may only say that a job has begun."""
    if reading.error_type is not None:
        return reading
    if reading.units is not None or reading.stated_ticks is not None:
        return reading._replace(once=reading.response_id)  # done at once, and may be asked after all the same
    id = key_string(facts.answer[:4096], "request_id") or key_string(facts.answer[:4096], "id")
    return reading._replace(response_id=id, pending=True, reason=LATER)
