"""`payi price` and `payi models`."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from exchanges import answer
from recordings import line, written
from typer.testing import CliRunner, Result

from payi_middleware.cli import app, models
from payi_middleware.pricing import Rate
from payi_middleware.pricing.listing import ListedRate


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def flat(text: str) -> str:
    """A table's text without the blanks that align it."""
    return "\n".join(" ".join(row.split()) for row in text.splitlines())


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(row) for row in result.stdout.splitlines()]


ROUTED = {"id": "g", "model": "openai/gpt-4o-mini", "usage": {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0.25}}


def test_exchanges_as_json_lines(tmp_path: Path) -> None:
    """One a line, in the file's order."""
    path = written(
        tmp_path,
        "made.jsonl",
        line(source="a"),
        line(source="b", url="https://openrouter.ai/api/v1/chat/completions", response_body=ROUTED),
        line(source="c", method="GET", url="https://api.openai.com/v1/models"),
    )

    a, b, c = lines(run("price", "--exchanges", str(path), "--json"))

    assert (a["source"], a["cost_source"], a["cost"]["total"], a["billable"]) == ("a", "usage", "0.000027", True)
    assert "cost_computed" not in a
    assert (b["source"], b["cost_source"], b["cost"]["total"]) == ("b", "provider", "0.25")
    assert float(b["cost_computed"]["total"]) < 0.25
    assert (c["source"], c["cost"], c["cost_source"], c["billable"]) == ("c", None, "none", False)


def test_exchanges_as_a_summary(tmp_path: Path) -> None:
    """Shares by provider and framing, reasons counted, and the total by how sure it is."""
    path = written(
        tmp_path,
        "made.jsonl",
        *[line()] * 3,
        line(response_body=answer(usage=None).decode()),
        line(response_body=answer(model="unheard-of").decode()),
        line(url="https://openrouter.ai/api/v1/chat/completions", response_body=ROUTED),
        line(url="https://no.example/", response_headers={}),
    )

    output = flat(run("price", "--exchanges", str(path)).output)

    assert "Provider Framing Exchanges Billable Stated Usage Estimate None Priced Cost" in output
    assert "openai json 5 5 0 3 1 1 80.0 %" in output
    assert "openrouter json 1 1 1 0 0 0 100 % $0.25" in output
    assert "Total 7 6 1 3 1 1 83.3 %" in output
    assert "1 none no rates for model unheard-of of openai" in output
    assert "Exact: $0.2501 of 4 exchanges." in output
    assert "of 1 exchanges." in output.split("Estimated: ")[1].splitlines()[0]
    assert "Costs stated and computable: 1; within 0.1 %: 0 (0 %)." in output
    assert "1 exchanges have no date and are priced as of today." in output
    assert "Rates: genai-prices" in output


def test_reasons_beyond_the_limit(tmp_path: Path) -> None:
    """How many there are is said."""
    path = written(tmp_path, "made.jsonl", *[line(url=f"https://{n}.example/") for n in range(3)])

    assert "2 of 3 reasons; --limit 0 shows all." in run("price", "--exchanges", str(path), "--limit", "2").output
    assert "reasons;" not in run("price", "--exchanges", str(path), "--limit", "0").output


def test_bad_lines_are_told_and_the_others_priced(tmp_path: Path) -> None:
    """On standard error, with their numbers, and no more than fit a screen."""
    path = written(tmp_path, "made.jsonl", line(), "{", line(), *["no"] * 30)

    result = run("price", "--exchanges", str(path), "--json")

    assert [found["cost_source"] for found in lines(result)] == ["usage", "usage"]
    told = result.stderr.splitlines()
    assert told[0] == "payi: made.jsonl line 2: no JSON; left out"
    assert len(told) == 21
    assert told[-1] == "payi: made.jsonl: 11 more could not be read; left out"


def test_a_file_of_which_nothing_can_be_read_fails(tmp_path: Path) -> None:
    """In one line, with code 1."""
    nothing = run("price", "--exchanges", str(written(tmp_path, "made.jsonl", "{")), "--json", code=1)
    missing = run("price", "--exchanges", str(tmp_path / "missing"), code=1)

    assert nothing.stdout == missing.stdout == ""
    assert "no exchange could be read" in nothing.stderr
    assert "missing cannot be read: No such file or directory" in missing.stderr


