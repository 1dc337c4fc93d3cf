"""The stand-in, asked by the providers' real SDKs and by bare sockets."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types as gemini

from payi_middleware.demo.standin import StandIn, usage_for

MODEL = "claude-haiku-4-5"
TOOL: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": TOOL}}


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear()
    return running


@pytest.fixture
def client(standin: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=standin.url + "/v1", api_key="key", max_retries=1) as client:
        yield client


@pytest.fixture
def claude(standin: StandIn) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=standin.url, api_key="key", max_retries=1) as claude:
        yield claude


@pytest.fixture
def google(standin: StandIn) -> genai.Client:
    return genai.Client(api_key="key", http_options=gemini.HttpOptions(base_url=standin.url))


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def test_chat_completion(client: openai.OpenAI, standin: StandIn) -> None:
    """A chat completion reports the tokens that `usage_for` gives for the request as seen."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[user("Hello there #cached=2 #reasoning=3")])

    request = standin.requests[-1]
    tokens = usage_for(request.path, request.json())
    assert answer.usage
    assert answer.usage.prompt_tokens_details
    assert answer.usage.completion_tokens_details
    assert (tokens.input, tokens.output) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    assert answer.model == "gpt-4o"
    assert request.headers["authorization"] == "Bearer key"


def test_cache_writes_are_told_to_openai_clients(client: openai.OpenAI) -> None:
    """Written tokens stand in the details of the prompt."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[user("#input=10 #written=4")])

    assert answer.usage
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cache_write_tokens == 4


def test_chat_stream_with_usage(client: openai.OpenAI) -> None:
    """A streamed completion has a chunk a token, and a last one with the usage and no choice."""
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=[user("#output=5")], stream=True, stream_options={"include_usage": True}
        )
    )

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert sum(map(bool, texts)) == 5
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("text", ["hello", "hello #no-usage"])
def test_chat_stream_without_usage(client: openai.OpenAI, text: str) -> None:
    """Usage comes only where it was asked for, and never where the marker forbids it."""
    options: Any = {"stream_options": {"include_usage": True}} if "#" in text else {}
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=[user(text)], stream=True, **options))

    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_chat_calls_a_tool(client: openai.OpenAI, stream: bool) -> None:
    """With a tool declared the answer calls it, whole and streamed."""
    messages: list[Any] = [user("How is the weather?")]
    if stream:
        with client.chat.completions.stream(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]) as events:
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = (
            client.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]).choices[0].message
        )

    assert (
        message.tool_calls[0].function.name,
        message.tool_calls[0].function.arguments,
    ) == ("weather", '{"city":"Paris"}')


async def test_chat_async(standin: StandIn) -> None:
    """The asynchronous client reads the same answers."""
    async with openai.AsyncOpenAI(base_url=standin.url + "/v1", api_key="key") as client:
        whole = await client.chat.completions.create(model="gpt-4o", messages=[user("Hello")])
        stream = await client.chat.completions.create(model="gpt-4o", messages=[user("Hello")], stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert whole.choices[0].message.content == text != ""


def test_azure(standin: StandIn) -> None:
    """Azure's client gets Azure's first chunk, without a model, from its own path."""
    with openai.AzureOpenAI(azure_endpoint=standin.url, api_key="key", api_version="2024-10-21") as client:
        whole = client.chat.completions.create(model="mine", messages=[user("Hello #model=gpt-4o")])
        chunks = list(client.chat.completions.create(model="mine", messages=[user("Hello")], stream=True))

    assert whole.model == "gpt-4o"
    assert (chunks[0].model, chunks[0].choices) == ("", [])
    assert standin.requests[0].path == "/openai/deployments/mine/chat/completions"


@pytest.mark.parametrize("tools", [[], [{"type": "function", "name": "weather", "parameters": TOOL, "strict": None}]])
def test_responses(client: openai.OpenAI, tools: Any) -> None:
    """A response, and the same one streamed by named events."""
    whole = client.responses.create(model="gpt-4o", input="Hello", tools=tools)
    with client.responses.stream(model="gpt-4o", input="Hello", tools=tools) as events:
        names = [event.type for event in events]
        streamed = events.get_final_response()

    assert whole.usage == streamed.usage
    assert whole.output_text == streamed.output_text
    assert whole.output[0].type == streamed.output[0].type == ("function_call" if tools else "message")
    assert (names[0], names[-1]) == ("response.created", "response.completed")


def test_responses_reason(client: openai.OpenAI) -> None:
    """Reasoning tokens stand in the details of the output, with an item of their own."""
    answer = client.responses.create(model="gpt-5", input="Hello", reasoning={"effort": "low"})

    assert answer.usage
    assert (
        answer.usage.output_tokens,
        answer.usage.output_tokens_details.reasoning_tokens,
    ) == (40, 16)
    assert [item.type for item in answer.output] == ["reasoning", "message"]


def test_embeddings(client: openai.OpenAI) -> None:
    """A vector for each input, of the dimensions asked for."""
    answer = client.embeddings.create(model="text-embedding-3-small", input=["12345", "1"], dimensions=8)

    assert [len(item.embedding) for item in answer.data] == [8, 8]
    assert (answer.data[0].embedding[0], answer.usage.prompt_tokens) == (1.0, 3)


def test_embeddings_without_usage(standin: StandIn) -> None:
    """The marker takes the usage away."""
    answer = httpx2.post(standin.url + "/v1/embeddings", json={"model": "m", "input": "#no-usage"})

    assert "usage" not in answer.json()


def test_messages(claude: anthropic.Anthropic) -> None:
    """A message leaves cached and written tokens out of its input, and thinks in a block of its own."""
    prompt = "#input=100 #cached=30 #written=20 #output=7 #reasoning=2"
    answer = claude.messages.create(model=MODEL, max_tokens=99, messages=[user(prompt)])

    usage = answer.usage
    assert (
        usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.output_tokens,
    ) == (50, 30, 20, 9)  # fmt: skip
    assert [block.type for block in answer.content] == ["thinking", "text"]


def test_messages_are_cached_from_the_second_turn(claude: anthropic.Anthropic) -> None:
    """A text with cache_control is written first and read in the next turn."""
    system: Any = [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral"}}]
    turns: list[Any] = [user("Hello"), {"role": "assistant", "content": "Yes?"}, user("Why?")]
    first = claude.messages.create(model=MODEL, max_tokens=9, system=system, messages=turns[:1]).usage
    second = claude.messages.create(model=MODEL, max_tokens=9, system=system, messages=turns).usage

    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (100, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 100)


@pytest.mark.parametrize("tools", [[], [{"name": "weather", "input_schema": TOOL}]])
def test_message_stream(claude: anthropic.Anthropic, tools: Any) -> None:
    """A streamed message becomes the same as the whole one, thinking and tools included."""
    asked: Any = {"model": MODEL, "max_tokens": 99, "messages": [user("Hello #reasoning=4")], "tools": tools}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as events:
        streamed = events.get_final_message()

    assert [block.type for block in whole.content] == [block.type for block in streamed.content]
    assert whole.usage.output_tokens == streamed.usage.output_tokens
    assert whole.stop_reason == streamed.stop_reason == ("tool_use" if tools else "end_turn")


async def test_messages_async(standin: StandIn) -> None:
    """The asynchronous client reads the same answers."""
    async with anthropic.AsyncAnthropic(base_url=standin.url, api_key="key") as claude:
        whole = await claude.messages.create(model=MODEL, max_tokens=99, messages=[user("Hello")])
        async with claude.messages.stream(model=MODEL, max_tokens=99, messages=[user("Hello")]) as events:
            streamed = await events.get_final_text()

    assert whole.content[0].type == "text"
    assert whole.content[0].text == streamed


@pytest.mark.parametrize(
    "url", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:streamGenerateContent"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_no_usage_anywhere(standin: StandIn, url: str, stream: bool) -> None:
    """The marker takes the figures away from every format."""
    body = {"model": "m", "messages": [user("#no-usage")], "input": "#no-usage", "stream": stream}
    text = httpx2.post(
        standin.url + url, json=body | ({"contents": [{"text": "#no-usage"}]} if "beta" in url else {})
    ).text

    assert "output_tokens" not in text
    assert "TokenCount" not in text
    assert "completion_tokens" not in text


def test_gemini(google: genai.Client) -> None:
    """Gemini's answer leaves its thoughts out of the candidates' tokens."""
    answer = google.models.generate_content(
        model="gemini-2.5-flash", contents="Hello #input=50 #cached=20 #reasoning=6"
    )

    usage = answer.usage_metadata
    assert usage
    assert (
        usage.prompt_token_count,
        usage.cached_content_token_count,
        usage.candidates_token_count,
        usage.thoughts_token_count,
    ) == (50, 20, 24, 6)
    assert answer.model_version == "gemini-2.5-flash"


def test_gemini_stream(google: genai.Client) -> None:
    """Each part of a streamed answer tells the usage so far."""
    parts = list(google.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello #output=3"))

    assert [part.usage_metadata and part.usage_metadata.candidates_token_count for part in parts] == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # aiohttp's, of the SDK's session
async def test_gemini_async(google: genai.Client) -> None:
    """The asynchronous client reads the same answers."""
    whole = await google.aio.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    stream = await google.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello")
    text = "".join([part.text or "" async for part in stream])
    await google.aio.aclose()

    assert whole.text == text != ""


def test_gemini_calls_a_tool(google: genai.Client) -> None:
    """With a function declared, whole and streamed answers call it."""
    tool = gemini.Tool(function_declarations=[gemini.FunctionDeclaration(name="weather")])
    config = gemini.GenerateContentConfig(tools=[tool])
    whole = google.models.generate_content(model="gemini-2.5-flash", contents="Hello", config=config)
    streamed = list(google.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello", config=config))

    assert whole.function_calls
    assert streamed[0].function_calls
    assert "weather" == whole.function_calls[0].name == streamed[0].function_calls[0].name


def test_gemini_streams_an_array_without_sse(standin: StandIn) -> None:
    """Without `alt=sse` the stream is one JSON array."""
    url = standin.url + "/v1beta/models/m:streamGenerateContent"
    answer = httpx2.post(url, json={"contents": [{"parts": [{"text": "#output=3"}]}]})

    assert len(answer.json()) == 3


def test_fails_once(client: openai.OpenAI, standin: StandIn) -> None:
    """A `-once` marker fails the first attempt only; the SDK's retry goes through, each name having its own turn."""
    for name in ("jane", "john"):
        client.chat.completions.create(model="gpt-4o", messages=[user(f"#fail-429-once={name}")])
        client.chat.completions.create(model="gpt-4o", messages=[user(f"#fail-429-once={name}")])

    retries = [request.headers["x-stainless-retry-count"] for request in standin.requests]
    assert retries == ["0", "1", "0", "0", "1", "0"]


