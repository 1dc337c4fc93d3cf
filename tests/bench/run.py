"""Speed beside the plain application: tox run -e bench [-- PART ...] [--quick] [--json].

Parts: in-process, draining, pricing, end-to-end, reports, limits, ingest, budgets, outages. `budgets [--ledger=URL] [--rounds=200]` proves that
budgets hold, in that ledger or in one of each kind (`memory`, `sqlite`, `postgresql`, `valkey`). `reports --events=10000000 [--store=FILE]` asks for
every report of so many calls of ninety days, in a store that is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "support")]

import budgeting
import crowded
import draining
import endtoend
import ingest
import inprocess
import limits
import outages
import pricing
import reports
from figures import Figure

PARTS = ("in-process", "draining", "pricing", "end-to-end", "reports", "limits", "ingest", "budgets", "outages")
"""The last two take a quarter of an hour each, and only run where they are named."""


def option(name: str) -> str | None:
    """What stands behind an option and "=", if it is given."""
    return next((given.split("=", 1)[1] for given in sys.argv if given.startswith(f"{name}=")), None)


def main() -> None:
    quick = "--quick" in sys.argv
    rows: list[Figure] = []
    events = int(option("--events") or 0)
    chosen = [argument for argument in sys.argv[1:] if argument in PARTS]
    for title, measure, rounds in (
        ("in-process", inprocess.measure, 3 if quick else 15),
        ("draining", draining.measure, 3 if quick else 15),
        ("pricing", pricing.measure, 3 if quick else 15),
        ("end-to-end", endtoend.measure, 3 if quick else 16),
        ("reports", reports.measure, 3 if quick else 15),
        ("limits", limits.measure, 3 if quick else 15),
        ("ingest", ingest.measure, 1 if quick else 3),
        ("budgets", lambda rounds: budgeting.measure(rounds, option("--ledger")), int(option("--rounds") or 200)),
        ("outages", outages.measure, 3 if quick else 15),
    ):
        if title not in (chosen or PARTS[:-2]) or (events and title == "reports"):
            continue
        print(f"measuring {title} ...", file=sys.stderr, flush=True)
        rows += measure(rounds)
    if events:
        print(f"measuring reports of {events:,} calls ...", file=sys.stderr, flush=True)
        rows += crowded.measure(events, option("--store"))
    if "--json" in sys.argv:
        print(json.dumps([row._asdict() for row in rows], ensure_ascii=False))
        return
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.what:<{width}}  {row.figure:<28} {row.bound}")


if __name__ == "__main__":
    main()
