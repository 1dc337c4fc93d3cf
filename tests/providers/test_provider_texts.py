"""The texts that are counted where no usage was told."""

from __future__ import annotations

from answers import body, endpoint, events, named_events

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

    assert texts.prompt == ["be kind", "look", '[{"type": "function", "function": {"name": "f"}}]']
    assert texts.answer == ["hellohmf{}"]
    assert texts.messages == 2


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
    assert RESPONSES(body({"input": "plain"}), answer, False) == (["plain"], ["c"], 1)


def test_messages() -> None:
    """System and messages, text, thinking and tool input."""
    assert MESSAGES is not None
    deltas = [{"text": "a"}, {"thinking": "b"}, {"partial_json": "c"}, {"signature": "no"}]
    stream = named_events(*({"type": "content_block_delta", "delta": delta} for delta in deltas))
    request = body({"system": "s", "messages": [{"role": "user", "content": "u"}]})

    assert MESSAGES(request, stream, True) == (["s", "u"], ["abc"], 1)
    assert MESSAGES(request, body({"content": [{"type": "text", "text": "d"}]}), False).answer == ["d"]


def test_gemini() -> None:
    """Contents, candidates and the arguments of function calls, as events or as an array."""
    assert GEMINI is not None
    request = {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"text": "u"}, {"inlineData": {"data": "AAAA"}}]}],
    }
    chunk = {"candidates": [{"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {"x": 1}}}]}}]}

    assert GEMINI(body(request), events(chunk, done=False), True) == (["s", "u"], ['af{"x": 1}'], 1)
    assert GEMINI(body(request), body([chunk, chunk]), True).answer == ['af{"x": 1}' * 2]


def test_a_cut_stream_gives_what_is_whole() -> None:
    """Events cut in the middle are passed over."""
    assert CHAT is not None
    data = events({"choices": [{"delta": {"content": "a"}}]}, done=False) + b'data: {"choices": [{"delt'

    assert CHAT(b"not json", data, True) == ([], ["a"], 0)


def test_deep_nesting_ends() -> None:
    """A body nested without reason is walked to a depth."""
    assert CHAT is not None
    deep: object = {"content": "deep"}
    for _ in range(100):
        deep = {"content": [deep]}

    assert CHAT(body({"messages": [deep]}), b"{}", False).prompt == []
