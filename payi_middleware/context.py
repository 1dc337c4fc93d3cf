"""The context variables, and how one is put back."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attempts import Failed
    from .call import Call
    from .frames import Activity, Frame

__all__ = ["frame", "identifying", "last_attempt", "owner", "restore"]

frame: ContextVar[Frame | None] = ContextVar("payi_frame", default=None)
"""The innermost web request, `track` or `use_case` block."""

identifying: ContextVar[Activity | None] = ContextVar("payi_identifying", default=None)
"""The request whose `identify` is running here: a call that it makes itself must not ask it again."""

owner: ContextVar[Call | None] = ContextVar("payi_owner", default=None)
"""The call of the outermost face that is sending now; inner faces see it and keep silent."""

last_attempt: ContextVar[list[Failed] | None] = ContextVar("payi_last_attempt", default=None)
"""The last call of this context, if it failed, to join an SDK's retries. A list, because tasks copy their parent's
context: the first that tries again empties it for all."""


def restore(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Put a variable back; in another context than it was set in, as an abandoned coroutine is closed, there is nothing to."""
    try:
        variable.reset(token)
    except ValueError:
        pass
