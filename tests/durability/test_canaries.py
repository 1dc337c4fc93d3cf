"""What must stand nowhere: prompts, answers, keys. Each is marked, and every byte that is written is searched for the marks."""

from __future__ import annotations

from pathlib import Path

from children import run
from mocked import stored

from payi_middleware.demo.standin import StandIn
from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

CANARIES = (b"CANARY", b"canary")

CHILD = """
import json, logging, os, signal, sys
logging.basicConfig(level=logging.DEBUG, filename=sys.argv[1] + "/log.txt", format="payi %(name)s %(message)s")
for name in ("httpx", "httpx2", "httpcore", "httpcore2"):
    logging.getLogger(name).disabled = True  # these log addresses with their queries themselves
import httpx, httpx2
from payi_middleware import Meter, instrument, track, use_case
folder, provider = sys.argv[1:]
meter = Meter(f"sqlite:///{folder}/payi.db", hosts={provider: "openai"}, flush_interval=0.01)
instrument(meter)

SAID = "CANARY-answer " * 20

def whole(request):
    path, body = request.url.path, request.content
    if b"fail" in body:
        return lib.Response(400, json={"error": {"message": "CANARY-error about " + body.decode(), "type": "CANARY type", "code": "CANARY code: " + body.decode()}})
    if b"malformed" in body:
        return lib.Response(200, content=b'{"choices": [{"message": {"content": "CANARY-answer')
    if b"odd" in body:
        return lib.Response(200, json={"model": "gpt-4o-mini", "usage": {"prompt_tokens": "CANARY-count", "completion_tokens": None}})
    if b"raise" in body:
        raise lib.ConnectError("CANARY-exception " + str(request.url) + body.decode())
    if b"stream" in body:
        return lib.Response(200, headers={"content-type": "text/event-stream"}, content=parts(b"break" in body))
    if "/content" in path:
        line = {"custom_id": "CANARY-line", "response": {"status_code": 200, "body": {"id": "c", "object": "chat.completion", "model": "gpt-4o-mini",
            "choices": [{"message": {"content": SAID}}], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}}}
        return lib.Response(200, content=(json.dumps(line) + "\\n").encode() * 900)
    if "/results" in path:
        line = {"custom_id": "CANARY-line", "result": {"type": "succeeded", "message": {"model": "claude-haiku-4-5", "content": [{"type": "text", "text": SAID}],
            "usage": {"input_tokens": 9, "output_tokens": 9}}}}
        return lib.Response(200, content=(json.dumps(line) + "\\n").encode() * 3)
    if "/images" in path:
        return lib.Response(200, json={"data": [{"b64_json": "CANARY-picture", "revised_prompt": "CANARY-revised"}]})
    if "/speech" in path:
        return lib.Response(200, content=b"CANARY-sound" * 9)
    if "/videos" in path:
        return lib.Response(200, json={"id": "video_1", "model": "sora-2", "status": "queued", "seconds": "8", "size": "720x1280", "prompt": SAID})
    if "/listen" in path:
        return lib.Response(200, json={"metadata": {"duration": 3.5, "models": ["m"], "model_info": {"m": {"name": "general-nova-3", "arch": "nova-3"}}},
            "results": {"channels": [{"alternatives": [{"transcript": SAID}]}]}})
    if "generateContent" in path:
        return lib.Response(200, json={"candidates": [{"content": {"parts": [{"text": SAID}]}, "finishReason": "STOP"}],
            "modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18}})
    return lib.Response(200, json={"id": "chatcmpl-1", "model": "gpt-4o-mini", "choices": [{"message": {"content": SAID}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}})

def parts(breaks):
    for n in range(20):
        yield b'data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"CANARY-part"}}]}\\n\\n'
        if breaks and n == 10:
            raise lib.ReadError("CANARY-exception")
    yield b"data: [DONE]\\n\\n"

HEADERS = {"authorization": "Bearer CANARY-key", "x-api-key": "CANARY-key", "api-key": "CANARY-key", "cookie": "CANARY-cookie"}
MESSAGES = [{"role": "system", "content": "CANARY-system"}, {"role": "user", "content": "CANARY-prompt " * 30}]
OPENAI = "https://api.openai.com/v1/chat/completions?sig=CANARY-signature"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent?key=CANARY-key"
API, Q = "https://api.openai.com/v1/", "?sig=CANARY-signature"
LATER = [
    ("GET", API + "files/file-CANARY/content" + Q, None),
    ("GET", "https://api.anthropic.com/v1/messages/batches/msgbatch_CANARY/results" + Q, None),
    ("POST", API + "images/generations" + Q, {"model": "dall-e-3", "prompt": "CANARY-prompt", "size": "1024x1024"}),
    ("POST", API + "audio/speech" + Q, {"model": "tts-1", "input": "CANARY-prompt", "voice": "CANARY-voice"}),
    ("POST", API + "videos" + Q, {"model": "sora-2", "prompt": "CANARY-prompt", "seconds": "8"}),
    ("POST", "https://api.deepgram.com/v1/listen?model=nova-3&keyterm=CANARY-term", {"url": "https://CANARY-place/sound.wav"}),
]
kept = []
for lib in (httpx2, httpx):
    client = lib.Client(transport=lib.MockTransport(whole), headers=HEADERS)
    with track(user_id="jane"), use_case("Search"):
        for word in ("plain", "fail", "malformed", "odd", "raise"):
            body = {"model": "gpt-4o-mini", "messages": MESSAGES, "metadata": {"say": word}, "user": "CANARY-user"}
            try:
                client.post(OPENAI, json=body)
            except lib.ConnectError:
                pass
        for method, url, body in LATER:
            client.request(method, url, json=body)
        client.post(GEMINI, json={"contents": [{"parts": [{"text": "CANARY-prompt"}]}]})
        for word in ("read", "break", "abort", "flying"):
            body = {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True, "metadata": {"say": word}}
            answer = client.send(client.build_request("POST", OPENAI, json=body), stream=True)
            kept.append(answer)
            if word in ("read", "break"):
                try:
                    answer.read()
                except lib.ReadError:
                    pass
            elif word == "abort":
                next(answer.iter_raw())
                answer.close()
    with lib.Client(trust_env=False, headers=HEADERS) as real:
        for marker in ("#fail-500", "#cut", "#malformed", "#gzip", ""):
            for stream in (False, True):
                body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "CANARY-prompt " + marker}], "stream": stream}
                try:
                    real.post(f"http://{provider}/v1/chat/completions?key=CANARY-key", json=body)
                except lib.RemoteProtocolError:
                    pass
assert meter.flush(20)
with track(user_id="joe"):
    client.post(OPENAI, json={"model": "gpt-4o-mini", "messages": MESSAGES})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_prompt_answer_or_key_is_written_anywhere(tmp_path: Path) -> None:
    """Over whole, failed, malformed, streamed, broken, aborted, estimated and killed calls: in no byte of spool, store or log."""
    with StandIn() as provider:
        killed = run(CHILD, tmp_path, provider.host)

    assert killed.stderr == ""
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"payi.db", "payi.db-wal", "log.txt"} <= {path.name for path in written}
    assert any(path.suffix == ".spool" and b"gpt-4o-mini" in data for path, data in written.items())
    for path, data in written.items():
        for canary in CANARIES:
            at = data.find(canary)
            assert at < 0, (path.name, data[max(0, at - 200) : at + 100])
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))
    events = stored(tmp_path)
    assert len(events) == 2 * (6 + 4 + 10) + 1 + (2 * 6 - 2)  # results that are downloaded again are no event
    assert {event.outcome for event in events} == {"ok", "error", "aborted", "unknown"}
    assert {event.cost_source for event in events} == {"usage", "estimate", "none"}
    told = "".join(event.to_json() for event in events)
    assert "canary" not in told.lower()


def test_the_real_files_are_searched(tmp_path: Path) -> None:
    """The search above would find what is written: a user's id stands in spool and store."""
    run(
        """
        import os, sys
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1])
        with client() as asking:
            ask(asking, "CANARY-user")
            meter.flush(20)
        os._exit(0)
        """,
        tmp_path,
    )
    found = {path.name for path in tmp_path.rglob("*") if path.is_file() and b"CANARY-user" in path.read_bytes()}

    assert {name.rpartition(".")[2] for name in found} >= {"spool"}
    assert found & {"payi.db", "payi.db-wal"}
