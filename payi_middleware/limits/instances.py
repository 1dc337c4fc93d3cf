"""The limit that each instance of a use case has, where its definition has a `limit_config`.

In the ledger it is one limit of the use case's, which attaches itself to its calls and has an account for each instance, made when
first needed: so applications hold to it before they call, and a new instance changes no definition. To Pay-i's clients each
instance has a limit of its own; its id is made of the names of both, so that nobody has to look up what it stands for.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from decimal import Decimal
from typing import Final, Literal

import msgspec

from ..events import Attribution
from .ledger import Account, Standing
from .limit import LONGEST_NAME, Definition, Limit

__all__ = ["account_named", "as_told", "id_of", "key_of", "limit_id_of", "limit_of", "own_of", "told_id"]

_EACH: Final = "*"
"""In the place of an instance's id, where all of them are meant."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_CODED: Final = "~"
"""Before an instance's id that a path or a header could not have as it is."""

_key = msgspec.json.Encoder().encode


def limit_of(
    application: str,
    use_case: str,
    most: Decimal,
    *,
    type: Literal["block", "allow"],
    threshold: float | None,
    properties: dict[str, str],
) -> Definition:
    """The limit of a use case's instances, as its `limit_config` has it."""
    return Definition(
        limit_id=limit_id_of(use_case),
        application=application,
        limit=Limit(
            f"{use_case}, each instance",
            most,
            type=type,
            threshold=threshold,
            per="instance",
            match={"use_case_name": use_case},
        ),
        source="instance",
        properties=properties,
    )


def limit_id_of(use_case: str) -> str:
    """The id of the limit of a use case's instances: `Chat:*`. Names of use cases have no colon."""
    return f"{use_case}:{_EACH}"


def id_of(use_case: str, use_case_id: str) -> str:
    """The id of one instance's limit: `Chat:run-1`."""
    is_plain = _PLAIN.fullmatch(use_case_id) is not None
    told = use_case_id if is_plain else _CODED + urlsafe_b64encode(use_case_id.encode()).decode().rstrip("=")
    return f"{use_case}:{told}"


def key_of(use_case_id: str) -> str:
    """Of an instance's account."""
    return _key([use_case_id]).decode()


def account_named(limit_id: str) -> Account | None:
    """The account that an id of one instance's limit stands for, if it is one."""
    use_case, colon, told = limit_id.partition(":")
    if told.startswith(_CODED):
        coded = told.removeprefix(_CODED)
        try:
            told = urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        except ValueError:
            return None
    is_one = colon and use_case and told and id_of(use_case, told) == limit_id
    return Account(limit_id_of(use_case), key_of(told)) if is_one else None


def own_of(definition: Definition, account: Account) -> Definition:
    """One instance's limit as it is told: with an id and a name of its own, and nothing of how it is kept."""
    use_case = definition.limit.match["use_case_name"]
    use_case_id = msgspec.json.decode(account.key)[0]
    limit_id = id_of(use_case, use_case_id)
    limit = msgspec.structs.replace(definition.limit, name=_name(use_case, use_case_id), per=(), match={})
    return msgspec.structs.replace(definition, limit_id=limit_id, limit=limit)


def told_id(limit_id: str, who: Attribution) -> str:
    """The id of a limit as it is told to whom a call was made for: of their instance's own, that one."""
    name, instance = who.use_case_name, who.use_case_id
    if name is None or instance is None or limit_id != limit_id_of(name):
        return limit_id
    return id_of(name, instance)


def as_told(standing: Standing, who: Attribution) -> Standing:
    """The same of how a limit stands."""
    limit_id = told_id(standing.limit_id, who)
    if limit_id == standing.limit_id:
        return standing
    return standing._replace(limit_id=limit_id, name=_name(who.use_case_name or "", who.use_case_id or ""))


def _name(use_case: str, use_case_id: str) -> str:
    name = "".join(sign if sign.isprintable() else " " for sign in f"{use_case} {use_case_id}")
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
