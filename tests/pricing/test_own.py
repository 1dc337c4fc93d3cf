"""Our own entries laid over listed rates: who gives way to whom, when, and what is said."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal

from payi_middleware.events import Side, Unpriced
from payi_middleware.pricing import Rate, RateTable
from payi_middleware.pricing.own import Own
from payi_middleware.pricing.rows import Rows, parsed

DAY = 86_400 * 10**9
NOON = int(datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC).timestamp()) * 10**9
MIDNIGHT = NOON // DAY * DAY
TEXT: tuple[str, Side] = ("text", "input")
MADE: tuple[str, Side] = ("text", "output")
PICTURE: tuple[str, Side] = ("generated_image", "output")


def own(text: str, at_ns: int = NOON, tier: str = "", terms: tuple[str, ...] = (), model: str = "gpt-9") -> Own:
    return Own(Rows(parsed(tomllib.loads(text), "entries")).of("openai", [model]), at_ns, tier, terms)


def listed(usd: str = "2", doubt: str | None = None) -> list[RateTable]:
    rate = Rate(Decimal(usd), 1_000_000, "list", "2026-01-01", doubt)
    return [RateTable(-1, {TEXT: rate}), RateTable(200_000, {TEXT: rate._replace(usd=rate.usd * 2)})]


def laid(
    of: Own, made_for: frozenset[str] = frozenset(), tables: list[RateTable] | None = None
) -> list[dict[str, str]]:
    """USD a unit and side, a table for each stretch."""
    return [
        {f"{unit}.{side}": format(rate.usd.normalize(), "f") for (unit, side), rate in table.rates.items()}
        for table in of.tables(listed() if tables is None else tables, made_for)
    ]


def test_an_entry_fills_what_is_missing_and_gives_way_to_the_list() -> None:
    """Only `replaces`, a condition that holds, or doubt in the list lets an entry come before it."""
    plain = '[[rate]]\nrates = { "text.input" = "3/M", "text.output" = "4/M" }'
    assert laid(own(plain))[0] == {"text.input": "2", "text.output": "4", "reasoning.output": "4"} | _filled("2")
    assert laid(own(plain), tables=listed(doubt="a stand-in"))[0]["text.input"] == "3"
    assert laid(own(plain + "\nreplaces = true"))[0]["text.input"] == "3"
    assert laid(own(plain + '\nwhen = ["tier:batch"]', tier="batch"))[0]["text.input"] == "3"
    assert laid(own(plain + '\nwhen = ["tier:batch"]')) == [{"text.input": "2"}, {"text.input": "4"}]


def _filled(text: str) -> dict[str, str]:
    """What takes the rate of text where an entry makes the model."""
    return {
        f"{unit}.input": text for unit in ("text_cache_read", "text_cache_write", "vision", "image", "audio", "video")
    } | {f"{kind}_cache_read.input": text for kind in ("vision", "image", "audio", "video")}


def test_an_entry_s_rate_tells_its_source_date_and_doubt() -> None:
    """So does a line of a call that is priced by it."""
    text = '[[rate]]\nfrom = 2026-03-01\nsource = "a page"\ndoubt = "the least"\nrates = { "generated_image.output" = "0.04" }'
    (table, _) = own(text).tables(listed())

    assert table.rates[PICTURE] == Rate(Decimal("0.04"), 1, "a page", "2026-03-01", "the least")
    assert table.rates[TEXT].source == "list"


def test_prompts_above_a_mark() -> None:
    """An entry for long prompts starts a stretch of its own, and lasts through those of the list above it."""
    text = '[[rate]]\nabove = 100_000\nreplaces = true\nrates = { "text.input" = "5/M" }'
    tables = own(text).tables(listed())

    assert [table.above for table in tables] == [-1, 100_000, 200_000]
    assert [table.rates[TEXT].usd for table in tables] == [2, 5, 5]


def test_days_begin_at_midnight_utc_and_end_before_it() -> None:
    """`from` is the first day, `until` the first on which the entry does not hold."""
    text = '[[rate]]\nfrom = 2026-11-25\nuntil = 2026-11-26\nreplaces = true\nrates = { "text.input" = "5/M" }'
    usd = {
        at: laid(own(text, at))[0]["text.input"] for at in (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + DAY - 1, MIDNIGHT + DAY)
    }

    assert list(usd.values()) == ["2", "5", "5", "2"]
    assert own(text).dates == [datetime.date(2026, 11, 25), datetime.date(2026, 11, 26)]


def test_a_multiple_goes_with_the_rate_that_it_is_of() -> None:
    """At each mark, under each factor, and with the doubt of that rate; nothing where that has no rate."""
    text = '[[rate]]\nrates = { "text_cache_write_12h.input" = "2.5 x text.input", "audio.output" = "2 x text.output" }'
    factor = '\n[[factor]]\ntimes = "0.5"'

    assert [table["text_cache_write_12h.input"] for table in laid(own(text))] == ["5", "10"]
    assert [table["text_cache_write_12h.input"] for table in laid(own(text + factor))] == ["2.5", "5"]
    (table, _) = own(text).tables(listed(doubt="a stand-in"))
    assert table.rates["text_cache_write_12h", "input"] == Rate(
        Decimal(5), 1_000_000, "entries, [[rate]] 1", None, "a stand-in"
    )
    assert ("audio", "output") not in table.rates


def test_a_multiple_gives_way_to_a_rate() -> None:
    """Of another entry, or of the list; unless it replaces."""
    text = """
