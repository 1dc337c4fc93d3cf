"""Money under the application's own decimal context, which may have four digits, or raise at each rounding."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from decimal import Decimal

import pytest
from made import call

from payi_middleware import CallEvent, Limit
from payi_middleware.costing import cost_of
from payi_middleware.events import Cost, Line, usd
from payi_middleware.frames import Activity
from payi_middleware.inbound import cost_headers
from payi_middleware.limits.alert import LimitAlert
from payi_middleware.limits.reached import amount_of
from payi_middleware.manual.arguments import _ticks
from payi_middleware.pricing import Prices, owners
from payi_middleware.providers._openai_usage import _ticks as stated
from payi_middleware.providers._plain import dollars
from payi_middleware.values import plain

NOON = 1_795_000_000 * 10**9
AMOUNT = Decimal("1234.56789")
TICKS = 12_345_678_900_000


@pytest.fixture(params=["four digits", "no rounding"])
def _theirs(request: pytest.FixtureRequest) -> Iterator[None]:
    with decimal.localcontext() as context:
        context.prec = 4
        context.traps[decimal.Inexact] = context.traps[decimal.Rounded] = request.param == "no rounding"
        yield


@pytest.mark.usefixtures("_theirs")
def test_amounts_are_exact() -> None:
    """Ticks and dollars, either way, and all that an event tells of its cost."""
    line = Line("text", "input", 1_234_567, "0.15", 1_000_000, "genai-prices")
    event = call(cost=Cost(1_851_850_500, TICKS, 1_851_850_500 + TICKS, (line,)))
    told = event.to_dict()

    assert (str(usd(TICKS)), str(usd(0))) == ("1234.5678900000", "0")
    assert [str(plain(usd(ticks))) for ticks in (TICKS, 5000 * 10**10, 0)] == ["1234.56789", "5000", "0"]
    assert str(line.amount) == "0.18518505"
    assert (told["cost"]["total"], told["cost"]["lines"][0]["amount"]) == ("1234.75307505", "0.18518505")
    assert CallEvent.from_dict(told).cost == event.cost
    assert _ticks(AMOUNT) == dollars(AMOUNT) == stated(AMOUNT, None) == TICKS
    assert stated(AMOUNT, Decimal("0.00001")) == TICKS + 100_000
    assert (_ticks(Decimal("0.00000000005")), _ticks(Decimal("0.00000000015"))) == (0, 2)  # halves to the even one


@pytest.mark.usefixtures("_theirs")
def test_what_a_response_tells_is_exact() -> None:
    """The header with the cost of a request."""
    activity = Activity(None)
    activity.counted, activity.cost_ticks = 1, TICKS

    assert cost_headers(activity)[0] == ("x-payi-cost", "1234.56789")


@pytest.mark.usefixtures("_theirs")
def test_rates_are_exact() -> None:
    """Also those that are a multiple of another: of a tier, a region, a cache."""
    rate = {"provider": "openai", "models": ["gpt-4o"], "rates": {"text.input": "1.23456/M"}}
    factor = {"provider": "openai", "models": ["gpt-4o"], "when": ["tier:gold"], "times": "1.1"}
    prices = Prices(owners({"rate": [rate], "factor": [factor]}))
    prices.load()
    costed = cost_of(prices, "openai", "gpt-4o", {"text": (1_000_000, 0)}, NOON, tier="gold")

    assert costed.cost is not None
    assert costed.cost.lines[0].rate == "1.358016"
    assert costed.cost.total == Decimal("1.358016")


@pytest.mark.usefixtures("_theirs")
def test_limits_are_exact() -> None:
    """Their maximum to the tick, what is left, and alerts."""
    limit = Limit("monthly", AMOUNT)
    alert = LimitAlert(
        alert_id="1", application="web", limit_id="1", limit_name="monthly", account=(), share=Decimal("0.98765"), forecast=False,
        unit="usd", spent=AMOUNT, max=AMOUNT, window=None, window_starts_ns=None, at_ns=NOON,
    )  # fmt: skip

    assert (limit.max, limit.most) == (AMOUNT, TICKS)
    assert str(amount_of("usd", TICKS)) == "1234.56789"
    assert str(alert) == "limit 'monthly' is at 98.765 %: 1,234.56789 of 1,234.56789 USD"
    with pytest.raises(ValueError, match="ten decimal places at most"):
        Limit("monthly", Decimal("0.00000000001"))
    with pytest.raises(ValueError, match="whole number"):
        Limit("monthly", Decimal("1.5"), unit="calls")
