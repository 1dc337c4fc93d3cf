"""The stand-in's rules of counting, as a test would work them out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.demo.question import Tokens, ask, tokens_of, usage_for

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


@given(st.integers(0, 5000))
def test_four_characters_are_a_token(tokens: int) -> None:
    """A text has a token for each four characters, rounded up."""
    assert tokens == tokens_of("x" * 4 * tokens)
    assert tokens + 1 == tokens_of("x" * (4 * tokens + 1))


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param(CHAT, {"messages": [user("12345678")]}, Tokens(2, 0, 0, 24, 0), id="chat"),
        pytest.param(
            CHAT,
            {"messages": [{"role": "system", "content": "1234"}, user([{"type": "text", "text": "12345"}])]},
            Tokens(3, 0, 0, 24, 0),
            id="chat-parts",
        ),
        pytest.param(CHAT, {"messages": [user("1")], "max_tokens": 7}, Tokens(1, 0, 0, 7, 0), id="chat-maximum"),
        pytest.param(
            CHAT, {"messages": [user("1")], "reasoning_effort": "high"}, Tokens(1, 0, 0, 24, 256), id="chat-effort"
        ),
        pytest.param(
            CHAT, {"messages": [user("1")], "reasoning_effort": "none"}, Tokens(1, 0, 0, 24, 0), id="chat-no-effort"
        ),
        pytest.param(
            CHAT,
            {"messages": [user("1")], "tools": [{"type": "function", "function": {"name": "f"}}] * 2},
            Tokens(41, 0, 0, 24, 0),
            id="chat-tools",
        ),
        pytest.param(
            CHAT,
            {"messages": [user("12345678"), user("1")], "prompt_cache_key": "k"},
            Tokens(3, 2, 0, 24, 0),
            id="chat-cache",
        ),
        pytest.param(
            CHAT,
            {"messages": [user("#input=1000 #cached=400 #written=700 #output=5 #reasoning=6")]},
            Tokens(1000, 400, 600, 5, 6),
            id="chat-markers",
        ),
        pytest.param(CHAT, {"messages": [user("#output=999999999")]}, Tokens(5, 0, 0, 100_000, 0), id="chat-bounded"),
        pytest.param("/v1/responses", {"input": "12345", "instructions": "1"}, Tokens(3, 0, 0, 24, 0), id="responses"),
        pytest.param(
            "/v1/responses",
            {"input": [{"type": "function_call_output", "output": "12345"}], "reasoning": {"effort": "low"}},
            Tokens(2, 0, 0, 24, 16),
            id="responses-items",
        ),
        pytest.param("/v1/embeddings", {"input": ["12345", "1"]}, Tokens(3, 0, 0, 0, 0), id="embeddings"),
        pytest.param("/v1/embeddings", {"input": [1, 2, 3]}, Tokens(3, 0, 0, 0, 0), id="embeddings-ids"),
        pytest.param("/v1/embeddings", {"input": [[1, 2], [3]]}, Tokens(3, 0, 0, 0, 0), id="embeddings-lists-of-ids"),
        pytest.param(
            MESSAGES,
            {"system": "12345678", "messages": [user("1")], "thinking": {"type": "enabled", "budget_tokens": 9}},
            Tokens(3, 0, 0, 24, 64),
            id="messages",
        ),
        pytest.param(
            MESSAGES,
            {
                "system": [{"type": "text", "text": "12345678", "cache_control": {"type": "ephemeral"}}],
                "messages": [user("1")],
            },
            Tokens(3, 0, 2, 24, 0),
            id="messages-written",
        ),
        pytest.param(
            MESSAGES,
            {
                "system": [{"text": "12345678", "cache_control": {"type": "ephemeral"}}],
                "messages": [user("1"), user([{"text": "1"}])],
            },
            Tokens(4, 2, 0, 24, 0),
            id="messages-cached",
        ),
        pytest.param(
            GEMINI,
            {
                "systemInstruction": {"parts": [{"text": "12345"}]},
                "contents": [{"parts": [{"text": "1"}]}],
                "generationConfig": {"maxOutputTokens": 3, "thinkingConfig": {"thinkingBudget": 1}},
            },
            Tokens(3, 0, 0, 3, 64),
            id="gemini",
        ),
        pytest.param(CHAT, {}, Tokens(0, 0, 0, 24, 0), id="empty"),
    ],
)
def test_tokens_follow_the_written_rules(path: str, body: dict[str, Any], expected: Tokens) -> None:
    """Each rule of the module's docstring gives the tokens that it says."""
    assert expected == usage_for(path, body)
    assert expected.answer + expected.reasoning == expected.output


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (CHAT, {"model": "gpt-4o"}, "gpt-4o"),
        (CHAT, {"model": "gpt-4o", "messages": [user("#model=gpt-4o-2024-08-06")]}, "gpt-4o-2024-08-06"),
        ("/openai/deployments/mine/chat/completions", {}, "mine"),
        (GEMINI, {}, "gemini-2.5-flash"),
    ],
)
def test_the_answer_names_a_model(path: str, body: dict[str, Any], expected: str) -> None:
    """The model is the marked one, else the one in the body, else the one in the path."""
    assert expected == ask(path, body).model


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [user("1"), {"role": "tool", "content": "1"}], "tools": [{"function": {"name": "f"}}]}),
        (MESSAGES, {"messages": [user([{"type": "tool_result", "content": "1"}])], "tools": [{"name": "f"}]}),
        (
            GEMINI,
            {"contents": [{"parts": [{"functionResponse": {}}]}], "tools": [{"functionDeclarations": [{"name": "f"}]}]},
        ),
        (CHAT, {"messages": [user("1")], "tools": []}),
        ("/v1/responses", {"input": "1", "tools": [{"type": "web_search"}]}),
    ],
)
def test_no_tool_is_called_once_its_result_is_there(path: str, body: dict[str, Any]) -> None:
    """A tool is called only where one is declared and the conversation does not end with a result."""
    assert ask(path, body).tool is None


def test_a_tool_is_called_by_its_name() -> None:
    """The first tool declared is called."""
    tools = [{"functionDeclarations": [{"name": "first"}, {"name": "second"}]}]

    assert ask(GEMINI, {"contents": [{"parts": [{"text": "1"}]}], "tools": tools}).tool == "first"


def test_an_unknown_path_is_named() -> None:
    """A path of no provider is an error that shows it."""
    with pytest.raises(ValueError, match="/v1/audio/speech"):
        usage_for("/v1/audio/speech", {})
