"""A user's suite that replays cassettes of vcrpy and looks at its calls with our fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("vcr")

import vcr
from exchanges import LIBRARIES, STREAMED_REQUEST, request

from payi_middleware import Meter, track, uninstrument
from payi_middleware.demo.standin import StandIn
from payi_middleware.testing import Events

Fetch = Callable[..., Any]
BODIES = {
    "whole": request(messages=[{"role": "user", "content": "#input=8"}]),
    "gzip": request(messages=[{"role": "user", "content": "#input=8 #gzip"}]),
    "streamed": STREAMED_REQUEST,
}


@pytest.fixture(params=list(LIBRARIES))
def lib(request: pytest.FixtureRequest) -> ModuleType:
    """httpx and httpx2 in turn."""
    return LIBRARIES[request.param]


@pytest.fixture
def cassettes(tmp_path: Path) -> Any:
    """What a suite configures once."""
    return vcr.VCR(cassette_library_dir=str(tmp_path), match_on=["method", "path", "body"])


def as_openai(cassette: Path, standin: StandIn) -> None:
    """Make a cassette of the stand-in one of the provider."""
    cassette.write_text(cassette.read_text().replace(standin.url, "https://api.openai.com"))


@pytest.mark.parametrize("decoded", [False, True], ids=["as-it-came", "decoded"])
@pytest.mark.parametrize("kind", list(BODIES))
def test_replayed(
    kind: str, decoded: bool, lib: ModuleType, fetch: Fetch, cassettes: Any, tmp_path: Path, payi_events: Events
) -> None:
    """A cassette that was recorded without us is replayed; each replay is an event at the same cost."""
    body = BODIES[kind]
    with StandIn() as standin:
        with cassettes.use_cassette("fox.yaml", decode_compressed_response=decoded):
            recorded = fetch(f"{standin.url}/v1/chat/completions", body, lib)
        as_openai(tmp_path / "fox.yaml", standin)
    assert len(payi_events) == 0  # the stand-in's host is nobody's

    with cassettes.use_cassette("fox.yaml", record_mode="none", allow_playback_repeats=True) as cassette:
        for _ in range(2):
            replayed = fetch("https://api.openai.com/v1/chat/completions", body, lib)
            assert (replayed.status_code, replayed.content) == (200, recorded.content)
        assert cassette.play_count == 2
    first, second = payi_events.all(outcome="ok", cost_source="usage", streamed=kind == "streamed")
    assert first.cost is not None
    assert first.cost == second.cost
    if kind != "streamed":
        assert first.cost.total_ticks == 8 * 1_500 + 24 * 6_000


def test_recorded_with_the_hook(
    lib: ModuleType, fetch: Fetch, cassettes: Any, tmp_path: Path, payi_events: Events
) -> None:
    """No xProxy header comes into a cassette that is recorded with us, and it replays without us."""
    with StandIn() as standin:
        url = f"{standin.url}/v1/chat/completions"
        meter = Meter("sqlite:///:memory:", hosts={standin.host: "openai"})
        with meter, track(meter=meter), cassettes.use_cassette("fox.yaml"):
            recorded = fetch(url, BODIES["whole"], lib, headers={"xProxy-User-ID": "jane", "x-mine": "yes"})
        assert "xproxy" not in str([seen.headers for seen in standin.requests]).lower()
        told = (tmp_path / "fox.yaml").read_text().lower()
        assert "x-mine" in told
        assert "xproxy" not in told
        assert payi_events.one(outcome="ok").user_id == "jane"

        uninstrument()
        with cassettes.use_cassette("fox.yaml", record_mode="none"):
            assert fetch(url, BODIES["whole"], lib).content == recorded.content
        assert len(standin.requests) == 1
    assert len(payi_events) == 1


def test_a_call_that_is_not_in_the_cassette(lib: ModuleType, fetch: Fetch, cassettes: Any, payi_events: Events) -> None:
    """The failure that tells of it is vcrpy's own."""
    missing = pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException)
    with cassettes.use_cassette("empty.yaml", record_mode="none"), missing:
        fetch("https://api.openai.com/v1/chat/completions", BODIES["whole"], lib)
    assert payi_events.one().error_type == "CannotOverwriteExistingCassetteException"
