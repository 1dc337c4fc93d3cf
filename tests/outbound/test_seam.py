"""The hook: which requests it sees, whatever client and transport they go through, and that it can be undone."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any

import pytest
from exchanges import ANSWER, REQUEST, URL, Watched, encoded, mock

import payi_middleware.httpx
from payi_middleware import Meter, PayiTransport, _transport, health, instrument, instrumentation, track, uninstrument
from payi_middleware._outbound import HOOK
from payi_middleware.demo.standin import StandIn
from payi_middleware.instrumentation import SEAM, hooked


def post(lib: ModuleType, is_async: bool, url: str = URL, **client: Any) -> Any:
    """The answer to one request of a new client."""

    async def posted() -> Any:
        async with lib.AsyncClient(**client) as asking:
            return await asking.post(url, content=REQUEST)

    if is_async:
        return asyncio.run(posted())
    with lib.Client(**client) as asking:
        return asking.post(url, content=REQUEST)


def test_clients_made_before_and_after(lib: ModuleType, is_async: bool, unhooked: Watched) -> None:
    """A client is seen whether it was made before the hook or after it, and no more when the hook is gone."""
    kind = lib.AsyncClient if is_async else lib.Client
    early = kind(transport=mock(lib, ANSWER))

    async def ask(client: Any) -> None:
        answer = client.post(URL, content=REQUEST)
        assert (await answer if is_async else answer).content == ANSWER

    async def run() -> None:
        await ask(early)
        instrument(unhooked.meter)
        await ask(early)
        await ask(kind(transport=mock(lib, ANSWER)))
        uninstrument()
        await ask(early)

    asyncio.run(run())
    assert len(unhooked.events) == 2


def test_a_real_connection(lib: ModuleType, is_async: bool, standin: StandIn, watched: Watched) -> None:
    """Over a socket, to a host and port that a setting names."""
    answer = post(lib, is_async, f"{standin.url}/v1/chat/completions", trust_env=False)
    assert answer.json()["usage"]
    event = watched.one
    assert (event.provider, event.category, event.endpoint) == ("openai", "system.openai", "/v1/chat/completions")
    assert (event.outcome, event.http_status, event.cost_source) == ("ok", 200, "usage")
    assert event.duration_ns >= (event.first_byte_ns or 0) > 0


def test_in_process_applications(lib: ModuleType, watched: Watched) -> None:
    """ASGI and WSGI transports are seen."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})

    def wsgi(environ: Any, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield ANSWER

    assert post(lib, True, transport=lib.ASGITransport(asgi)).content == ANSWER
    assert post(lib, False, transport=lib.WSGITransport(wsgi)).content == ANSWER
    assert [e.units for e in watched.events] == [{"text": (100, 20)}] * 2


def test_a_transport_of_the_applications_own(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """A custom transport gets the very request, and its own attributes and `close` stay its own."""
    seen: list[Any] = []

    class Own(lib.BaseTransport, lib.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:
            seen.append(request)
            return lib.Response(200, content=ANSWER)

        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

        def close(self) -> None:
            seen.append("closed")

        async def aclose(self) -> None:
            self.close()

    answer = post(lib, is_async, transport=Own())
    assert answer.request is seen[0]
    assert seen[1:] == ["closed"]
    assert watched.one.outcome == "ok"


def test_mounts(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """Transports mounted for a pattern are seen, one that is mounted as None included."""
    mounted = {"all://api.openai.com": mock(lib, ANSWER), "all://api.groq.com": None}
    main = mock(lib, b"not a provider's")
    assert post(lib, is_async, transport=main, mounts=mounted).content == ANSWER
    post(lib, is_async, "https://api.groq.com/openai/v1/chat/completions", transport=main, mounts=mounted)
    assert [e.provider for e in watched.events] == ["openai", "groq"]


def test_a_proxy(lib: ModuleType, is_async: bool, standin: StandIn, watched: Watched) -> None:
    """A request through a proxy is its provider's."""
    answer = post(lib, is_async, "http://api.openai.com/v1/chat/completions", proxy=standin.url, trust_env=False)
    assert answer.status_code in (200, 404)
    assert watched.one.provider == "openai"


def test_redirects_hop_by_hop(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """Each hop is an exchange of its own; who the call is for, told by its headers, holds for all of them."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(dict(request.headers))
        if request.url.host == "api.openai.com":
            return lib.Response(307, headers={"location": "https://eu.api.openai.com/v1/chat/completions"})
        return lib.Response(200, content=ANSWER)

    transport = lib.MockTransport(handler)
    headers = {"xProxy-User-ID": "jane", "XPROXY-request-tags": "a,b"}
    answer = post(lib, is_async, transport=transport, follow_redirects=True, headers=headers)
    assert answer.content == ANSWER
    assert len(answer.history) == 1
    first, second = watched.events
    assert (first.http_status, first.outcome, first.cost_source) == (307, "error", "none")
    assert first.reason == "the provider answered 307"
    assert (second.outcome, second.cost_source) == ("ok", "usage")
    assert {e.user_id for e in (first, second)} == {"jane"}
    assert second.attribution.request_tags == ("a", "b")
    assert not [name for sent in seen for name in sent if name.lower().startswith("xproxy")]


def test_headers_that_a_signature_covers(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """An xProxy header that AWS's signature covers is read and goes out, or the request would be refused."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(dict(request.headers))
        return lib.Response(200, content=ANSWER)

    signed = "AWS4-HMAC-SHA256 Credential=A/b/c, SignedHeaders=host;xproxy-user-id, Signature=0"
    headers = {"authorization": signed, "xProxy-User-ID": "jane", "xProxy-Request-Tags": "a"}
    post(lib, is_async, transport=lib.MockTransport(handler), headers=headers)
    assert (watched.one.user_id, watched.one.attribution.request_tags) == ("jane", ("a",))
    assert [name for name in seen[0] if name.lower().startswith("xproxy")] == ["xproxy-user-id"]
    assert health.counters()["own_header_signed"] == 1


def test_authentication_that_takes_two_requests(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """Each request of an authentication is seen, and each is for the same user."""

    class Challenge(lib.Auth):  # type: ignore[name-defined,misc]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            response = yield request
            assert response.status_code == 401
            request.headers["authorization"] = "now"
            yield request

    def handler(request: Any) -> Any:
        return lib.Response(200, content=ANSWER) if "authorization" in request.headers else lib.Response(401)

    headers = {"xProxy-User-ID": "jane"}
    post(lib, is_async, transport=lib.MockTransport(handler), auth=Challenge(), headers=headers)
    assert [(e.http_status, e.user_id, e.attempt) for e in watched.events] == [(401, "jane", 1), (200, "jane", 2)]


def test_event_hooks_of_the_application(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """Hooks see request and answer as ever, and may read it."""
    seen: list[bytes] = []

    def read(response: Any) -> None:
        seen.append(response.read())

    async def read_async(response: Any) -> None:
        seen.append(await response.aread())

    hooks = {"response": [read_async if is_async else read]}
    assert post(lib, is_async, transport=mock(lib, [ANSWER[:9], ANSWER[9:]]), event_hooks=hooks).content == ANSWER
    assert seen == [ANSWER]
    assert watched.one.outcome == "ok"


def test_a_subclass_that_chooses_its_transport(lib: ModuleType, watched: Watched) -> None:
    """A client that overrides the seam and asks the library is seen; one that does not ask goes through, unseen."""

    class Asking(lib.Client):  # type: ignore[name-defined,misc]
        def _transport_for_url(self, url: Any) -> Any:
            return super()._transport_for_url(url)

    class Knowing(lib.Client):  # type: ignore[name-defined,misc]
        def _transport_for_url(self, url: Any) -> Any:
            return self._transport

    for kind in (Asking, Knowing):
        with kind(transport=mock(lib, ANSWER)) as client:
            assert client.post(URL, content=REQUEST).content == ANSWER
    assert watched.one.outcome == "ok"


def test_hosts_that_are_no_provider(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """They get the transport itself, and every header: an xProxy header may be meant for a proxy of Pay-i's."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(request.headers.get("xproxy-user-id"))
        return lib.Response(200, content=ANSWER)

    transport = lib.MockTransport(handler)
    post(lib, is_async, "https://example.com/v1/chat/completions", transport=transport, headers={"xProxy-User-ID": "j"})
    assert seen == ["j"]
    assert watched.events == []
    with lib.Client(transport=transport) as client:
        assert client._transport_for_url(lib.URL("https://example.com")) is transport


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/chat/completions"])
def test_a_get_is_no_call(lib: ModuleType, is_async: bool, path: str, watched: Watched) -> None:
    """Listing models consumes nothing, and is no event; its xProxy headers are taken off all the same."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(request.headers.get("xproxy-user-id"))
        return lib.Response(200, content=b"{}")

    async def get() -> None:
        async with lib.AsyncClient(transport=lib.MockTransport(handler)) as client:
            await client.get("https://api.openai.com" + path, headers={"xProxy-User-ID": "jane"})

    if is_async:
        asyncio.run(get())
    else:
        with lib.Client(transport=lib.MockTransport(handler)) as client:
            client.get("https://api.openai.com" + path, headers={"xProxy-User-ID": "jane"})
    assert seen == [None]
    assert watched.events == []


def test_a_body_that_is_a_stream(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """A request whose body is produced as it is sent is not read by us; its answer tells the rest."""

    def sync_body() -> Iterator[bytes]:
        yield REQUEST

    async def async_body() -> Any:
        yield REQUEST

    async def posted() -> None:
        async with lib.AsyncClient(transport=mock(lib, [ANSWER])) as client:
            await client.post(URL, content=async_body())

    class Unread(lib.BaseTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:
            return lib.Response(200, content=ANSWER)

    if is_async:
        asyncio.run(posted())
    else:
        with lib.Client(transport=Unread()) as client:
            client.post(URL, content=sync_body())
    assert (watched.one.requested_resource, watched.one.resource) == (None, "gpt-4o-mini-2024-07-18")


def test_instrument_twice(lib: ModuleType, unhooked: Watched) -> None:
    """The second time only the meter changes; one `uninstrument` puts all back."""
    before = lib.Client.__dict__[SEAM], lib.AsyncClient.__dict__[SEAM]
    with Meter("sqlite:///:memory:", sinks=[]) as other:
        instrument(other)
        once = lib.Client.__dict__[SEAM]
        assert (other.hooks["httpx"], other.hooks["httpx2"]) == ("seam", "seam")
        instrument(unhooked.meter)
        instrument()
        assert HOOK.meter is unhooked.meter
        assert lib.Client.__dict__[SEAM] is once
        post(lib, False, transport=mock(lib, ANSWER))
    uninstrument()
    assert not hooked()
    assert (lib.Client.__dict__[SEAM], lib.AsyncClient.__dict__[SEAM]) == before
    uninstrument()
    assert len(unhooked.events) == 1


def test_somebody_patched_over_us(lib: ModuleType, monkeypatch: pytest.MonkeyPatch, unhooked: Watched) -> None:
    """Theirs stays when ours is undone, ours under it does nothing any more; both can be had again and removed."""
    original = lib.Client.__dict__[SEAM]
    instrument(unhooked.meter)
    ours = lib.Client.__dict__[SEAM]
    asked: list[Any] = []

    @functools.wraps(ours)
    def theirs(self: Any, url: Any) -> Any:
        asked.append(url)
        return ours(self, url)

    monkeypatch.setattr(lib.Client, SEAM, theirs)
    uninstrument()
    assert lib.Client.__dict__[SEAM] is theirs
    post(lib, False, transport=mock(lib, ANSWER))
    assert (len(asked), unhooked.events) == (1, [])

    instrument(unhooked.meter)
    assert lib.Client.__dict__[SEAM] is theirs
    post(lib, False, transport=mock(lib, ANSWER))
    assert (len(asked), len(unhooked.events)) == (2, 1)

    monkeypatch.setattr(lib.Client, SEAM, ours)  # they put back what they found
    uninstrument()
    assert lib.Client.__dict__[SEAM] is original


def test_somebody_patched_over_us_without_a_trace(
    lib: ModuleType, monkeypatch: pytest.MonkeyPatch, unhooked: Watched
) -> None:
    """Then we are in place twice, and a call is one event all the same."""
    instrument(unhooked.meter)
    ours = lib.Client.__dict__[SEAM]
    monkeypatch.setattr(lib.Client, SEAM, lambda self, url: ours(self, url))
    instrument(unhooked.meter)
    assert lib.Client.__dict__[SEAM] is not ours
    post(lib, False, transport=mock(lib, ANSWER))
    assert len(unhooked.events) == 1
    uninstrument()
    post(lib, False, transport=mock(lib, ANSWER))
    assert len(unhooked.events) == 1


def test_a_disabled_meter(lib: ModuleType, is_async: bool, unhooked: Watched) -> None:
    """`disabled` hooks nothing, and inside the block of a disabled meter nothing is seen."""
    with Meter("sqlite:///:memory:", sinks=[], disabled=True) as off:
        instrument(off)
        assert not hooked()
        instrument(unhooked.meter)
        with track(user_id="jane", meter=off):
            post(lib, is_async, transport=mock(lib, ANSWER))
    assert unhooked.events == []


def test_which_meter(lib: ModuleType, watched: Watched) -> None:
    """The innermost block's meter comes before `instrument`'s."""
    other = Watched()
    with track(user_id="jane", meter=other.meter), track(user_id="john"):
        post(lib, False, transport=mock(lib, ANSWER))
    post(lib, False, transport=mock(lib, ANSWER))
    assert (other.one.user_id, other.one.origin) == ("john", "track")
    assert watched.one.user_id is None
    assert health.counters()["unattributed"] == 1
    other.meter.close()


def test_settings_that_cannot_be_read_do_not_stop_a_request(
    lib: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, watched: Watched
) -> None:
    """Without a meter the call goes through unseen, counted and logged once."""
    monkeypatch.setattr(HOOK, "meter", None)
    monkeypatch.setenv("PAYI_STORE", "nonsense")
    for _ in range(2):
        assert post(lib, False, transport=mock(lib, ANSWER)).content == ANSWER
    assert health.counters()["hook"] == 2
    assert [r.getMessage() for r in caplog.records if r.name == "payi_middleware"] == [
        "a request could not be looked at; it goes through unseen"
    ]


def test_a_library_that_is_a_stand_in_in_somebodys_tests(monkeypatch: pytest.MonkeyPatch, unhooked: Watched) -> None:
    """A module without a spec is no library, and does not stop the application."""
    monkeypatch.setitem(sys.modules, "httpx", ModuleType("httpx"))
    instrument(unhooked.meter)
    assert unhooked.meter.hooks["httpx"] == "absent"
    assert unhooked.meter.hooks["httpx2"] == "seam"


def in_a_process(code: str) -> str:
    """What a process of its own prints; another's patches must not meet these tests'."""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


PREPARED = """
import asyncio, json
from payi_middleware import Meter, PayiTransport, instrument, uninstrument
from payi_middleware.demo.standin import StandIn
from payi_middleware.sinks.memory import MemorySink
sink = MemorySink()
standin = StandIn()
URL = standin.url + "/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}).encode()
meter = Meter("sqlite:///:memory:", sinks=[sink], hosts={standin.host: "openai"})
"""


def test_without_the_seam(
    lib: ModuleType, is_async: bool, standin: StandIn, unhooked: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries' own transports are hooked instead, once; inside a `PayiTransport` a call is still one event."""
    url = f"{standin.url}/v1/chat/completions"
    monkeypatch.setattr(instrumentation, "SEAM", "_no_such_method")
    plain = lib.HTTPTransport.handle_request, lib.AsyncHTTPTransport.handle_async_request
    instrument(unhooked.meter)
    instrument(unhooked.meter)
    assert (unhooked.meter.hooks["httpx"], unhooked.meter.hooks["httpx2"]) == ("fallback", "fallback")
    assert health.counters()["hook_fallback"] == 4

    assert post(lib, is_async, url, trust_env=False).json()["usage"]
    own = PayiTransport(lib.AsyncHTTPTransport() if is_async else lib.HTTPTransport())
    assert post(lib, is_async, url, transport=own).json()["usage"]
    assert [e.outcome for e in unhooked.events] == ["ok", "ok"]

    owner, name = (
        (lib.AsyncHTTPTransport, "handle_async_request") if is_async else (lib.HTTPTransport, "handle_request")
    )
    ours = owner.__dict__[name]
    with monkeypatch.context() as over:
        over.setattr(owner, name, lambda self, request: ours(self, request))
        uninstrument()
        assert post(lib, is_async, url, trust_env=False).json()["usage"]
    assert len(unhooked.events) == 2
    uninstrument()
    assert (lib.HTTPTransport.handle_request, lib.AsyncHTTPTransport.handle_async_request) == plain


def test_httpx2_alias_httpx() -> None:
    """Where `import httpx` is httpx2, each class is patched once, and each call is one event."""
    code = """
        import httpx2
        httpx2.alias_httpx()
        import httpx
        assert httpx is httpx2
        plain = httpx2.Client.__dict__["_transport_for_url"]
        instrument(meter)
        async def post():
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.post(URL, content=BODY)
        with httpx.Client(trust_env=False) as client:
            client.post(URL, content=BODY)
        asyncio.run(post())
        with httpx2.Client(transport=PayiTransport(httpx.HTTPTransport())) as client:
            client.post(URL, content=BODY)
        meter.flush()
        uninstrument()
        assert httpx2.Client.__dict__["_transport_for_url"] is plain
        print(len(sink.events), meter.hooks["httpx2"], meter.hooks["httpx"])
    """
    told = in_a_process(PREPARED + textwrap.dedent(code))
    assert told == "3 seam seam"


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_version_without_the_seam(name: str) -> None:
    """A client that has no such method is told from one that has."""
    code = f"""
        import {name} as lib
        del lib.Client._transport_for_url
        lib.Client._send_single_request = lambda self, request: self._transport.handle_request(request)
        instrument(meter)
        with lib.Client(trust_env=False) as client:
            client.post(URL, content=BODY)
        meter.flush(60)
        print(meter.hooks["{name}"], [event.outcome for event in sink.events])
    """
    told = in_a_process(PREPARED + textwrap.dedent(code))
    assert told == "fallback ['ok']"


def test_a_library_that_cannot_be_hooked(monkeypatch: pytest.MonkeyPatch, unhooked: Watched) -> None:
    """It is reported as broken, and the others are hooked."""
    monkeypatch.delattr(payi_middleware.httpx, "Seam")
    instrument(unhooked.meter)
    assert (unhooked.meter.hooks["httpx2"], unhooked.meter.hooks["httpx"]) == ("seam", "broken")
    assert health.counters()["hook_import"] == 1


def test_a_library_that_is_not_installed() -> None:
    """Only what is there is hooked, and `PayiTransport` names what it can wrap."""
    code = """
        import sys
        sys.modules["httpx"] = None
        instrument(meter)
        try:
            PayiTransport(object())
        except TypeError as error:
            print(meter.hooks["httpx"], "|", error)
    """
    assert in_a_process(PREPARED + textwrap.dedent(code)) == "absent | object is no transport of httpx or httpx2"


def test_headers_as_the_libraries_keep_them(lib: ModuleType, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked at in the libraries' own list; a version that has none is as well looked at."""
    told = {"X-One": "1", "xProxy-User-ID": "jane"}
    assert _transport._listed(lib.Headers(told)) == lib.Headers(told)._list

    asked: list[Any] = []
    listed = _transport._listed

    def counted(headers: Any) -> Any:
        asked.append(headers)
        return listed(headers)

    monkeypatch.setattr(_transport, "_listed", counted)
    # the attribute of another version: as if there was no such list
    monkeypatch.setattr(
        _transport,
        "getattr",
        lambda held, name, default: default if name == "_list" else getattr(held, name, default),
        raising=False,
    )
    with lib.Client(transport=mock(lib, [encoded("gzip", ANSWER)], content_encoding="gzip")) as client:
        assert client.post(URL, content=REQUEST, headers=told).content == ANSWER
    assert len(asked) == 2
    assert watched.one.user_id == "jane"
    assert watched.one.cost is not None
