"""Counting what was sent and received where the provider told no usage.

On the application's path a call gets rough counts by length, so that its record is whole whatever happens next. The
texts wait in memory, bounded, for the draining thread, which counts them with a tokenizer once its ranks are loaded.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

from .. import health
from ..events import Units, Unpriced
from ..providers import media
from ..providers.base import Endpoint, Texts
from ..providers.families import cached_from, family_of
from ..providers.media import BY_LENGTH, NOT_COUNTED
from .learned import ENOUGH, Learned
from .tokens import Counted, Tokens

__all__ = ["BY_LENGTH", "IF_CACHED", "IF_WRITTEN", "NOT_COUNTED", "Estimates"]

MAX_WAITING = 32 << 20
"""Bytes of requests and answers that may wait to be counted."""

MAX_COUNTED = 4 << 20
"""Bytes of one exchange, without what is encoded in it, that are counted by a tokenizer: more would hold the drainer."""

MAX_LEARNED = 64 << 10
"""Bytes of one exchange, at most, that is learned from."""
MAX_LESSONS = 256
"""Exchanges of one model that are looked at; most teach nothing where pictures or hosted tools are the rule."""
_WAITING_LESSONS = 16
_AT_ONCE = 4
_SETTLED = 4096

PATIENCE = 2.0
"""Seconds that the draining thread waits, once, for the ranks of tokenizers: ranks on this disk are there by then."""

_UNREAD = (Unpriced("input", 1, f"{NOT_COUNTED}: the request's body is a stream, or packed"),)
_HIDDEN = "; reasoning that was not shown is not counted"
IF_CACHED = "; less if the prompt was cached"
"""Ends the reason of a count whose prompt may have been cached, which only usage tells; what that saves, the rates tell."""
IF_WRITTEN = "; less or more if the prompt was cached"
"""The same where the request asks for it: then the prompt may have been written to the cache, which costs more."""
_ASKS_FOR_CACHE = (b'"cache_control"', b'"cachePoint"')
_SELDOM = 3
"""Times the median error, which nearly no estimate of a recorded stream that was cut exceeded what was billed by."""
_INPUT = ("text", "text_cache_read", "text_cache_write", "text_cache_write_1h")
"""The units of a prompt's words."""


class _Waiting(NamedTuple):
    endpoint: Endpoint
    request: bytes | None
    answer: bytes
    streamed: bool
    model: str | None
    cut: int
    """Bytes left out of the answer's middle."""
    told: Units | None = None
    """What the provider told before the answer broke off: all of the input, and the output by its length."""

    @property
    def size(self) -> int:
        return len(self.request or b"") + len(self.answer)


