"""What a command needs that is not installed with every payi-middleware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..exceptions import SettingsError

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the imports of what an extra brings.

    Raises:
        SettingsError: It is not installed; the message says how to.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("payi_middleware"):
            raise
        raise SettingsError(
            f"{error.name} is not installed; install it with: pip install 'payi-middleware[{name}]'"
        ) from error
