"""The results of Gemini's batches, contents that are kept, and messages of Live."""

from __future__ import annotations

from typing import Any

from answers import body, endpoint, facts

from payi_middleware.events import Part
from payi_middleware.providers import Endpoint, Reading, find
from payi_middleware.providers.gemini_live import read as read_message

BATCH_PATH = "/v1beta/batches/b1"
FILE_PATH = "/download/v1beta/files/batch-b1:download"


def got(path: str) -> Endpoint:
    provider = find("generativelanguage.googleapis.com")
    assert provider is not None
    route = provider.route("GET", path)
    assert route is not None
    return route.endpoint


BATCH, FILE = got(BATCH_PATH), got(FILE_PATH)


def answer(prompt: int, made: int, model: str | None = "gemini-2.5-flash") -> dict[str, Any]:
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": made}
    return {"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage, "modelVersion": model}


def batch(*results: Any, done: bool = True, state: str = "BATCH_STATE_SUCCEEDED", **more: Any) -> bytes:
    output = (
        {"inlinedResponses": {"inlinedResponses": list(results)}} if results else {"responsesFile": "files/batch-b1"}
    )
    metadata = {"model": "models/gemini-2.5-flash", "state": state, "output": output}
    return body({"name": "batches/b1", "done": done, "metadata": metadata} | more)


def read(raw: bytes) -> Reading:
    assert BATCH.refine is not None
    return BATCH.refine(BATCH.read(raw), facts(path=BATCH_PATH))


def lines(raw: bytes) -> Reading:
    assert FILE.refine is not None
    return FILE.refine(FILE.read(raw), facts(path=FILE_PATH))


def test_results_inside_of_a_batch() -> None:
    """All answers of a model are one part at the batch's tier, and the batch is counted once."""
    reading = read(batch({"response": answer(10, 2)}, {"response": answer(5, 1, None)}, {"error": {"code": 3}}))

    assert reading.parts == (Part("gemini-2.5-flash", {"text": (15, 3)}, "batch"),)
    assert (reading.units, reading.service_tier, reading.once) == ({"text": (15, 3)}, "batch", "b1")
    assert (reading.model, reading.reason) == ("gemini-2.5-flash", None)


def test_a_batch_of_embeddings() -> None:
    """Each tells the tokens of its text, as a number or, as Google writes long ones, a string."""
    results = [
        {"response": {"embedding": {"values": [0.1]}, "tokenCount": "7"}},
        {"response": {"embedding": {"values": [0.1]}, "tokenCount": 4}},
        {"response": {"embedding": {"values": [0.1]}, "tokenCount": "x"}},
        {"response": {"embedding": {"values": [0.1]}, "tokenCount": -1}},
    ]
    inside = body({"done": True, "response": {"inlinedEmbedContentResponses": {"inlinedResponses": results}}})

    reading = read(batch(*results))

    assert (reading.units, reading.reason) == ({"text": (11, 0)}, "2 results tell no usage")
    assert read(inside).units == {"text": (11, 0)}


def test_a_batch_that_goes_on() -> None:
    """Before its end, and where its results are in a file, a batch tells nothing."""
    for raw in (batch(done=False, state="BATCH_STATE_RUNNING"), batch(), b"<html>", b"{}", batch({"error": {}})):
        assert read(raw).untold
    assert read(batch({"response": answer(1, 1)}, done=False)).once == "b1"
    whole = batch({"response": answer(10, 2)})
    for end in range(len(whole)):
        assert read(whole[:end]).units is None
    assert BATCH.read_stream(whole) == BATCH.read(whole)
    assert read(whole.replace(b"STOP", b"\xff")).units == {"text": (10, 2)}
    assert [note.unit for note in BATCH.read_stream(whole, whole).unpriced] == ["batch_line"]


def test_results_in_a_file() -> None:
    """A line an answer; what cannot be read is said, what failed is not billed."""
    line = body({"key": "a", "response": answer(10, 2)}) + b"\n"
    failed = body({"key": "b", "error": {"code": 3}}) + b"\n"

    reading = lines(line + failed + b"\n" + line + b'{"key":"c","resp')

    assert reading.parts == (Part("gemini-2.5-flash", {"text": (20, 4)}, "batch"),)
    assert (reading.once, reading.reason) == ("batch-b1", "1 results tell no usage")
    assert lines(b"\x00\x01video\n").untold
    assert lines(failed).untold
    cut = FILE.read_stream(line + line[:30], line[20:] + line)
    assert (cut.units, [note.unit for note in cut.unpriced]) == ({"text": (20, 4)}, ["batch_line"])
    assert FILE.read_cut(b"video", b"video").untold
    assert FILE.read_stream(line) == FILE.read(line)
    for end in range(len(line) * 2):
        units = lines((line * 2)[:end]).units
        assert units is None or units["text"] <= (20, 4)


def test_contents_that_are_kept() -> None:
    """Their storage is billed by the hour, which no answer tells."""
    made = endpoint("generativelanguage.googleapis.com", "/v1beta/cachedContents")
    kept = {"name": "cachedContents/1", "model": "models/gemini-2.5-flash", "usageMetadata": {"totalTokenCount": 1090}}

    for reading in (made.read(body(kept)), made.read_stream(body(kept))):
        assert (reading.model, reading.units) == ("gemini-2.5-flash", None)
        assert [(note.unit, note.quantity) for note in reading.unpriced] == [("cache_storage", 1090)]
        assert reading.reason
    assert made.read(b'{"error":{"status":"INVALID_ARGUMENT"}}').error_type == "INVALID_ARGUMENT"
    assert made.read(b'{"usageMetadata":7}').unpriced[0].quantity == 0
    assert made.read(b"<html>").complete is made.read_stream(b"{", b"}").complete is False


def test_live() -> None:
    """A message of a Live session tells the tokens of its turn, and any other nothing."""
    usage = {
        "promptTokenCount": 30,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}, {"modality": "AUDIO", "tokenCount": 20}],
        "responseTokenCount": 50,
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 45}, {"modality": "TEXT", "tokenCount": 5}],
        "thoughtsTokenCount": 4,
    }

    message = body({"serverContent": {"turnComplete": True}, "usageMetadata": usage})
    reading = read_message(message, "models/gemini-3.8-live")

    assert reading is not None
    assert reading.units == {"text": (10, 5), "audio": (20, 45), "reasoning": (0, 4)}
    assert reading.model == "gemini-3.8-live"
    assert (read_message(message) or reading).model is None
    assert read_message(b'{"serverContent":{}}') is None
