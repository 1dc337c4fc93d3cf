"""What OpenAI tells later, and again and again: background responses, batches, runs; and videos, which are told at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, endpoint, events, exchanged, named_events, openai_usage

from payi_middleware.events import Part
from payi_middleware.providers import named
from payi_middleware.providers.base import summed

HOST = "api.openai.com"
FILE = "/v1/files/file-out/content"
USAGE = {"input_tokens": 100, "output_tokens": 30, "total_tokens": 130}


def response(**more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "gpt-5", "status": "completed", "background": True} | more


def again(answer: bytes, path: str = "/v1/responses/resp_1") -> Any:
    return exchanged(HOST, path, answer, method="GET")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_background_response_that_is_not_there_yet(status: str) -> None:
    """Who starts it is told to wait; who polls it is no event."""
    raw = body(response(status=status, usage=None))

    assert exchanged(HOST, "/v1/responses", raw).pending
    assert again(raw).untold


@pytest.mark.parametrize("as_stream", [False, True])
def test_a_background_response_counts_once(as_stream: bool) -> None:
    """A poll that tells the usage, and a stream that told it before, have one id."""
    told = response(usage=USAGE)
    raw = named_events({"type": "response.completed", "response": told}) if as_stream else body(told)

    started, polled = exchanged(HOST, "/v1/responses", raw), again(raw)

    assert started.once == polled.once == "resp_1"
    assert started.units == polled.units == {"text": (100, 30)}
    assert not polled.untold


def test_a_large_background_response_counts_once() -> None:
    """Of a large response the ends tell that it was made in the background."""
    raw = body(response(output=[{"type": "message", "content": "x" * 5000}], usage=USAGE))
    route = named("openai").route("GET", "/v1/responses/resp_1")
    assert route is not None

    assert route.endpoint.read_cut(raw[:200], raw[-200:]).once == "resp_1"


def test_a_background_response_that_failed() -> None:
    """A failure is told once too, and by its kind alone."""
    reading = again(body(response(status="failed", error={"code": "server_error", "message": "secret"})))

    assert (reading.units, reading.error_type, reading.once, reading.untold) == (None, "server_error", "resp_1", False)


def test_a_response_that_was_told_at_once() -> None:
    """A response that was not made in the background was counted when it was made."""
    raw = body(response(background=False, usage=USAGE))

    assert (again(raw).untold, exchanged(HOST, "/v1/responses", raw).once) == (True, None)


def chat(model: str = "gpt-4o-mini", prompt: int = 100, **more: Any) -> dict[str, Any]:
    usage = openai_usage(prompt, 30)
    return {"id": "c", "object": "chat.completion", "model": model, "service_tier": "default", "usage": usage} | more


def line(answer: Any, status: int = 200, **more: Any) -> bytes:
    told = {"id": "batch_req_1", "custom_id": "a", "response": {"status_code": status, "body": answer}, "error": None}
    return body(told | more) + b"\n"


def test_a_batch() -> None:
    """Each line is an answer of its model at the batch's rate; lines that failed cost nothing; the file counts once."""
    raw = (
        line(chat())
        + line(chat(prompt=50))
        + line(chat("gpt-5", prompt=200_001))
        + line({"error": {"code": "x"}}, 400)
        + line(response(background=False, usage=USAGE))
        + b"\n"
    )

    reading = again(raw, FILE)

    assert sorted(reading.parts, key=str) == sorted(
        [
            Part("gpt-4o-mini", {"text": (150, 60)}, "batch"),
            Part("gpt-5", {"text": (200_001, 30)}, "batch"),
            Part("gpt-5", {"text": (100, 30)}, "batch"),
        ],
        key=str,
    )
    assert reading.units == summed(reading.parts)
    assert (reading.service_tier, reading.once, reading.reason) == ("batch", "file-out", None)


def test_a_batch_of_many_prompts() -> None:
    """Lines are added up only as far as their prompts together are no long one, which would have another rate."""
    reading = again(line(chat(prompt=60_000)) * 3, FILE)

    assert [part.units["text"] for part in reading.parts] == [(60_000, 30)] * 3


