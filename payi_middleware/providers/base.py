"""What every provider file gives, and nothing about any one of them.

A provider maps the path of a request to an `Endpoint`, and an endpoint reads the bytes of an answer. All of it is
pure: no sockets, files or clocks, and no exception for bad input; what cannot be read comes back as a `Reading` with
its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from ..body import WHOLE
from ..events import Part, Units, Unpriced
from .media import BY_LENGTH

__all__ = [
    "Asked",
    "Attached",
    "Endpoint",
    "Facts",
    "FindRoute",
    "First",
    "Headers",
    "Provider",
    "Reading",
    "Refine",
    "Route",
    "StreamReader",
    "Texts",
    "on_terms",
    "refined_by",
    "summed",
]


class Asked(NamedTuple):
    """What the request's body tells."""

    model: str | None = None
    streamed: bool = False


class First(NamedTuple):
    """Something that is charged once, with the first call that tells its id."""

    id: str
    part: Part


class Reading(NamedTuple):
    """What an answer tells."""

    model: str | None = None
    """The model that answered, as the provider names it; None where the answer does not say."""
    response_id: str | None = None
    units: Units | None = None
    """None where no usable usage was told; `reason` then says why."""
    complete: bool = True
    """Whether the provider's last event (or a whole JSON body) was seen."""
    service_tier: str | None = None
    """The tier as served, never as asked."""
    stated_ticks: int | None = None
    """The cost as the provider itself states it, in ticks of 10^-10 USD."""
    reason: str | None = None
    error_type: str | None = None
    """Set if the answer carries an error of the provider's (the type only, never its text)."""
    unpriced: tuple[Unpriced, ...] = ()
    """What was consumed and has no unit of ours."""
    estimated: bool = False
    """Whether a part of `units` was counted here, because the answer broke off before its last figures; without `units`,
    that text came before an error and is worth counting."""
    pending: bool = False
    """Whether the usage comes with a later answer, so that nothing of this one is to be counted."""
    terms: tuple[str, ...] = ()
    """What the rates depend on besides the tier, as `kind:value`; the kinds are told in `pricing/rows.py`."""
    parts: tuple[Part, ...] = ()
    """What each model consumed where several did; `units` is the sum of them (`summed`), and prices nothing."""
    once: str | None = None
    """Set if the provider tells this usage whenever it is asked: the id by which it is counted once."""
    untold: bool = False
    """Whether the exchange consumed nothing and is no event: a poll before the end."""
    firsts: tuple[First, ...] = ()
    """What is charged with the first call that tells its id, and not again: a container in which code runs."""

    @property
    def by_length(self) -> bool:
        """Whether a part of `units` was counted by the length of what was received, so that a tokenizer can do better."""
        return self.estimated and self.reason is not None and self.reason.endswith(BY_LENGTH)


def on_terms(reading: Reading, *terms: str) -> Reading:
    """A reading whose rates depend on more besides; `_replace` takes twice as long."""
    return tuple.__new__(Reading, (*reading[:_TERMS], (*reading.terms, *terms), *reading[_TERMS + 1 :]))


_TERMS: Final = Reading._fields.index("terms")


def summed(parts: Iterable[Part]) -> Units:
    """The units of all parts."""
    total: Units = {}
    for part in parts:
        for unit, (taken, made) in part.units.items():
            before = total.get(unit, (0, 0))
            total[unit] = (before[0] + taken, before[1] + made)
    return total


class Headers(Protocol):
    """The headers of an answer; names are looked up in lower case."""

    def get(self, name: str, /) -> str | None:
        """The value of a header, or None."""
        ...


class Facts(NamedTuple):
    """What is known of an exchange besides the answer's body."""

    host: str
    """Without the port, in lower case."""
    path: str
    """Without the query; never to be kept."""
    request: bytes | None
    """The request's body; None where it is a stream. Of a form, its fields as a JSON object (see `forms.py`)."""
    asked: Asked
    headers: Headers
    answer: bytes
    """The answer's body, or the head of it."""
    streamed: bool


Refine: TypeAlias = Callable[[Reading, Facts], Reading]
"""Completes a reading by what the body does not tell."""