def test_clear_forgets(client: openai.OpenAI, standin: StandIn) -> None:
    """After `clear`, no request is remembered and a `-once` marker fails anew."""
    for _ in range(2):
        standin.clear()
        client.chat.completions.create(model="fail-500-once", messages=[user("Hello")])

        assert len(standin.requests) == 2


def test_errors_are_the_providers_own(client: openai.OpenAI, claude: anthropic.Anthropic, google: genai.Client) -> None:
    """Each SDK raises its own exception, with the retry headers where a retry makes sense."""
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="fail-429", messages=[user("Hello")])
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="fail-404", messages=[user("Hello")])
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error") as overloaded:
        claude.messages.create(model="fail-529", max_tokens=9, messages=[user("Hello")])
    with pytest.raises(genai.errors.APIError, match="RESOURCE_EXHAUSTED"):
        google.models.generate_content(model="fail-429", contents="Hello")

    assert (
        limited.value.response.headers["retry-after"],
        limited.value.response.headers["retry-after-ms"],
    ) == ("1", "20")
    assert "retry-after" not in unknown.value.response.headers
    assert overloaded.value.status_code == 529


@pytest.mark.parametrize("marker", ["#fail-200", "#fail-abc", "#unknown=3", "#cached=many"])
def test_markers_without_a_meaning_do_nothing(client: openai.OpenAI, marker: str) -> None:
    """What is no known marker is plain text."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[user(marker)])

    assert answer.usage
    assert -(-len(marker) // 4) == answer.usage.prompt_tokens


def test_malformed(standin: StandIn) -> None:
    """A broken answer arrives in full and is no JSON; in a stream one event is broken."""
    body = {"model": "gpt-4o", "messages": [user("#malformed")]}
    whole = httpx2.post(standin.url + "/v1/chat/completions", json=body)
    stream = httpx2.post(standin.url + "/v1/chat/completions", json=body | {"stream": True})

    with pytest.raises(json.JSONDecodeError):
        whole.json()
    with pytest.raises(json.JSONDecodeError):
        [json.loads(line[6:]) for line in stream.text.splitlines() if line not in ("", "data: [DONE]")]


@pytest.mark.parametrize("stream", [False, True])
def test_cut(standin: StandIn, stream: bool) -> None:
    """A cut answer breaks off in its body, whole or streamed."""
    body = {"model": "gpt-4o", "messages": [user("#cut")], "stream": stream}
    with httpx2.stream("POST", standin.url + "/v1/chat/completions", json=body) as answer:
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()

        assert answer.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_gzip(standin: StandIn, stream: bool) -> None:
    """A compressed answer is compressed on the wire, and says the same."""
    body: dict[str, Any] = {"model": "gpt-4o", "messages": [user("#gzip")], "stream": stream}
    with httpx2.stream("POST", standin.url + "/v1/chat/completions", json=body) as answer:
        text = gzip.decompress(b"".join(answer.iter_raw())).decode()

    assert answer.headers["content-encoding"] == "gzip"
    assert ("[DONE]" in text) is stream
    assert "chat.completion" in text


def test_split(standin: StandIn) -> None:
    """A split answer arrives whole, whatever the pieces."""
    body = {"model": "gpt-4o", "messages": [user("#split=7 #pause=0 #output=2")], "stream": True}
    answer = httpx2.post(standin.url + "/v1/chat/completions", json=body)

    assert answer.text.endswith("data: [DONE]\n\n")


def test_slow_times_out(standin: StandIn) -> None:
    """A slow answer lets the client's patience end; the stand-in serves on."""
    body = {"model": "gpt-4o", "messages": [user("#slow=30")]}
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(standin.url + "/v1/chat/completions", json=body, timeout=0.05)

    body["messages"] = [user("#slow=0.01")]
    assert httpx2.post(standin.url + "/v1/chat/completions", json=body).status_code == 200


