"""What the ledger in Valkey is made of: addresses, numbers, scripts."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.valkey import ValkeyLedger, wire
from payi_middleware.limits.valkey.address import address_of
from payi_middleware.limits.valkey.scripts import function, script


@pytest.mark.parametrize(
    ("url", "theirs", "shown"),
    [
        ("valkey://host", "redis://host", "valkey://host:6379"),
        ("valkeys://u:p%40ss@host:7000/2", "rediss://u:p%40ss@host:7000/2", "valkeys://host:7000/2"),
        ("redis://:pw@[::1]:1/", "redis://:pw@[::1]:1/", "redis://[::1]:1"),
        (
            "rediss://host/0?ssl_ca_certs=/ca.pem&name=a-b&timeout=2.5&settled_days=3",
            "rediss://host/0?ssl_ca_certs=%2Fca.pem",
            "rediss://host:6379/0",
        ),
        (
            "valkey+unix:///run/v.sock?db=1&password=pw",
            "unix:///run/v.sock?db=1&password=pw",
            "valkey+unix:///run/v.sock",
        ),
        ("redis+unix://u:pw@/run/v.sock", "unix://u:pw@/run/v.sock", "redis+unix:///run/v.sock"),
    ],
)
def test_urls(url: str, theirs: str, shown: str) -> None:
    address = address_of(url)
    assert (address.url, address.shown) == (theirs, shown)
    assert address.key == ("payi:{a-b}" if "name" in url else "payi:{payi}")
    assert (address.timeout, address.settled_days) == ((2.5, 3) if "timeout" in url else (1, 14))


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host",
        "valkey://user:secret@",
        "valkey:///0",
        "valkey://user:secret@host/zero",
        "valkey://user:secret@host:port",
        "valkey://host?password=secret&timeout=soon",
        "valkey://host?password=secret&timeout=0",
        "valkey://host?settled_days=0",
        "valkey://host?name=a{b}",
        "valkey://[secret",
        "unix://?password=secret",
    ],
)
def test_urls_that_cannot_be_read(url: str) -> None:
    with pytest.raises(LedgerError, match="cannot be read; use valkey://") as caught:
        ValkeyLedger(url)
    assert "secret" not in str(caught.value)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "redis":
            raise ModuleNotFoundError(f"No module named {name!r}", name="redis")
        return load(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(LedgerError, match=r"payi-middleware\[valkey\]"):
        ValkeyLedger("valkey://127.0.0.1:1").now_ns()


def test_the_library_is_imported_when_a_ledger_is_asked() -> None:
    code = (
        "import sys; from payi_middleware.limits.valkey import ValkeyLedger; ValkeyLedger('valkey://host');"
        "print('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


_counted = st.one_of(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**53 + 9),
    st.sampled_from([0, 10**9 - 1, 10**15 - 1, 10**15, 10**18 - 1, 10**18, 2**63 - 1]),
)
_changes = st.one_of(_counted, st.integers(-(10**15), 10**15))


@settings(max_examples=8)
@given(pairs=st.lists(st.tuples(_counted, _changes), min_size=50, max_size=300))
def test_what_is_counted_is_exact_to_64_bits(valkey: Any, pairs: list[tuple[int, int]]) -> None:
    """Lua's own numbers are not."""
    source = script("numbers").source + (
        b"local told = {} for i, pair in ipairs(cmsgpack.unpack(ARGV[1])) do"
        b" told[i] = { sum(pair[1], pair[2]), less(pair[1], pair[2]), less(pair[2], pair[1]) } end"
        b" return cmsgpack.pack(told)"
    )
    told = msgspec.msgpack.decode(
        valkey.redis.eval(source, 0, msgspec.msgpack.encode([[str(a), str(b)] for a, b in pairs]))
    )
    for (a, b), (total, is_less, is_more) in zip(pairs, told, strict=True):
        if abs(a + b) < 2**53 or a + b >= 0:
            assert int(total) == min(a + b, 2**63 - 1)
        assert (is_less, is_more) == (a < b, b < a)


def test_scripts_are_known_by_their_content() -> None:
    one, other = function("numbers", "begin"), function("begin", "numbers")
    assert one.function != other.function
    assert one.library.startswith(b"#!lua name=" + one.function.encode())


@given(st.binary(max_size=40))
def test_ids_of_events_as_text(event: bytes) -> None:
    assert wire.event_of(wire.event_text(event)) == event
    assert wire.event_text(event).isascii()


@given(st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from("oevbx")), unique_by=lambda pair: pair[0]))
def test_states_as_text(states: list[tuple[int, str]]) -> None:
    read = wire.states_of("s" + ",".join(f"{number}{letter}" for number, letter in states))
    assert list(read) == [number for number, _ in states]
    assert [state[0] for state in read.values()] == [{"v": "o", "x": "b"}.get(letter, letter) for _, letter in states]
