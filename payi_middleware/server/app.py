"""The application: its parts put together, its routes, what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ..limits.alerts import alerts_of
from ..limits.opening import open_ledger
from ..pricing import Prices, owners
from ..providers import PROVIDERS
from ..settings import Settings, load
from ..store import open_store
from ..updates import Updates
from . import health
from .api import capabilities, categories, events, ingest, instances, kpis, limits, requests, use_cases
from .auth import Auth, Keyring
from .bounds import Bounds
from .configured import configure_all
from .database import kept, over, prepare, reading
from .errors import HANDLERS
from .managed import Managed
from .metrics import Metrics
from .newer import Newer
from .openapi import described
from .rates import Rates
from .segments import SplitFirst
from .serving import Serving
from .takeover import take_over
from .timing import Timing
from .writer import Writer

__all__ = ["create_app"]

_ROUTERS = (limits, categories, kpis, instances, use_cases, requests, capabilities)


def create_app(store: str | Settings, *, open_metrics: bool = False, rates: Rates | None = None) -> FastAPI:
    """The server on a store.

    Args:
        store: Its URL, or settings that name it, and the ledger of its limits.
        open_metrics: Whether `/metrics` is for anybody; else it takes a key of role admin.
        rates: How much a key may ask for and bring in a second.

    Raises:
        StoreError: The store cannot be used.
        LedgerError: The ledger cannot be used.
        PricesError, SettingsError: The rates cannot be read.
    """
    settings = store if isinstance(store, Settings) else load({"store": store})
    serving = _started(settings, rates or Rates())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        newer = Newer(serving.prices, serving.updates.fetch_if_due)
        yield
        newer.close()
        serving.writer.close()
        serving.events.close()
        serving.readers.dispose()

    app = FastAPI(
        title="payi-middleware",
        description="Pay-i's REST API on a store of one's own.",
        exception_handlers=HANDLERS,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.serving = serving
    # First those that are asked most: routes are looked through one by one.
    app.add_route("/api/v1/ingest", ingest.single, methods=["POST"])
    app.add_route("/api/v1/ingest/bulk", ingest.bulk, methods=["POST"])
    app.add_route("/api/v1/ingest/bulk-upsert", ingest.bulk_upsert, methods=["POST"])
    app.add_route("/api/v1/events", events.events, methods=["POST"])
    for module in _ROUTERS:
        app.include_router(module.router)
    keyring = Keyring(serving.readers)
    app.add_route("/healthz", health.alive, include_in_schema=False)
    app.add_route("/readyz", health.ready, include_in_schema=False)
    app.add_route("/metrics", health.metrics_for(keyring.caller, is_open=open_metrics), include_in_schema=False)
    described(app)
    # The last is the outermost: counted first, bounded before anything is read, and known before it is routed.
    app.add_middleware(Auth, keyring=keyring, rates=serving.rates)
    app.add_middleware(Bounds)
    app.add_middleware(SplitFirst)
    app.add_middleware(Timing, metrics=serving.metrics)
    return app


def _started(settings: Settings, rates: Rates) -> Serving:
    """The parts, opened in the order in which they need one another."""
    kept(settings)
    updates = Updates(settings.files_path, settings.update_prices)
    prices = Prices(owners(settings.prices), fetched=updates.snapshot)
    prices.load()
    ledger = open_ledger(settings)
    store = prepare(settings)
    with store.batch() as batch:
        take_over(over(batch.connection), ledger)
        configure_all(over(batch.connection), ledger)
    writer = Writer(store, prices, ledger, alerts_of(settings, lambda: ledger, application=None))
    return Serving(
        writer=writer,
        readers=reading(settings),
        events=open_store(settings, create=False),
        prices=prices,
        updates=updates,
        managed=Managed(prices),
        rates=rates,
        ledger=ledger,
        metrics=Metrics(lambda: writer.depth, {provider.category for provider in PROVIDERS}, ledger),
    )
