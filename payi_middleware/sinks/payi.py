"""Events to Pay-i: its bulk ingest, item by item where it refuses some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..events import CallEvent
from ..pricing import Prices
from ..store.deliveries import Rejected
from .api import Answer, Api, check
from .halves import Encoded, by_halves, unsendable
from .known_limits import KnownLimits
from .names import named
from .new_resources import NewResources
from .refusals import refusal
from .remote_errors import BodyRefused, Unreachable
from .wire import item

__all__ = ["PayiWriter"]

BULK = "/api/v1/ingest/bulk"
UNKNOWN_RESOURCE = frozenset(("category_not_found", "category_resource_not_found"))
WRONG_LIMITS = frozenset(("blocking_limit_not_allowed", "invalid_limit_id", "invalid_limit_ids", "limit_not_found"))

_encode = msgspec.json.encode


class PayiWriter:
    """Sends events as Pay-i's bulk ingest takes them.

    Args:
        api: The server.
        prices: Our rates, for resources that it does not know; None to leave those to its owner.
    """

    def __init__(self, api: Api, prices: Prices | None = None) -> None:
        self._api = api
        self._limits = KnownLimits(self._get)
        self._resources = None if prices is None else NewResources(self._create, prices)

    def send(self, events: list[CallEvent]) -> list[Rejected]:
        """Hand events over, in their order; what is refused is returned.

        Raises:
            Unreachable: It cannot be had; some may have arrived.
        """
        rejected = self._send(events, range(len(events)))
        mended = self._mended(rejected, events)
        again = [index for index, note in mended.items() if note is None]
        kept = [_noted(one, mended.get(one.at)) for one in rejected if one.at not in again]
        return sorted(kept + self._send(events, sorted(again)))

    def _send(self, events: list[CallEvent], indexes: Sequence[int]) -> list[Rejected]:
        usable = self._limits.usable(limit for index in indexes for limit in events[index].attribution.limit_ids)
        rejected: list[Rejected] = []
        encoded: list[Encoded] = []
        for index in indexes:
            try:
                encoded.append((index, _encode(item(events[index], usable, self._api.clock_ns))))
            except Exception as error:  # one event must never hold up the others
                rejected.append(unsendable(index, error))
        return rejected + by_halves(self._post, encoded)

    def _post(self, encoded: list[Encoded]) -> list[Rejected]:
        body = b"[" + b",".join(one for _, one in encoded) + b"]"
        answer = self._api.request("POST", BULK, body, Content_Type="application/json")
        check(answer, BULK)
        told = answer.json()
        if (
            answer.status not in (200, 400)
            or not isinstance(told, dict)
            or not isinstance(told.get("ingest_count"), int)
        ):
            raise _refusal(answer, told)
        rejected = _by_index(told, encoded)
        if answer.status == 400 and not rejected:
            raise _refusal(answer, told)
        left = [one for one in encoded if one[0] not in {refused.at for refused in rejected}]
        if answer.status == 400 and told["ingest_count"] < len(left):
            return rejected + by_halves(self._post, left)  # those beside the refused ones were not taken either
        return rejected

    def _mended(self, rejected: list[Rejected], events: list[CallEvent]) -> dict[int, str | None]:
        """What was done about refusals: by index, None if the event may be sent again, else why not."""
        unknown = [events[one.at] for one in rejected if one.code in UNKNOWN_RESOURCE]
        made = self._resources.make(unknown) if self._resources is not None and unknown else {}
        mended: dict[int, str | None] = {}
        for one in rejected:
            event = events[one.at]
            if one.code in UNKNOWN_RESOURCE and made:
                mended[one.at] = made[named(event)]
            elif one.code in WRONG_LIMITS and event.attribution.limit_ids:
                self._limits.refused(event.attribution.limit_ids)
                mended[one.at] = None
        return mended

    def _get(self, path: str) -> Answer:
        answer = self._api.request("GET", path)
        if answer.status in (401, 403):  # tells nothing of what was asked for
            check(answer, path)
        return answer

    def _create(self, path: str, body: bytes) -> Answer:
        answer = self._api.request("POST", path, body, Content_Type="application/json")
        if answer.status == 401:
            check(answer, path)
        return answer


def _noted(one: Rejected, note: str | None) -> Rejected:
    return one if note is None else one._replace(message=f"{one.message}; {note}")


def _refusal(answer: Answer, told: Any) -> Exception:
    """What an answer means that is no bulk answer."""
    if 400 <= answer.status < 500:
        code, message = refusal(told)
        return BodyRefused(answer.status, code, message or f"it answers {answer.status}")
    return Unreachable(f"it answers {answer.status} with what is no answer of Pay-i's: is base_url right?")


def _by_index(told: dict[str, Any], encoded: list[Encoded]) -> list[Rejected]:
    """The items that an answer tells to be refused.

    Raises:
        BodyRefused: Some are, and it does not tell which.
    """
    errors = told.get("errors")
    errors = errors if isinstance(errors, list) else []
    found: dict[int, Rejected] = {}
    for error in errors:
        at = error.get("item_index") if isinstance(error, dict) else None
        at = 0 if len(encoded) == 1 else at
        if isinstance(at, int) and 0 <= at < len(encoded):
            code, message = refusal(error.get("xproxy_result") if isinstance(error, dict) else None)
            found[at] = Rejected(encoded[at][0], 400, code, message or "no reason given")
    if len(found) < max(len(errors), _count(told.get("item_error_count"))):
        raise BodyRefused(400, None, "an item is refused, and it is not said which")
    return list(found.values())


def _count(told: Any) -> int:
    return told if isinstance(told, int) else 0
