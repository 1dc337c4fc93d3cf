"""How a server can fail us, or we it, as far as it matters to what is done about it."""

from __future__ import annotations

__all__ = ["BodyRefused", "KeyRefused", "Unreachable", "Unsendable"]


class Unreachable(Exception):  # noqa: N818 - it reads as what it is
    """It cannot be had now; everything waits.

    Args:
        why: For people; without keys and without what was sent.
        asked: Seconds that the server wants us to stay away.
        pause: Seconds after which another try makes sense; 0 for soon, and later each time.
        status: HTTP's; 0 without an answer.
    """

    def __init__(self, why: str, asked: float = 0.0, pause: float = 0.0, status: int = 0) -> None:
        super().__init__(why)
        self.status = status
        self.asked = asked
        self.pause = pause


class KeyRefused(Unreachable):
    """The key is invalid, or has not the right. Somebody has to do something; everything waits."""


class BodyRefused(Exception):  # noqa: N818 - it reads as what it is
    """A request with several events is refused as a whole, and the answer does not tell which of them is to blame."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Unsendable(ValueError):  # noqa: N818 - it reads as what it is
    """An event that the server's schema cannot hold; the message tells why."""
