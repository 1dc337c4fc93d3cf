"""`current()` and the carrier that takes a request's attribution through a job queue."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import Asking, browser
from children import run
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payi_middleware import Attribution, Meter, PayiMiddleware, current, health, instrument, track, use_case
from payi_middleware.carrier import CARRIED, SIGNATURE
from payi_middleware.meter import existing_default
from payi_middleware.testing import Events


def test_outside_of_anything() -> None:
    """Outside of a request `current()` is empty, and nothing of it raises or makes a meter."""
    now = current()
    now.set(user_id="jane")

    assert now.attribution == Attribution()
    assert (now.calls, now.pending, now.cost, now.complete) == (0, 0, Decimal(0), True)
    assert now.carrier() == {}
    assert existing_default() is None


def test_set_inside_a_block(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`set` holds for the whole activity, under its blocks, until its outermost block ends."""
    instrument(meter)
    with track(account_name="acme"):
        with track(request_tags=["inner"]):
            current().set(user_id="jane", account_name="weaker than the block")
            blocking_sdk.ask()
        blocking_sdk.ask()
    with track(account_name="acme"):
        blocking_sdk.ask()

    assert [(event.user_id, event.account_name) for event in events] == [
        ("jane", "acme"),
        ("jane", "acme"),
        (None, "acme"),
    ]


async def test_set_from_threads_and_tasks(meter: Meter, events: Events, sdk: Asking) -> None:
    """A thread or task of the request may tell its user; a call begun before keeps what was known."""

    async def endpoint(request: Request) -> Response:
        parts = sdk.aparts()
        await anext(parts)
        thread = threading.Thread(target=lambda: current().set(user_id="jane"))
        thread.start()
        thread.join()
        await asyncio.create_task(tell_account())
        await sdk.aask()
        async for _ in parts:
            pass
        return JSONResponse(current().attribution.user_id)

    async def tell_account() -> None:
        current().set(account_name="acme")

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])
    async with browser(app) as client:
        assert (await client.get("/")).json() == "jane"

    told = {(event.user_id, event.account_name, event.streamed) for event in events}
    assert told == {("jane", "acme", False), (None, None, True)}


def test_wrong_field() -> None:
    """A field of another name is the programmer's error, inside and outside of a request."""
    with pytest.raises(TypeError, match="unknown field 'user'"):
        current().set(user="jane")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_carrier(asynchronous: bool, meter: Meter, events: Events, sdk: Asking) -> None:
    """What a request hands to a queue opens its attribution in a worker: user, tags and the same use case instance."""
    queue: list[str] = []

    def identify(connection: object) -> str:
        return "jane"

    async def identify_async(connection: object) -> str:
        return "jane"

    @use_case("Digest", step="enqueue", tags=["nightly"])
    async def endpoint(request: Request) -> Response:
        queue.append(json.dumps({"payi": current().carrier()}))
        await sdk.aask()
        return JSONResponse("ok")

    who = identify_async if asynchronous else identify
    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter, identify=who)])
    async with browser(app) as client:
        await client.get("/", headers={"xProxy-Account-Name": "acme", "xProxy-Limit-IDs": "lim"})

    with track.from_carrier(json.loads(queue[0])["payi"], meter=meter):
        await sdk.aask()
        with use_case("Digest", step="work"):
            await sdk.aask()

    first, second, third = (event.attribution for event in events)
    assert first.user_id == "jane"
    assert second == first
    assert (third.use_case_step, third.use_case_id) == ("work", first.use_case_id)


def carried(meter: Meter, **fields: Any) -> dict[str, str]:
    with track(user_id="jane", meter=meter, **fields):
        return current().carrier()


def test_carrier_of_the_largest_attribution(meter: Meter) -> None:
    """Whatever a request was told, its carrier is accepted."""
    bag = {f"{'k' * 250}{n}": "ü" * 2000 for n in range(100)}
    mapping = carried(
        meter, request_properties=bag, use_case_properties=bag, limit_ids=[f"{n}" * 200 for n in range(60)]
    )

    with track.from_carrier(mapping, meter=meter):
        assert len(current().attribution.request_properties) == 64
    assert "carrier_refused" not in health.counters()


def test_carriers_without_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """The empty carrier of code outside a request opens an empty block, without a word."""
    with track.from_carrier({}):
        assert current().attribution == Attribution()
    assert caplog.records == []


