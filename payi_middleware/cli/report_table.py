"""A report as a table, and what must be told beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .amounts import calls, count, milliseconds, percent, usd_text
from .tables import Column, console, print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from ..store.report import Report, ReportRow
    from ..store.sums import Sums

__all__ = ["print_report"]

_NOTHING = {
    "user": "(unattributed)",
    "account": "(no account)",
    "use-case": "(no use case)",
    "tag": "(no tag)",
    "model": "(no model)",
    "route": "(no route)",
}
_QUICK = 0.1
"""Seconds up to which nobody asks why a report took so long."""
_MEASURES: tuple[Column, ...] = (
    ("Calls", True),
    ("Not ok", True),
    ("Tokens in", True),
    ("Tokens out", True),
    ("Cost", True),
    ("Latency p50", True),
    ("p95", True),
    ("First byte p50", True),
)


def print_report(found: Report, *, failures: bool, offset: int = 0) -> None:
    """Print the table and the sentences under it."""
    on = console()
    columns = [(name.replace("-", " ").replace("_", " ").capitalize(), False) for name in found.by] + list(_MEASURES)
    total = None if failures else ["Total", *[""] * (len(found.by) - 1), *_cells(found.total)]
    print_table(on, columns, [[*_names(found, row), *_cells(row.sums)] for row in found.rows], total=total)
    if len(found.rows) < found.size:
        _tell_page(on, found, offset)
    if "tag" in found.by:
        say(on, "A call with several tags stands in several rows; the total counts it once.")
    if failures:
        _tell_failures(on, found.total)
    _tell_doubts(on, found)
    note = found.note if found.seconds >= _QUICK else found.lacking
    if note:
        say(on, f"Note: {note}.")


def _tell_page(on: Console, found: Report, offset: int) -> None:
    shown, size = len(found.rows), found.size
    if not offset:
        say(on, f"{count(shown)} of {count(size)} rows; --limit 0 shows all.")
    elif shown:
        say(on, f"Rows {count(offset + 1)} to {count(offset + shown)} of {count(size)}.")
    else:
        say(on, f"There are {count(size)} rows.")


def _names(found: Report, row: ReportRow) -> list[str]:
    return [
        str(value) if value is not None else _NOTHING.get(name, "-")
        for name, value in zip(found.by, row.key, strict=True)
    ]


def _cells(sums: Sums) -> list[str]:
    p50, p95 = sums.latency_ms()
    return [
        count(sums.calls),
        count(sum(sums.failures.values())),
        count(sums.input_tokens),
        count(sums.output_tokens),
        usd_text(sums.cost_ticks) if sums.cost_ticks or not sums.unpriced_calls else "unpriced",
        milliseconds(p50),
        milliseconds(p95),
        milliseconds(sums.first_byte_ms()[0]),
    ]


def _tell_failures(on: Console, total: Sums) -> None:
    failed = sum(total.failures.values())
    say(
        on,
        f"Not ok: {count(failed)} of {calls(total.calls)}, which cost {usd_text(total.failed_ticks)} "
        f"({percent(total.failed_ticks, total.cost_ticks)} of all).",
    )
    say(
        on,
        f"Second or later attempts: {calls(total.retried_calls)}, which cost {usd_text(total.retried_ticks)} "
        f"({percent(total.retried_ticks, total.cost_ticks)} of all).",
    )


def _tell_doubts(on: Console, found: Report) -> None:
    total = found.total
    if total.estimated_ticks:
        share = percent(total.estimated_ticks, total.cost_ticks)
        say(on, f"Estimated: {usd_text(total.estimated_ticks)} ({share} of the cost), from counted tokens.")
    if total.unattributed_calls:
        share = percent(total.unattributed_calls, total.calls)
        say(
            on,
            f"Unattributed: {calls(total.unattributed_calls)} ({share}, {usd_text(total.unattributed_ticks)}) "
            "of no known user.",
        )
    if total.unpriced_calls:
        models = ", ".join(f"{model or '(no model)'} ({count(calls)})" for model, calls in found.unpriced.items())
        share = percent(total.unpriced_calls, total.calls)
        say(
            on,
            f"UNPRICED: {calls(total.unpriced_calls)} ({share}), missing from the cost wholly or in part: "
            f"{models}. `payi events` tells why.",
            loud=True,
        )
