"""Every GenAI call of a web request, attributed, priced and stored.

Each name is imported at its first use: `import payi_middleware` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asgi import PayiMiddleware
    from .blocks import track, use_case
    from .events import Attribution, CallEvent
    from .exceptions import EventError, LedgerError, LimitError, PayiError, SettingsError, StoreError, UseCaseError
    from .instrumentation import PayiTransport, instrument, uninstrument
    from .limits.limit import Limit
    from .limits.reached import LimitReached
    from .meter import Meter
    from .running import current

    __version__: str

__all__ = [
    "Attribution",
    "CallEvent",
    "EventError",
    "LedgerError",
    "Limit",
    "LimitError",
    "LimitReached",
    "Meter",
    "PayiError",
    "PayiMiddleware",
    "PayiTransport",
    "SettingsError",
    "StoreError",
    "UseCaseError",
    "current",
    "instrument",
    "track",
    "uninstrument",
    "use_case",
]

_HOMES = {
    "asgi": ("PayiMiddleware",),
    "blocks": ("track", "use_case"),
    "events": ("Attribution", "CallEvent"),
    "exceptions": (
        "EventError",
        "LedgerError",
        "LimitError",
        "PayiError",
        "SettingsError",
        "StoreError",
        "UseCaseError",
    ),
    "instrumentation": ("PayiTransport", "instrument", "uninstrument"),
    "limits.limit": ("Limit",),
    "limits.reached": ("LimitReached",),
    "meter": ("Meter",),
    "running": ("current",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("payi-middleware")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