class Estimates:
    """Counts, rough now and better later."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a call while this thread is in here
        self._waiting: dict[bytes, _Waiting] = {}
        self._bytes = 0
        self._lessons: list[_Waiting] = []
        self._tokens = Tokens()
        self._learned = Learned()
        self._looked_at: dict[str, int] = {}
        self.settled: set[str | None] = {None}
        """Models of which nothing more is to be learned."""
        self._patience = patience
        self._loading: threading.Thread | None = None

    def rough(self, request: bytes | None, answer: bytes, cut: int = 0) -> Units:
        """Counts by length: four bytes a token, and of a stream a token an event. The answer lacks `cut` bytes."""
        sent = 0 if request is None else media.plain_size(request)
        made = answer.count(b"data:") or -(-media.plain_size(answer) // 4)
        return {"text": (-(-sent // 4), _scaled(made, len(answer), cut))}

    def uncounted(self, request: bytes | None) -> tuple[Unpriced, ...]:
        """What the rough counts of a request leave out."""
        return _UNREAD if request is None else media.parts(request)

    def keep(
        self,
        call: bytes,
        endpoint: Endpoint,
        request: bytes | None,
        answer: bytes,
        streamed: bool,
        model: str | None,
        cut: int = 0,
        told: Units | None = None,
    ) -> None:
        """Hold the texts of a call for the draining thread; the oldest make room, and keep their rough counts."""
        waiting = _Waiting(endpoint, request, answer, streamed, model, cut, told)
        if waiting.size > MAX_WAITING:
            health.count("estimate_rough")
            return
        with self._lock:
            self._waiting[call] = waiting
            self._bytes += waiting.size
            while self._bytes > MAX_WAITING:
                oldest = self._waiting.pop(next(iter(self._waiting)))
                self._bytes -= oldest.size
                health.count("estimate_rough")

    def learn(
        self, endpoint: Endpoint, request: bytes | None, answer: bytes, streamed: bool, model: str, told: Units
    ) -> None:
        """Hold a call that told its usage, to be learned from; for models that are not `settled`, whole answers alone."""
        if family_of(model).error == 0 or endpoint.texts is None:
            self._settle(model)
        elif (
            request is not None and len(request) + len(answer) <= MAX_LEARNED and len(self._lessons) < _WAITING_LESSONS
        ):
            self._lessons.append(_Waiting(endpoint, request, answer, streamed, model, 0, told))

    def study(self) -> None:
        """Learn from a few of the calls that wait for it. For the draining thread."""
        for _ in range(min(len(self._lessons), _AT_ONCE)):
            lesson = self._lessons.pop()
            try:
                self._study(lesson)
            except Exception:
                health.note("lesson", "a call could not be learned from", exc_info=True)
                self._settle(lesson.model)

    def _study(self, lesson: _Waiting) -> None:
        endpoint, model, told = lesson.endpoint, lesson.model, lesson.told
        if endpoint.texts is None or model is None or told is None:
            return
        if len(self._looked_at) >= _SETTLED:
            self._looked_at.clear()
        self._looked_at[model] = looked_at = self._looked_at.get(model, 0) + 1
        if looked_at >= MAX_LESSONS:
            self._settle(model)
        texts = endpoint.texts(lesson.request or b"", lesson.answer, lesson.streamed)
        if texts.attached or texts.uncounted or texts.ids:
            return
        counted = self._tokens.count(texts, model)
        hidden = "reasoning" in told or not texts.answer
        made = 0 if hidden else told.get("text", (0, 0))[1]
        if self._learned.add(model, counted, sum(told.get(unit, (0, 0))[0] for unit in _INPUT), made) >= ENOUGH:
            self._settle(model)

    def _settle(self, model: str | None) -> None:
        if len(self.settled) >= _SETTLED:
            self.settled = {None}
        self.settled.add(model)
        if model is not None:
            self._looked_at.pop(model, None)

    def counted(self, call: bytes) -> tuple[Units, str, tuple[Unpriced, ...]] | None:
        """(counts, how they were made, what they leave out) of a call whose texts wait here, else None.

        For the draining thread.
        """
        if not self._waiting:  # what is looked for was put there before its record was written
            return None
        with self._lock:
            waiting = self._waiting.pop(call, None)
            if waiting is None:
                return None
            self._bytes -= waiting.size
        try:
            return self._count(waiting)
        except Exception:
            health.note("texts", "the texts of a call could not be told apart; it is counted by length", exc_info=True)
            return None

    def exactly(self, endpoint: Endpoint, request: bytes, model: str | None) -> Units | None:
        """Counts of a request where they are exact and nothing is left out; None else, and while no tokenizer is loaded."""
        if endpoint.texts is None or not self._tokens.ready or family_of(model).error:
            return None
        units, how, uncounted = self.of_request(endpoint, request, model)
        return None if uncounted or BY_LENGTH in how else units

    def of_request(
        self, endpoint: Endpoint, request: bytes, model: str | None
    ) -> tuple[Units, str, tuple[Unpriced, ...]]:
        """(counts, how they were made, what they leave out) of a request that was not sent."""
        return self._count(_Waiting(endpoint, request, b"", False, model, 0))

    def _count(self, waiting: _Waiting) -> tuple[Units, str, tuple[Unpriced, ...]]:
        request, answer, cut, told = waiting.request, waiting.answer, waiting.cut, waiting.told
        if media.plain_size(request or b"") + media.plain_size(answer) > MAX_COUNTED:
            how = f"{BY_LENGTH}, as its texts are over {MAX_COUNTED >> 20} MB"
            return told or self.rough(request, answer, cut), how, self.uncounted(request)
        if not self._tokens.ready:
            self._load()
        assert waiting.endpoint.texts is not None
        texts = waiting.endpoint.texts(request or b"", answer, waiting.streamed)
        counted, how = self._corrected(self._tokens.count(texts, waiting.model), waiting.model)
        made = counted.answer
        if cut:
            made = _scaled(made, len(answer), cut)
            how += ", the middle of the answer by its length"
        if answer and family_of(waiting.model).hides and "embed" not in (waiting.model or ""):
            how += _HIDDEN
        if told is not None:
            return _broken_off(told, made), how, ()
        units, uncounted = _attached(texts, counted, made, waiting.model)
        if request is None:
            return units, f"{how}, the request not at all", _UNREAD + uncounted
        if answer and _may_be_cached(request, counted.prompt, waiting.model):
            how += IF_CACHED if cached_from(waiting.model) else IF_WRITTEN
        return units, how, uncounted

    def _corrected(self, counted: Counted, model: str | None) -> tuple[Counted, str]:
        """The counts as the owner's own calls correct them, and how they came to be, with their error."""
        learned = None if family_of(model).error == 0 else self._learned.of(model, counted.mode)
        how, error, most = counted.how, counted.error, counted.error * _SELDOM
        if learned is not None:
            prompt, answer = -(-counted.prompt * learned.prompt // 1), -(-counted.answer * learned.answer // 1)
            counted = counted._replace(prompt=prompt, answer=answer)
            how = f"{how}, as {learned.calls} calls of the model taught"
            error, most = learned.error, max(most, learned.most)
        if learned is None and not error:
            return counted, how
        return counted, f"{how}, error {f'about {error}' if error else 'under 1'} %, seldom over {most} %"

    def _load(self) -> None:
        """Load the ranks in a thread of their own: a download that hangs must not hold the drainer."""
        if self._loading is None:
            loading = threading.Thread(target=self._load_ranks, name="payi-tokens", daemon=True)
            try:
                loading.start()
            except RuntimeError:  # the process has too many, or ends: from 3.12 on it may start none then
                return
            self._loading = loading
            loading.join(self._patience)

    def _load_ranks(self) -> None:
        self._tokens.load()
        self.settled = {None}  # what was learned by length is not what is learned by ranks


def _may_be_cached(request: bytes, prompt: int, model: str | None) -> bool:
    """Whether a prompt of so many tokens may have been served from a cache."""
    least = cached_from(model)
    return prompt >= least if least else any(word in request for word in _ASKS_FOR_CACHE)


def _attached(texts: Texts, counted: Counted, made: int, model: str | None) -> tuple[Units, tuple[Unpriced, ...]]:
    """The units of words, pictures and sounds, and what is in none of them."""
    units: Units = {"text": (counted.prompt, made)}
    from ..providers.attached import attached_tokens

    without = Counter({(entry.unit, entry.reason): entry.quantity for entry in texts.uncounted})
    for thing in texts.attached:
        tokens = attached_tokens(thing, model)
        if tokens is None:
            without[thing.kind, NOT_COUNTED] += 1
            continue
        unit, count = tokens
        sent, received = units.get(unit, (0, 0))
        units[unit] = (sent + count, received)
    return units, tuple(Unpriced(unit, n, reason) for (unit, reason), n in without.items())


def _broken_off(told: Units, made: int) -> Units:
    """What the provider told, the text that was received counted anew: the input is whole, other outputs are their own."""
    units = dict(told)
    text_in, text_out = units.get("text", (0, 0))
    others = sum(out for unit, (_, out) in units.items() if unit not in ("text", "web_search_request"))
    units["text"] = (text_in, max(made - others, 0) if made else text_out)
    return units


def _scaled(count: int, kept: int, cut: int) -> int:
    """A count over `kept` bytes as one over `kept + cut`, rounded up."""
    return -(-count * (kept + cut) // kept) if cut and kept else count
