"""genai-prices, read: a model by name, its rates at a time, compiled to a plan. The one file that knows that package.

Importing this file imports genai-prices, 0.5 to 1 s; `Prices.load()` does it, in a background thread.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TypeAlias

import genai_prices
from genai_prices.data import providers as bundled
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseContains,
    ClauseOr,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.units import UnitDef, UnitRegistry

from ..events import Side, Unpriced
from .makers import LISTED_SINCE, ONE_PRICE, maker_of, named_maker
from .names import goes_on, has_one_output, is_another, is_for_audio, is_tuned, spellings
from .own import Own
from .plan import REQUEST, Plan, Rate, RateTable
from .rows import Entry, Rows
from .spans import moment_of, span_of
from .tiers import PROVISIONED, STANDARD, conditions_met, named_tier, price_context
from .units import MUST_KEEP, MUST_KEEP_IF_AUDIO, UNITS, Dimensions

__all__ = ["SOURCE", "Catalogue"]

SOURCE = "genai-prices"

_CLOUDS = frozenset({"aws", "azure", "databricks", "snowflake", "watsonx"})
"""Providers that sell others' models: asked last whose model is meant."""

_Ladder: TypeAlias = tuple[UnitDef, ...]
"""The units of genai-prices by which one of ours may be priced, the most specific first."""

_Since: TypeAlias = dict[str, str | None]
"""Price key -> ISO date since which its price holds."""


