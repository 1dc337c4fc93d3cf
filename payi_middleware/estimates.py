"""Counting what was sent and received where the provider told no usage.

On the application's path a call gets rough counts by length, so that its record is whole whatever happens next. The
texts wait in memory, bounded, for the draining thread, which counts them with a tokenizer once its ranks are loaded.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from . import health
from .events import Units
from .providers.base import Endpoint
from .tokens import Tokens

__all__ = ["BY_LENGTH", "Estimates"]

BY_LENGTH = "counted by length"
"""How a call was counted whose texts nobody counted."""

MAX_WAITING = 32 << 20
"""Bytes of requests and answers that may wait to be counted."""


class _Waiting(NamedTuple):
    endpoint: Endpoint
    request: bytes
    answer: bytes
    streamed: bool
    model: str | None
    cut: int
    """Bytes left out of the answer's middle."""

    @property
    def size(self) -> int:
        return len(self.request) + len(self.answer)


class Estimates:
    """Counts, rough now and better later."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a call while this thread is in here
        self._waiting: dict[bytes, _Waiting] = {}
        self._bytes = 0
        self._tokens = Tokens()
        self._loading: threading.Thread | None = None

    def rough(self, request: bytes, answer: bytes, cut: int = 0) -> Units:
        """Counts by length: four bytes a token, and of a stream a token an event. The answer lacks `cut` bytes."""
        events = answer.count(b"data:")
        return {"text": (-(-len(request) // 4), _scaled(events or -(-len(answer) // 4), len(answer), cut))}

    def keep(
        self,
        call: bytes,
        endpoint: Endpoint,
        request: bytes,
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

    def counted(self, call: bytes) -> tuple[Units, str] | None:
        """(counts, how they were made) of a call whose texts wait here, else None. For the draining thread."""
        with self._lock:
            waiting = self._waiting.pop(call, None)
            if waiting is None:
                return None
            self._bytes -= waiting.size
        if not self._tokens.ready:
            self._load()
        assert waiting.endpoint.texts is not None
        try:
            texts = waiting.endpoint.texts(waiting.request, waiting.answer, waiting.streamed)
        except Exception:
            health.note("texts", "the texts of a call could not be told apart; it is counted by length", exc_info=True)
            return None
        units, how = self._tokens.count(texts, waiting.model)
        if waiting.cut:
            text_in, text_out = units["text"]
            units["text"] = (text_in, _scaled(text_out, len(waiting.answer), waiting.cut))
            how += ", the middle of the answer by its length"
        return units, how

    def _load(self) -> None:
        """Load the ranks in a thread of their own: a download that hangs must not hold the drainer."""
        if self._loading is None:
            self._loading = threading.Thread(target=self._tokens.load, name="payi-tokens", daemon=True)
            self._loading.start()
            self._loading.join(2)  # ranks on this disk are there by then


def _scaled(count: int, kept: int, cut: int) -> int:
    """A count over `kept` bytes as one over `kept + cut`, rounded up."""
    return -(-count * (kept + cut) // kept) if cut and kept else count
