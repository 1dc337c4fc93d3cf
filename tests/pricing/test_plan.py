"""The arithmetic of a plan, with rates made up for the purpose."""

from __future__ import annotations

import operator
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payi_middleware.events import TICK, Cost, Side, Units, Unpriced
from payi_middleware.pricing import Plan, Rate, RateTable
from payi_middleware.pricing.plan import REQUEST, cost_of_lines, round_half_even

NAMES = ["text", "text_cache_read", "audio", "image", "web_search_request"]

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a machine under load is no failure

usds = st.integers(0, 200 * 10**9).map(lambda billionths: Decimal(billionths).scaleb(-9))
quantities = st.integers(min_value=0, max_value=2_000_000)
keys: st.SearchStrategy[tuple[str, Side]] = st.tuples(st.sampled_from(NAMES), st.sampled_from(["input", "output"]))
pers = st.sampled_from([1, 1_000, 3_600, 1_000_000])
rate_values = st.builds(Rate, usds, pers, st.just("a list"), doubt=st.sampled_from([None, None, "no"]))
rate_maps = st.dictionaries(keys, rate_values)
fees: st.SearchStrategy[dict[tuple[str, Side], Rate]] = st.dictionaries(st.just((REQUEST, "input")), rate_values)
rate_maps_with_fees = st.builds(operator.or_, rate_maps, fees)
unit_maps = st.dictionaries(st.sampled_from([*NAMES, "unheard-of"]), st.tuples(quantities, quantities))


def rate(usd: str, per: int = 1_000_000, doubt: str | None = None) -> Rate:
    return Rate(Decimal(usd), per, "a list", "2026-01-01", doubt)


def plan(**rates: Rate) -> Plan:
    """A plan with the same rate on both sides of each unit."""
    sides: dict[tuple[str, Side], Rate] = {}
    for unit, value in rates.items():
        sides[unit, "input"] = sides[unit, "output"] = value
    return Plan("a-model", [RateTable(-1, sides)])


@steady
@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    """An integer division rounds as `Decimal` does half to even, ties included."""
    with localcontext(prec=80):
        expected = (Decimal(numerator) / denominator).quantize(Decimal(1), ROUND_HALF_EVEN)

    assert round_half_even(numerator, denominator) == expected


@steady
@given(st.integers(0, 10**9))
def test_ties_go_to_the_even_tick(whole: int) -> None:
    """A half tick rounds down after an even tick and up after an odd one."""
    assert round_half_even(whole * 2 + 1, 2) == whole + whole % 2


@steady
@given(rate_maps, unit_maps)
def test_the_total_is_the_exact_sum_rounded_once(rates: dict[tuple[str, Side], Rate], units: Units) -> None:
    """Whatever the rates, the total is the sum of the exact amounts of the lines, rounded half to even to a tick."""
    priced = Plan("a-model", [RateTable(-1, rates)]).price(units)
    used = {(unit, "input") for unit, (taken, _) in units.items() if taken}
    used |= {(unit, "output") for unit, (_, made) in units.items() if made}

    if priced.cost is None:
        assert used
        assert not used & rates.keys()
    else:
        lines = priced.cost.lines
        per_hour = any(line.per == 3_600 for line in lines)  # no finite decimal: compared by integers elsewhere
        assert {(line.unit, line.side) for line in lines} == used & rates.keys()
        assert {entry.unit for entry in priced.unpriced} >= {unit for unit, _ in used - rates.keys()}
        assert priced.cost.input_ticks + priced.cost.output_ticks == priced.cost.total_ticks
        assert min(priced.cost.input_ticks, priced.cost.output_ticks) >= 0
        if not per_hour:
            assert priced.cost.total == sum((line.amount for line in lines), Decimal(0)).quantize(TICK, ROUND_HALF_EVEN)
            given_in = sum((line.amount for line in lines if line.side == "input"), Decimal(0))
            assert priced.cost.input == given_in.quantize(TICK, ROUND_HALF_EVEN)


@steady
@given(rate_maps_with_fees, unit_maps)
def test_the_fast_path_and_the_general_one_agree(rates: dict[tuple[str, Side], Rate], units: Units) -> None:
    """A call that the fast path can price costs the same on the path for every case."""
    table = RateTable(-1, rates)
    everything_general = Plan("a-model", [table, RateTable(0, rates)])  # any prompt is beyond its first mark

    assert Plan("a-model", [table]).price(units) == everything_general.price(units)


@steady
@given(rate_maps_with_fees, unit_maps)
def test_lines_come_to_the_cost_of_their_plan(rates: dict[tuple[str, Side], Rate], units: Units) -> None:
    """Added up again, whatever their denominators, they make the same cost."""
    cost = Plan("a-model", [RateTable(-1, rates)]).price(units).cost

    assert cost is None or cost_of_lines(cost.lines) == cost


def test_a_line_tells_its_rate() -> None:
    """Each unit has a line with quantity, rate, source and date, and the exact amount follows from it."""
    priced = plan(text=rate("0.125")).price({"text": (3, 0)})
    assert priced.cost is not None
    (line,) = priced.cost.lines

    assert (line.unit, line.side, line.quantity, line.rate, line.per) == ("text", "input", 3, "0.125", 1_000_000)
    assert (line.source, line.valid_from, line.amount) == ("a list", "2026-01-01", Decimal("0.000000375"))
    assert priced.cost.total_ticks == 3750


