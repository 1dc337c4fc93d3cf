"""What strangers may send: always a 4xx with a clear message, never a 5xx, and never more than a bounded amount of work."""

from __future__ import annotations

import gzip
import json
import secrets
import socket
from typing import Any

import brotli
import pytest
from exchanges import encoded
from servers import Server

KPI = {"name": "a", "description": "a", "goal": 1, "kpi_type": "number"}
BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/limits", {"limit_name": "a", "max": "much"}),
    ("POST", "/limits", {"limit_name": "a", "max": float("nan")}),
    ("POST", "/limits", {"limit_name": "a", "max": 10**400}),
    ("POST", "/limits", {"limit_name": "a", "max": [1]}),
    ("POST", "/limits", {"limit_name": "a" * 257, "max": 1}),
    ("POST", "/limits", {"limit_name": "a\x00", "max": 1}),
    ("POST", "/limits", {"limit_name": "a", "max": 1, "more": 1}),
    ("POST", "/limits", {"limit_name": "a", "max": 1, "properties": {str(n): "" for n in range(65)}}),
    ("POST", "/limits", {"limit_name": "a", "max": 1, "properties": {"a": {"b": "c"}}}),
    ("POST", "/limits", {"limit_name": "a", "max": 1, "limit_id": ""}),
    ("POST", "/limits", []),
    ("POST", "/limits", None),
    ("POST", "/categories/system.openai/resources/gpt-4o", {"units": {"text": {"input_price": 1}}}),
    ("POST", "/categories/a/resources/b", {"units": {}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": -1}}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": "1e999999999"}}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": "1e-41"}}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": "1e-50000000"}}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": "0e-50000000"}}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {"input_price": "0." + "3" * 5000}}}),
    ("POST", "/categories/a/resources/b", {"units": {str(n): {} for n in range(65)}}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "start_timestamp": "1900-01-01T00:00:00Z"}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "max_input_units": 2**63}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "max_input_units": True}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "max_input_units": "7"}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "start_timestamp": 1767225600}),
    ("POST", "/categories/a/resources/b", {"units": {"text": {}}, "start_timestamp": 1.5}),
    ("POST", "/categories/%00/resources/b", {"units": {"text": {}}}),
    ("POST", "/categories/a/resources/%0a", {"units": {"text": {}}}),
    ("POST", "/categories/a/resources/" + "b" * 257, {"units": {"text": {}}}),
    ("POST", "/use_cases/definitions", {"name": "two words", "description": "a"}),
    ("POST", "/use_cases/definitions", {"name": "a", "description": ""}),
    ("POST", "/use_cases/definitions", {"name": "a", "description": "a\x00b"}),
    ("POST", "/use_cases/definitions", {"name": "a", "description": "a", "logging_enabled": "yes"}),
    ("POST", "/use_cases/definitions/Known/kpis", KPI | {"goal": True}),
    ("POST", "/use_cases/definitions/Known/kpis", KPI | {"goal": "1"}),
    ("POST", "/use_cases/definitions", {"name": "a", "description": "a", "limit_config": {"max": 0}}),
    ("POST", "/use_cases/definitions/Known", {}),
    ("POST", "/use_cases/definitions/Known/kpis", KPI | {"goal": float("inf")}),
    ("POST", "/use_cases/definitions/Known/kpis", KPI | {"kpi_type": "likert6"}),
    ("POST", "/use_cases/definitions/Known/kpis", KPI | {"name": "Known"}),
    ("PUT", "/use_cases/instances/Known/a%00b/properties", {"properties": {}}),
    ("PUT", "/use_cases/instances/Known/" + "a" * 257 + "/properties", {"properties": {}}),
    ("PUT", "/use_cases/instances/Known/run/properties", {"properties": None}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Known", {"score": "well"}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Known", {"score": "4"}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Known", {"score": True}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Known", {"score": 1e999}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Yes", {"score": 2}),
    ("PUT", "/use_cases/instances/Known/run/kpis/Unknown", {"score": 2}),
    ("POST", "/limits/known/reset?resetDate=soon", None),
    ("POST", "/limits/known/reset?resetDate=1900-01-01", None),
    ("GET", "/limits?limit=-1", None),
    ("GET", "/limits?limit=1001", None),
    ("GET", "/limits?limit=99999999999999999999", None),
    ("GET", "/limits?cursor=%00", None),
    ("GET", "/limits?cursor=cP__________8=", None),
    ("GET", "/limits?cursor=" + "A" * 5000, None),
    ("GET", "/limits?sort_ascending=maybe", None),
    ("GET", "/categories?Active=perhaps", None),
    ("GET", "/limits/%ff%fe", None),
    ("GET", "/limits/a%00b", None),
    ("GET", "/limits?limit_name=a%00b", None),
    ("GET", "/use_cases/definitions?no_such_parameter=%00", None),
    ("GET", "/limits/a%2Fb%252F", None),
    ("GET", "/requests/00000000-0000-0000-0000-000000000000/result", None),
    ("GET", "/requests/%00/result", None),
    ("GET", "/nothing", None),
    ("PATCH", "/limits", None),
    ("GET", "/ingest", None),
]


