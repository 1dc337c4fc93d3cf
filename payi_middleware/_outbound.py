"""What all outbound faces do: find out whether a request goes to a provider, begin its call, know whose exchange it is.

Nothing here knows an HTTP library. A face brings what it read off a request in its own library's shapes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from . import attempts, context, health
from .call import Call, owner
from .exchange import Exchange
from .frames import Frame
from .headers import PREFIX
from .meter import Meter, default_meter, existing_default
from .opening import open_call
from .providers.base import Provider
from .unpacking import encoding_of, is_json, unpacked

if TYPE_CHECKING:
    from .limits.answer import Refused
    from .metering import Metering

__all__ = [
    "HOOK",
    "RETRY",
    "Hook",
    "Place",
    "Seen",
    "begin",
    "body_of",
    "find",
    "find_at",
    "is_owned",
    "meter_of",
    "path_of",
    "place_of",
    "redirected",
    "refused",
    "refused_async",
    "sent",
    "take_own",
]

RETRY = "x-stainless-retry-count"


class Hook:
    """What is patched, and for which meter."""

    def __init__(self) -> None:
        self.active = False
        """Whether what is patched has anything to do: somebody may have patched over it, so that it stays."""
        self.meter: Meter | None = None
        """`instrument`'s; a bound request's or block's comes first, the default one last."""

    def meter_for(self, frame: Frame | None) -> Metering:
        """The meter of a call made in a frame."""
        if frame is not None and frame.meter is not None:
            return frame.meter
        return self.meter if self.meter is not None else default_meter()


HOOK = Hook()


def meter_of(frame: Frame | None) -> Metering | None:
    """The meter of calls in a frame, if there is one yet."""
    its = None if frame is None else frame.activity.meter
    return its or HOOK.meter or existing_default()


class Place(NamedTuple):
    """Where a request goes, for libraries whose URLs are text."""

    scheme: str
    host: str
    port: int | None


class Seen(NamedTuple):
    """A request as a face sees it, before it is sent."""

    method: str
    path: str
    """Without the query, and as it reads: percent-encoding undone."""
    body: bytes | None
    """As `body_of` tells it."""
    headers: Any
    """By `get`, whatever the case of the name."""
    host: str
    own: dict[str, str] | None = None
    """xProxy headers, taken off."""
    hop: tuple[bytes, int] | None = None
    """`call_group` and `attempt` of the call whose answer redirected to this one."""


def find(place: Any) -> tuple[Metering, Provider] | None:
    """Who meters a request to a place (anything with `host`, `port` and `scheme`), and which provider is there.

    None where nobody is to know of it. Never raises.
    """
    try:
        meter = HOOK.meter_for(context.frame.get())
        provider = meter.hosts.find(place)
        return None if provider is None or meter.disabled else (meter, provider)
    except Exception:
        health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
        return None


def find_at(url: Any) -> tuple[Metering, Provider] | None:
    """The same for a URL, whatever an application has for one."""
    try:
        place = place_of(url)
    except Exception:
        health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
        return None
    return find(place)


def place_of(url: str) -> Place:
    """The place of a URL; one without a host has an empty one."""
    end = url.find("/", 8)  # behind the scheme
    return _place(url if end < 0 else url[:end])


@lru_cache(maxsize=1024)
def _place(origin: str) -> Place:
    try:
        parts = urlsplit(origin)
        return Place(parts.scheme, parts.hostname or "", parts.port)
    except ValueError:  # the library says so in its own words
        return Place("", "", None)


def path_of(target: str) -> str:
    """The path of a URL or of a request's target, without the query."""
    target = target.partition("?")[0]
    if "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return unquote(target) if "%" in target else target


def body_of(body: Any, headers: Any) -> bytes | None:
    """A request's body, if it is in memory; None where it is a stream that only the library may read, or cannot be unpacked.

    Of a form its fields, as JSON.
    """
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if not isinstance(body, bytes | bytearray | memoryview):
        return None
    content = bytes(body)
    if is_json(content):
        return content
    plain = unpacked(content, encoding_of(headers))
    if plain is None:
        return None
    from .forms import as_json  # most requests are JSON

    return as_json(plain)


def take_own(headers: Any) -> dict[str, str]:
    """The xProxy headers of an SDK's call, taken off.

    One that AWS's signature covers stays: without it the provider would refuse the request.
    """
    own: dict[str, str] = {}
    authorization = ""
    for name, value in headers.items():
        lower = _text(name).lower()
        if lower.startswith(PREFIX):
            own[lower] = _text(value)
        elif lower == "authorization":
            authorization = _text(value)
    if own:
        signed = _signed(authorization)
        for name in {name for name in headers if _text(name).lower() in own.keys() - signed}:
            del headers[name]
        if signed & own.keys():
            health.note("own_header_signed", "an xProxy header is part of a request's signature, and goes out with it")
    return own


def _signed(authorization: str) -> set[str]:
    """The names of the headers that a signature of AWS covers."""
    _, told, names = authorization.partition("SignedHeaders=")
    return set(names.partition(",")[0].strip().split(";")) if told and authorization.startswith("AWS4-") else set()


def _text(value: Any) -> str:
    """What is bytes goes out as it is, so that it says what httpx, too, reads in it."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def is_owned(provider: Provider, method: str, path: str, body: bytes | None) -> bool:
    """Whether an outer face has this exchange: then it is none of the inner one's business, headers included."""
    outer = owner.get()
    return outer is not None and outer.is_sending(method, path, body, provider)


def begin(meter: Metering, provider: Provider, seen: Seen) -> Call | None:
    """The call of a request; None if it consumes nothing. Never raises."""
    try:
        route = provider.route(seen.method, seen.path)
        if route is None:
            return None
        retry = None if attempts.last.get() is None else seen.headers.get(RETRY)
        exchange = Exchange(seen.method, seen.path, seen.body, seen.own, retry, seen.hop, seen.host)
        return open_call(meter, provider, route, exchange)
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None


def refused(call: Call) -> Refused | None:
    """The answer in place of the provider's, where a limit refuses the call; waits for the ledger. Never raises."""
    hold = call.hold
    if hold is None:
        return None
    refused = hold.admit(call)
    if refused is None:
        call.goes_out()
    return refused


async def refused_async(call: Call) -> Refused | None:
    """The same without holding the event loop. Raises nothing but the caller's own cancellation."""
    hold = call.hold
    if hold is None:
        return None
    refused = await hold.admit_async(call)
    if refused is None:
        call.goes_out()
    return refused


def sent(token: Any) -> None:
    """The head of the answer is there, or an error: the face's call is no outer one any more.

    The face says so to its call itself, as the first thing: an exception from a signal's handler may come here too, and who
    leaves a call `sending` takes all later ones for that. `token` is None if one came before it was had.
    """
    try:
        owner.reset(token)
    except (ValueError, TypeError):
        pass


def redirected(call: Call) -> None:
    """Another request of this context follows the answer: what asks the same again belongs to the same call."""
    call.remember(call.attempt - 1)