def test_named_hosts_and_a_date_of_its_own(tmp_path: Path) -> None:
    """A gateway as the provider it stands for; o3 as it cost before 2025-06-10."""
    path = written(
        tmp_path,
        "made.jsonl",
        line(url="http://127.0.0.1:9001/v1/chat/completions", response_body=answer(model="o3", prompt=10**6).decode()),
    )
    named = ["--hosts", "127.0.0.1:9001=openai", "--hosts", "other=azure", "--at", "2025-06-01"]

    (found,) = lines(run("price", "--exchanges", str(path), "--json", *named))

    assert (found["provider"], found["at_source"], found["at"]) == ("openai", "option", "2025-06-01T00:00:00.000000Z")
    assert found["cost"]["input"] == "10"


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """On standard error, so that standard output stays what it is."""
    path = written(tmp_path, "made.jsonl", line(), line())
    code = (
        "import pty, sys; pty.spawn([sys.executable, '-c',"
        f'\'import os, subprocess, sys; os.environ.update(TERM="xterm", COLUMNS="100");'
        f'subprocess.run([sys.executable, "-m", "payi_middleware.cli", "price", "--exchanges", "{path}",'
        ' "--json"], stdout=open("' + str(tmp_path / "out") + '", "w"), check=True)\'])'
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )

    assert "Pricing" in shown.stdout
    assert "2/?" in shown.stdout
    assert len((tmp_path / "out").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give a MODEL, --exchanges FILE or --request FILE"),
        (["gpt-5", "--exchanges", "x"], "give a MODEL, --exchanges FILE or --request FILE"),
        (["--exchanges", "x", "--input", "5"], "--exchanges: tells its own models and units"),
        (["--exchanges", "x", "--hosts", "openai"], "--hosts: 'openai' is not HOST=PROVIDER"),
        (["--exchanges", "x", "--at", "soon"], "--at: 'soon' is no time"),
        (["gpt-5", "--hosts", "a=openai", "--input", "1"], "--hosts: is for --exchanges"),
        (["gpt-5"], "--input: there is nothing to price"),
        (["gpt-5", "--input", "1", "--cached", "2"], "--cached: 2 is more than the 1 of --input"),
        (["gpt-5", "--output", "1", "--reasoning", "2"], "--reasoning: 2 is more than the 1 of --output"),
        (["gpt-5", "--unit", "web_search_request"], "--unit: 'web_search_request' is not NAME=IN/OUT"),
        (["gpt-5", "--unit", "a=-1/2"], "--unit: 'a=-1/2' is not NAME=IN/OUT"),
        (["gpt-5", "--unit", "=1"], "--unit: '=1' is not NAME=IN/OUT"),
    ],
)
def test_wrong_options(arguments: list[str], told: str) -> None:
    """One line that names the option and the way out, and code 2."""
    assert told in run("price", *arguments, code=2).stderr


def test_a_wrong_provider_of_a_host(tmp_path: Path) -> None:
    """The valid names are told."""
    path = written(tmp_path, "made.jsonl", line())

    assert "use one of: " in run("price", "--exchanges", str(path), "--hosts", "a=nobody", code=1).stderr


def test_a_quick_answer(tmp_path: Path) -> None:
    """A line a unit, with rate, source and since when (Sonnet 4's published rates: 3, 0.3 and 15 USD a million)."""
    options = ["--input", "5000", "--cached", "1000", "--output", "255", "--reasoning", "55", "--at", "2026-11-01"]

    told = json.loads(run("price", "claude-sonnet-4-20250514", *options, "--json").output)
    shown = flat(run("price", "claude-sonnet-4-20250514", *options).output)

    assert told["provider"] == "anthropic"
    assert told["at"] == "2026-11-01T00:00:00.000000Z"
    assert told["units"] == {
        "text": {"input": 4000, "output": 200},
        "text_cache_read": {"input": 1000, "output": 0},
        "reasoning": {"input": 0, "output": 55},
    }
    assert told["cost"]["total"] == "0.016125"  # 4000 x 3 + 1000 x 0.3 + 255 x 15
    assert "Unit Side Quantity Rate, USD For Amount, USD Since Source" in shown
    assert "text input 4,000 3 1,000,000 0.012 - genai-prices" in shown
    assert "claude-sonnet-4-20250514 of anthropic, standard tier, 2026-11-01: 0.016125 USD." in shown


def test_the_date_of_a_rate_is_told() -> None:
    """o3 costs 2 and 8 USD since 2025-06-10 (genai-prices)."""
    assert "text input 10 2 1,000,000 0.00002 2025-06-10 genai-prices" in flat(
        run("price", "o3", "--input", "10").output
    )


