"""The demo, run as its users run it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from payi_middleware.demo import main
from payi_middleware.demo.standin import StandIn


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests, and no key of theirs."""
    for name in list(os.environ):
        if name.startswith(("PAYI_", "OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(name)


SHOWN = ("jane", "ravi", "mei", "omar", "lena", "Document-Summary", "Customer-Chat", "gpt-5-mini", "claude-haiku-4-5")


def test_the_demo_tells_who_spent_what(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself, with tables in which the failed attempt and the unpriced model show, and leaves nothing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert main() == 0

    output = capfd.readouterr()
    assert [name for name in SHOWN if name not in output.out] == []
    assert len(re.findall(r"POST /\S+ +200", output.out)) == 13
    assert "house-model-7b" in output.out
    assert "unpriced" in output.out
    assert "Traceback" not in output.err
    assert list(tmp_path.iterdir()) == []


def test_live_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key, `--live` says in a line which ones it looks for."""
    assert main(live=True) == 1
    assert capsys.readouterr().err.splitlines() == [
        "--live asks the real providers: set OPENAI_API_KEY or ANTHROPIC_API_KEY, or both"
    ]


@pytest.mark.parametrize("key", ["OPENAI", "ANTHROPIC"])
def test_live_asks_whom_it_has_a_key_for(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """With one key only that provider's requests are made, without markers, and a named store is used and kept."""
    with StandIn() as provider:
        monkeypatch.setenv(f"{key}_API_KEY", "key")
        monkeypatch.setenv(f"{key}_BASE_URL", provider.url + ("/v1" if key == "OPENAI" else ""))
        monkeypatch.setenv("PAYI_HOSTS", f"{provider.host}={key.lower()}")
        monkeypatch.setenv("PAYI_STORE", f"sqlite:///{tmp_path / 'kept.db'}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        assert main(live=True) == 0

        assert {key == "OPENAI"} == {not request.path.endswith("/messages") for request in provider.requests}
        assert not any(b"#" in request.body for request in provider.requests)
    output = capfd.readouterr().out
    assert "house-model-7b" not in output
    assert (tmp_path / "kept.db").exists()
    assert "payi-demo-" not in output


def test_a_missing_package_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the demo says how to get it and ends."""
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "flask", None)

    assert main() == 1
    assert "pip install 'payi-middleware[demo]'" in capsys.readouterr().err


class Watched(io.StringIO):
    """Standard output that tells when a word was printed."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.told = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.word in text:
            self.told.set()
        return written


def test_serve_stays_until_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The applications answer after the tables, until Ctrl-C; the store is left for `payi report`."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = Watched("curl")
    statuses: list[int] = []

    def visit() -> None:
        output.told.wait()
        url = re.findall(r"http://\S+/chat/order", output.getvalue())[-1]
        try:
            asked = httpx2.post(url, json={"text": "Where is it?"}, headers={"X-User": "jane"}, trust_env=False)
            statuses.append(asked.status_code)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # shells ignore it for what runs in their background
    try:
        with contextlib.redirect_stdout(output):
            code = main(serve=True)
    finally:
        signal.signal(signal.SIGINT, before)
    visitor.join()

    assert (code, statuses) == (0, [200])
    assert [path.parent.parent for path in tmp_path.glob("payi-demo-*/payi.db")] == [tmp_path]


def test_a_store_that_takes_nothing_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the events cannot be stored the demo says so, and fails."""
    monkeypatch.setenv("PAYI_STORE", f"sqlite:///{tmp_path}")

    assert main() == 1
    assert "could not be stored" in capfd.readouterr().err


def test_a_request_that_fails_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that refuses makes the applications fail, which the exit code tells."""
    with StandIn() as provider:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url + "/nowhere?")
        monkeypatch.setenv("PAYI_HOSTS", f"{provider.host}=anthropic")
        monkeypatch.setenv("PAYI_STORE", f"sqlite:///{tmp_path / 'payi.db'}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        assert main(live=True) == 1
