"""The texts that are counted where no usage was told."""

from __future__ import annotations

from typing import Any

from answers import body, endpoint, events, named_events

from payi_middleware.events import Unpriced
from payi_middleware.providers import Texts

CHAT = endpoint("api.openai.com", "/v1/chat/completions").texts
RESPONSES = endpoint("api.openai.com", "/v1/responses").texts
EMBEDDINGS = endpoint("api.openai.com", "/v1/embeddings").texts
MESSAGES = endpoint("api.anthropic.com", "/v1/messages").texts
GEMINI = endpoint("generativelanguage.googleapis.com", "/v1beta/models/m:generateContent").texts


def test_chat() -> None:
    """Contents as strings and as parts, tools, tool calls and reasoning are text; images and ids are not."""
    assert CHAT is not None
    request = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "be kind"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:AAAA"}}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    message = {
        "content": "hello",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{}"}}],
    }

    texts = CHAT(body(request), body({"id": "x", "choices": [{"message": message}]}), False)

    assert texts.prompt == ["be kind", "look"]
    assert texts.tools == ({"type": "function", "function": {"name": "f"}},)
    assert texts.answer == ["hellohmf{}"]
    assert texts.messages == 2
    assert texts.uncounted == (Unpriced("image", 1, "not counted"),)


def test_chat_stream() -> None:
    """Deltas are joined, so that a word split in two is one word."""
    assert CHAT is not None
    data = events(*({"choices": [{"delta": {"content": part}}]} for part in ("hel", "lo")))

    assert CHAT(b'{"prompt":"p"}', data, True).answer == ["hello"]


def test_embeddings() -> None:
    """What is embedded is the prompt, and there is no answer."""
    assert EMBEDDINGS is not None

    texts = EMBEDDINGS(body({"input": ["a", "b"]}), b"{}", False)

    assert (texts.prompt, texts.answer, texts.messages) == (["a", "b"], [], 0)


def test_responses() -> None:
    """Instructions and input, and the deltas of a stream."""
    assert RESPONSES is not None
    request = body({"instructions": "i", "input": [{"role": "user", "content": [{"type": "input_text", "text": "t"}]}]})
    stream = named_events(
        {"type": "response.output_text.delta", "delta": "a"}, {"type": "response.output_text.delta", "delta": "b"}
    )
    answer = body({"output": [{"type": "message", "content": [{"type": "output_text", "text": "c"}]}]})

    assert RESPONSES(request, stream, True).prompt == ["i", "t"]
    assert RESPONSES(request, stream, True).answer == ["ab"]
    assert RESPONSES(body({"input": "plain"}), answer, False) == Texts(["plain"], ["c"], 1)


def test_messages() -> None:
    """System and messages, text, thinking and tool input."""
    assert MESSAGES is not None
    deltas = [{"text": "a"}, {"thinking": "b"}, {"partial_json": "c"}, {"signature": "no"}]
    stream = named_events(*({"type": "content_block_delta", "delta": delta} for delta in deltas))
    request = body({"system": "s", "messages": [{"role": "user", "content": "u"}]})

    assert MESSAGES(request, stream, True) == Texts(["s", "u"], ["abc"], 1)
    assert MESSAGES(request, body({"content": [{"type": "text", "text": "d"}]}), False).answer == ["d"]