def test_other_units_tiers_and_providers() -> None:
    """Searches by the piece, a tier that halves, another seller of the same model."""
    searches = json.loads(run("price", "gpt-4o", "--unit", "web_search_request=0/2", "--json").output)
    more = json.loads(run("price", "gpt-4o", "--input", "1", "--unit", "text=2", "--json").output)
    plain = json.loads(run("price", "gpt-4o", "--input", "1000", "--json").output)
    batch = json.loads(run("price", "gpt-4o", "--input", "1000", "--tier", "batch", "--json").output)
    azure = json.loads(run("price", "gpt-4o", "--input", "1000", "--provider", "azure", "--json").output)

    assert searches["cost"]["total"] == "0.02"
    assert more["units"] == {"text": {"input": 3, "output": 0}}
    assert float(batch["cost"]["total"]) * 2 == float(plain["cost"]["total"])
    assert azure["provider"] == "azure"


def test_what_a_quick_answer_leaves_out_is_loud() -> None:
    """A tier without rates, a unit without one."""
    output = run("price", "gpt-4o", "--input", "10", "--tier", "ultra", "--unit", "moonbeams=3").output

    assert "UNPRICED: 1 service_tier: no rate for service tier ultra of gpt-4o; standard rate used." in output
    assert "UNPRICED: 3 moonbeams: no rate for moonbeams input of gpt-4o." in output


def test_terms_of_a_quick_answer() -> None:
    """What the rates depend on besides; one that nobody knows is told."""
    told = json.loads(run("price", "gpt-4o", "--input", "10", "--term", "region:moon", "--json").output)

    assert told["terms"] == ["region:moon"]
    assert told["unpriced"][0]["reason"] == "no rate for region:moon of gpt-4o; standard rate used"
    assert (
        "gpt-4o of openai, standard tier, region:moon, "
        in run("price", "gpt-4o", "--input", "10", "--term", "region:moon").output
    )


def test_the_owners_rates_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting `prices` counts in the quick answer, in the catalogue, and for recorded exchanges."""
    entry = '[[rate]]\nprovider = "openai"\nmodels = ["gpt-4o-mini"]\nrates = { "text.input" = "7/M" }\n'
    monkeypatch.setenv("PAYI_PRICES", str(written(tmp_path, "prices.toml", entry)))
    path = written(tmp_path, "made.jsonl", line(response_body=answer(prompt=10**6, completion=0).decode()))

    asked = json.loads(run("price", "gpt-4o-mini", "--input", "1000000", "--json").output)
    (listed,) = (m for m in lines(run("models", "--provider", "openai", "--json")) if m["model"] == "gpt-4o-mini")
    (found,) = lines(run("price", "--exchanges", str(path), "--json"))

    assert asked["cost"]["total"] == listed["input"]["rate"] == found["cost"]["total"] == "7"


def test_an_unknown_model_has_no_price() -> None:
    """It is said, and the code is 1."""
    assert (
        "no price; no rates for model unheard-of of openai."
        in run("price", "unheard-of", "--input", "1", code=1).output
    )
    assert json.loads(run("price", "unheard-of", "--input", "1", "--json", code=1).output)["cost"] is None


def test_the_catalogue() -> None:
    """Provider, model, rates, since when, source; a part of the name is enough."""
    shown = flat(run("models", "O3-mini", "--provider", "openai").output)
    found = lines(run("models", "o3", "--provider", "openai", "--json"))
    (o3,) = [listed for listed in found if listed["model"] == "o3"]

    assert "Provider Model Input, USD Output, USD Since Source" in shown
    assert "openai o3-mini 1.1 4.4 - genai-prices" in shown
    assert (o3["input"], o3["output"]) == (
        {"unit": "text", "rate": "2", "per": 1_000_000},
        {"unit": "text", "rate": "8", "per": 1_000_000},
    )
    assert (o3["since"], o3["source"]) == ("2025-06-10", "genai-prices")
    assert {listed["provider"] for listed in found} == {"openai"}


def test_cells_of_the_catalogue() -> None:
    """What is not text for a million says what it is, and what must hold."""
    page = ListedRate("document_page", "input", 0, Rate(Decimal("0.002"), 1, "ours"), ("tier:batch",))

    assert models._cell(page) == "0.002 document_page for 1 tier:batch"
    assert models._cell(None) == "-"


def test_the_catalogue_at_a_date() -> None:
    """What held then."""
    (o3,) = [
        m
        for m in lines(run("models", "o3", "--provider", "openai", "--at", "2025-06-01", "--json"))
        if m["model"] == "o3"
    ]

    assert o3["input"] == {"unit": "text", "rate": "10", "per": 1_000_000}


def test_nothing_found_in_the_catalogue() -> None:
    """It is said, with the providers there are, and the code is 1."""
    assert "no model's name has 'unheard-of' in it" in run("models", "unheard-of", code=1).stderr
    assert "in it at openai" in run("models", "claude-opus", "--provider", "openai", code=1).stderr
    assert (
        "no provider is named 'nobody'; use one of: ai21, alibaba, anthropic, "
        in run("models", "--provider", "nobody", code=1).stderr
    )
