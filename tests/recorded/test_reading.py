"""Files of recorded exchanges: JSON lines, HAR, cassettes, well and badly made."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exchanges import ANSWER, REQUEST, STREAM, URL
from hypothesis import given
from hypothesis import strategies as st
from recordings import DATE, DATE_NS, har, line, one, recorded, written

from payi_middleware.exceptions import RecordingError
from payi_middleware.recorded import Recorded, Unreadable, read
from payi_middleware.recorded.exchange import Place
from payi_middleware.recorded.framing import framing_of

ENTRY = {
    "startedDateTime": "2026-11-20T13:00:00+01:00",
    "request": {"method": "POST", "url": URL, "headers": [], "postData": {"text": REQUEST.decode()}},
    "response": {
        "status": 200,
        "headers": [{"name": "Content-Type", "value": "application/json"}],
        "content": {"text": ANSWER.decode()},
    },
}
ASKED = {"method": "POST", "uri": URL, "body": REQUEST.decode()}


def unreadable(path: Path) -> list[Unreadable]:
    return [found for found in read(path) if isinstance(found, Unreadable)]


def of_har(folder: Path, **response: Any) -> Recorded:
    return one(written(folder, "made.har", har(ENTRY | {"response": ENTRY["response"] | response})))  # type: ignore[operator]


def of_cassette(folder: Path, response: dict[str, Any], request: dict[str, Any] = ASKED, **more: Any) -> Recorded:
    interaction = {"request": request, "response": response, **more}
    return one(written(folder, "made.json", {"version": 1, "interactions": [interaction]}))


def test_a_json_line_is_an_exchange(tmp_path: Path) -> None:
    """Method, place, bodies, status, headers in lower case and the answer's own date."""
    found = recorded(tmp_path, response_headers={"Date": DATE, "X-Many": ["a", "b"], "X-None": None, "X-Odd": 5})

    assert found.source == "made#0"
    assert (found.method, found.place) == ("POST", Place("https", "api.openai.com", None, "/v1/chat/completions"))
    assert (found.request, found.status, found.body) == (REQUEST, 200, ANSWER)
    assert found.headers == {"date": DATE, "x-many": "a, b", "x-odd": "5"}
    assert (found.date_ns, found.recorded_ns) == (DATE_NS, None)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bz2.compress])
def test_packed_files_are_told_by_their_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """xz, gzip and bzip2, whatever the file is called."""
    assert one(written(tmp_path, "made", pack(json.dumps(line()).encode()))).body == ANSWER


def test_a_source_that_is_missing_is_the_place_in_the_file(tmp_path: Path) -> None:
    """Every result can be found again; blank lines count."""
    path = written(tmp_path, "made.jsonl", "", line(source=...), "", line(source=7))

    assert [found.source for found in read(path) if isinstance(found, Recorded)] == [
        "made.jsonl line 2",
        "made.jsonl line 4",
    ]


def test_bodies_are_text_base64_or_json(tmp_path: Path) -> None:
    """Whatever a recorder makes of a body comes back as bytes; none at all is empty, an unrecorded request unknown."""
    packed = base64.b64encode(b"\x00\xff").decode()

    assert recorded(tmp_path, response_b64=packed, response_body=None).body == b"\x00\xff"
    assert recorded(tmp_path, response_body={"id": "x"}).body == b'{"id": "x"}'
    assert recorded(tmp_path, response_body=None, request_body=None)[3:] == (None, 200, *_headers(), b"", None, None)
    assert recorded(tmp_path, response_body="\ud83d").body == b"?"


