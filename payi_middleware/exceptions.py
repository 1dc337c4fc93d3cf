"""What this package raises on purpose, as one tree.

    PayiError
    ├── SettingsError       a setting is unknown, malformed or in conflict (also a ValueError)
    ├── UseCaseError        a use case is named wrongly, or twice (also a ValueError)
    ├── PricesError         rates could not be fetched, or what was fetched cannot be read; those in use stay
    ├── RequestError        a request cannot be told the cost of beforehand (also a ValueError)
    ├── LimitError          a limit is defined wrongly, or there is none of that id; names field and cure (also a ValueError)
    ├── LedgerError         the ledger, where limits are counted, is out of reach or cannot be used; the message names the cure
    ├── EventError          an event told by hand, or a file of such, cannot be read; names field and cure (also a ValueError)
    ├── RecordingError      a file of recorded exchanges cannot be read; the message names the cure
    └── StoreError          the store cannot be opened, read or written; the message names the cure

Nothing of this reaches an application while it serves a request, but for what the application told wrongly itself: settings
and use cases fail at start or decoration, an event where it is recorded, the store in our own thread and on the command line.
"""

from __future__ import annotations

__all__ = [
    "EventError",
    "LedgerError",
    "LimitError",
    "PayiError",
    "PricesError",
    "RecordingError",
    "RequestError",
    "SettingsError",
    "StoreError",
    "StoreFullError",
    "UseCaseError",
]


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


class LimitError(PayiError, ValueError):
    """A limit is defined wrongly, or is not there."""


class LedgerError(PayiError):
    """The ledger cannot be opened, read or written; nothing was counted."""


class EventError(PayiError, ValueError):
    """An event that is told by hand is malformed, or a file of them cannot be read.

    Args:
        message: The field, what is wrong with it, and what to write instead.
        code: What programs read, in Pay-i's words; None where it has none.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class RecordingError(PayiError):
    """A file of recorded exchanges cannot be read as a whole."""


class StoreError(PayiError):
    """The store cannot be used now."""


class StoreFullError(StoreError):
    """There is no room for what was to be written; for less there may be."""