class Attached(NamedTuple):
    """A picture, sound or document that came with a request, as far as its first bytes tell."""

    kind: str
    width: int = 0
    height: int = 0
    detail: str | None = None
    """The resolution that was asked for; None for the model's default."""
    milliseconds: int = 0
    pages: int = 0


class Texts(NamedTuple):
    """The texts of an exchange, for counting tokens where no usage was told. Held in memory only, never stored."""

    prompt: list[str]
    answer: list[str]
    messages: int = 0
    ids: int = 0
    """Tokens of the prompt that were sent as numbers."""
    uncounted: tuple[Unpriced, ...] = ()
    """What no tokenizer counts, and whose size is not known."""
    attached: tuple[Attached, ...] = ()
    """What no tokenizer counts, and a formula may."""
    tools: tuple[Any, ...] = ()
    """The definitions of tools, as they were sent."""
    schema: Any = None
    """The schema that the answer is to have."""
    calls: int = 0
    """Calls of tools in the answer."""
    called: int = 0
    """Calls of tools in the prompt, which tells of earlier ones."""
    signed: int = 0
    """Characters of earlier thoughts that the prompt hands back, sealed, with calls of tools (Gemini)."""
    is_chat: bool = False
    """Whether the endpoint is OpenAI's chat completions."""


class StreamReader(Protocol):
    """Reads a stream: all of it, or its head and tail and the number of bytes left out between them."""

    def __call__(self, head: bytes, tail: bytes = b"", cut: int = 0, /) -> Reading:
        """What the stream tells."""
        ...


class Endpoint(msgspec.Struct, frozen=True, eq=False):
    """One kind of call of a provider's API."""

    template: str
    """The path's template, for example `/v1/chat/completions`."""
    ask: Callable[[bytes], Asked]
    """Reads a request's body."""
    read: Callable[[bytes], Reading]
    """Reads a whole body that is not a stream."""
    read_cut: Callable[[bytes, bytes], Reading]
    """Reads a JSON body of which only the head and the tail were kept, because it was too large."""
    read_stream: StreamReader
    """Reads a stream."""
    texts: Callable[[bytes, bytes, bool], Texts] | None = None
    """(request body, answer, streamed) -> the texts to count; None where an estimate makes no sense."""
    refine: Refine | None = None
    """Completes what was read of a successful answer by what its body does not tell: the request, the host, headers."""
    repeats: bool = False
    """Whether `once`, `untold` and `firsts` of what is read are to be looked at; an endpoint with a `refine` needs no word."""
    refine_firsts: Refine | None = None
    """Completes a reading that has `firsts`, and no other, by what the body does not tell: what the request offered."""
    whole: int = WHOLE
    """Bytes of an answer that are kept whole: more where every line counts (the results of a batch, which are not read
    on the application's path if they are long)."""
    lines: bool = False
    """Whether an answer is results, one a line, that can be asked for again: one that broke off is counted when it is read
    whole."""


def refined_by(endpoint: Endpoint, refine: Refine) -> Endpoint:
    """An endpoint whose readings are refined once more, behind its own refinement."""
    own = endpoint.refine
    if own is None:
        return replace(endpoint, refine=refine)
    return replace(endpoint, refine=lambda reading, facts: refine(own(reading, facts), facts))


class Route(NamedTuple):
    """Where a request goes."""

    endpoint: Endpoint
    model: str | None = None
    """The model, where the path names it."""
    provider: Provider | None = None
    """The provider, where the path and not the host decides it (a router in front of several makers)."""


FindRoute: TypeAlias = Callable[[str, str], Route | None]
"""(method, path without the query) -> the route, or None where the call consumes nothing."""


class Provider(msgspec.Struct, frozen=True, eq=False):
    """One provider's API."""

    id: str
    """The id of genai-prices, for example `openai`."""
    category: str
    """Pay-i's category, for example `system.openai`."""
    find_route: FindRoute
    routes: dict[tuple[str, str], Route | None] = {}

    def route(self, method: str, path: str) -> Route | None:
        """The same as `find_route`, remembered."""
        key = (method, path)
        try:
            return self.routes[key]
        except KeyError:
            found = self.find_route(method, path)
            if len(self.routes) < 4096:  # paths can carry ids, without end
                self.routes[key] = found
            return found

    def __repr__(self) -> str:
        return f"Provider({self.id!r})"  # without its routes, which are many
