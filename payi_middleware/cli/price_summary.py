"""What a file of recorded exchanges comes to, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .amounts import count, percent, usd_text
from .tables import Column, console, print_table, say

if TYPE_CHECKING:
    from ..recorded.summary import Summary, Tally

__all__ = ["print_summary"]

_COUNTS: tuple[Column, ...] = (
    ("Exchanges", True),
    ("Billable", True),
    ("Stated", True),
    ("Usage", True),
    ("Estimate", True),
    ("None", True),
    ("Priced", True),
    ("Cost", True),
)


def print_summary(summary: Summary, version: str, *, limit: int) -> None:
    """Print how much was priced, why the rest was not, and the total by how sure it is."""
    on = console()
    rows = sorted(summary.by.items(), key=lambda entry: (-entry[1].exchanges, entry[0]))
    print_table(
        on,
        [("Provider", False), ("Framing", False), *_COUNTS],
        [[provider, framing, *_cells(tally)] for (provider, framing), tally in rows],
        total=["Total", "", *_cells(summary.total)],
    )
    reasons = summary.reasons.most_common(limit or None)
    if reasons:
        print_table(
            on,
            [("Exchanges", True), ("Source", False), ("Reason, or what is unpriced", False)],
            [[count(n), source, reason] for (source, reason), n in reasons],
        )
        if len(reasons) < len(summary.reasons):
            say(on, f"{count(len(reasons))} of {count(len(summary.reasons))} reasons; --limit 0 shows all.")
    for sure, sums in summary.sure.items():
        say(on, f"{sure.capitalize()}: {usd_text(sums.ticks)} of {count(sums.exchanges)} exchanges.")
    if summary.stated:
        share = percent(summary.met, summary.stated)
        say(on, f"Costs stated and computable: {count(summary.stated)}; within 0.1 %: {count(summary.met)} ({share}).")
    if summary.undated:
        say(on, f"{count(summary.undated)} exchanges have no date and are priced as of today.")
    say(on, f"Rates: {version}.")


def _cells(tally: Tally) -> list[str]:
    by = tally.by_source
    return [
        count(tally.exchanges),
        count(tally.billable),
        *(count(by[source]) for source in ("provider", "usage", "estimate", "none")),
        percent(tally.billable - by["none"], tally.billable) if tally.billable else "-",
        usd_text(tally.ticks),
    ]
