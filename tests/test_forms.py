"""Forms as JSON: what is asked for, and nothing of what is in a file."""

from __future__ import annotations

import io
import json
from types import ModuleType

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware import forms
from payi_middleware._transport import _content

SECRET = b"\x89PNG secret\r\n--x\r\n\x00"


def sent(lib: ModuleType, file: object = SECRET) -> httpx.Request:
    """An edit of a picture, as SDKs send it."""
    data = {
        "model": "gpt-image-1",
        "prompt": "a fox",
        "n": "2",
        "stream": "true",
        "timestamp_granularities[]": ["word"],
    }
    request: httpx.Request = lib.Request(
        "POST", "https://api.openai.com/", data=data, files=[("image[]", ("a.png", file))]
    )
    return request


TOLD = {
    "model": "gpt-image-1",
    "prompt": "a fox",
    "n": "2",
    "stream": True,
    "timestamp_granularities": ["word"],
    "files": [{"name": "image[]", "size": len(SECRET), "type": "image/png"}],
}


@pytest.mark.parametrize("lib", [httpx, httpx2])
@pytest.mark.parametrize("file", [SECRET, io.BytesIO(SECRET)], ids=["bytes", "file"])
def test_a_form_on_its_way(lib: ModuleType, file: object) -> None:
    """The fields of a form are read off its stream, which stays as it is."""
    request = sent(lib, file)

    content = _content(request)

    assert content is not None
    assert json.loads(content) == TOLD
    assert SECRET in request.read()


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_a_form_that_was_read(lib: ModuleType) -> None:
    """A form whose bytes are in memory already, for the sake of a signature, tells the same."""
    request = sent(lib)
    request.read()

    content = _content(request)

    assert content is not None
    assert json.loads(content) == TOLD


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_a_form_s_bytes(newline: str) -> None:
    """Recordings keep a form as text, at times without its carriage returns."""
    request = sent(httpx)
    raw = request.read().replace(SECRET, b"ab").replace(b"\r\n", newline.encode())

    for content_type in (request.headers["content-type"], ""):
        told = json.loads(forms.as_json(raw, content_type))
        assert told == TOLD | {"files": [{"name": "image[]", "size": 2, "type": "image/png"}]}


def test_what_is_no_form_stays() -> None:
    """A body of another kind, or one whose boundary nobody tells, is handed back."""
    assert forms.as_json(b"{}", "application/json") == b"{}"
    assert forms.as_json(b"--x", "multipart/form-data") == b"--x"
    assert forms.as_json(b"-- a comment") == b"-- a comment"


def test_a_file_of_unknown_size() -> None:
    """Of a file that does not tell its size the rest is told."""

    class Endless:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("only the transport reads")

    request = httpx.Request("POST", "https://api.openai.com/", files={"file": ("a.wav", Endless())})  # type: ignore[dict-item]

    assert json.loads(_content(request) or b"")["files"][0]["size"] == -1


@pytest.mark.parametrize("cut", range(7, 700, 7))
def test_a_form_that_is_cut(cut: int) -> None:
    """What is left of a form is read, at every byte, and never a file's content."""
    request = sent(httpx)
    raw = request.read()

    told = forms.as_json(raw[:cut], request.headers["content-type"])

    assert json.loads(told).get("model") in (None, "gpt-image-1") or cut < 300
    assert b"secret" not in told


@given(st.binary(max_size=400), st.text(max_size=20))
def test_any_bytes(body: bytes, boundary: str) -> None:
    """Nothing raises, whatever a form is made of."""
    json.loads(forms.as_json(b"--x" + body, "multipart/form-data; boundary=x"))
    forms.as_json(body, f"multipart/form-data; boundary={boundary}")


def test_a_form_without_quotes() -> None:
    """As .NET writes it: names are in quotes only where they must be."""
    form = (
        b"--b1\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=model\r\n\r\ngpt-image-1\r\n"
        b"--b1\r\nContent-Disposition: form-data; name=image; filename=a.png; filename*=utf-8''a.png\r\n\r\nPNG\r\n--b1--\r\n"
    )

    told = json.loads(forms.as_json(form, "multipart/form-data; boundary=b1"))

    assert told == {"model": "gpt-image-1", "files": [{"name": "image", "size": 3, "type": ""}]}
    assert json.loads(forms.as_json(form)) == told
