"""Which accounts of which limits a call belongs to. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ..events import Attribution, CallEvent, Inbound
from .instances import account_named
from .ledger import Account, Definitions
from .limit import Definition, Limit, Per

__all__ = ["Facts", "accounts_of", "applies", "facts_of", "keys_of", "route_of"]

_MOST_ACCOUNTS = 32
"""Of one limit and one call: so many combinations of its tags."""

_key = msgspec.json.Encoder().encode


class Facts(NamedTuple):
    """What limits ask of a call."""

    who: Attribution
    application: str
    provider: str
    model: str | None
    """That was asked for: the one that answers is not known beforehand."""
    route: str | None = None


def facts_of(event: CallEvent) -> Facts:
    """What an event tells, the same as its call told before it was made."""
    return Facts(
        event.attribution, event.application, event.provider, event.requested_resource, event.inbound.http_route
    )


def route_of(inbound: msgspec.Raw) -> str | None:
    """The route's template in a request's encoded facts."""
    return _decode_inbound(inbound).http_route


_decode_inbound = msgspec.msgpack.Decoder(Inbound).decode


def accounts_of(definitions: Definitions, facts: Facts) -> tuple[Account, ...]:
    """The accounts that a call is charged to, in the order of the definitions."""
    limits = definitions.limits
    index = _index_of(limits)
    numbers: Iterable[int] = index.attaching
    if facts.who.limit_ids:
        named = itertools.chain.from_iterable(index.named.get(name, ()) for name in facts.who.limit_ids)
        numbers = sorted({*index.attaching, *named})
    found: list[Account] = []
    for number in numbers:
        if applies(limits[number], facts):
            found += keys_of(limits[number], facts)
    if facts.who.limit_ids:
        found += [account for account in _of_instances(index, facts.who.limit_ids) if account not in found]
    return tuple(found)


def keys_of(definition: Definition, facts: Facts) -> list[Account]:
    """The accounts of a limit that applies to a call."""
    keys = _keys(definition.limit, facts)
    if definition.only is not None:
        keys = [key for key in keys if key in definition.only]
    return [Account(definition.limit_id, key) for key in keys]


def _of_instances(index: _Index, names: Iterable[str]) -> Iterable[Account]:
    """The accounts that calls name by the ids of instances' own limits, whichever instance they are of themselves."""
    for name in dict.fromkeys(names):
        account = None if name in index.named else account_named(name)
        if account is None:
            continue
        for number in index.named.get(account.limit_id, ()):
            definition = index.limits[number]
            if definition.is_of_instances and (definition.only is None or account.key in definition.only):
                yield account


class _Index(NamedTuple):
    """Where in the definitions those are that attach themselves, and those of a name or id."""

    limits: tuple[Definition, ...]
    attaching: tuple[int, ...]
    named: dict[str, tuple[int, ...]]


_indexes: dict[int, _Index] = {}
"""By the identity of the definitions, which an entry keeps alive: of a thousand limits that wait to be named, none is looked at."""
_MOST_INDEXES = 64


def _index_of(limits: tuple[Definition, ...]) -> _Index:
    index = _indexes.get(id(limits))
    if index is None or index.limits is not limits:
        if len(_indexes) >= _MOST_INDEXES:
            _indexes.clear()
        index = _indexes[id(limits)] = _indexed(limits)
    return index


def _indexed(limits: tuple[Definition, ...]) -> _Index:
    named: dict[str, tuple[int, ...]] = {}
    for number, definition in enumerate(limits):
        for name in {definition.limit_id, definition.limit.name}:
            named[name] = (*named.get(name, ()), number)
    return _Index(limits, tuple(n for n, definition in enumerate(limits) if definition.attaches), named)


def applies(definition: Definition, facts: Facts) -> bool:
    """Whether a call is of those that a limit is about, whosever account it is charged to."""
    who, limit = facts.who, definition.limit
    named = definition.limit_id in who.limit_ids or limit.name in who.limit_ids
    if not named and not definition.attaches:
        return False
    if limit.tags and not set(limit.tags).intersection(who.limit_tags):
        return False
    return all(_told(field, facts) == value for field, value in limit.match.items())


def _told(field: str, facts: Facts) -> str | None:
    who = facts.who
    if field.startswith("properties."):
        return who.request_properties.get(field.removeprefix("properties."))
    if field.startswith("use_case_properties."):
        return who.use_case_properties.get(field.removeprefix("use_case_properties."))
    told: str | None = getattr(facts if field in Facts._fields else who, field)
    return told


def _keys(limit: Limit, facts: Facts) -> Iterable[str]:
    """The keys of a limit's accounts: several where it is per tag and the call has several; none where a member is unknown."""
    if not limit.per:
        return ("",)
    members = [_members(per, facts) for per in limit.per]
    combined = itertools.islice(itertools.product(*members), _MOST_ACCOUNTS)
    return [_key(values).decode() for values in combined]


def _members(per: Per, facts: Facts) -> tuple[str, ...]:
    who = facts.who
    if per == "request_tag":
        return who.request_tags
    told = {
        "user": who.user_id,
        "account": who.account_name,
        "use_case": who.use_case_name,
        "instance": who.use_case_id,
        "model": facts.model,
        "application": facts.application,
    }[per]
    return () if told is None else (told,)
