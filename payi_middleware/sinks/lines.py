"""Events to a server of our own: JSON lines of what `CallEvent.to_dict` gives, compressed."""

from __future__ import annotations

import gzip
from typing import Any

from ..events import CallEvent
from ..store.deliveries import Rejected
from .api import Api, check
from .halves import Encoded, by_halves, unsendable
from .refusals import refusal
from .remote_errors import BodyRefused, Unreachable

__all__ = ["LinesWriter"]

EVENTS = "/api/v1/events"
_LEVEL = 1  # three times the speed of the default, and 20 % more bytes


class LinesWriter:
    """Sends events as they are."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def send(self, events: list[CallEvent]) -> list[Rejected]:
        """Hand events over; what is refused is returned. As `PayiWriter.send`.

        Raises:
            Unreachable: It cannot be had; some may have arrived.
        """
        rejected: list[Rejected] = []
        encoded: list[Encoded] = []
        for index, event in enumerate(events):
            try:
                encoded.append((index, event.to_json().encode()))
            except Exception as error:  # one event must never hold up the others
                rejected.append(unsendable(index, error))
        return rejected + by_halves(self._post, encoded)

    def _post(self, encoded: list[Encoded]) -> list[Rejected]:
        body = gzip.compress(b"\n".join(line for _, line in encoded), _LEVEL, mtime=0)
        answer = self._api.request("POST", EVENTS, body, Content_Type="application/x-ndjson", Content_Encoding="gzip")
        check(answer, EVENTS)
        told = answer.json()
        if isinstance(told, dict) and isinstance(told.get("error_count"), int) and answer.status in (200, 400):
            return _by_line(told, encoded)
        if 400 <= answer.status < 500:
            code, message = refusal(told)
            raise BodyRefused(answer.status, code, message or f"it answers {answer.status}")
        raise Unreachable(f"it answers {answer.status} with what is no answer of the server's: is base_url right?")


def _by_line(told: dict[str, Any], encoded: list[Encoded]) -> list[Rejected]:
    """The lines that an answer tells to be refused; they count from 1.

    Raises:
        BodyRefused: Some are, and it does not tell which.
    """
    found: dict[int, Rejected] = {}
    for error in told.get("errors") or []:
        at = error.get("line") if isinstance(error, dict) else None
        if isinstance(at, int) and 0 < at <= len(encoded):
            code, message = refusal(error)
            found[at] = Rejected(encoded[at - 1][0], 400, code, message or "no reason given")
    if len(found) < told["error_count"]:
        raise BodyRefused(400, None, "a line is refused, and it is not said which")
    return list(found.values())