class Catalogue:
    """A snapshot of genai-prices, asked for plans."""

    def __init__(self, snapshot: DataSnapshot, rows: Rows | None = None) -> None:
        self.snapshot = snapshot
        self.rows = Rows() if rows is None else rows
        self.version = ", ".join(filter(None, (_version(snapshot), self.rows.version)))
        registry = UnitRegistry(unit_data)
        self._ladders = {key: _ladder(registry, dimensions) for key, dimensions in UNITS.items()}
        self._ladders[REQUEST, "input"] = (registry.units["requests"],)

    def plan(self, provider: str, model: str, at_ns: int, tier: str | None, terms: tuple[str, ...] = ()) -> Plan | None:
        """The plan of a model at a time; None if provider or model is unknown."""
        host, info, entries = self._listed(provider, model, at_ns)
        own = Own(entries, at_ns, named_tier(tier), terms)
        if provider in LISTED_SINCE:
            own.dates.append(LISTED_SINCE[provider])
        if is_tuned(model) and not (info and is_tuned(info.id)):
            if not own.carries:
                return Plan(model, refusal=f"no rate for the fine-tuned {model}; that of its base model does not hold")
            info = None
        if info is None and not own.carries:
            theirs = self._of_another_maker(provider, model, at_ns, tier, terms)
            if theirs is not None or not own.named:
                return theirs
        known = model if info is None else info.id
        if own.tier in PROVISIONED and not own.knows_tier:
            return Plan(known, refusal=f"service tier {own.tier} is capacity bought beforehand, not billed by token")
        if host is None or info is None:
            span = span_of(own.dates, (), at_ns)
            plain = [RateTable(-1, {})]
            notes = () if own.tier in STANDARD or own.knows_tier else (_no_tier(own.tier, known),)
            return Plan(known, own.tables(plain), starts_ns=span[0], ends_ns=span[1], notes=notes + own.notes(known))
        return self._compile(host, info, at_ns, own)

    def _of_another_maker(
        self, provider: str, model: str, at_ns: int, tier: str | None, terms: tuple[str, ...]
    ) -> Plan | None:
        """A host that answers with another maker's model, as a proxy does that nobody named in `hosts`: at that maker's rate.

        So does the provider behind a gateway, which passes that on.
        """
        behind = maker_of(provider, model)
        if behind is not None:
            return None if behind[0] == provider else self._of_another_maker(*behind, at_ns, tier, terms)
        maker = named_maker(model)
        if maker is None or maker[0] == provider:
            return None
        plan = self.plan(*maker, at_ns, tier, terms)
        if plan is None or plan.refusal is not None:
            return plan
        return plan.noted(Unpriced("provider", 1, f"no rate for {model[:64]} of {provider}; that of {maker[0]} used"))

    def has_dates(self, provider: str, model: str, at_ns: int) -> bool:
        """Whether an entry for the model holds on some days only."""
        _, _, entries = self._listed(provider, model, at_ns)
        return any(entry.starts is not None or entry.ends is not None for entry in entries if "*" not in entry.models)

    def window(self, provider: str, model: str) -> int | None:
        """The context window of a model, in tokens, where genai-prices tells it."""
        host = self._host(provider)
        info = None if host is None else self._find(host, model)
        return None if info is None else info.context_window

    def _listed(self, provider: str, model: str, at_ns: int) -> tuple[Provider | None, ModelInfo | None, list[Entry]]:
        """The list that has a model, and our entries for it: a gateway passes the price of the provider behind it on."""
        host = self._host(provider)
        info = None if host is None else self._find(host, model)
        entries = self.rows.of(provider, spellings(model))
        maker = maker_of(provider, model) if info is None or _is_before_history(provider, at_ns) else None
        if maker is None or (info is not None and maker[0] not in ONE_PRICE):
            return host, info, entries
        maker_s, theirs, more = self._listed(*maker, at_ns)
        if theirs is None and info is not None:
            return host, info, entries
        return (maker_s or host), theirs, more + entries

    def _host(self, provider: str) -> Provider | None:
        try:
            return self.snapshot.find_provider(None, provider, None)
        except LookupError:
            return None

    def models(self) -> Iterator[tuple[str, str]]:
        """(provider, model) of everything that is listed; a model of our own entries may be a pattern."""
        found = {(host.id, info.id): None for host in self.snapshot.providers for info in host.models}
        for entry in self.rows.entries():
            if entry.carries and entry.provider != "*":
                found |= {
                    (entry.provider, name): None for name in entry.models if not _is_in(found, entry.provider, name)
                }
        return iter(found)

    def listed(self, provider: str, model: str, at_ns: int) -> Plan | None:
        """The plan of a model by its id in the list, which need not be a name that a provider uses."""
        for host in self.snapshot.providers:
            for info in host.models if host.id == provider else ():
                if info.id == model:
                    return self._compile(host, info, at_ns, self._own(provider, model, at_ns))
        return None

    def conditional(self, provider: str, model: str, at_ns: int) -> Iterator[Entry]:
        """Our own entries for a model, in force on the day of `at_ns`, that hold under conditions only."""
        day = moment_of(at_ns).date()
        for entry in self.rows.of(provider, spellings(model)):
            if entry.when and entry.holds(entry.when, day):
                yield entry

    def _own(self, provider: str, model: str, at_ns: int, tier: str | None = None, terms: tuple[str, ...] = ()) -> Own:
        return Own(self.rows.of(provider, spellings(model)), at_ns, named_tier(tier), terms)

    def provider_of(self, model: str) -> str | None:
        """The provider that is meant where only a model is named: its maker by the name, else the first that lists it."""
        hosts = self.snapshot.providers
        makers = [host for host in hosts if host.model_match is not None and host.model_match.is_match(model.lower())]
        for host in (*makers, *hosts):
            info = self._find(host, model)
            if info is not None and any(info is own for own in host.models):
                return host.id
        sellers = sorted(
            {entry.provider for entry in self.rows.entries()} - {"*"}, key=lambda seller: (seller in _CLOUDS, seller)
        )
        return next((seller for seller in sellers if self._sells(seller, model)), None)

    def _sells(self, provider: str, model: str) -> bool:
        """Whether our own entries alone make this a model of the provider; one that takes all names means none."""
        found = self.rows.of(provider, spellings(model))
        return any(entry.carries and entry.models != ("*",) for entry in found if entry.provider == provider)

    def _find(self, host: Provider, model: str) -> ModelInfo | None:
        # Provider.find_model remembers nothing; DataSnapshot.find_provider_model would keep every name it is given.
        for name in spellings(model):
            info = host.find_model(name, all_providers=self.snapshot.providers)
            if info is None or (not is_tuned(name) and _goes_on(name, info.match)):
                continue  # the beginning of a date or of another version; without its date it may be found
            return None if not is_tuned(name) and is_another(name, f"{info.id} {info.match!r}") else info
        return None

    def _compile(self, host: Provider, info: ModelInfo, at_ns: int, own: Own) -> Plan:
        moment = moment_of(at_ns)
        prices = info.get_prices(moment)
        since = _since(_listed_constraint(info, prices), prices)
        notes: tuple[Unpriced, ...] = ()
        made_for = frozenset[str]()
        context = price_context(own.tier, own.terms)
        if context:
            variants = _variants(host, info, moment, context)
            if variants:
                prices = info.get_prices(moment, context)
                made_for = made_for.union(*(conditions_met(variant.when, own.tier) for variant in variants))
                for variant in reversed(variants):  # the first one wins
                    since |= _since(variant.constraint, variant.prices)
        if own.tier not in STANDARD and not own.knows_tier and f"tier:{own.tier}" not in made_for:
            notes = (_no_tier(own.tier, info.id),)
        starts_ns, ends_ns = _span(info, own.dates, at_ns)
        tables = own.tables(self._tables(info, prices, since), made_for)
        return Plan(info.id, tables, starts_ns=starts_ns, ends_ns=ends_ns, notes=notes + own.notes(info.id, made_for))

    def _tables(self, info: ModelInfo, prices: ModelPrice, since: _Since) -> list[RateTable]:
        """A table for each stretch between two marks of the tiers."""
        listed: dict[str, Decimal | TieredPrices | None] = vars(prices)
        priced = {key: price for key, price in listed.items() if price is not None}
        tiered = [price for price in priced.values() if isinstance(price, TieredPrices)]
        marks = sorted({tier.start for price in tiered for tier in price.tiers})
        tables: list[RateTable] = []
        for above in (-1, *marks):
            rates: dict[tuple[str, Side], Rate] = {}
            for (unit, side), ladder in self._ladders.items():
                step = next((step for step in ladder if step.price_key in priced), None)
                if step is not None:
                    usd = _usd(priced[step.price_key], above)
                    doubt = _doubt(unit, side, step, info.id)
                    rates[unit, side] = Rate(usd, step.per, SOURCE, since.get(step.price_key), doubt)
            tables.append(RateTable(above, rates))
        return tables


