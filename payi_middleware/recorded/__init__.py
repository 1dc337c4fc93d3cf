"""Recorded exchanges with providers: what of them a file holds, and what they cost.

`reading` knows the kinds of files, `price` drives an exchange through the very `Call` that live traffic takes.
"""

from __future__ import annotations

from .exchange import Recorded, Unreadable
from .price import Pricer, Result
from .reading import read

__all__ = ["Pricer", "Recorded", "Result", "Unreadable", "read"]
