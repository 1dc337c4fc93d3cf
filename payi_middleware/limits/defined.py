"""Which limits an application has, as one process knows them: those of its code, and what the ledger has, read anew each second.

An application without limits pays for one look at a clock a call. Where limits could be is looked at about once a second, by
a call, so that no thread has to: the file of a ledger that is not there by asking for the file, another ledger in the background;
a call that comes after a pause waits for that.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

import msgspec

from .. import health
from ..events import format_id
from ..exceptions import LedgerError, LimitError
from ..record import new_id
from ..settings import Settings
from .errands import Errands
from .known import NOTHING, Known, known_of
from .ledger import LEASE_SECONDS, Definitions, Ledger
from .limit import Definition, Limit, differences
from .reach import Reach

__all__ = ["FOREVER", "Defined"]

FRESH: Final = 10**9
"""Nanoseconds for which definitions are taken as they were read."""
STALE: Final = 2 * 10**9
"""From this age a call waits until they are read anew: before, they are read while it goes on."""
FOREVER: Final = 1 << 62
_OPENING: Final = 10.0
"""Seconds that the first calls of a process wait."""


class Defined(Reach):
    """See the module. Making one opens nothing.

    Args:
        settings: With absolute paths.
        in_memory: Whether nothing may be kept on disk.
        learn: Done once there is a first limit, before a call is held for it; may take a second.
        renew: Done in each third of a lease; whether there was anything to do.
    """

    def __init__(
        self, settings: Settings, *, in_memory: bool, learn: Callable[[], None], renew: Callable[[], bool]
    ) -> None:
        super().__init__(settings, in_memory=in_memory)
        self.application = settings.application
        self._code: tuple[Limit, ...] = settings.limits
        self._file_name = "" if self._file is None else str(self._file)
        self._learn = learn
        self._has_learned = False
        self._errands = Errands(LEASE_SECONDS / 3, renew)
        self._lock = threading.Lock()
        """Of `_loading`."""
        self._reading = threading.Lock()
        """Held while the ledger is opened and read."""
        self._loading: Future[Known] | None = None
        self._last = NOTHING
        self._said: Known | None = None
        """What the code says, until the ledger was read."""
        self._read_at = -FOREVER
        self._is_synchronised = False
        self.wakes = FOREVER if settings.disabled or not self._could_be() else 0
        """`perf_counter_ns` from which a call has to look at limits."""

    def _could_be(self) -> bool:
        """Whether there can be limits at all: a store in memory has none but those of the code."""
        return bool(self._code or self._settings.ledger) or not (self._in_memory or self._settings.in_memory)

    @property
    def _is_wanted(self) -> bool:
        """Whether there are limits, as far as anybody can tell: then a call rather waits than be made without."""
        return bool(self._code or self._settings.ledger or self._file is not None or self._last.definitions.limits)

    @property
    def was_read(self) -> bool:
        """Whether the definitions were ever read."""
        return self._read_at != -FOREVER

    @property
    def is_looked_at(self) -> bool:
        """Whether calls look at limits, and there is anything to look at."""
        return self.wakes != FOREVER and self._is_there()

    def _is_there(self) -> bool:
        """Whether there is anything to read: no ledger is made beside a store before there is a first limit."""
        if self._ledger is not None or bool(self._code) or not self._file_name:
            return True
        return os.access(self._file_name, os.F_OK)  # each batch of events asks, and a `Path` takes four functions to

    # What calls ask:

    def known(self) -> Known | Future[Known]:
        """The definitions; a future where they have to be read first."""
        now = time.perf_counter_ns()
        age = now - self._read_at
        if age < FRESH:
            return self._last
        if not self._is_there():
            self._read_at, self._last, self.wakes = now, NOTHING, now + FRESH
            return NOTHING
        if self.is_away:
            return self.last()
        loading = self.changed()
        if isinstance(loading, Future) and self.was_read and (age < STALE or not self._is_wanted):
            return self._last
        return loading

    def changed(self) -> Known | Future[Known]:
        """The definitions, read anew."""
        ledger = self._ledger
        if ledger is not None and not ledger.waits and self._has_learned and not self._reading.locked():
            return self._read()  # in memory, where nothing is waited for
        with self._lock:
            if self._loading is None or self._loading.done():
                self._loading = self._errands.do(self._read)
            return self._loading

    def last(self) -> Known:
        """The definitions as they were read last; if they never were, what the code says."""
        if self._last.definitions.limits or not self._code or self._is_synchronised:
            return self._last
        if self._said is None:
            self._said = known_of(Definitions(-1, tuple([self._definition(limit) for limit in self._code])))
        return self._said

    @property
    def opening(self) -> float:
        """Seconds that a call waits for definitions: the first ones of a process also for rates and connections."""
        return self.patience if self.was_read or not self._is_wanted else max(self.patience, _OPENING)

    # For threads of ours that may wait, though not for a ledger that hangs: none of them reads itself.

    def prepare(self) -> None:
        """Open and read what there is, so that the first call need not wait. Never raises."""
        if self.wakes == 0 and self._ledger is None and self._is_there():
            self._read_soon()

    def now_known(self) -> Known:
        """The definitions as they are now; while the ledger is away, as they were last. Never raises."""
        if time.perf_counter_ns() - self._read_at < FRESH:
            return self._last
        return self.last() if self.is_away else self._read_soon()

    def _read_soon(self) -> Known:
        """The definitions, read anew; as they were last, if the ledger does not answer in time."""
        try:
            loading = self.changed()
            return loading.result(self._waits_at_most) if isinstance(loading, Future) else loading
        except Exception as error:
            self.went_away(error)
            return self.last()

    @property
    def _waits_at_most(self) -> float:
        """Seconds: the first time, when it is also opened, some more."""
        is_first = not self.was_read and self._away_since is None
        return max(self.patience, _OPENING) if is_first else self.patience

    def known_to(self, application: str) -> Known:
        """The limits of another application in the same ledger.

        Raises:
            LedgerError: They cannot be read.
        """
        reading = self._errands.do(lambda: known_of(self._opened().definitions(application)))
        seconds = self._waits_at_most
        try:
            return reading.result(seconds)
        except TimeoutError:
            raise LedgerError(f"the ledger has not answered in {seconds} seconds") from None

    # Reading, in our own thread:

    def _read(self) -> Known:
        """Open the ledger, keep the limits of the code in it, and read all.

        Raises:
            LedgerError: It cannot be opened or read.
        """
        with self._reading_alone(self.opening):
            ledger = self._opened()
            self._errands.every = ledger.lease_seconds / 3
            if not self._is_synchronised:
                self._synchronise(ledger)
            definitions = ledger.definitions(self.application)
            # Before what takes long, which not every call waits for to its end: limits hold whether it does or not.
            if definitions != self._last.definitions:
                self._last = known_of(definitions)
            self._is_synchronised = True
            self.ledger_id = ledger.id  # which may have to be read, too
            if definitions.limits and not self._has_learned:
                self._has_learned = True
                self._learn()
            now = time.perf_counter_ns()
            self._read_at = now
            # With limits every call is looked at; without, one a second.
            self.wakes = 0 if definitions.limits else now + FRESH
            self._came_back()
            return self._last

    @contextmanager
    def _reading_alone(self, seconds: float) -> Iterator[None]:
        """Nobody else opens, reads or closes the ledger meanwhile.

        Raises:
            LedgerError: Somebody does for longer than so many seconds.
        """
        if not self._reading.acquire(timeout=seconds):
            raise LedgerError("the ledger does not answer whoever reads it")
        try:
            yield
        finally:
            self._reading.release()

    def _forget_read(self) -> None:
        """The ledger is closed: the next call reads anew."""
        self._read_at = -FOREVER
        self.wakes = 0 if self.wakes != FOREVER else FOREVER

    # The limits of the code:

    def _synchronise(self, ledger: Ledger) -> None:
        """Have the limits of the code in the ledger: made if missing; what was changed in the code wins, if it is managed."""
        if not self._code:
            return
        stored = {one.limit.name: one for one in ledger.definitions(self.application).limits}
        for limit in self._code:
            try:
                self._keep(ledger, limit, stored.get(limit.name))
            except LimitError as error:  # another process was quicker
                health.log.info("limit %r is kept as it is: %s", limit.name, error)

    def _keep(self, ledger: Ledger, limit: Limit, known: Definition | None) -> None:
        """What a command changed stays where the code still says what it said last."""
        if known is None:
            ledger.define(self._definition(limit, ledger.now_ns()))
        elif limit.managed and (known.source != "code" or known.code != limit):
            now = msgspec.structs.replace(known, limit=limit, source="code", code=limit, updated_ns=ledger.now_ns())
            if told := _differences(known, now):
                health.log.info("limit %r of %r is as the code says now: %s", limit.name, self.application, told)
            ledger.define(now)

    def _definition(self, limit: Limit, now_ns: int = 0) -> Definition:
        return Definition(
            limit_id=format_id(new_id(now_ns or time.time_ns())),
            application=self.application,
            limit=limit,
            source="code",
            code=limit,
            created_ns=now_ns,
            updated_ns=now_ns,
        )


def _differences(old: Definition, new: Definition) -> str:
    told = differences(old.limit, new.limit)
    if old.attaches != new.attaches:
        told.append("applies to: calls that name it -> every call")
    return ", ".join(told)