def _is_in(listed: Iterable[tuple[str, str]], provider: str, pattern: str) -> bool:
    """Whether a pattern stands for models that are listed by name."""
    return "*" in pattern and any(host == provider and fnmatchcase(model.lower(), pattern) for host, model in listed)


def _is_before_history(provider: str, at_ns: int) -> bool:
    began = LISTED_SINCE.get(provider)
    return began is not None and moment_of(at_ns).date() < began


def _no_tier(tier: str, model: str) -> Unpriced:
    return Unpriced("service_tier", 1, f"no rate for service tier {tier[:64]} of {model}; standard rate used")


def _version(snapshot: DataSnapshot) -> str:
    version = f"{SOURCE} {genai_prices.__version__}"
    if snapshot.providers is bundled:
        return version
    return f"{version}, snapshot of {snapshot.timestamp.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ladder(registry: UnitRegistry, dimensions: Dimensions) -> _Ladder:
    steps = [unit for unit in registry.units.values() if unit.dimensions.items() <= dimensions.items()]
    return tuple(sorted(steps, key=lambda unit: -len(unit.dimensions)))


def _goes_on(name: str, match: MatchLogic) -> bool:
    """Whether a name was matched by nothing but the beginning of a longer number in it."""
    clauses = match.or_ if isinstance(match, ClauseOr) else [match]
    matched = [clause for clause in clauses if clause.is_match(name)]
    begun = [clause.starts_with for clause in matched if isinstance(clause, ClauseStartsWith)]
    begun += [clause.contains for clause in matched if isinstance(clause, ClauseContains)]
    return 0 < len(begun) == len(matched) and all(goes_on(name, known) for known in begun)


def _usd(price: Decimal | TieredPrices, above: int) -> Decimal:
    """The price for prompts of more than `above` tokens (up to the next mark)."""
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base)


def _doubt(unit: str, side: Side, step: UnitDef, model: str) -> str | None:
    if unit == REQUEST:
        return (
            f"the fee of a request of {model} depends on how much it searches, which usage does not tell; dearest used"
        )
    needed = MUST_KEEP.get((unit, side))
    if needed is None and is_for_audio(model):
        needed = MUST_KEEP_IF_AUDIO.get((unit, side))
    if needed is None or needed in step.dimensions or (side == "output" and has_one_output(model)):
        return None
    return f"no rate for {unit} {side} of {model}; rate of {step.usage_key} used"


_Constraint: TypeAlias = StartDateConstraint | TimeOfDateConstraint | None


def _listed_constraint(info: ModelInfo, prices: ModelPrice) -> _Constraint:
    """The condition under which `prices`, as handed out for a moment, stand in the model's list."""
    if isinstance(info.prices, ModelPrice):
        return None
    return next((listed.constraint for listed in info.prices if listed.prices is prices), None)


def _since(constraint: _Constraint, prices: ModelPrice) -> _Since:
    date = constraint.start_date.isoformat() if isinstance(constraint, StartDateConstraint) else None
    return {key: date for key, value in vars(prices).items() if value is not None}


def _variants(
    host: Provider, info: ModelInfo, moment: datetime.datetime, context: Mapping[str, str]
) -> list[PriceVariant]:
    """The variants in force for a context. A model that the provider borrows from another's list has none here."""
    if not any(info is model for model in host.models):
        return []
    return [
        variant
        for variant in info.price_variants or ()
        if (variant.constraint is None or variant.constraint.active(moment))
        and all(context.get(key) == value for key, value in variant.when.items())
    ]


def _span(info: ModelInfo, edges: list[datetime.date], at_ns: int) -> tuple[int, int]:
    """How long no condition of the model changes its answer."""
    listed = [] if isinstance(info.prices, ModelPrice) else [price.constraint for price in info.prices]
    constraints = [*listed, *(variant.constraint for variant in info.price_variants or ())]
    dates = edges + [constraint.start_date for constraint in constraints if isinstance(constraint, StartDateConstraint)]
    windows = [constraint for constraint in constraints if isinstance(constraint, TimeOfDateConstraint)]
    times = [time for window in windows for time in (window.start_time, window.end_time)]
    return span_of(dates, times, at_ns)
