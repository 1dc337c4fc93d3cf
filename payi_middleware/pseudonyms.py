"""Pseudonyms of users: what is stored and sent in place of their ids, with the setting `pseudonymize`.

A pseudonym is `u_` and the first 128 bits of HMAC-SHA256 (RFC 2104) of the id under the setting's key, in hexadecimal: the same
id has the same one in every process that has the key, and without the key nobody can try ids out.
"""

from __future__ import annotations

import hmac

import msgspec

from .encoded import Attributed
from .events import Attribution

__all__ = ["Pseudonyms", "pseudonym"]

_MOST = 4_096  # remembered; beyond, the memory starts anew

_encode = msgspec.msgpack.Encoder().encode


def pseudonym(user_id: str, key: str) -> str:
    """The name by which a user is known under a key."""
    return "u_" + hmac.digest(key.encode(), user_id.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


class Pseudonyms:
    """Those of one key, remembered: most calls are of somebody who called a moment ago."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def of(self, attributed: Attributed) -> Attributed:
        """What is to be recorded of a call; the application still sees who it was for."""
        who = attributed.attribution
        if who.user_id is None:
            return attributed
        return attributed.recorded_as(msgspec.Raw(_encode(self.named(who))))

    def named(self, who: Attribution) -> Attribution:
        """The attribution as it is to be recorded."""
        return who if who.user_id is None else msgspec.structs.replace(who, user_id=self._name(who.user_id))

    def _name(self, user_id: str) -> str:
        name = self._known.get(user_id)
        if name is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            name = self._known[user_id] = pseudonym(user_id, self._key)
        return name
