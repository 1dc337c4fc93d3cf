"""The meter, its settings and the outbound hook as type checkers see them; run nowhere."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import assert_type

import httpx
import httpx2

from payi_middleware import CallEvent, Meter, PayiTransport, instrument, uninstrument
from payi_middleware.beforehand import RequestEstimate
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.types import Sink

Meter("sqlite:///payi.db")
Meter(Path("payi.db"), spool_dir=Path("spool"), flush="background", flush_timeout=2, flush_interval=0.5)
Meter(store="sqlite:///payi.db", application="shop", hosts={"127.0.0.1:9001": "openai"}, trusted_hosts=["unix"])
Meter(sinks=[MemorySink()], carrier_key="key", disabled=True, spool_bytes=1 << 24)
Meter(api_key="payi_1", base_url="https://payi.internal:8600", create_resources=True)
Meter(api_key=7)  # type: ignore[arg-type]
Meter(flush="sometimes")  # type: ignore[arg-type]
Meter(hosts=["127.0.0.1"])  # type: ignore[arg-type]
Meter(aplication="shop")  # type: ignore[call-arg]
Meter("sqlite:///payi.db", [MemorySink()])  # type: ignore[call-arg]

sink: Sink = MemorySink()
events: list[CallEvent] = MemorySink().events

with Meter() as meter:
    assert_type(meter, Meter)
    assert_type(meter.flush(), bool)
    assert_type(meter.flush(1.5), bool)
assert_type(meter.close(timeout=3), bool)

assert_type(meter.estimate({"model": "gpt-5", "messages": []}), RequestEstimate)
assert_type(meter.estimate(b"{}", provider="anthropic", endpoint="/v1/messages").most.cost, Decimal | None)
meter.estimate("{}")  # type: ignore[arg-type]

assert_type(meter.record("system.openai", "gpt-4o", {"text": (1, 2), "page": 3}), str)
meter.record(
    "maps", None, {"tile": {"input": 1}}, cost=Decimal("0.5"), user_id=7, request_tags=["a"], terms=("tier:batch",)
)
meter.record("maps", None, {"tile": "1"})  # type: ignore[dict-item]
meter.record("maps", None, {}, cost=0.5)  # type: ignore[arg-type]
meter.record("maps", None, {}, user="jane")  # type: ignore[call-arg]
Meter(include_usage=True)

assert_type(instrument(), None)
instrument(meter, threads=False)
uninstrument()

assert_type(PayiTransport(httpx.HTTPTransport()), httpx.HTTPTransport)
assert_type(PayiTransport(httpx2.AsyncHTTPTransport(), meter), httpx2.AsyncHTTPTransport)
client = httpx2.Client(transport=PayiTransport(httpx2.HTTPTransport(retries=2)))
