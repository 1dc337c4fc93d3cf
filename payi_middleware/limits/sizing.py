"""How much is held for one call: what `holds` asks, from the call, its limits, the rates and earlier answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .asking import Asking, asked_of
from .beyond import NOTHING, Beyond, beyond
from .groups import Group
from .holds import Sizes, sized
from .ledger import Amount
from .quoting import WRITES_UNASKED, Price, by_piece, by_sound, likely, most

if TYPE_CHECKING:
    from ..call import Call
    from .held import Held

__all__ = ["sizes_of"]


def sizes_of(limits: Held, call: Call, group: Group, seen: bytes | None, *, by_dearest: bool = False) -> Sizes | None:
    """What to hold; None if the price is not known.

    Args:
        limits: Of the application.
        call: That is to be made.
        group: The limits that apply.
        seen: The request's body, or the outline of a long one; None if neither is known.
        by_dearest: Whether the dearest model of the maker stands for the call's own, of which no price is known.
    """
    strict, prices, provider = group.is_strict, limits.prices, call.provider.id
    model = call.asked.model or call.route.model
    asked, endpoint = asked_of(seen), call.route.endpoint.template.lower()
    besides = beyond(seen, model) if strict else NOTHING
    is_told = asked.limit is not None
    sizes = sized(
        call.exchange.body,
        asked,
        makes_text="embed" not in endpoint,
        makes_images="image" in endpoint or "image" in (model or "").lower(),  # Gemini's draw without being asked to
        usual=None if is_told else limits.recent.percentile(call.attributed.attribution.use_case_name, model),
        window=None if is_told and not strict else prices.window(provider, model),
        ceiling=limits.ceiling,
        strict=strict,
        counted=limits.counted(call, model) if strict else None,
        price=_by_dearest(limits, call, group) if by_dearest else _price(limits, call, group, asked, besides, seen),
        seen=seen,
        beyond=besides,
        may_write=provider in WRITES_UNASKED,
    )
    if by_dearest or (sizes is not None and not strict):
        return sizes
    pieces = by_piece(limits.prices, call, model, asked.tier, seen)
    if pieces is None and "audio" in endpoint:
        pieces = by_sound(limits.prices, call, model, asked.tier, seen, strict=strict)
    return _with_pieces(sizes, pieces)


def _with_pieces(sizes: Sizes | None, pieces: Amount | None) -> Sizes | None:
    """Held for them too; alone for them, where the model has no rate for tokens of text."""
    if pieces is None:
        return sizes
    if sizes is None:
        return Sizes(pieces, 0, is_bound=True)
    return sizes._replace(amount=Amount(*map(max, sizes.amount, pieces)))


def _price(limits: Held, call: Call, group: Group, asked: Asking, besides: Beyond, seen: bytes | None) -> Price:
    """By what the call is held; nothing where no limit counts money."""
    model = call.asked.model or call.route.model
    if not group.counts_money:
        return _nothing
    if group.is_strict:
        return most(limits.prices, call, model, asked.tier, besides, seen, limits.ceiling)
    return likely(limits.prices, call, model, asked.tier)


def _by_dearest(limits: Held, call: Call, group: Group) -> Price:
    """The same of a call without a price, for which a limit may want nothing to be held."""
    if not group.counts_money or not group.pays_unknown:
        return _nothing
    return lambda units: sum(limits.dearest.price(call.provider.id, units, call.started_ns) or ())


def _nothing(units: object) -> int:
    return 0