def altered(mapping: dict[str, str], change: str) -> Any:
    signed, signature = mapping[CARRIED], mapping[SIGNATURE]
    return {
        "attribution": {CARRIED: signed[:-8] + "AAAAAAA=", SIGNATURE: signature},
        "signature": {CARRIED: signed, SIGNATURE: signature[:-1] + ("0" if signature[-1] != "0" else "1")},
        "no signature": {CARRIED: signed},
        "not ASCII": {CARRIED: signed, SIGNATURE: "ü" * 64},
        "numbers": {CARRIED: 7, SIGNATURE: 8},
        "huge": {CARRIED: "A" * (2 << 20), SIGNATURE: signature},
        "None": None,
        "text": "jane",
        "list": ["jane"],
    }[change]


@pytest.mark.parametrize(
    "change", ["attribution", "signature", "no signature", "not ASCII", "numbers", "huge", "None", "text", "list"]
)
def test_altered_carriers(change: str, meter: Meter, caplog: pytest.LogCaptureFixture) -> None:
    """A carrier that is malformed or altered is ignored, counted, and logged once; the block opens."""
    mapping = altered(carried(meter), change)

    for _ in range(2):
        with track.from_carrier(mapping, meter=meter):
            assert current().attribution == Attribution()

    assert health.counters() == {"carrier_refused": 2}
    assert len(caplog.records) == 1
    assert "PAYI_CARRIER_KEY" in caplog.text
    assert len(caplog.text) < 500


def test_carrier_of_another_key() -> None:
    """Processes share carriers if they share the key, and otherwise do not."""
    with (
        Meter("sqlite:///:memory:", sinks=[], carrier_key="ours") as one,
        Meter("sqlite:///:memory:", sinks=[], carrier_key="ours") as same,
        Meter("sqlite:///:memory:", sinks=[], carrier_key="theirs") as other,
        Meter("sqlite:///:memory:", sinks=[]) as keyless,
    ):
        mapping = carried(one)
        for meter, user in ((one, "jane"), (same, "jane"), (other, None), (keyless, None)):
            with track.from_carrier(mapping, meter=meter):
                assert current().attribution.user_id == user


def test_signed_nonsense(meter: Meter) -> None:
    """Even what the right key signed is decoded with care."""
    from payi_middleware import carrier

    for text in ("not base64 %", "AAAA", ""):
        mapping = {CARRIED: text, SIGNATURE: carrier._signature(text, meter)}
        with track.from_carrier(mapping, meter=meter):
            assert current().attribution == Attribution()
    assert health.counters() == {"carrier_refused": 3}


def test_another_process(tmp_path: Path) -> None:
    """A worker process over the same store reads the carriers of the web process; its key file is private."""
    store = f"sqlite:///{tmp_path}/payi.db"
    with Meter(store) as meter:
        mapping = carried(meter, account_name="acme")
    key = tmp_path / "payi.db.spool" / "carrier.key"

    worker = run(
        """
        import json, sys
        from payi_middleware import Meter, current, track

        with track.from_carrier(json.loads(sys.argv[2]), meter=Meter(sys.argv[1])):
            print(current().attribution.user_id, current().attribution.account_name)
        """,
        store,
        json.dumps(mapping),
    )

    assert worker.stdout.split() == ["jane", "acme"], worker.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert [path.name for path in key.parent.iterdir() if path.name.startswith("carrier")] == ["carrier.key"]