def test_gemini() -> None:
    """Contents, candidates and the arguments of function calls, as events or as an array."""
    assert GEMINI is not None
    request = {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"text": "u"}, {"inlineData": {"data": "AAAA"}}]}],
    }
    chunk = {"candidates": [{"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {"x": 1}}}]}}]}

    assert GEMINI(body(request), events(chunk, done=False), True) == Texts(
        ["s", "u"], ['af{"x": 1}'], 1, uncounted=(Unpriced("file", 1, "not counted"),), calls=1
    )
    assert GEMINI(body(request), body([chunk, chunk]), True).answer == ['af{"x": 1}' * 2]


def test_a_cut_stream_gives_what_is_whole() -> None:
    """Events cut in the middle are passed over."""
    assert CHAT is not None
    data = events({"choices": [{"delta": {"content": "a"}}]}, done=False) + b'data: {"choices": [{"delt'

    assert CHAT(b"not json", data, True) == Texts([], ["a"], is_chat=True)


def test_deep_nesting_ends() -> None:
    """A body nested without reason is walked to a depth."""
    assert CHAT is not None
    deep: object = {"content": "deep"}
    for _ in range(100):
        deep = {"content": [deep]}

    assert CHAT(body({"messages": [deep]}), b"{}", False).prompt == []


def test_token_ids_are_counted() -> None:
    """A prompt may be sent as numbers, one a token, in one list or in several."""
    assert CHAT is not None
    assert EMBEDDINGS is not None

    assert CHAT(body({"prompt": [[1, 2, 3], [4]]}), b"{}", False).ids == 4
    assert EMBEDDINGS(body({"input": [1, 2, 3, True]}), b"{}", False).ids == 3
    assert CHAT(body({"messages": [{"role": "user", "content": "a", "seed": 7}]}), b"{}", False).ids == 0


def test_reasoning_told_twice_is_counted_once() -> None:
    """Hosts that tell the reasoning as a text and in detail mean the same tokens."""
    assert CHAT is not None
    twice = {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "content": "yes"}
    thrice = {"reasoning_content": "hm", "reasoning": "hm"}
    details = {"reasoning": "", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}

    for delta, text in ((twice, "hmyes"), (thrice, "hm"), (details, "hm")):
        assert CHAT(b"{}", events({"choices": [{"delta": delta}]}), True).answer == [text]


def test_what_the_model_did_not_write_is_no_output() -> None:
    """Citations and the output of executed tools come from elsewhere."""
    assert CHAT is not None
    assert GEMINI is not None
    assert MESSAGES is not None
    message = {
        "content": "yes",
        "annotations": [{"type": "url_citation", "url_citation": {"content": "long", "title": "t"}}],
        "executed_tools": [{"type": "search", "arguments": "{}", "output": "long"}],
    }
    candidate: dict[str, Any] = {
        "content": {"parts": [{"text": "yes"}]},
        "groundingMetadata": {"groundingSupports": [{"segment": {"text": "long"}}]},
    }

    fetched = {"type": "document", "source": {"type": "text", "data": "long"}}
    blocks = [{"type": "text", "text": "yes"}, {"type": "web_fetch_tool_result", "content": {"content": fetched}}]
    candidate["content"]["parts"] += [
        {"codeExecutionResult": {"output": "long"}},
        {"toolResponse": {"response": {"a": 1}}},
    ]

    assert CHAT(b"{}", body({"choices": [{"message": message}]}), False).answer == ["yes"]
    assert GEMINI(b"{}", body({"candidates": [candidate]}), False).answer == ["yes"]
    assert MESSAGES(b"{}", body({"content": blocks}), False).answer == ["yes"]
    assert MESSAGES(body({"messages": [{"content": blocks}]}), b"{}", False).prompt == ["yes", "long"]


def test_parts_that_are_no_text_are_listed() -> None:
    """Images, sounds and files of every shape are named as not counted; a document that is text is text."""
    assert MESSAGES is not None
    assert RESPONSES is not None
    assert GEMINI is not None
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "document", "source": {"type": "url", "url": "u"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "blocks"}]}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
        {"type": "tool_use", "name": "f", "input": {"city": "Paris"}},
    ]
    items = [{"content": [{"type": "input_image", "image_url": "u"}, {"type": "input_file", "file_id": "f"}]}]
    items.append({"content": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]})
    gemini = [{"fileData": {"mimeType": "video/mp4"}}, {"inline_data": {"mime_type": "application/pdf", "data": "A"}}]

    messages = MESSAGES(body({"messages": [{"role": "user", "content": blocks}]}), b"{}", False)

    assert messages.prompt == ["plain", "blocks", "f", '{"city": "Paris"}']
    assert [(u.unit, u.quantity) for u in messages.uncounted] == [("file", 1), ("image", 2)]
    assert [u.unit for u in RESPONSES(body({"input": items}), b"{}", False).uncounted] == ["audio", "file", "image"]
    assert [u.unit for u in GEMINI(body({"contents": [{"parts": gemini}]}), b"{}", False).uncounted] == [
        "file",
        "video",
    ]


def test_tools_that_are_found_by_search_are_not_in_the_prompt() -> None:
    """They are sent with every request, and are no part of the prompt before the model has found them."""
    tools = [{"type": "function", "name": "here"}, {"type": "function", "name": "away", "defer_loading": True}]

    for texter in (RESPONSES, MESSAGES):
        assert texter is not None
        assert texter(body({"tools": tools}), b"{}", False).tools == (tools[0],)
        assert texter(body({"tools": [*tools, "odd"]}), b"{}", False).tools == (tools[0], "odd")


def test_a_compaction_stands_for_what_was_before_it() -> None:
    """OpenAI's is sealed, which is said; Anthropic's is text."""
    assert RESPONSES is not None
    assert MESSAGES is not None
    sealed = {"type": "compaction", "encrypted_content": "AAAA"}
    asked = ["odd", {"role": "user", "content": "before"}, sealed, {"role": "user", "content": "after"}]
    blocks = [
        {"type": "text", "text": "old"},
        {"type": "compaction", "content": "sum"},
        {"type": "text", "text": "new"},
    ]
    turns = [
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": "?"},
    ]

    by_openai = RESPONSES(body({"input": asked}), b"{}", False)
    by_anthropic = MESSAGES(body({"messages": turns}), b"{}", False)

    assert (by_openai.prompt, by_openai.messages) == (["after"], 2)
    assert [(u.unit, u.reason) for u in by_openai.uncounted] == [
        ("input", "not counted: earlier turns that are sealed in a compaction")
    ]
    assert (by_anthropic.prompt, by_anthropic.messages, by_anthropic.uncounted) == (["sum", "new", "?"], 2, ())