def _headers() -> tuple[dict[str, str]]:
    return ({"date": DATE, "content-type": "application/json"},)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        (line(url=...), "the request's URL is missing"),
        (line(url=5), "the request's URL is missing"),
        (line(url="/v1/chat/completions"), "the request's URL names no host"),
        (line(url="https://[::1/"), "the request's URL is malformed"),
        (line(url="https://host:port/"), "the request's URL is malformed"),
        (line(method=None), "the request's method is missing"),
        (line(status="ok"), "the answer's status is no status of HTTP"),
        (line(status=True), "the answer's status is no status of HTTP"),
        (line(response_body=...), "neither response_body nor response_b64 is there"),
        (line(response_b64=7), "a body in base64 is malformed"),
        (line(response_b64="a"), "a body in base64 is malformed"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_costs_only_itself(tmp_path: Path, record: Any, why: str) -> None:
    """What stands before and behind it is read."""
    before, bad, behind = read(written(tmp_path, "made.jsonl", line(), record, line()))

    assert isinstance(before, Recorded)
    assert bad == Unreadable("made.jsonl line 2", why)
    assert isinstance(behind, Recorded)


def test_a_status_that_was_not_recorded_is_taken_for_a_success(tmp_path: Path) -> None:
    """Some recorders leave it out; what is an error says so in its body."""
    assert recorded(tmp_path, status=None).status == 200


def test_a_har_file(tmp_path: Path) -> None:
    """Its own date is that of the request's start; bodies may be in base64, a stream's also part by part."""
    found = of_har(tmp_path)
    packed = {"encoding": "base64", "text": base64.b64encode(ANSWER).decode()}
    parts = json.dumps([base64.b64encode(part).decode() for part in STREAM])

    assert found.source == "made.har entry 1"
    assert (found.request, found.body, found.headers) == (REQUEST, ANSWER, {"content-type": "application/json"})
    assert (found.date_ns, found.recorded_ns) == (None, DATE_NS)
    assert of_har(tmp_path, content=packed).body == ANSWER
    assert of_har(tmp_path, content={"encoding": "base64", "text": parts}).body == b"".join(STREAM)
    assert of_har(tmp_path, content=None).body == b""


def test_a_har_file_in_many_lines(tmp_path: Path) -> None:
    """A document that begins on one line and ends on another is known by its name or its first line."""
    text = json.dumps(har(ENTRY), indent=2)

    assert one(written(tmp_path, "made.har", text)).body == ANSWER
    assert one(written(tmp_path, "made", text)).body == ANSWER
    assert one(written(tmp_path, "made.har.gz", gzip.compress(text.encode()))).body == ANSWER


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("nothing", "the request is missing"),
        ({"request": {"method": "GET", "url": URL}}, "the response is missing"),
        (ENTRY | {"request": {"method": "GET"}}, "the request's URL is missing"),
        (
            ENTRY | {"response": {"status": 200, "content": {"encoding": "base64", "text": "a"}}},
            "a body in base64 is malformed",
        ),
        (
            ENTRY | {"response": {"status": 200, "content": {"encoding": "base64", "text": "[5"}}},
            "the list of a body's parts is malformed",
        ),
    ],
)
def test_a_bad_entry_of_a_har_file(tmp_path: Path, entry: Any, why: str) -> None:
    """It is told with its number."""
    assert unreadable(written(tmp_path, "made.har", har(ENTRY, entry))) == [Unreadable("made.har entry 2", why)]


YAML = f"""\
interactions:
- request:
    method: POST
    uri: {URL}
    body: '{REQUEST.decode()}'
    headers: {{}}
  response:
    status: {{code: 200, message: OK}}
    headers:
      Date: ['{DATE}']
    body:
      string: !!binary |
        {base64.b64encode(gzip.compress(ANSWER, mtime=0)).decode()}
version: 1
"""


def test_a_cassette_in_yaml(tmp_path: Path) -> None:
    """By its name or its first line; header values are lists, bodies may be bytes."""
    for name in ("made.yaml", "made.yml", "made", "made.yaml.xz"):
        found = one(written(tmp_path, name, lzma.compress(YAML.encode()) if name.endswith("xz") else YAML))
        assert found.source == f"{name} interaction 1"
        assert (found.request, gzip.decompress(found.body), found.date_ns) == (REQUEST, ANSWER, DATE_NS)


