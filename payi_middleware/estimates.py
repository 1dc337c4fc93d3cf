"""Counting what was sent and received where the provider told no usage.

On the application's path a call gets rough counts by length, so that its record is whole whatever happens next. The
texts wait in memory, bounded, for the draining thread, which counts them with a tokenizer once its ranks are loaded.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from . import health
from .events import Units, Unpriced
from .providers import media
from .providers.base import Endpoint
from .providers.media import NOT_COUNTED
from .tokens import Tokens

__all__ = ["BY_LENGTH", "NOT_COUNTED", "Estimates"]

BY_LENGTH = "counted by length"
"""How a call was counted whose texts nobody counted."""

MAX_WAITING = 32 << 20
"""Bytes of requests and answers that may wait to be counted."""

MAX_COUNTED = 4 << 20
"""Bytes of one exchange, without what is encoded in it, that are counted by a tokenizer: more would hold the drainer."""

PATIENCE = 2.0
"""Seconds that the draining thread waits, once, for the ranks of tokenizers: ranks on this disk are there by then."""

_UNREAD = (Unpriced("input", 1, f"{NOT_COUNTED}: the request's body is a stream"),)


class _Waiting(NamedTuple):
    endpoint: Endpoint
    request: bytes | None
    answer: bytes
    streamed: bool
    model: str | None
    cut: int
    """Bytes left out of the answer's middle."""

    @property
    def size(self) -> int:
        return len(self.request or b"") + len(self.answer)


class Estimates:
    """Counts, rough now and better later."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a call while this thread is in here
        self._waiting: dict[bytes, _Waiting] = {}
        self._bytes = 0
        self._tokens = Tokens()
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
    ) -> None:
        """Hold the texts of a call for the draining thread; the oldest make room, and keep their rough counts."""
        waiting = _Waiting(endpoint, request, answer, streamed, model, cut)
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

    def counted(self, call: bytes) -> tuple[Units, str, tuple[Unpriced, ...]] | None:
        """(counts, how they were made, what they leave out) of a call whose texts wait here, else None.

        For the draining thread.
        """
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

    def _count(self, waiting: _Waiting) -> tuple[Units, str, tuple[Unpriced, ...]]:
        request, answer, cut = waiting.request, waiting.answer, waiting.cut
        if media.plain_size(request or b"") + media.plain_size(answer) > MAX_COUNTED:
            how = f"{BY_LENGTH}, as its texts are over {MAX_COUNTED >> 20} MB"
            return self.rough(request, answer, cut), how, self.uncounted(request)
        if not self._tokens.ready:
            self._load()
        assert waiting.endpoint.texts is not None
        texts = waiting.endpoint.texts(request or b"", answer, waiting.streamed)
        units, how = self._tokens.count(texts, waiting.model)
        if cut:
            text_in, text_out = units["text"]
            units["text"] = (text_in, _scaled(text_out, len(answer), cut))
            how += ", the middle of the answer by its length"
        if request is None:
            return units, f"{how}, the request not at all", _UNREAD + texts.uncounted
        return units, how, texts.uncounted

    def _load(self) -> None:
        """Load the ranks in a thread of their own: a download that hangs must not hold the drainer."""
        if self._loading is None:
            self._loading = threading.Thread(target=self._tokens.load, name="payi-tokens", daemon=True)
            self._loading.start()
            self._loading.join(self._patience)


def _scaled(count: int, kept: int, cut: int) -> int:
    """A count over `kept` bytes as one over `kept + cut`, rounded up."""
    return -(-count * (kept + cut) // kept) if cut and kept else count
