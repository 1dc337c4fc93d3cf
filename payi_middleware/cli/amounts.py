"""Money, counts and durations as a person reads them."""

from __future__ import annotations

from ..events import usd

__all__ = ["calls", "count", "milliseconds", "percent", "size", "usd_text"]


def usd_text(ticks: int) -> str:
    """US dollars to the cent from one dollar up, below to four significant digits: never rounded to zero."""
    value = abs(usd(ticks))
    sign = "-" if ticks < 0 else ""
    if value >= 1 or not value:
        return f"{sign}${value:,.2f}"
    decimals = min(10, 3 - value.adjusted())
    whole, _, rest = f"{value:.{decimals}f}".partition(".")
    return f"{sign}${whole}.{rest.rstrip('0').ljust(2, '0')}"


def count(n: int) -> str:
    """A number with its thousands told apart."""
    return f"{n:,}"


def calls(n: int) -> str:
    """A number of calls, in words."""
    return "1 call" if n == 1 else f"{count(n)} calls"


def milliseconds(value: float | None) -> str:
    """A duration, in seconds from one second up."""
    if value is None:
        return "-"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def percent(part: int, whole: int) -> str:
    """A share; never 0 % of something, never 100 % of less than all."""
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    if share < 0.1:
        return "under 0.1 %"
    return f"{min(share, 99.9):.1f} %" if part < whole else "100 %"


def size(n: int) -> str:
    """Bytes in the unit that suits."""
    value = float(n)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{n} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