def test_a_pause_between_parts(standin: StandIn) -> None:
    """A paused stream can be left in the middle; the stand-in serves on."""
    body = {"model": "gpt-4o", "messages": [user("#pause=30")], "stream": True}
    with httpx2.stream("POST", standin.url + "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200

    assert httpx2.get(standin.url + "/").status_code == 404


def test_a_slow_reader_holds_the_writer_back(standin: StandIn) -> None:
    """A long stream waits for its reader without holding others up, and comes in full."""
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"#output=20000"}]}'
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", standin.port))
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        begun = connection.recv(9)
        with httpx2.Client(base_url=standin.url) as other:
            # The stand-in writes 32 parts a turn and takes a turn for each of these: by then it has to wait for us.
            served = {other.get("/").status_code for _ in range(700)}
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        answer = bytearray()
        while not answer.endswith(b"\r\n0\r\n\r\n"):
            answer += connection.recv(1 << 20)

    assert begun == b"HTTP/1.1 "
    assert served == {404}
    assert answer.count(b"data: ") == 20_003


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", b"", 404),
        ("GET", "/v1/responses", b"", 404),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b'{"messages": ["#slow=long"]}', 400),
    ],
)
def test_bad_requests_are_answered(standin: StandIn, method: str, path: str, body: bytes, status: int) -> None:
    """What cannot be read gets an error in the provider's format, and is remembered like any request."""
    answer = httpx2.request(method, standin.url + path, content=body)

    assert status == answer.status_code
    assert answer.json()["error"]["message"]
    assert (method, path, body) == (*standin.requests[-1][:2], standin.requests[-1].body)


