"""A report as comma-separated values that a spreadsheet cannot be hurt by."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any

from ..events import OUTCOMES
from ..store.sums import money
from .harmless import for_spreadsheet

if TYPE_CHECKING:
    from ..store.report import Report, ReportRow

__all__ = ["print_csv"]

_FAILURES = OUTCOMES[1:]


def print_csv(found: Report) -> None:
    """Print a heading and a line a row; money and tokens as plain numbers, durations in milliseconds."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(
        [
            *found.by,
            "calls",
            *_FAILURES,
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "estimated_usd",
            "failed_usd",
            "retried_usd",
            "unpriced_calls",
            "unattributed_calls",
            "latency_p50_ms",
            "latency_p95_ms",
            "ttft_p50_ms",
            "ttft_p95_ms",
        ]
    )
    for row in found.rows:
        out.writerow(_cells(row))


def _cells(row: ReportRow) -> list[Any]:
    sums = row.sums
    return [
        *("" if value is None else for_spreadsheet(str(value)) for value in row.key),
        sums.calls,
        *(sums.failures.get(outcome, 0) for outcome in _FAILURES),
        sums.input_tokens,
        sums.output_tokens,
        money(sums.cost_ticks),
        money(sums.estimated_ticks),
        money(sums.failed_ticks),
        money(sums.retried_ticks),
        sums.unpriced_calls,
        sums.unattributed_calls,
        *("" if value is None else value for value in (*sums.latency_ms(), *sums.first_byte_ms())),
    ]