def test_other_answers_in_a_batch() -> None:
    """Embeddings, pictures and searches are read as their endpoints' answers are."""
    embedded = {"object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    drawn = {"created": 1, "data": [{"b64_json": "x"}], "usage": USAGE}
    searched = response(
        background=False,
        usage=USAGE,
        output=[{"type": "web_search_call"}, {"type": "code_interpreter_call", "container_id": "c1"}],
        tools=[{"type": "web_search"}],
    )

    reading = again(line(embedded) + line(drawn) + line(searched), FILE)

    assert [(part.model, part.units) for part in reading.parts] == [
        ("text-embedding-3-small", {"text": (8, 0)}),
        (None, {"text": (100, 0), "image": (0, 30)}),
        ("gpt-5", {"text": (100, 30), "web_search_request": (0, 1)}),
    ]
    assert [first.id for first in reading.firsts] == ["c1"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x89PNG\r\n",
        b'{"messages":[{"role":"user","content":"train me"}]}\n' * 3,
        body({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o"}}),
        line({"error": {"code": "x"}}, 400) * 2,
        line({"id": "modr-1", "model": "omni-moderation-latest", "results": [{}]}),
        line(chat(), response=None),
    ],
)
def test_files_that_cost_nothing(raw: bytes) -> None:
    """A download that is no result of a batch, or of one that failed or is free, is no event."""
    assert again(raw, FILE).untold


def test_lines_without_usage_are_said() -> None:
    """Lines that succeeded and cannot be counted are named, and the others are counted."""
    reading = again(line(chat()) + line({"id": "c"}) + b'{"custom_id": "b", "resp\n', FILE)

    assert reading.units == {"text": (100, 30)}
    assert reading.reason == "2 lines of the results tell no usage"
    alone = again(line({"id": "c"}), FILE)
    assert (alone.units, alone.untold, alone.once) == (None, False, "file-out")


def test_results_that_are_too_large() -> None:
    """Of a file that is beyond all bounds the whole lines at both ends are counted, and that is said."""
    raw = line(chat()) * 9
    route = named("openai").route("GET", FILE)
    assert route is not None
    results = route.endpoint

    for reading in (results.read_cut(raw[:-20], raw[20:]), results.read_stream(raw[:-20], raw[20:], 7)):
        assert reading.units == {"text": (1600, 480)}
        assert [u.unit for u in reading.unpriced] == ["batch_line"]
        assert reading.reason is not None
    assert results.read_cut(b"\x89PNG", b"x").untold
    assert results.read_stream(raw).units == {"text": (900, 270)}


@pytest.mark.parametrize("end", range(0, 700, 3))
def test_results_that_are_cut(end: int) -> None:
    """Results that broke off tell whole lines, and never more."""
    reading = again((line(chat()) * 3)[:end], FILE)

    assert (reading.units or {}).get("text", (0, 0))[0] <= 100 * (end // 200)


def run(**more: Any) -> dict[str, Any]:
    return {
        "id": "run_1",
        "object": "thread.run",
        "model": "gpt-4o",
        "status": "completed",
        "usage": openai_usage(),
    } | more


RUN = "/v1/threads/t_1/runs/run_1"


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action"])
def test_a_run_that_has_not_ended(status: str) -> None:
    """A run tells nothing until it has ended, neither to who starts it nor to who polls it."""
    raw = body(run(status=status, usage=None))

    assert again(raw, RUN).untold
    assert exchanged(HOST, "/v1/threads/t_1/runs", raw).untold


def test_a_run_counts_once() -> None:
    """A run that is polled, and one that is streamed, have one id; a step's share is part of the run's usage."""
    step = {"id": "step_1", "object": "thread.run.step", "usage": openai_usage(7, 7)}
    stream = b"".join(
        b"event: " + name.encode() + b"\ndata: " + json.dumps(value).encode() + b"\n\n"
        for name, value in [
            ("thread.run.created", run(usage=None, status="queued")),
            ("thread.run.completed", run()),
            ("thread.run.step.completed", step),
        ]
    )

    polled = again(body(run()), RUN)
    streamed = exchanged(HOST, "/v1/threads/runs", stream + b"event: done\ndata: [DONE]\n\n")

    assert polled == streamed
    assert (polled.units, polled.model, polled.once) == ({"text": (100, 30)}, "gpt-4o", "run_1")
    assert again(body(step), RUN).untold


def test_the_tools_of_a_run() -> None:
    """Calls of hosted tools are told by the steps alone: that they may be missing is said."""
    reading = again(body(run(tools=[{"type": "function"}, {"type": "file_search"}])), RUN)

    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("hosted_tool", 1)]
    assert again(body(run(tools=[{"type": "function"}])), RUN).unpriced == ()


@pytest.mark.parametrize("raw", [b"", b"nope", b"{}", body(run(usage={})), body(run(usage={"prompt_tokens": "x"}))])
def test_a_run_that_tells_nothing(raw: bytes) -> None:
    """Whatever tells nothing is no event."""
    assert again(raw, RUN).untold
    assert endpoint(HOST, "/v1/threads/runs").read_cut(raw, raw).untold


def video(**more: Any) -> bytes:
    return body({"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "seconds": "8"} | more)


@pytest.mark.parametrize(
    ("path", "answer", "request_", "seconds", "terms"),
    [
        ("videos", video(size="720x1280"), {"model": "sora-2"}, 8, ()),
        ("videos", video(model="sora-2-2025-12-08", size="720x1280"), None, 8, ()),
        ("videos", video(model="sora-2-pro", size="1024x1792", seconds=12), None, 12, ("size:1024x1792",)),
        ("videos/video_0/remix", video(), {"prompt": "again"}, 8, ()),
        ("videos/extensions", video(seconds="20"), {"seconds": "12"}, 12, ()),
        (
            "video/generations/jobs",
            body({"id": "task_1", "n_seconds": 5, "n_variants": 2, "height": 480, "width": 854, "status": "queued"}),
            {"model": "sora"},
            10,
            ("size:854x480",),
        ),
    ],
)
def test_a_video(path: str, answer: bytes, request_: Any, seconds: int, terms: tuple[str, ...]) -> None:
    """What a video will cost is told when it is ordered: seconds, and the size where it matters."""
    reading = exchanged(HOST, f"/v1/{path}", answer, request_)

    assert (reading.units, reading.terms) == ({"generated_video_second": (0, seconds)}, terms)
    assert reading.reason == "billed once the video is made; one that fails costs nothing"
    assert not reading.estimated


def test_an_extension_of_unknown_length() -> None:
    """An extension tells the whole length; how much of it is new only the request tells."""
    reading = exchanged(HOST, "/v1/videos/extensions", video(seconds="20"))

    assert reading.units == {"generated_video_second": (0, 20)}
    assert reading.reason == "how much an extension adds is not told: all of the video is counted"


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        (video(seconds=None), "the length of the video is not told", None),
        (video(seconds="long"), "the length of the video is not told", None),
        (video(seconds=10**9), "the length of the video is not told", None),
        (video(model=7, seconds=-4), "model: expected str, got int", None),
        (video(error={"code": "moderation_blocked"}), "the answer is an error", "moderation_blocked"),
        (b"nope", "the answer is not whole JSON", None),
    ],
)
def test_a_video_that_tells_no_length(answer: bytes, reason: str, error: str | None) -> None:
    """Without a length there is a reason."""
    videos = endpoint(HOST, "/v1/videos")

    for reading in (videos.read(answer), videos.read_cut(answer, b""), videos.read_stream(answer)):
        assert (reading.units, reading.reason, reading.error_type) == (None, reason, error)


def test_a_container() -> None:
    """A container has a fee by its memory, charged once by its id."""
    reading = exchanged(HOST, "/v1/containers", body({"id": "cntr_1", "memory_limit": "4g"}))

    assert (reading.model, reading.once) == ("container", "cntr_1")
    assert (reading.units, reading.terms) == ({"container_session_request": (0, 1)}, ("memory:4g",))
    for raw in (b"nope", b"{}"):
        unnamed = exchanged(HOST, "/v1/containers", raw)
        assert (unnamed.units, unnamed.reason) == (None, "the answer names no container")


def test_a_search_in_a_vector_store() -> None:
    """A search costs the same whatever it finds; one that failed costs nothing."""
    path = "/v1/vector_stores/vs_1/search"

    assert exchanged(HOST, path, body({"data": []})).units == {"file_search_request": (0, 1)}
    assert endpoint(HOST, path).read(body({"error": {}})).units is None


@pytest.mark.parametrize("path", ["/v1/realtime/calls", "/v1/live/sessions"])
def test_a_session(path: str) -> None:
    """The beginning of a session tells nothing, and where its usage is told is said."""
    session = endpoint(HOST, path)

    for reading in (session.read(b"v=0"), session.read_cut(b"v=0", b""), session.read_stream(b"v=0")):
        assert (reading.units, reading.pending) == (None, True)
        assert "realtime" in (reading.reason or "")


def test_an_endpoint_that_nobody_knows() -> None:
    """A new endpoint that tells usage is read as chat, and that is said; others stay what they are."""
    new = endpoint(HOST, "/v1/something/new")
    told = chat("gpt-9")

    for reading in (new.read(body(told)), new.read_stream(events(told))):
        assert (reading.units, reading.model) == ({"text": (100, 30)}, "gpt-9")
        assert reading.reason == "the endpoint is unknown here; its usage is read as that of chat"
    raw = body({"data": "x" * 5000} | told)
    assert new.read_cut(raw[:100], raw[-300:]).units == {"text": (100, 30)}
    odd = chat(usage=openai_usage(1, 1, cached=9))
    assert (new.read(body(odd)).reason or "").startswith(
        "the endpoint is unknown here; its usage is read as that of chat; "
    )
    for reading in (new.read(b'{"usage":{}}'), new.read(b"{}"), new.read_cut(b"{}", b"{}"), new.read_stream(b"x")):
        assert (reading.units, reading.reason) == (None, "endpoint is not priced yet")


def test_decisions() -> None:
    """Decisions tell the usage of a response."""
    reading = exchanged(HOST, "/v1/decisions", body({"model": "gpt-6-luna", "answers": [], "usage": USAGE}))

    assert (reading.units, reading.model) == ({"text": (100, 30)}, "gpt-6-luna")


WHOLE = {
    "responses": (
        "POST",
        "/v1/responses",
        response(
            background=False,
            output=[
                {"type": "web_search_call", "action": {"type": "search"}},
                {"type": "file_search_call"},
                {"type": "code_interpreter_call", "container_id": "c1"},
                {"type": "image_generation_call", "size": "1024x1024", "quality": "low"},
            ],
            tools=[
                {"type": "code_interpreter", "container": {"type": "auto"}},
                {"type": "image_generation", "model": "m"},
            ],
            usage=USAGE,
            tool_usage={"web_search": {"num_requests": 1}, "image_gen": {"input_tokens": 5, "total_tokens": 5}},
        ),
    ),
    "poll": ("GET", "/v1/responses/resp_1", response(usage=USAGE)),
    "run": ("GET", RUN, run()),
    "video": ("POST", "/v1/videos", json.loads(video(size="1024x1792", model="sora-2-pro"))),
    "container": ("POST", "/v1/containers", {"id": "cntr_1", "memory_limit": "4g"}),
    "transcription": (
        "POST",
        "/v1/audio/transcriptions",
        {"text": "A fox.", "usage": {"type": "duration", "seconds": 7}},
    ),
    "decision": ("POST", "/v1/decisions", {"model": "gpt-6-luna", "usage": USAGE}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_byte(name: str) -> None:
    """An answer that is cut anywhere tells all, or why not, or what is missing; as events it is no different."""
    method, path, answer = WHOLE[name]
    event = {"type": "response.completed", "response": answer} if "response" in path else answer
    streams = [] if name in ("container", "video") else [named_events({"type": "x"} | event)]
    for raw in (body(answer), *streams):
        whole = exchanged(HOST, path, raw, method=method)
        assert whole.units
        for end in range(len(raw)):
            cut = exchanged(HOST, path, raw[:end], method=method)
            assert cut.units in (None, whole.units) or cut.estimated or cut.unpriced
            assert cut.units is not None or cut.reason or cut.untold