def raw(standin: StandIn, data: bytes) -> bytes:
    """What comes back for these bytes until the stand-in closes."""
    with socket.create_connection(("127.0.0.1", standin.port)) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"411"),
        (b"x" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_is_refused(standin: StandIn, data: bytes, status: bytes) -> None:
    """Bodies without a length and endless heads are refused, and the connection is closed."""
    assert raw(standin, data).startswith(b"HTTP/1.1 " + status)


def test_requests_may_come_in_any_pieces(standin: StandIn) -> None:
    """Requests joined in one packet, or cut anywhere, are answered one after the other."""
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"#output=1"}]}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\nX-Tag: a\r\nx-tag: b\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    last = b"GET /?x=1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"  # is refused, so that the connection ends
    with socket.create_connection(("127.0.0.1", standin.port)) as connection:
        connection.sendall(request + request + request[:30])
        connection.sendall(request[30:-5])
        connection.sendall(request[-5:] + last)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert 3 == answer.count(b"HTTP/1.1 200") == answer.count(b"data: [DONE]")
    assert standin.requests[0].headers["x-tag"] == "a, b"
    assert standin.requests[2].path == "/v1/chat/completions"


def test_close_breaks_what_is_open() -> None:
    """Closing ends connections and unfinished answers at once, may be done twice, and leaves no thread."""
    standin = StandIn()
    body = {"model": "gpt-4o", "messages": [user("#pause=30")], "stream": True}
    with httpx2.stream("POST", standin.url + "/v1/chat/completions", json=body) as answer:
        standin.close()
        standin.close()
        with pytest.raises(httpx2.TransportError):
            answer.read()

    assert standin.requests[0].path == "/v1/chat/completions"
    assert f"payi-standin-{standin.port}" not in [thread.name for thread in threading.enumerate()]


def test_a_port_that_is_taken(standin: StandIn) -> None:
    """A chosen port is used, and one that is taken is an error."""
    with pytest.raises(OSError, match="address already in use"):
        StandIn(port=standin.port)