def test_processes_that_start_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several processes that make the key at once one names it, and all use that one."""
    store = f"sqlite:///{tmp_path}/payi.db"
    link = os.link

    def too_late(source: Any, target: Any) -> None:
        """Another process was faster by a moment."""
        monkeypatch.setattr(os, "link", link)
        with Meter(store) as other:
            carried(other)
        link(source, target)

    monkeypatch.setattr(os, "link", too_late)
    with Meter(store) as slow, Meter(store) as third, track.from_carrier(carried(slow), meter=third):
        assert current().attribution.user_id == "jane"


@pytest.mark.parametrize("obstacle", ["empty", "too long", "symbolic link", "file instead of a folder"])
def test_no_key_can_be_kept(obstacle: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no key can be kept safely, `carrier()` raises nothing: this process reads its own, and one warning tells."""
    spool = tmp_path / "spool"
    if obstacle == "file instead of a folder":
        spool.write_text("in the way")
    else:
        spool.mkdir()
        target = tmp_path / "elsewhere"
        target.write_bytes(b"k" * 32)
        if obstacle == "symbolic link":
            (spool / "carrier.key").symlink_to(target)
        else:
            (spool / "carrier.key").write_bytes(b"" if obstacle == "empty" else b"x" * 40)

    store = f"sqlite:///{tmp_path}/payi.db"
    with caplog.at_level(logging.WARNING), Meter(store, spool_dir=spool) as meter:
        mapping = carried(meter)
        with track.from_carrier(mapping, meter=meter):
            assert current().attribution.user_id == "jane"
        signed = mapping[CARRIED]
        for known in (b"", b"x" * 40, b"k" * 32):
            assert hmac.new(known, signed.encode(), "sha256").hexdigest() != mapping[SIGNATURE]
    assert health.counters()["carrier_key"] == 1
    assert "set PAYI_CARRIER_KEY" in caplog.text


async def test_carrier_in_a_block_without_a_meter(meter: Meter, sdk: Asking) -> None:
    """A script's block signs with `instrument`'s meter."""
    instrument(meter)
    with track(user_id="jane"):
        mapping = current().carrier()

    with track.from_carrier(mapping, meter=meter):
        assert current().attribution.user_id == "jane"
    assert existing_default() is None


@pytest.mark.parametrize("bound", ["instrument", "middleware"])
async def test_reader_finds_the_meter(bound: str, meter: Meter) -> None:
    """`track.from_carrier` reads with the bound meter, or `instrument`'s; it makes no default one."""
    queue: list[dict[str, str]] = []

    async def endpoint(request: Request) -> Response:
        current().set(user_id="jane")
        queue.append(current().carrier())
        with track.from_carrier(queue[-1]):
            return JSONResponse(current().attribution.user_id)

    if bound == "instrument":
        instrument(meter)
        queue.append(carried(meter))
        with track.from_carrier(queue[-1]):
            assert current().attribution.user_id == "jane"
    else:
        app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])
        async with browser(app) as client:
            assert (await client.get("/")).json() == "jane"
    assert health.counters() == {}
    assert existing_default() is None


@pytest.mark.parametrize("first", ["carrier", "acarrier"])
async def test_carrier_of_an_identify_that_waits(
    first: str, meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """`acarrier` awaits `identify`, which is asked once; `carrier` cannot, and says so once, with the cure."""
    queue: list[dict[str, str]] = []
    asked: list[object] = []

    async def identify(connection: object) -> str:
        asked.append(connection)
        await asyncio.sleep(0.001)
        return "jane"

    async def endpoint(request: Request) -> Response:
        now = current()
        if first == "carrier":
            queue.extend([now.carrier(), now.carrier()])
        queue.append(await now.acarrier())
        queue.append(now.carrier())
        await sdk.aask()
        return JSONResponse(now.attribution.user_id)

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter, identify=identify)])
    async with browser(app) as client:
        assert (await client.get("/")).json() == "jane"

    told = []
    for mapping in queue:
        with track.from_carrier(mapping, meter=meter):
            told.append(current().attribution.user_id)
    warnings = [record.getMessage() for record in caplog.records if record.name == "payi_middleware"]
    assert events.one().user_id == "jane"
    if first == "acarrier":
        assert (told, len(asked), warnings) == (["jane", "jane"], 1, [])
    else:
        assert told == [None, None, "jane", "jane"]
        assert len(warnings) == 1
        assert "await current().acarrier()" in warnings[0]
        assert "identify_raised" not in health.counters()


async def test_acarrier_outside_of_a_request() -> None:
    """It is empty there, as its twin."""
    assert await current().acarrier() == {}


def test_carrier_where_all_is_disabled(tmp_path: Path) -> None:
    """A meter that is disabled hands out empty carriers, reads none, and makes no folder."""
    with Meter(f"sqlite:///{tmp_path}/payi.db", disabled=True) as meter:
        assert carried(meter) == {}
        with track.from_carrier({CARRIED: "AAAA", SIGNATURE: "x"}, meter=meter):
            assert current().attribution == Attribution()
    assert list(tmp_path.iterdir()) == []
    assert health.counters() == {}
