"""What a call costs: rates of genai-prices compiled to plans, and the arithmetic of plans. No sockets, files or clocks.

`catalogue` alone knows genai-prices, whose import takes 0.5 to 1 s: `Prices.load()` imports it, never this package.
"""

from __future__ import annotations

from .owners import Owners, owners
from .plan import Plan, Priced, Rate, RateTable, cost_of_lines
from .prices import Prices

__all__ = ["Owners", "Plan", "Priced", "Prices", "Rate", "RateTable", "cost_of_lines", "owners"]