@pytest.fixture(scope="module", autouse=True)
def _known(server: Server) -> None:
    with server.http() as http:
        http.post("/api/v1/limits", json={"limit_name": "Known", "max": 1, "limit_id": "known"}).raise_for_status()
        http.post("/api/v1/use_cases/definitions", json={"name": "Known", "description": "a"}).raise_for_status()
        for name, kind in (("Known", "number"), ("Yes", "boolean")):
            body = KPI | {"name": name, "kpi_type": kind}
            http.post("/api/v1/use_cases/definitions/Known/kpis", json=body).raise_for_status()


@pytest.mark.parametrize("n", range(len(BODIES)))
def test_what_cannot_be_is_refused(server: Server, n: int) -> None:
    """In Pay-i's shape, with a message."""
    method, path, body = BODIES[n]
    with server.http(headers={"Content-Type": "application/json"}) as http:
        content = None if body is None else json.dumps(body)
        answer = http.request(method, f"/api/v1{path}", content=content)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["statusCode"] == answer.status_code
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff", b"[" * 100_000, b'{"limit_name": "\\ud800", "max": 1}', b'{"a":' * 9999]
)
def test_what_is_no_json_is_refused(server: Server, raw: bytes) -> None:
    """Also where it is nested so deeply that a decoder gives up."""
    with server.http() as http:
        for path in ("limits", "ingest", "ingest/bulk", "use_cases/definitions"):
            answer = http.post(f"/api/v1/{path}", content=raw, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, answer.text
            assert answer.json()["message"]


def test_ids_keep_their_slashes_and_percent_signs(server: Server) -> None:
    """A path is split before it is decoded, and decoded once."""
    ids = ["a/b", "a%2Fb", "a%252Fb", "..%2f", "ü ?#", "a+b", "%"]
    client = server.payi()
    for one in ids:
        client.limits.create(limit_name=one, max=1, limit_id=one)
    assert [client.limits.retrieve(one).limit.limit_name for one in ids] == ids
    client.close()


def test_a_body_has_a_bound(server: Server) -> None:
    """Of bytes as told and as sent, and of those of a line."""
    large = b" " * ((32 << 20) + 1)
    with server.http() as http:
        told = http.post("/api/v1/ingest/bulk", content=large)
        sent = http.post(
            "/api/v1/ingest/bulk", content=(large[n : n + (1 << 20)] for n in range(0, len(large), 1 << 20))
        )
        line = http.post("/api/v1/events", content=b"[" + b" " * (2 << 20) + b"]")
    assert [one.status_code for one in (told, sent, line)] == [413] * 3
    assert "33554432 bytes" in told.json()["message"]
    assert "1048576 bytes" in line.json()["message"]


ENCODINGS = ["gzip", "deflate", "br", "zstd", "gzip, zstd"]


def packed(encodings: str, body: bytes) -> bytes:
    for encoding in encodings.split(", "):  # brotli's usual quality takes seconds
        body = brotli.compress(body, quality=1) if encoding == "br" else encoded(encoding, body)
    return body


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_unpacks_to_too_much_is_refused(server: Server, encoding: str) -> None:
    """Too many times its size, and too much in all, whatever packed it; never more is unpacked than that."""
    air = packed(encoding, b" " * (64 << 20))
    noise = packed(encoding, b"".join(secrets.token_bytes(1 << 10) * 20 for _ in range(1700)))
    with server.http(headers={"Content-Encoding": encoding}) as http:
        told = [http.post("/api/v1/ingest/bulk", content=body) for body in (air, noise)]
    assert [answer.status_code for answer in told] == [413, 413]
    assert "100 times" in told[0].json()["message"]
    assert "33554432 bytes" in told[1].json()["message"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_not_what_it_says_is_refused(server: Server, encoding: str) -> None:
    """Other bytes, or not all of them; what is whole is taken, and so is nothing at all."""
    whole = packed(encoding, b"[]")
    with server.http(headers={"Content-Encoding": encoding}) as http:
        for body, message in ((b"\xff" * 20, "is not what"), (whole[:-2], "ends before")):
            answer = http.post("/api/v1/ingest/bulk", content=body)
            assert (answer.status_code, message in answer.json()["message"]) == (400, True), answer.text
        assert http.post("/api/v1/ingest/bulk", content=whole).json()["total_count"] == 0
        assert http.post("/api/v1/ingest/bulk", content=b"").status_code == 200
        assert http.get("/api/v1/limits").status_code == 200


@pytest.mark.parametrize("encoding", ["compress", "gzip, compress", "gzip, gzip, gzip, gzip, gzip", "\u00fc", ","])
def test_encodings_that_are_not_known_are_refused(server: Server, encoding: str) -> None:
    """With those that are."""
    with server.http(headers={"Content-Encoding": encoding.encode("latin-1")}) as http:
        answer = http.post("/api/v1/ingest/bulk", content=b"[]")
    assert (answer.status_code, answer.json()["message"]) == (
        415,
        "Content-Encoding: use gzip, deflate, br, zstd or none",
    )


def test_gzip_files_may_follow_one_another(server: Server) -> None:
    """As `cat` puts them; other bytes behind the last are passed over, however many."""
    one = gzip.compress(b"[")
    with server.http(headers={"Content-Encoding": "gzip"}) as http:
        for body in (one + gzip.compress(b"]"), gzip.compress(b"[]") + b"\x00" * (8 << 20)):
            pieces = (body[n : n + 65_521] for n in range(0, len(body), 65_521))
            assert http.post("/api/v1/ingest/bulk", content=pieces).json()["total_count"] == 0
            by_byte = (body[n : n + 1] for n in range(min(len(body), 100)))
            assert http.post("/api/v1/ingest/bulk", content=by_byte).json()["total_count"] == 0


def test_a_path_may_be_anything(server: Server) -> None:
    """As no client would send it."""
    for target in (b"/api/v1/limits/\xff%zz", b"//api//v1//limits", b"/api/v1/limits/%z%", b"*", b"/%00"):
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 5) as raw:
            raw.sendall(
                b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nxProxy-api-key: " + server.admin.encode() + b"\r\n"
            )
            raw.sendall(b"Connection: close\r\n\r\n")
            status = raw.makefile("rb").readline()
        assert status.split()[1].startswith(b"4"), (target, status)


def test_pages_are_whole(server: Server) -> None:
    """Every row once, in either order, whatever the size of a page and whatever is added meanwhile."""
    key = server.key("admin", "pages")
    with server.http(key) as http:
        for n in range(23):
            http.post("/api/v1/limits", json={"limit_name": f"{n}", "max": 1}).raise_for_status()
        for ascending in (True, False):
            seen: list[str] = []
            cursor = None
            while True:
                asked = {"limit": 5, "sort_ascending": ascending} | ({"cursor": cursor} if cursor else {})
                page = http.get("/api/v1/limits", params=asked).json()
                seen += [limit["limit_name"] for limit in page["items"]]
                cursor = page["cursor"]
                if not cursor:
                    break
            assert seen == [str(n) for n in (range(23) if ascending else range(22, -1, -1))]
        assert len(http.get("/api/v1/limits", params={"limit": 0}).json()["items"]) == 23  # as if none were named
