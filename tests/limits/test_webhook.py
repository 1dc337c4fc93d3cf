"""Messages to an address: verified by the specification's own library, and kept out of networks that nobody allowed."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from receiver import KEY, LOOPBACK, Receiver, receiving
from standardwebhooks import Webhook as Verifier

from payi_middleware.limits.webhook import RefusedError, UndeliveredError, Webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    with receiving() as server:
        yield server


def test_the_specifications_library_verifies_it(receiver: Receiver) -> None:
    Webhook(receiver.url, KEY, LOOPBACK).send("msg_1", b'{"a":1}')
    ((headers, body),) = receiver.taken
    assert Verifier(KEY).verify(body, headers) == {"a": 1}
    assert headers[":path"] == "/hook?from=payi"
    assert headers["host"] == f"127.0.0.1:{receiver.server_port}"
    assert headers["webhook-id"] == "msg_1"


def test_a_key_of_plain_text_signs_too(receiver: Receiver) -> None:
    Webhook(receiver.url, "a plain secret", LOOPBACK).send("msg_1", b"{}")
    ((headers, body),) = receiver.taken
    assert Verifier(b"a plain secret").verify(body, headers) == {}


def test_without_a_key_nothing_is_signed(receiver: Receiver) -> None:
    Webhook(receiver.url, None, LOOPBACK).send("msg_1", b"{}")
    assert "webhook-signature" not in receiver.taken[0][0]


@pytest.mark.parametrize(("status", "error"), [(500, UndeliveredError), (404, UndeliveredError), (410, RefusedError)])
def test_what_the_other_side_says(receiver: Receiver, status: int, error: type[Exception]) -> None:
    receiver.status = status
    with pytest.raises(error, match=f"answers {status}"):
        Webhook(receiver.url, KEY, LOOPBACK).send("msg_1", b"{}")


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 307, receiver.url
    with pytest.raises(UndeliveredError, match="answers 307"):
        Webhook(receiver.url, KEY, LOOPBACK).send("msg_1", b"{}")
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "224.0.0.1"],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(RefusedError, match="alert_networks"):
        Webhook(f"http://{host}/hook", KEY).send("msg_1", b"{}")


def test_a_mapped_address_is_the_one_behind_it(receiver: Receiver) -> None:
    url = receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    Webhook(url, KEY, LOOPBACK).send("msg_1", b"{}")
    assert len(receiver.taken) == 1


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UndeliveredError, match="not known"):
        Webhook("https://hooks.invalid/", KEY).send("msg_1", b"{}")


def test_what_was_looked_at_is_what_is_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def once_allowed(host: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return look_up("127.0.0.1", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once_allowed)
    url = receiver.url.replace("127.0.0.1", "hooks.example")
    Webhook(url, KEY, LOOPBACK).send("msg_1", b"{}")
    assert asked.count("hooks.example") == 1  # a second answer could be another one
    assert receiver.taken[0][0]["host"] == f"hooks.example:{receiver.server_port}"


def test_certificates_are_those_of_the_name(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server name that TLS asks for is the URL's, not the address."""
    named: list[str | None] = []
    wrap = ssl.SSLContext.wrap_socket

    def seen(self: Any, *args: Any, server_hostname: str | None = None, **more: Any) -> Any:
        named.append(server_hostname)
        return wrap(self, *args, server_hostname=server_hostname, **more)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", seen)
    with pytest.raises(UndeliveredError):
        Webhook(receiver.url.replace("http:", "https:").replace("127.0.0.1", "localhost"), KEY, LOOPBACK).send(
            "m", b"{}"
        )
    assert named == ["localhost"]
