"""The results of Anthropic's batches."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, facts

from payi_middleware.events import Part
from payi_middleware.providers import Endpoint, Reading, find
from payi_middleware.providers.base import First

PATH = "/v1/messages/batches/msgbatch_1/results"


def results() -> Endpoint:
    provider = find("api.anthropic.com")
    assert provider is not None
    route = provider.route("GET", PATH)
    assert route is not None
    return route.endpoint


RESULTS = results()


def line(usage: Any, model: str = "claude-sonnet-5", kind: str = "succeeded") -> bytes:
    answer = {"id": "msg_1", "type": "message", "model": model, "content": [{"text": "a\nb"}], "usage": usage}
    return body({"custom_id": "c", "result": {"type": kind, "message": answer}}) + b"\n"


def read(*lines: bytes) -> Reading:
    assert RESULTS.refine is not None
    return RESULTS.refine(RESULTS.read(b"".join(lines)), facts(path=PATH))


USAGE = {"input_tokens": 10, "output_tokens": 3, "service_tier": "batch"}


def test_containers_of_the_lines_count_once_each() -> None:
    """At their own price, which is no batch's."""

    def ran(id: str) -> bytes:
        answer = {"type": "message", "model": "claude-sonnet-5", "container": {"id": id}, "usage": USAGE}
        return body({"custom_id": "c", "result": {"type": "succeeded", "message": answer}}) + b"\n"

    reading = read(ran("c_1"), ran("c_2"), ran("c_1"), line(USAGE))

    charge = Part("code-execution-container", {"container_session_request": (0, 1)})
    assert reading.firsts == (First("c_1", charge), First("c_2", charge))
    assert reading.units == {"text": (40, 12)}


def test_lines_are_added_up_by_model() -> None:
    """Each model is a part at the batch's tier, and the whole is counted once."""
    reading = read(line(USAGE), line(USAGE, "claude-opus-4-8"), line(USAGE | {"service_tier": None}))

    assert reading.parts == (
        Part("claude-sonnet-5", {"text": (20, 6)}, "batch"),
        Part("claude-opus-4-8", {"text": (10, 3)}, "batch"),
    )
    assert (reading.units, reading.service_tier, reading.once) == (
        {"text": (30, 9)},
        "batch",
        "msgbatch_1/results",
    )
    assert reading.reason is None


def test_short_prompts_never_add_up_to_a_long_one() -> None:
    """The size of each prompt decides its rate, so no part is a long prompt that no line was."""
    reading = read(*[line({"input_tokens": 30_000, "output_tokens": 1})] * 7, line({"input_tokens": 150_000}))

    prompts = [part.units["text"][0] for part in reading.parts]
    assert sorted(prompts) == [30_000, 90_000, 90_000, 150_000]
    assert reading.units == {"text": (360_000, 7)}


def test_what_failed_is_not_billed() -> None:
    """Errored, canceled and expired requests cost nothing, and a batch of nothing else is free."""
    failed = body({"custom_id": "c", "result": {"type": "errored", "error": {"type": "invalid_request"}}}) + b"\n"

    assert read(failed, line(USAGE), b"\n").units == {"text": (10, 3)}
    assert read(failed).units == {"text": (0, 0)}


def test_a_line_that_cannot_be_read_is_said() -> None:
    """What is lost is counted."""
    reading = read(line(USAGE), line(None), b'{"result":{"type":"succ')

    assert (reading.units, reading.reason) == ({"text": (10, 3)}, "2 lines cannot be read")
    assert (read(b"<html>").units, read(b"<html>").once) == (None, None)


def test_passes_of_a_line_keep_their_models() -> None:
    """An advisor in a batch is at the batch's rate too."""
    passes = [
        {"type": "message", "input_tokens": 5, "output_tokens": 1},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 7, "output_tokens": 2},
    ]

    assert read(line(USAGE | {"iterations": passes})).parts == (
        Part("claude-sonnet-5", {"text": (5, 1)}, "batch"),
        Part("claude-opus-4-8", {"text": (7, 2)}, "batch"),
    )


@pytest.mark.parametrize("read_ends", [RESULTS.read_cut, RESULTS.read_stream])
def test_more_than_is_kept(read_ends: Any) -> None:
    """Of results that are too large for memory the whole lines at both ends are counted, and the rest is said."""
    reading = read_ends(line(USAGE) + line(USAGE)[:40], line(USAGE)[90:] + line(USAGE))

    assert reading.units == {"text": (20, 6)}
    assert [note.unit for note in reading.unpriced] == ["batch_line"]
    assert "two ends only" in (reading.reason or "")


def test_cut_anywhere() -> None:
    """Results that broke off never raise, and never tell more than whole ones."""
    whole = line(USAGE) + line(USAGE | {"input_tokens": 200})
    for end in range(len(whole)):
        units = RESULTS.read_stream(whole[:end]).units
        assert units is None or units["text"] <= (210, 6)
