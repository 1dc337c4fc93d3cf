"""One server's HTTP interface: requests out, answers in, and nothing of it seen by the application's own hook."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .. import context, forks
from ..frames import Activity
from .remote_errors import KeyRefused, Unreachable

if TYPE_CHECKING:
    import httpx2

__all__ = ["Answer", "Api", "check", "unseen"]

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 20.0
"""Between two parts of an answer, at most."""
ANSWER_SECONDS = 60.0
"""For an answer in all, however it trickles."""
KEY_PAUSE = 60.0
"""Seconds between two tries where only people can help."""
_LARGEST = 8 << 20  # bytes of an answer

_LATER = frozenset((408, 409, 425, 429))


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body decoded; None if it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class _Unseen:
    """What the hook takes for a meter in our own thread: our traffic is nobody's call, whatever `hosts` says."""

    disabled = True

    class hosts:  # noqa: N801 - it stands where a meter has a value
        """Knows no host."""

        @staticmethod
        def find(url: Any) -> None:
            """No provider."""


class Api:
    """A server under a URL. Opens nothing before the first request; one thread at a time may use it.

    Args:
        base_url: Where it is, without a slash at the end.
        key: For the header `xProxy-api-key`.
    """

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._headers = {"xProxy-api-key": key, "Accept": "application/json", "User-Agent": _agent()}
        self._client: httpx2.Client | None = None
        self._ahead_ns = 0
        self.deadline: float | None = None
        """Monotonic seconds after which no answer is waited for; None for the usual patience."""

    @property
    def clock_ns(self) -> int:
        """The server's time by its last answer, nanoseconds since the epoch."""
        return time.time_ns() + self._ahead_ns

    def prepare(self) -> None:
        """Load and make what a request needs, all of it: a fork must not find an import half done."""
        with forks.loading():
            import encodings.idna  # noqa: F401 - sockets look names up by it

            self._opened()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request and read the answer.

        Args:
            method: As in HTTP.
            path: Below the base URL, percent-encoded.
            body: JSON, or JSON lines.
            headers: More of them, with underscores for hyphens.

        Raises:
            Unreachable: There is no answer, or one that says "later".
        """
        with forks.loading():
            import httpx2

        frame = context.frame.set(Activity(unseen))
        try:
            more = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = self._answer(method, path, body, self._headers | more)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            self.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        finally:
            context.frame.reset(frame)
        return answer

    def _answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        import httpx2

        patience = ANSWER_SECONDS if self.deadline is None else self.deadline - time.monotonic()
        if patience <= 0:
            raise Unreachable("there is no time left to wait for it")
        deadline = time.monotonic() + patience
        timeout = httpx2.Timeout(min(SILENCE_SECONDS, patience), connect=min(CONNECT_SECONDS, patience))
        client = self._opened()
        with client.stream(method, self._base_url + path, content=body, headers=headers, timeout=timeout) as response:
            read = bytearray()
            for part in response.iter_bytes():
                read += part
                if len(read) > _LARGEST or time.monotonic() > deadline:
                    raise ValueError("the answer does not end")
            if response.status_code in _LATER or response.status_code >= 500:
                status = response.status_code
                raise Unreachable(f"it answers {status}", _asked(response.headers), status=status)
            self._ahead_ns = _ahead_ns(response.headers)
            return Answer(response.status_code, bytes(read))

    def _opened(self) -> httpx2.Client:
        if self._client is None:
            import httpx2

            self._client = httpx2.Client(follow_redirects=False)  # the key goes nowhere else
        return self._client

    def close(self) -> None:
        """Close the connections; the next request opens others."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


unseen: Any = _Unseen()
"""The meter of traffic of our own."""


def check(answer: Answer, what: str) -> None:
    """Raise what an answer means that has nothing to do with what was sent.

    Raises:
        KeyRefused, Unreachable: As they say; people have to help.
    """
    if answer.status in (401, 403):
        raise KeyRefused(f"the key is refused ({answer.status})", pause=KEY_PAUSE)
    if answer.status in (404, 405, 410) or 300 <= answer.status < 400:
        raise Unreachable(f"{what} answers {answer.status}: base_url is not where the API is", pause=KEY_PAUSE)


def _asked(headers: Any) -> float:
    """Seconds of `Retry-After` (a number or a date), or of `retry-after-ms`, as Pay-i's own client reads them."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    told = headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _ahead_ns(headers: Any) -> int:
    """How far the server's clock is ahead of ours; 0 where it does not tell, or within the second that it tells to."""
    try:
        ahead = int(parsedate_to_datetime(headers["date"]).timestamp()) * 10**9 - time.time_ns()
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0
    return ahead if abs(ahead) > 2 * 10**9 else 0


def _agent() -> str:
    try:
        return f"payi-middleware/{version('payi-middleware')}"
    except PackageNotFoundError:
        return "payi-middleware"
