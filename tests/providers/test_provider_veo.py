"""Videos of Veo, counted from the request."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, facts

from payi_middleware.providers import Reading

PATH = "/v1beta/models/{}:predictLongRunning"
BEGUN = body({"name": "models/veo-3.1-generate-preview/operations/1"})


def read(model: str, parameters: Any = None, raw: bytes = BEGUN) -> Reading:
    path = PATH.format(model)
    veo = endpoint("generativelanguage.googleapis.com", path)
    assert veo.refine is not None
    return veo.refine(veo.read(raw), facts(body({"instances": [{}], "parameters": parameters}), path))


@pytest.mark.parametrize(
    ("model", "parameters", "seconds", "terms"),
    [
        ("veo-3.1-generate-preview", None, 8, ("resolution:720p", "audio:yes")),
        (
            "veo-3.1-generate-preview",
            {"durationSeconds": 4, "sampleCount": 2, "resolution": "4K", "generateAudio": True},
            8,
            ("resolution:4k", "audio:yes"),
        ),
        (
            "veo-3.0-fast-generate-001",
            {"durationSeconds": 6, "resolution": "1080p", "generateAudio": False},
            6,
            ("resolution:1080p", "audio:no"),
        ),
        ("veo-2.0-generate-001", {"durationSeconds": 5, "sampleCount": 4}, 20, ()),
        ("veo-2.0-generate-001", {"durationSeconds": "4", "sampleCount": "2"}, 8, ()),
    ],
)
def test_seconds_and_what_they_cost_by(model: str, parameters: Any, seconds: int, terms: tuple[str, ...]) -> None:
    """Seconds of each video, and what the rate of newer models depends on; it is an estimate until the video is made."""
    reading = read(model, parameters)

    assert (reading.units, reading.terms) == ({"generated_video_second": (0, seconds)}, terms)
    assert reading.estimated


def test_what_is_not_counted() -> None:
    """An error, another model, or a request that cannot be read."""
    path = PATH.format("veo-3")
    veo = endpoint("generativelanguage.googleapis.com", path)
    assert veo.refine is not None

    assert read("veo-3", raw=b'{"error":{"status":"RESOURCE_EXHAUSTED"}}').units is None
    assert read("unknown-video-model").units is None
    for malformed in ("8s", 0, -4, 4.5, True, 10**9, "9" * 30):
        assert read("veo-3", {"durationSeconds": malformed}).units is None
        assert read("veo-3", {"sampleCount": malformed}).units is None
    for sent in (None, b"[", b""):
        assert veo.refine(veo.read(BEGUN), facts(sent, path)).units is None
    for end in range(len(BEGUN)):
        assert read("veo-3", raw=BEGUN[:end]).units is None
    assert veo.read_stream(BEGUN) == veo.read(BEGUN)
    assert veo.refine(veo.read_stream(BEGUN, b"}"), facts(b"{}", path)).units is None
