"""The way to a plan: loaded once in the background, then remembered by provider, model and tier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from .. import forks
from .owners import NOBODYS, Owners
from .plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_prices.data_snapshot import DataSnapshot

    from .catalogue import Catalogue
    from .rows import Entry, Rows

__all__ = ["Prices"]

_Plans: TypeAlias = dict[tuple[object, ...], Plan | None]
"""By provider, model and tier, and by the terms where there are any."""

_MOST = 4096  # plans and negative answers remembered: model names can come from users, without end
_MOST_DATED, _MOST_TIMES = 512, 8  # names of which several times are remembered; plans of each
_NOT_LOADED = "the rates are not loaded; call load() first and ask `ready`"
_LONGEST = 256  # characters of a model's name, far above any real one


class Prices:
    """Rates of genai-prices, compiled to plans, one a (provider, model, tier) and span of time.

    Safe to use from several threads, and without a lock, so that a fork leaves none held: what is shared is replaced
    whole or changed in single steps.

    Args:
        owners: What the application's owner says, which comes before all else.
        fetched: Gives the list that was fetched since genai-prices was installed, if any was; asked by `load`.
        listed_only: Whether to price by genai-prices alone, without the rows that this package has.
    """

    def __init__(
        self,
        owners: Owners = NOBODYS,
        *,
        fetched: Callable[[], DataSnapshot | None] = lambda: None,
        listed_only: bool = False,
    ) -> None:
        self._owners = owners
        self._fetched = fetched
        self.mappings = owners.mappings
        self.accounts = owners.accounts
        self.owned = bool(owners.entries or owners.mappings)
        """Whether the owner sets prices, which another process may not be told."""
        self._listed_only = listed_only
        self._installed: Callable[[], DataSnapshot] | None = None
        """Gives the list that came with genai-prices, once that is imported."""
        self.ready = False
        """Whether the rates are loaded."""
        self.may_wait = False
        """Whether a call may be priced later, in another process too: rates are loaded, and none of them the owner's."""
        self.version = ""
        """The source of the rates and its version; empty before they are loaded."""
        self._loaded: tuple[Catalogue, _Plans] | None = None
        self._plans: _Plans = {}
        self._dated: dict[tuple[object, ...], tuple[Plan, ...]] = {}

    def load(self) -> None:
        """Load the rates, blocking for 0.5 to 1 s the first time; later, take over a newer snapshot if there is one."""
        snapshot = self._first() if self._installed is None else self._fetched() or self._installed()
        if self._loaded is None or self._loaded[0].snapshot is not snapshot:
            self._take(snapshot)

    def _first(self) -> DataSnapshot:
        with forks.loading():
            from genai_prices.data_snapshot import get_snapshot

            from . import catalogue  # noqa: F401 - its import takes long too

            self._installed = get_snapshot
            return self._fetched() or get_snapshot()  # imports the data

    def _take(self, snapshot: DataSnapshot) -> None:
        from .catalogue import Catalogue

        plans: _Plans = {}
        catalogue = Catalogue(snapshot, self._rows())
        self._loaded = catalogue, plans
        self._plans = plans
        self._dated = {}
        self.version = catalogue.version
        self.ready = True
        self.may_wait = not self.owned

    def _rows(self) -> Rows:
        from .rows import Rows, published_entries

        return Rows(() if self._listed_only else published_entries(), self._owners.entries)

    def models(self) -> Iterator[tuple[str, str]]:
        """(provider, model) of everything that is listed.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        return self._catalogue().models()

    def listed(self, provider: str, model: str, at_ns: int) -> Plan | None:
        """The plan of what `models` tells, at a time (nanoseconds since the epoch); not remembered.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        return self._catalogue().listed(provider, model, at_ns)

    def unremembered(self, provider: str, model: str, at_ns: int) -> Plan | None:
        """As `plan` at the standard tier, but without taking a place among the plans in use: for listings.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        catalogue = self._catalogue()
        return catalogue.plan(provider, model, at_ns, None) or catalogue.listed(provider, model, at_ns)

    def conditional(self, provider: str, model: str, at_ns: int) -> Iterator[Entry]:
        """The entries beside genai-prices that hold for a model under conditions only, at a time.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        return self._catalogue().conditional(provider, model, at_ns)

    def provider_of(self, model: str) -> str | None:
        """The provider that is meant where only a model is named; None if nobody lists it.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        return self._catalogue().provider_of(model)

    def plan(
        self, provider: str, model: str, at_ns: int, tier: str | None = None, terms: tuple[str, ...] = ()
    ) -> Plan | None:
        """The plan of a model, for a call at a time.

        Args:
            provider: The id of genai-prices.
            model: The model that answered, as the provider names it.
            at_ns: When the call was made, nanoseconds since the epoch.
            tier: The service tier as served; None for the standard one.
            terms: What else the rates depend on, as `kind:value`; see `rows`.

        Returns:
            None if the provider or the model is unknown. A fine-tune without a rate of its own, and capacity bought
            beforehand, have a plan that prices nothing and says why.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        try:
            plan = self._plans[(provider, model, tier, terms) if terms else (provider, model, tier)]
        except KeyError:
            return self._compiled(provider, model, at_ns, tier, terms)
        if plan is None or plan.starts_ns <= at_ns < plan.ends_ns:
            return plan
        return self._of_another_time(provider, model, at_ns, tier, terms)

    def _catalogue(self) -> Catalogue:
        if self._loaded is None:
            raise RuntimeError(_NOT_LOADED)
        return self._loaded[0]

    def is_doubt(self, reason: str) -> bool:
        """Whether this is said of a rate, wherever that is used.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        return reason in self._catalogue().rows.doubts

    def window(self, provider: str, model: str | None) -> int | None:
        """The tokens that a model takes and makes together, at most; None where nobody tells, or before `load`."""
        if self._loaded is None or not model or len(model) > _LONGEST:
            return None
        return self._loaded[0].window(provider, model)

    def _of_another_time(
        self, provider: str, model: str, at_ns: int, tier: str | None, terms: tuple[str, ...]
    ) -> Plan | None:
        """A plan beside the one that is remembered for now: a load of old events goes to and fro over a price change."""
        key, dated = (provider, model, tier, terms), self._dated
        known = dated.get(key, ())
        for plan in known:
            if plan.starts_ns <= at_ns < plan.ends_ns:
                return plan
        found = self._compiled(provider, model, at_ns, tier, terms)
        if found is not None:
            if len(dated) >= _MOST_DATED:
                dated.clear()
            dated[key] = (found, *known)[:_MOST_TIMES]
        return found

    def _compiled(self, provider: str, model: str, at_ns: int, tier: str | None, terms: tuple[str, ...]) -> Plan | None:
        if self._loaded is None:
            raise RuntimeError(_NOT_LOADED)
        if len(model) > _LONGEST or sum(map(len, terms), len(tier or "")) > _LONGEST:
            return None
        catalogue, plans = self._loaded
        plan = catalogue.plan(provider, model, at_ns, tier, terms)
        if plan is None and catalogue.has_dates(provider, model, at_ns):
            return None  # on another day there may be a rate: a "no" holds for all days only if none is named
        if len(plans) >= _MOST:
            plans.clear()  # the models in use are back after a millisecond; who floods us with names pays for it
        plans[(provider, model, tier, terms) if terms else (provider, model, tier)] = plan
        return plan
