"""Entries as they are written: every word of the form, and an error that names the place for each that is wrong."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal

import pytest

from payi_middleware.exceptions import SettingsError
from payi_middleware.pricing.rows import Entry, Rows, parsed

WHOLE = """
[[rate]]
provider = "openai"
models = ["GPT-9", "gpt-9-mini*"]
when = ["tier:batch", "scope:region"]
above = 200_000
from = 2026-03-01
until = 2026-04-01
source = "https://prices.example"
checked = 2026-11-25
doubt = "the least of a session"
replaces = true
rates = { "text.input" = "2.50/M", "web_search_request.output" = "10/K", "session_second.input" = "0.05/60", "generated_image.output" = "0.04", "text_cache_write_12h.input" = "2.5 x text.input" }

[[factor]]
provider = "openai"
when = ["scope:region"]
times = "1.1"
units = "*"
"""


def entry(text: str) -> Entry:
    (only,) = parsed(tomllib.loads(text), "a file")
    return only


def test_every_word_of_the_form_is_read() -> None:
    """Rates for one, a thousand, a million or any number of units, and multiples; names in lower case."""
    rate, factor = parsed(tomllib.loads(WHOLE), "a file")

    assert rate == Entry(
        "openai",
        ("gpt-9", "gpt-9-mini*"),
        frozenset({"tier:batch", "scope:region"}),
        200_000,
        datetime.date(2026, 3, 1),
        datetime.date(2026, 4, 1),
        "https://prices.example",
        {
            ("text", "input"): (Decimal("2.50"), 1_000_000),
            ("web_search_request", "output"): (Decimal(10), 1_000),
            ("session_second", "input"): (Decimal("0.05"), 60),
            ("generated_image", "output"): (Decimal("0.04"), 1),
        },
        True,
        None,
        False,
        {("text_cache_write_12h", "input"): (Decimal("2.5"), ("text", "input"))},
        "the least of a session",
    )
    assert (factor.times, factor.all_units, factor.models, factor.rates) == (Decimal("1.1"), True, ("*",), {})


def test_what_is_left_out_has_its_default() -> None:
    """Any provider and model, always, tokens only; the place it stands at is its source."""
    bare = entry('[[factor]]\ntimes = "0.9"')

    assert bare == Entry(
        "*", ("*",), frozenset(), -1, None, None, "a file, [[factor]] 1", {}, False, Decimal("0.9"), False
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price]]", "a file: unknown table price; there are [[rate]] and [[factor]]"),
        ('[rate]\nmodels = ["x"]', "a file: rate is written [[rate]], once for each entry"),
        ('[[rate]]\nmodels = ["x"]', "a file, [[rate]] 1: an entry needs rates"),
        ("[[factor]]\nunits = '*'", "a file, [[factor]] 1: an entry needs times"),
        (
            '[[rate]]\nrates = {}\ntimes = "2"\nmodel = "x"',
            "a file, [[rate]] 1: an entry does not know model, times",
        ),
        (
            "[[factor]]\nrates = {}",
            "a file, [[factor]] 1: an entry needs times and does not know rates",
        ),
        (
            '[[rate]]\nrates = { text = "1" }',
            "a file, [[rate]] 1: 'text' is no unit and side; write for example 'text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.into" = "1" }',
            "a file, [[rate]] 1: 'text.into' is no unit and side; write for example 'text.input'",
        ),
        (
            '[[rate]]\nrates = { ".input" = "1" }',
            "a file, [[rate]] 1: '.input' is no unit and side; write for example 'text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "1/m" }',
            "a file, [[rate]] 1, text.input: '1/m' is no rate; write USD for one unit as '0.04', for a million as "
            "'2.50/M', a multiple as '2 x text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "1/" }',
            "a file, [[rate]] 1, text.input: '1/' is no rate; write USD for one unit as '0.04', for a million as "
            "'2.50/M', a multiple as '2 x text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "1/0" }',
            "a file, [[rate]] 1, text.input: '1/0' is no rate; write USD for one unit as '0.04', for a million as "
            "'2.50/M', a multiple as '2 x text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "free" }',
            "a file, [[rate]] 1, text.input: 'free' is no amount; write it as a text of digits, such as '0.04'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = 0.5 }',
            "a file, [[rate]] 1, text.input: 0.5 is no amount; write it as a text of digits, such as '0.04'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "-1" }',
            "a file, [[rate]] 1, text.input: '-1' is no amount; write it as a text of digits, such as '0.04'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "inf" }',
            "a file, [[rate]] 1, text.input: 'inf' is no amount; write it as a text of digits, such as '0.04'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "2 x text.into" }',
            "a file, [[rate]] 1, text.input: 'text.into' is no unit and side; write for example 'text.input'",
        ),
        (
            '[[rate]]\nrates = { "text.input" = "1.2.3 x text.output" }',
            "a file, [[rate]] 1, text.input: '1.2.3' is no amount; write it as a text of digits, such as '0.04'",
        ),
        (
            "[[factor]]\ntimes = true",
            "a file, [[factor]] 1, times: True is no amount; write it as a text of digits, such as '0.04'",
        ),
        ('[[factor]]\ntimes = "2"\nunits = "text"', "a file, [[factor]] 1, units: 'text' is neither 'tokens' nor '*'"),
        ('[[rate]]\nrates = {}\nprovider = ""', "a file, [[rate]] 1, provider: '' is no text"),
        ("[[rate]]\nrates = {}\nprovider = 7", "a file, [[rate]] 1, provider: 7 is no text"),
        ("[[rate]]\nrates = {}\ndoubt = 7", "a file, [[rate]] 1, doubt: 7 is no text"),
        ('[[rate]]\nrates = {}\nmodels = "x"', "a file, [[rate]] 1, models: 'x' is no list of texts"),
        ("[[rate]]\nrates = {}\nwhen = [7]", "a file, [[rate]] 1, when: 7 is no text"),
        ('[[rate]]\nrates = {}\nabove = "200K"', "a file, [[rate]] 1, above: '200K' is no whole number"),
        ("[[rate]]\nrates = {}\nabove = true", "a file, [[rate]] 1, above: True is no whole number"),
        (
            '[[rate]]\nrates = {}\nfrom = "2026-03-01"',
            "a file, [[rate]] 1, from: '2026-03-01' is no day; write it without quotes, such as 2026-03-01",
        ),
        (
            "[[rate]]\nrates = {}\nuntil = 2026-03-01T00:00:00",
            "a file, [[rate]] 1, until: datetime.datetime(2026, 3, 1, 0, 0) is no day; write it without quotes, such as "
            "2026-03-01",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, told: str) -> None:
    """The message says which entry, which word of it, and how it is written."""
    with pytest.raises(SettingsError) as error:
        parsed(tomllib.loads(text), "a file")

    assert str(error.value) == told


@pytest.mark.parametrize(
    ("models", "names", "how_well"),
    [
        (["*"], ["gpt-9"], 1),
        (["gpt-*"], ["gpt-9"], 2),
        (["*", "gpt-*"], ["gpt-9"], 2),
        (["gpt-9"], ["gpt-9-2099-01-01", "gpt-9"], 3),
        (["gpt-9-2099-01-01"], ["gpt-9-2099-01-01", "gpt-9"], 4),
        (["gpt-*", "gpt-9"], ["gpt-9"], 4),
        (["gpt-8"], ["gpt-9"], 0),
        ([], ["gpt-9"], 0),
    ],
)
def test_a_whole_name_is_better_than_a_pattern_than_any(models: list[str], names: list[str], how_well: int) -> None:
    """By which of two entries for a model is the stronger one."""
    made = entry('[[factor]]\ntimes = "1"')._replace(models=tuple(models))

    assert made.names(names) == how_well


def test_the_stronger_stands_behind() -> None:
    """Whole name, then more conditions, then a higher mark, then a later day; the owner's behind all that is published."""
    text = """
[[factor]]
models = ["gpt-9"]
times = "6"
[[factor]]
models = ["gpt-*"]
from = 2026-02-01
times = "3"
[[factor]]
models = ["gpt-*"]
from = 2026-01-01
times = "2"
[[factor]]
models = ["gpt-*"]
when = ["tier:batch"]
times = "5"
[[rate]]
models = ["gpt-*"]
above = 10
rates = {}
[[factor]]
times = "1"
"""
    published = parsed(tomllib.loads(text), "ours")
    owners = parsed(tomllib.loads('[[factor]]\ntimes = "7"'), "theirs")
    found = Rows(published, owners).of("openai", ["GPT-9"])

    assert [entry.times for entry in found] == [1, 2, 3, None, 5, 6, 7]


def test_entries_have_a_version_of_their_own() -> None:
    """It tells two sets of entries apart, whatever their order, and is empty for none."""
    one, two = (
        parsed(tomllib.loads(WHOLE), "a file"),
        parsed(tomllib.loads(WHOLE.replace("2.50/M", "2.51/M")), "a file"),
    )

    assert Rows().version == ""
    assert Rows(one).version == Rows(one[::-1]).version
    assert Rows(one).version != Rows(two).version
