"""The HTTP answer that an SDK gets in place of a provider's where a limit refuses its call; no library's own class yet.

The shape is that of Pay-i's proxy, so that what reads one reads the other: status 400, `xproxy_error` and `xproxy_result`. What
is beside it, `blocked_limits`, tells how the limits stand that refused. 400 and `x-should-retry: false` since no SDK tries such an
answer again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from ..events import Attribution
from .instances import told_id
from .ledger import Standing
from .places import HEADER, STATUS
from .reached import CODES, LimitReached, told

__all__ = ["Refused", "refused"]


class Refused(NamedTuple):
    """A call that is not made, and what its library is to answer."""

    reached: LimitReached
    states: dict[str, str]
    """Of each limit that applied, by the id that it has in the ledger: `blocked` if it refused, else `blocked_external`."""
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """What programs read: Pay-i's `limit_reached`, or one of ours."""
        return CODES[self.reached.why]


_CODES_IN: Final = {"aws": "x-amzn-errortype"}
"""The header in which a provider's library looks for an error's code."""


def refused(
    reached: LimitReached,
    standings: Iterable[Standing],
    who: Attribution,
    resource: str | None = None,
    provider: str | None = None,
) -> Refused:
    """The answer to a call that is refused.

    Args:
        reached: Why.
        standings: Of all limits that apply, those that did not refuse too.
        who: For whom the call was to be made.
        resource: The model that was asked for.
        provider: To whom the call would have gone.
    """
    states = _states(standings)
    result: dict[str, Any] = {
        "request_id": reached.request_id,
        "limits": {told_id(limit_id, who): {"state": state} for limit_id, state in states.items()},
        "blocked_limit_ids": [limit.limit_id for limit in reached.limits],
        "blocked_limits": [msgspec.to_builtins(limit) for limit in reached.limits],
        "request_tags": list(who.request_tags),
        "use_case_name": who.use_case_name,
        "use_case_id": who.use_case_id,
        "use_case_step": who.use_case_step,
        "user_id": who.user_id,
        "account_name": who.account_name,
        "resource_id": resource,
    }
    body = {
        "statusCode": STATUS,
        "message": reached.message,
        "xproxy_error": {"code": CODES[reached.why], "message": reached.message},
        "xproxy_result": {name: value for name, value in result.items() if value not in (None, [])},
    }
    encoded = msgspec.json.encode(body)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(encoded)),
        "x-should-retry": "false",
        HEADER: told(reached),
    }
    if provider in _CODES_IN:
        headers[_CODES_IN[provider]] = CODES[reached.why]
    return Refused(reached, states, encoded, headers)


def _states(standings: Iterable[Standing]) -> dict[str, str]:
    """A limit of which one account refused has refused, whatever its others say."""
    states: dict[str, str] = {}
    for standing in standings:
        if states.get(standing.limit_id) != "blocked":
            states[standing.limit_id] = standing.state
    return states