@pytest.mark.parametrize(
    "response",
    [
        {"status": {"code": 200}, "headers": {}, "body": {"string": ANSWER.decode()}},
        {"status": {"code": 200}, "body": {"encoding": "x", "base64_string": base64.b64encode(ANSWER).decode()}},
        {"status_code": 200, "content": ANSWER.decode()},
        {"status": "200 OK", "code": 200, "body": ANSWER.decode()},
        {"status": "200 OK", "body": ANSWER.decode()},
        {"status": {"code": 200}, "parsed_body": json.loads(ANSWER)},
    ],
)
def test_forms_of_an_answer_in_cassettes(tmp_path: Path, response: dict[str, Any]) -> None:
    """vcrpy's old and new, Ruby's, go-vcr's, and that of serializers which keep JSON as what it says."""
    found = of_cassette(tmp_path, response)

    assert (json.loads(found.body), found.status) == (json.loads(ANSWER), 200)


def test_forms_of_a_request_in_cassettes(tmp_path: Path) -> None:
    """A request in lower case, with a `url`, with a body in its place, or without any."""
    answered = {"status": {"code": 200}, "body": None}

    assert of_cassette(tmp_path, answered, {"method": "post", "url": URL}).request is None
    assert of_cassette(tmp_path, answered, {"method": "post", "url": URL}).method == "POST"
    assert of_cassette(tmp_path, answered, {**ASKED, "body": {"string": "x"}}).request == b"x"
    assert of_cassette(tmp_path, answered, {**ASKED, "body": {"model": "x"}}).request == b'{"model": "x"}'


def test_a_packed_request_in_a_cassette(tmp_path: Path) -> None:
    """Recorders keep it as it was sent: it is read without its content-encoding, if that can be undone."""
    answered = {"status": {"code": 200}, "body": None}
    body = {"base64_string": base64.b64encode(gzip.compress(REQUEST)).decode()}

    def read(encoding: str) -> bytes | None:
        headers = {"Content-Encoding": [encoding]}
        return of_cassette(tmp_path, answered, {**ASKED, "headers": headers, "body": body}).request

    assert read("gzip") == REQUEST
    assert read("snappy") is None


