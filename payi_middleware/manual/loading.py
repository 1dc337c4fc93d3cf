"""From what stands in a file to events that can be stored: priced, and with ids by which a second run stores nothing twice."""

from __future__ import annotations

import hashlib

import msgspec

from ..events import CallEvent, format_id
from ..exceptions import EventError
from ..once import event_id
from ..pricing import Prices
from ..pseudonyms import pseudonym
from ..store.pack import check
from .items import BulkItem, Draft, draft_of
from .pricing import event_of

__all__ = ["Loading"]

_canonical = msgspec.json.Encoder(order="sorted").encode


class Loading:
    """One file's way into the store.

    Args:
        application: Whose items of Pay-i's shape are; events of ours tell theirs.
        prices: Loaded.
        key: The setting `pseudonymize`, for the users of such items.
    """

    def __init__(self, application: str, prices: Prices, key: str | None = None) -> None:
        self._key = key
        self._application = application
        self._prices = prices
        self._alike: dict[bytes, int] = {}
        """How often an item without an id of the provider's was met, by its digest."""

    def event(self, told: CallEvent | BulkItem) -> CallEvent:
        """The event of what was read.

        Raises:
            EventError: Something in it cannot be.
        """
        event = told if isinstance(told, CallEvent) else event_of(self._draft(told), self._prices, ())
        try:
            check(event)
        except OverflowError:
            raise EventError("its counts, times or cost are more than could be true") from None
        return event

    def _draft(self, item: BulkItem) -> Draft:
        draft = draft_of(item, msgspec.structs.asdict(item), self._application)
        if draft.response_id is None:
            draft = msgspec.structs.replace(draft, event_id=self._id_of(item))
        who = draft.who
        if who.use_case_name is not None and who.use_case_id is None:  # an instance of its own, as the server makes it
            who = msgspec.structs.replace(who, use_case_id=format_id(draft.event_id))
        if self._key and who.user_id is not None:
            who = msgspec.structs.replace(who, user_id=pseudonym(who.user_id, self._key))
        if who is not draft.who:
            draft = msgspec.structs.replace(draft, who=who)
        return draft

    def _id_of(self, item: BulkItem) -> bytes:
        """The id of an item by what it says, and the how manieth it is that says so."""
        told = {name: value for name, value in msgspec.structs.asdict(item).items() if value is not None}
        digest = hashlib.sha256(_canonical(told)).digest()[:16]
        number = self._alike[digest] = self._alike.get(digest, 0) + 1
        return event_id(f"{self._application}\n{item.category}\nfile", f"{digest.hex()} {number}")
