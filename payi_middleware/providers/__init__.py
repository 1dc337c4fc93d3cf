"""The providers: which host is one, and how to read what it answers.

A new provider is a new file and a row of `places` (or a row of `compatible_hosts` alone); nothing else of the house knows one
from another. Nothing here imports a reader: a provider's file is imported with its first request, or in the background.
"""

from __future__ import annotations

from .base import Asked, Endpoint, Provider, Reading, Route, Texts
from .known import PROVIDERS, find, load, named

__all__ = ["PROVIDERS", "Asked", "Endpoint", "Provider", "Reading", "Route", "Texts", "find", "load", "named"]
