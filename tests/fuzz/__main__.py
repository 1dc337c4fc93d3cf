"""A coverage-guided fuzzer over everything that reads an answer: nothing raises, and what is counted can be true.

tox run -e fuzz                       # a minute
tox run -e fuzz -- -max_total_time=3600 CORPUS_FOLDER
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["payi_middleware.providers", "payi_middleware.costing"]):
    from payi_middleware.costing import cost_of
    from payi_middleware.pricing import Prices
    from payi_middleware.providers import Asked, load
    from payi_middleware.providers.base import Endpoint, Facts, Reading, summed

    load()

from .places import places
from .seeds import dictionary, seeds

_PLACES = places()
_HEADERS = (
    {},
    {"content-type": "text/event-stream", "x-amzn-bedrock-input-token-count": "1e9", "content-length": "-1"},
)
_AT = time.time_ns()
_PRICES = Prices()
_PRICES.load()


def one(data: bytes) -> None:
    """Read one answer every way that it may be read. The first three bytes say where it comes from and how it is cut."""
    if len(data) < 3:
        return
    provider, route, host, path = _PLACES[data[0] % len(_PLACES)]
    answer = data[3:]
    split = len(answer) * data[1] // 255
    request = answer[:split] if data[2] & 1 else None
    endpoint = route.endpoint
    asked = endpoint.ask(request) if request else Asked()
    readings = {
        False: endpoint.read(answer),
        True: endpoint.read_stream(answer),
    }
    whole_stream = endpoint.read_stream(answer[:split], answer[split:], data[2])
    cut = endpoint.read_cut(answer[:split], answer[split:])
    for streamed, reading in ((False, readings[False]), (True, readings[True]), (True, whole_stream), (False, cut)):
        facts = Facts(host, path, request, asked, _HEADERS[data[2] >> 1 & 1], answer, streamed)
        _check(_refined(endpoint, reading, facts), provider.id, route.model or asked.model)
    if endpoint.texts is not None:
        for streamed in readings:
            endpoint.texts(request or b"", answer, streamed)


def _refined(endpoint: Endpoint, reading: Reading, facts: Facts) -> Reading:
    return reading if endpoint.refine is None else endpoint.refine(reading, facts)


def _check(reading: Reading, provider: str, model: str | None) -> None:
    units = reading.units
    if units is None and not reading.parts:
        assert (
            reading.reason
            or reading.error_type
            or reading.stated_ticks is not None
            or reading.pending
            or reading.untold
        )
        return
    for sides in (units or {}).values():
        assert len(sides) == 2
        assert all(type(count) is int and count >= 0 for count in sides)
    if reading.parts:
        assert units == summed(reading.parts)
    costed = cost_of(
        _PRICES,
        provider,
        reading.model or model,
        units or {},
        _AT,
        reading.service_tier,
        seen=reading.unpriced,
        terms=reading.terms,
        parts=reading.parts,
    )
    assert (costed.cost is None) == (costed.source == "none")
    assert costed.cost is None or 0 <= costed.cost.total_ticks < 1 << 63


def _begun() -> str:
    """A folder with an answer of each form from each place."""
    folder = Path(tempfile.mkdtemp())
    for place in range(len(_PLACES)):
        for number, seed in enumerate(seeds()):
            (folder / f"{place}-{number}").write_bytes(bytes([place, 128, number % 4]) + seed)
    return str(folder)


if __name__ == "__main__":
    given = sys.argv[1:]
    if all(argument.startswith("-") for argument in given):
        given.append(_begun())
    if not any(argument.startswith(("-max_total_time", "-runs")) for argument in given):
        given.append("-max_total_time=60")
    atheris.Setup([sys.argv[0], f"-dict={dictionary()}", "-max_len=8192", *given], one)
    atheris.Fuzz()