def test_nothing_consumed_costs_nothing() -> None:
    """An empty answer costs zero, with no lines, no fee and nothing unpriced, whatever the plan."""
    noted = Plan("a-model", notes=(Unpriced("service_tier", 1, "no rate"),))
    for empty in (plan(), plan(text=rate("1")), plan(text=rate("1"), request=rate("5", 1000)), noted):
        for units in ({}, {"text": (0, 0)}):
            assert empty.price(units) == (Cost(0, 0, 0, ()), ())


def test_an_unknown_unit_is_said_and_the_rest_priced() -> None:
    """A unit without a rate is listed by side with quantity and reason, and the others keep their price."""
    priced = plan(text=rate("2")).price({"text": (1_000_000, 0), "smell": (7, 2)})

    assert priced.cost is not None
    assert priced.cost.total == 2
    assert priced.unpriced == (
        Unpriced("smell", 7, "no rate for smell input of a-model"),
        Unpriced("smell", 2, "no rate for smell output of a-model"),
    )


def test_nothing_priced_is_no_cost_rather_than_zero() -> None:
    """Where something was consumed and nothing of it has a rate, there is no cost at all."""
    priced = plan(text=rate("2")).price({"smell": (0, 2)})

    assert priced.cost is None
    assert len(priced.unpriced) == 1


def test_a_doubtful_rate_is_used_and_said() -> None:
    """A stand-in rate is counted and listed as unpriced with its reason, only by calls that use it."""
    doubtful = plan(text=rate("1"), audio=rate("1", doubt="text rate used"))

    assert doubtful.price({"text": (5, 0)}).unpriced == ()
    priced = doubtful.price({"text": (5, 0), "audio": (0, 1_000_000)})
    assert priced.cost is not None
    assert priced.cost.output == 1
    assert priced.unpriced == (Unpriced("audio", 1_000_000, "text rate used"),)


def test_a_fee_for_each_request_is_a_line() -> None:
    """A fee by the call is added once, on the input side, also where no token has a rate."""
    priced = plan(text=rate("1"), request=rate("12", 1000)).price({"text": (11, 62)})
    assert priced.cost is not None

    assert [line.unit for line in priced.cost.lines] == ["text", "text", REQUEST]
    assert priced.cost.total == Decimal("0.012073")
    assert priced.cost.input == Decimal("0.012011")
    only_fee = plan(request=rate("12", 1000)).price({"text": (11, 0)})
    assert only_fee.cost is not None
    assert only_fee.cost.total == Decimal("0.012")
    assert len(only_fee.unpriced) == 1


def test_a_long_prompt_changes_the_rate_of_all_tokens() -> None:
    """The prompt counts whole, cached tokens included and output not; the mark itself is still cheap."""
    cheap: dict[tuple[str, Side], Rate] = {("text", "input"): rate("1"), ("text", "output"): rate("10")}
    cheap["text_cache_read", "input"] = cheap["web_search_request", "input"] = rate("0.5")
    dear = {key: value._replace(usd=value.usd * 2) for key, value in cheap.items()}
    dearest = {key: value._replace(usd=value.usd * 4) for key, value in cheap.items()}
    tiered = Plan("a-model", [RateTable(-1, cheap), RateTable(100, dear), RateTable(200, dearest)])

    def total(units: Units) -> int:
        cost = tiered.price(units).cost
        assert cost is not None
        return cost.total_ticks

    assert total({"text": (60, 500), "text_cache_read": (40, 0)}) == 60 * 10_000 + 500 * 100_000 + 40 * 5_000
    assert total({"text": (60, 500), "text_cache_read": (41, 0)}) == 2 * (60 * 10_000 + 500 * 100_000 + 41 * 5_000)
    assert total({"text": (200, 0)}) == 2 * 200 * 10_000
    assert total({"text": (201, 0)}) == 4 * 201 * 10_000
    assert total({"text": (100, 0), "web_search_request": (9, 0)}) == 100 * 10_000 + 9 * 5_000


def test_a_note_is_on_every_call_that_consumed() -> None:
    """What a plan leaves out for every call is said on the fast path and on the general one."""
    note = Unpriced("service_tier", 1, "no rate for service tier X")
    noted = Plan("a-model", [RateTable(-1, {("text", "input"): rate("1")})], notes=(note,))

    assert noted.price({"text": (1, 0)}).unpriced == (note,)
    assert noted.price({"text": (1, 1)}).unpriced == (note, Unpriced("text", 1, "no rate for text output of a-model"))


def test_a_refusing_plan_says_why() -> None:
    """A plan that exists only to refuse gives its reason for each unit, and no cost."""
    priced = Plan("a-model", refusal="bought beforehand").price({"text": (3, 4)})

    assert priced == (None, (Unpriced("text", 3, "bought beforehand"), Unpriced("text", 4, "bought beforehand")))


def test_a_negative_quantity_lowers_no_cost() -> None:
    """Quantities below zero, which no reader makes, are not counted."""
    assert plan(text=rate("1")).price({"text": (-5, 1)}).cost == plan(text=rate("1")).price({"text": (0, 1)}).cost


def test_rates_are_shown_without_an_exponent() -> None:
    """A tiny or round rate is a plain decimal string."""
    priced = plan(text=rate("1E-8"), audio=rate("1E+2")).price({"text": (1, 0), "audio": (1, 0)})
    assert priced.cost is not None

    assert [line.rate for line in priced.cost.lines] == ["0.00000001", "100"]
