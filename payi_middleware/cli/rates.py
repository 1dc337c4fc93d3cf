"""The rates that a command prices by, those of the application: fetched or installed, with what its owner says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .source import settings_of

if TYPE_CHECKING:
    from ..pricing import Prices

__all__ = ["loaded_prices"]


def loaded_prices(store: str | None = None) -> Prices:
    """The rates, loaded, the owner's (setting `prices`) before all others; fetched ones lie beside the store.

    Raises:
        PricesError: What `payi prices update` fetched cannot be read.
        SettingsError: The owner's file cannot be read, or says what cannot be.
    """
    from ..fetched import Fetched, fetched_at
    from ..pricing import Prices, owners

    settings = settings_of(store)
    prices = Prices(owners(settings.prices), fetched=Fetched(fetched_at(settings.files_path)).snapshot)
    prices.load()
    return prices
