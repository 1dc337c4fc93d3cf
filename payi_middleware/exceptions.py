"""What this package raises on purpose, as one tree.

    PayiError
    ├── SettingsError       a setting is unknown, malformed or in conflict (also a ValueError)
    ├── UseCaseError        a use case is named wrongly, or twice (also a ValueError)
    ├── PricesError         rates could not be fetched, or what was fetched cannot be read; those in use stay
    ├── RequestError        a request cannot be told the cost of beforehand (also a ValueError)
    ├── RecordingError      a file of recorded exchanges cannot be read; the message names the cure
    └── StoreError          the store cannot be opened, read or written; the message names the cure

Nothing of this reaches an application while it serves a request: settings and use cases fail at start or decoration, the
store fails in our own thread and on the command line.
"""

from __future__ import annotations

__all__ = ["PayiError", "PricesError", "RecordingError", "RequestError", "SettingsError", "StoreError", "UseCaseError"]


class PayiError(Exception):
    """The root of the tree."""


class SettingsError(PayiError, ValueError):
    """A setting is unknown, malformed, or differs from the default meter that exists already."""


class UseCaseError(PayiError, ValueError):
    """A use case name is empty, too long, malformed, or a second one on the same route."""


class PricesError(PayiError):
    """Rates could not be fetched or read."""


class RequestError(PayiError, ValueError):
    """A request whose cost is asked for beforehand is none, or goes where nothing can be told."""


class RecordingError(PayiError):
    """A file of recorded exchanges cannot be read as a whole."""


class StoreError(PayiError):
    """The store cannot be used now."""