[[rate]]
models = ["gpt-9"]
rates = { "text_cache_write_1h.input" = "9/M" }
[[rate]]
rates = { "text_cache_write_1h.input" = "2 x text.input", "text.input" = "3 x text.input" }
"""
    assert laid(own(text))[0]["text_cache_write_1h.input"] == "9"
    assert laid(own(text))[0]["text.input"] == "2"
    assert laid(own(text.replace("\n[[rate]]\nrates", "\n[[rate]]\nreplaces = true\nrates")))[0]["text.input"] == "6"


FACTORS = """
[[factor]]
when = ["tier:batch"]
times = "0.5"
[[factor]]
models = ["gpt-*"]
when = ["scope:region"]
times = "1.1"
[[factor]]
models = ["gpt-9"]
when = ["scope:region"]
times = "1.2"
"""


def test_factors_of_different_conditions_multiply_and_the_stronger_of_like_ones_holds() -> None:
    """Batch and region both; of two for the region the one that names the model."""
    assert laid(own(FACTORS, tier="batch"))[0]["text.input"] == "1"
    assert laid(own(FACTORS, terms=("scope:region",)))[0]["text.input"] == "2.4"
    assert laid(own(FACTORS, terms=("scope:region",), model="gpt-8"))[0]["text.input"] == "2.2"
    assert laid(own(FACTORS, tier="batch", terms=("scope:region",)))[0]["text.input"] == "1.2"
    assert laid(own(FACTORS)) == [{"text.input": "2"}, {"text.input": "4"}]


def test_a_factor_for_a_special_case_takes_the_place_of_the_general_one() -> None:
    """Of a zone beside any zone; an owner's general one is not replaced by what is published of a special case."""
    text = """
[[factor]]
when = ["scope:datazone"]
times = "1.1"
[[factor]]
when = ["scope:datazone", "zone:eu"]
times = "1.5"
[[factor]]
times = "0.5"
"""
    assert laid(own(text, terms=("scope:datazone",)))[0]["text.input"] == "1.1"
    assert laid(own(text, terms=("scope:datazone", "zone:eu")))[0]["text.input"] == "1.5"

    of_owners = text.replace('times = "1.1"', 'times = "2"')
    owners = [entry._replace(replaces=entry.times == 2) for entry in parsed(tomllib.loads(of_owners), "entries")]
    both = Own(Rows(owners).of("openai", ["gpt-9"]), NOON, "", ("scope:datazone", "zone:eu"))
    assert laid(both)[0]["text.input"] == "3"


def test_a_factor_leaves_alone_what_was_made_for_its_condition() -> None:
    """A listed batch rate, or one of an entry's, is not halved again; other factors hold on."""
    batch = own(FACTORS, tier="batch", terms=("scope:region",))
    assert laid(batch, frozenset({"tier:batch"}))[0]["text.input"] == "2.4"

    text = (
        FACTORS
        + '[[rate]]\nwhen = ["tier:batch"]\nrates = { "text.input" = "0.7/M", "text_cache_read.input" = "1 x text.input" }'
    )
    rates = laid(own(text, tier="batch", terms=("scope:region",)))[0]
    assert (rates["text.input"], rates["text_cache_read.input"]) == ("0.84", "0.84")


def test_a_factor_is_for_tokens_unless_it_says_all() -> None:
    """Pictures, seconds and tools keep their price."""
    text = '[[rate]]\nrates = { "generated_image.output" = "0.04" }\n[[factor]]\ntimes = "0.5"'

    assert laid(own(text))[0]["generated_image.output"] == "0.04"
    assert laid(own(text + '\nunits = "*"'))[0]["generated_image.output"] == "0.02"


def test_a_factor_is_told_with_the_source() -> None:
    """`x 1` is no change, so nothing is told."""
    (table, _) = own(FACTORS, tier="batch").tables(listed())
    (same, _) = own('[[factor]]\ntimes = "1"').tables(listed())

    assert table.rates[TEXT] == Rate(Decimal(1), 1_000_000, "list x 0.5", "2026-01-01")
    assert same.rates[TEXT].source == "list"


def test_conditions_that_nothing_knows_are_said() -> None:
    """Places and speeds alter a price, so where no entry knows them each is named; sizes do not."""
    known = own(
        FACTORS, terms=("scope:region", "scope:moon", "geo:us", "speed:fast", "latency:low", "region:x", "size:1x1")
    )
    reason = "no rate for {} of gpt-9; standard rate used"

    assert known.notes("gpt-9", frozenset({"speed:fast"})) == tuple(
        Unpriced(term.partition(":")[0], 1, reason.format(term))
        for term in ("scope:moon", "geo:us", "latency:low", "region:x")
    )


def test_what_makes_a_model_known() -> None:
    """Rates of what it does, under whatever condition, on the day; not fees of tools, factors, or rules for all models."""
    named = '[[rate]]\nmodels = ["gpt-9"]\n'
    assert own(named + 'rates = { "generated_image.output" = "1" }').carries
    assert own(named + 'when = ["size:1x1"]\nrates = { "generated_image.output" = "1" }').carries
    assert own('[[rate]]\nrates = { "text.input" = "0" }').carries
    assert not own(named + 'rates = { "request.input" = "1", "maps_request.output" = "1" }').carries
    assert not own(named + 'until = 2026-01-01\nrates = { "text.input" = "1" }').carries
    assert not own('[[rate]]\nrates = { "generated_image.output" = "1" }').carries
    assert not own(FACTORS).carries
    assert own(FACTORS, tier="batch").knows_tier
    assert not own(FACTORS, tier="flex").knows_tier