@pytest.mark.parametrize("date", ["Fri, 20 Nov 2026 12:00:00 GMT", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00"])
def test_the_date_of_a_cassette(tmp_path: Path, date: str) -> None:
    """Ruby's keeps when it recorded, as an e-mail's date or ISO 8601; without a zone it is UTC."""
    assert of_cassette(tmp_path, {"status": 200, "body": ""}, recorded_at=date).recorded_ns == DATE_NS


def test_a_date_that_yaml_has_read(tmp_path: Path) -> None:
    """YAML makes a time of what looks like one."""
    text = YAML.replace("version: 1", "") + "  recorded_at: 2026-11-20 12:00:00\n"

    assert one(written(tmp_path, "made.yaml", text)).recorded_ns == DATE_NS


@pytest.mark.parametrize("date", [5, "", "yesterday", "2026-13-45", "0000"])
def test_a_date_that_is_none(tmp_path: Path, date: Any) -> None:
    """It is as if there were none."""
    found = of_cassette(tmp_path, {"status": 200, "body": "", "headers": {"date": str(date)}}, recorded_at=date)

    assert (found.recorded_ns, found.date_ns) == (None, None)


def test_a_bad_interaction_of_a_cassette(tmp_path: Path) -> None:
    """It is told with its number."""
    bad = {"request": ASKED, "response": {"status": "fine", "body": ""}}
    path = written(tmp_path, "made.json", {"http_interactions": [{"request": ASKED}, 5, bad]})

    assert unreadable(path) == [
        Unreadable("made.json interaction 1", "the response is missing"),
        Unreadable("made.json interaction 2", "the request is missing"),
        Unreadable("made.json interaction 3", "the answer's status is no status of HTTP"),
    ]


def test_cassettes_as_vcrpy_writes_them(tmp_path: Path) -> None:
    """Its own serializers, YAML and JSON."""
    serialize = pytest.importorskip("vcr.serialize").serialize
    serializers = pytest.importorskip("vcr.serializers")
    import vcr.serializers.jsonserializer
    import vcr.serializers.yamlserializer

    sent = vcr.request.Request("POST", URL, REQUEST, {"content-type": "application/json"})
    answered = {"status": {"code": 200, "message": "OK"}, "headers": {"date": [DATE]}, "body": {"string": ANSWER}}
    for name, serializer in (("a.yaml", serializers.yamlserializer), ("a.json", serializers.jsonserializer)):
        text = serialize({"requests": [sent], "responses": [answered]}, serializer)
        found = one(written(tmp_path, name, text))
        assert (found.request, found.body, found.date_ns) == (REQUEST, ANSWER, DATE_NS)


@pytest.mark.parametrize(
    "tagged",
    [
        f"!binary |-\n        {base64.b64encode(ANSWER).decode()}",
        f"!!binary {base64.b64encode(ANSWER).decode()}",
        f"!ruby/string:Encoded '{ANSWER.decode()}'",
        f"!!python/unicode '{ANSWER.decode()}'",
    ],
)
def test_bodies_with_tags_of_other_languages(tmp_path: Path, tagged: str) -> None:
    """Ruby keeps a body that is not ASCII as `!binary`, and Python 2 kept text with a tag of its own."""
    text = f"""
http_interactions:
- request: {{method: post, uri: "{URL}"}}
  response:
    status: !ruby/object:Status {{code: 200}}
    headers: {{date: !ruby/array:List ["{DATE}"]}}
    body:
      string: {tagged}
"""
    found = one(written(tmp_path, "made.yml", text))

    assert (found.body, found.status, found.date_ns) == (ANSWER, 200, DATE_NS)


def test_headers_as_aiohttp_names_them(tmp_path: Path) -> None:
    """vcrpy keeps such a name as the Python object that it is."""
    text = f"""
interactions:
- request:
    method: POST
    uri: {URL}
    headers:
      ? !!python/object/apply:multidict._multidict.istr
      - Accept
      : - application/json
  response:
    status: {{code: 200}}
    headers:
      ? !!python/object/new:multidict._multidict.istr [Date]
      : - {DATE}
    body: {{string: '{ANSWER.decode()}'}}
"""
    found = one(written(tmp_path, "made.yaml", text))

    assert (found.body, found.date_ns) == (ANSWER, DATE_NS)


def test_no_object_is_made_of_a_tag(tmp_path: Path) -> None:
    """A file from elsewhere runs nothing."""
    made = tmp_path / "made"
    text = f"interactions: [!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{made}']]]"

    assert unreadable(written(tmp_path, "a.yaml", text)) == [
        Unreadable("a.yaml interaction 1", "the request is missing")
    ]
    assert not made.exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.yaml", "a: [", r"a\.yaml is no YAML \(line 2\)"),
        ("a.yaml", "a: !!binary é", "no YAML"),
        ("a.yaml", "- 1", "neither JSON lines of exchanges nor a HAR file nor a VCR cassette"),
        ("a.har", "{", "no JSON document"),
        ("a.json", '{"a":\n 1}', "neither JSON lines"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, name: str, content: str, why: str) -> None:
    """It is refused as a whole, with its name."""
    with pytest.raises(RecordingError, match=why):
        list(read(written(tmp_path, name, content)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The system's reason is told."""
    with pytest.raises(RecordingError, match="No such file"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(RecordingError, match="directory"):
        list(read(tmp_path))


def test_without_pyyaml_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed for cassettes in YAML alone."""
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert recorded(tmp_path).status == 200
    with pytest.raises(RecordingError, match=r"install payi-middleware\[cassettes\]"):
        list(read(written(tmp_path, "made.yaml", YAML)))


def test_a_fault_inside_pyyaml_is_no_absence_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that very module's absence is told with the cure."""
    (tmp_path / "yaml.py").write_text("import no_such_module\n")
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        list(read(written(tmp_path, "made.yaml", YAML)))


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Lines before the damage count, and the damage is told; half a document is none."""
    many = b"\n".join(json.dumps(line(source=str(n), noise=str(hash(n) ** 7))).encode() for n in range(3000))
    path = tmp_path / "made.jsonl"
    path.write_bytes(pack(many)[:-100])

    *found, last = read(path)
    assert len(found) > 100
    assert last.why.startswith("the file is damaged") if isinstance(last, Unreadable) else False
    with pytest.raises(RecordingError, match="damaged"):
        list(read(written(tmp_path, "made.har", pack(json.dumps(har(*[ENTRY] * 500)).encode())[:-20])))


@given(st.binary(max_size=300), st.sampled_from(["a.jsonl", "a.json", "a.har", "a.yaml", "a"]))
def test_no_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    """Whatever its bytes, a file is read, complained of, or refused by our own error."""
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    with contextlib.suppress(RecordingError):
        assert all(isinstance(found, Recorded | Unreadable) for found in read(path))


@pytest.mark.parametrize(
    ("body", "encoding", "left"),
    [
        (gzip.compress(ANSWER), "gzip", "gzip"),
        (ANSWER, "gzip", None),
        (ANSWER, None, None),
        (b"", "br", None),
    ],
)
def test_an_encoding_that_a_recorder_undid_is_not_undone_again(
    tmp_path: Path, body: bytes, encoding: str | None, left: str | None
) -> None:
    """Recorders decode bodies and leave the header as it was."""
    headers = {} if encoding is None else {"content-encoding": encoding}
    found = recorded(tmp_path, response_headers=headers, response_b64=base64.b64encode(body).decode())

    assert found.encoding == left


@pytest.mark.parametrize(
    ("body", "created"),
    [
        ('{"id": "x", "created": 1795176000}', DATE_NS),
        ('{"created_at": 1795176000.5}', DATE_NS),
        ('data: {"type": "response.created", "response": {"created_at": 1795176000}}', DATE_NS),
        ('{"model": "m", "created_at": "2026-11-20T12:00:00.000000Z"}', DATE_NS),
        ('{"createTime": "2026-11-20T12:00:00Z"}', DATE_NS),
        ('{"text": "{\\"created\\": 1795176000}"}', None),
        ('{"created": 1795176000123}', None),
        ('{"created": null}', None),
        ('{"created_at": "20"}', None),
        ('{"created_at": "2026-99-99T12:00:00Z"}', None),
    ],
)
def test_when_an_answer_says_it_was_made(tmp_path: Path, body: str, created: int | None) -> None:
    """OpenAI and its like tell seconds, Ollama and Vertex a date; text that quotes such a member says nothing."""
    assert recorded(tmp_path, response_body=body).created_ns == created


@pytest.mark.parametrize(
    ("framing", "headers", "body"),
    [
        ("json", {}, b' {"a": 1}'),
        ("json-array", {}, b"[{}]"),
        ("ndjson", {}, b'{"a": 1}\n{"a": 2}\n'),
        ("ndjson", {"content-type": "application/x-ndjson"}, b"{}"),
        ("sse", {}, b"data: {}\n\n"),
        ("sse", {"content-type": "text/event-stream; charset=utf-8"}, b": padding"),
        ("eventstream", {"content-type": "application/vnd.amazon.eventstream"}, b"\x00"),
        ("encoded", {"content-encoding": "gzip"}, gzip.compress(b"{}")),
        ("text", {}, b"hello"),
        ("binary", {}, b"\xff\xfb"),
    ],
)
def test_framings(tmp_path: Path, framing: str, headers: dict[str, str], body: bytes) -> None:
    """By the content's type, else by how it begins; a recording's own word comes first."""
    found = recorded(tmp_path, response_headers=headers, response_b64=base64.b64encode(body).decode())

    assert framing_of(found) == framing
    assert framing_of(found._replace(framing="own")) == "own"
