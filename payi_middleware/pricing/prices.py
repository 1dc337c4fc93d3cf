"""The way to a plan: loaded once in the background, then remembered by provider, model and tier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plan import Plan

if TYPE_CHECKING:
    from .catalogue import Catalogue

__all__ = ["Prices"]

_MOST = 4096  # plans and negative answers remembered: model names can come from users, without end
_LONGEST = 256  # characters of a model's name, far above any real one


class Prices:
    """Rates of genai-prices, compiled to plans, one a (provider, model, tier) and span of time.

    Safe to use from several threads, and without a lock, so that a fork leaves none held: what is shared is replaced
    whole or changed in single steps.
    """

    def __init__(self) -> None:
        self._loaded: tuple[Catalogue, dict[tuple[str, str, str | None], Plan | None]] | None = None
        self._plans: dict[tuple[str, str, str | None], Plan | None] = {}

    @property
    def ready(self) -> bool:
        """Whether the rates are loaded."""
        return self._loaded is not None

    @property
    def version(self) -> str:
        """The source of the rates and its version; empty before they are loaded."""
        return "" if self._loaded is None else self._loaded[0].version

    def load(self) -> None:
        """Load the rates, blocking for 0.5 to 1 s the first time; later, take over a newer snapshot if there is one."""
        from genai_prices.data_snapshot import get_snapshot

        from .catalogue import Catalogue

        snapshot = get_snapshot()
        if self._loaded is None or self._loaded[0].snapshot is not snapshot:
            plans: dict[tuple[str, str, str | None], Plan | None] = {}
            self._loaded = Catalogue(snapshot), plans
            self._plans = plans

    def plan(self, provider: str, model: str, at_ns: int, tier: str | None = None) -> Plan | None:
        """The plan of a model, for a call at a time.

        Args:
            provider: The id of genai-prices.
            model: The model that answered, as the provider names it.
            at_ns: When the call was made, nanoseconds since the epoch.
            tier: The service tier as served; None for the standard one.

        Returns:
            None if the provider or the model is unknown. A fine-tune without a rate of its own, and capacity bought
            beforehand, have a plan that prices nothing and says why.

        Raises:
            RuntimeError: The rates are not loaded.
        """
        try:
            plan = self._plans[provider, model, tier]
        except KeyError:
            return self._compiled(provider, model, at_ns, tier)
        if plan is None or plan.starts_ns <= at_ns < plan.ends_ns:
            return plan
        return self._compiled(provider, model, at_ns, tier)

    def _compiled(self, provider: str, model: str, at_ns: int, tier: str | None) -> Plan | None:
        if self._loaded is None:
            raise RuntimeError("the rates are not loaded; call load() first and ask `ready`")
        if len(model) > _LONGEST or (tier is not None and len(tier) > _LONGEST):
            return None
        catalogue, plans = self._loaded
        plan = catalogue.plan(provider, model, at_ns, tier)
        if len(plans) >= _MOST:
            plans.clear()  # the models in use are back after a millisecond; who floods us with names pays for it
        plans[provider, model, tier] = plan
        return plan
