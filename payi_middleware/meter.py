"""The running whole of a process: settings, rates, spool, the thread that drains it, and the sinks."""

from __future__ import annotations

import atexit
import datetime
import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from importlib import metadata
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import msgspec

from . import context, forks, frames, health
from .attributed import attributed
from .counting.estimates import Estimates
from .drainer import Drainer
from .exceptions import SettingsError
from .hosts import Hosts
from .label import label_of
from .limits.limits import Limits
from .limits.owed import Owed
from .once import Told
from .pricing import Prices, owners
from .pseudonyms import Pseudonyms
from .settings import Options, Settings, StoreOptions, load, shown_setting
from .spool import waiting_bytes
from .types import Sink
from .updates import Updates

if TYPE_CHECKING:
    from .beforehand import RequestEstimate
    from .manual.arguments import UnitsGiven, Who

__all__ = ["Meter", "default_meter", "existing_default", "forget_default", "meter_of_face", "meters"]

FORK_PATIENCE = 2.0
"""Seconds a fork waits for the draining threads to finish what they do: a database, copied half-way, never ends; see `forks`."""

_VERSIONED = (
    "payi-middleware",
    "genai-prices",
    "httpx",
    "httpx2",
    "aiohttp",
    "requests",
    "urllib3",
    "botocore",
    "starlette",
    "fastapi",
    "flask",
    "openai",
    "anthropic",
    "google-genai",
)


class Meter:
    """Settings and running parts, shared by all faces of a process. Making one opens no file, thread or socket.

    Args:
        store: Where events are kept: `sqlite:///payi.db` by default, or a `postgresql://` URL.
        sinks: Places events go instead of the store; for tests and extensions.
        settings: The other settings, see `Settings`. A keyword beats `PAYI_*` in the environment, that beats the default.

    Raises:
        SettingsError: A setting is unknown or malformed.
    """

    _captured: ClassVar[Sink | None] = None

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        sinks: Sequence[Sink] | None = None,
        **settings: Unpack[Options],
    ) -> None:
        self.settings = load({"store": store, **settings})
        self._placed = _placed(self.settings)
        self.application = self.settings.application
        self.disabled = self.settings.disabled
        """Whether every face is to be a no-op."""
        self.hosts = Hosts(self.settings.hosts)
        self._updates = Updates(self._placed.files_path, self.settings.update_prices)
        self._owners = owners(self.settings.prices)
        self.prices = Prices(self._owners, fetched=self._updates.snapshot)
        self.told = Told()
        key = self.settings.pseudonymize
        self.pseudonyms = Pseudonyms(key) if key else None
        self.carrier_key: bytes | None = None
        self.hooks: dict[str, str] = {}
        """What is hooked: library -> `seam`, `fallback` (less of it is seen), `waiting` (until the application imports it),
        `absent`, `unsupported` (the version has no seam) or `broken`."""
        self._given_sinks = sinks
        self.cold = True
        """Whether nothing was prepared in this process yet."""
        self._fresh()
        with _registry:
            _meters.add(self)

    def _fresh(self) -> None:
        """The parts that live and die with a process."""
        self._process = secrets.token_hex(8)
        self._started_ns = time.time_ns()
        self.cold = True
        self.estimates = Estimates()
        captured, label = Meter._captured, label_of(self._placed)
        given = self._given_sinks if captured is None else [captured]
        owed = Owed.of(self._placed, label) if given is None else None
        self.limits = Limits(self._placed, self.prices, self.estimates, in_memory=captured is not None, owed=owed)
        self.drainer = Drainer(
            self._placed,
            self.prices,
            self.estimates,
            self.limits,
            self._updates,
            sinks=given,
            folder=self._placed.spool_path if captured is None else None,
            label=label,
            report=self.health,
        )
        self.spool = self.drainer.spool
        self.flusher = self.drainer.flusher
        self.read_later = self.drainer.read_later
        self.do_later = self.drainer.do_later

    def estimate(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        provider: str = "openai",
        endpoint: str = "/v1/chat/completions",
        use_case: str | None = None,
    ) -> RequestEstimate:
        """What a request would cost, before it is sent: at least, likely and at most.

        Loads rates and tokenizers the first time (a second or more) and reads the store (milliseconds): in a coroutine,
        call it by `asyncio.to_thread`.

        Args:
            request: The body, as it would be sent.
            provider: A name as in the setting `hosts`.
            endpoint: The path, which for some providers names the model.
            use_case: Whose earlier calls tell what is likely; None for the use case that runs here, if one does.

        Raises:
            RequestError: The request is no JSON object, or nothing at the endpoint could be told beforehand.
        """
        from .beforehand import beforehand

        who = attributed(context.frame.get()).attribution
        name = use_case or who.use_case_name
        return beforehand(self.prices, self.estimates, self._placed, request, provider, endpoint, name, who)

    def record(
        self,
        category: str,
        resource: str | None,
        units: UnitsGiven,
        *,
        at: datetime.datetime | str | None = None,
        latency_ms: int = 0,
        http_status: int | None = None,
        provider_response_id: str | None = None,
        cost: Decimal | int | None = None,
        terms: Iterable[str] = (),
        **who: Unpack[Who],
    ) -> str:
        """Tell an event by hand: a call that no hook sees, another service's, one of last month. Does no I/O.

        It belongs to the running request or block, as a call would, counts into `current()`, and survives the process's death.

        Args:
            category: Pay-i's (`system.openai`), or a name of your own, to which the setting `prices` gives rates as a provider.
            resource: The model, or what else has a rate.
            units: Counts by unit: `{"text": (1200, 300)}`, `{"text": {"input": 1200, "output": 300}}`, `{"page": 3}` (input).
            at: When it began, which also tells the rates that hold; without a zone UTC. None for one that ends now.
            latency_ms: How long it took, milliseconds.
            http_status: The answer's status; from 400 on it failed.
            provider_response_id: With one, the same event of the same category is counted once, however often it is told.
            cost: USD, where somebody states the cost; else it comes from the units.
            terms: What else the rates depend on, `kind:value`: `region:eu`, `tier:batch`.
            who: For whom and what, laid over what runs as `track` does: `user_id`, `account_name`, `request_tags`,
                `request_properties`, `use_case_name`, `use_case_id`, `use_case_version`, `use_case_step`, `use_case_properties`,
                `limit_ids`, `limit_tags`, `price_as`, `resource_scope`.

        Returns:
            The event's id.

        Raises:
            EventError: A value cannot be; the message names the field and the cure.
            UseCaseError: The use case's name cannot be one.
            TypeError: A field has another name.
        """
        from .manual.arguments import told_of
        from .manual.recording import recorded

        told = told_of(
            category,
            resource,
            units,
            at=at,
            latency_ms=latency_ms,
            http_status=http_status,
            provider_response_id=provider_response_id,
            cost=cost,
            terms=terms,
            who=who,
        )
        return recorded(self, told)

    def flush(self, timeout: float | None = None) -> bool:
        """Deliver everything that ended so far.

        Args:
            timeout: Seconds; None for the setting `flush_timeout`.

        Returns:
            Whether the sinks have it; if not, it waits in the spool, and what only the server lacks in the store.
        """
        return self.drainer.flush(self.settings.flush_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush, end the thread and let go of all files. A later call opens them anew, and calls in flight keep theirs.

        Args:
            timeout: Seconds; None for the setting `flush_timeout`.

        Returns:
            Whether the sinks have everything; if not, it waits in the spool, and what only the server lacks in the store.
        """
        return self.drainer.close(self.settings.flush_timeout if timeout is None else timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm(self) -> None:
        """Load rates in the background, so that the first call finds them."""
        self.cold = False
        self.flusher.start()

    def activity_ended(self) -> None:
        """The outermost block of a script is over."""
        if self.settings.flush == "request":
            self.flush()
        elif not self.spool.durable:  # what only memory holds is delivered at once
            self.flusher.hurry()

    def health(self) -> dict[str, Any]:
        """What this process tells of itself, for `payi doctor`."""
        folder, delivery = self._placed.spool_path, self.drainer.delivery
        return {
            "host": os.uname().nodename if hasattr(os, "uname") else "",
            "pid": os.getpid(),
            "process": self._process,
            "started_ns": self._started_ns,
            "seen_ns": time.time_ns(),
            "application": self.application,
            "versions": _versions(),
            "hooks": dict(self.hooks),
            "hosts": dict(self.settings.hosts),
            "spool": {"dir": str(folder or ""), "bytes": waiting_bytes(folder), "durable": self.spool.durable},
            "prices": self.prices.version,
            "limits": self.limits.health(),
            "delivery": None if delivery is None else delivery.health(),
            "counters": health.counters(),
        }

    @classmethod
    @contextmanager
    def capturing(cls, sink: Sink) -> Iterator[None]:
        """Deliver the events of every meter to one sink, keeping nothing on disk, until the block ends. For tests."""
        for meter in meters():
            meter.close()
        Meter._captured = sink
        try:
            for meter in meters():
                meter._fresh()
            yield
        finally:
            Meter._captured = None
            for meter in meters():
                meter.close()
                meter._fresh()

    def after_fork(self) -> None:
        """In a forked child: files, thread and connections stayed with the parent."""
        self.spool.abandon()
        if not self.prices.ready:
            # The parent's thread may have been loading it.
            self.prices = Prices(self._owners, fetched=self._updates.snapshot)
        self._fresh()


def meters() -> list[Meter]:
    """Every meter of the process."""
    with _registry:
        return list(_meters)


def _placed(settings: Settings) -> Settings:
    """The settings with absolute paths, so that a later change of the working directory does not split the data."""
    store, spool, ledger = settings.store_path, settings.spool_path, settings.named_ledger_path
    try:
        return msgspec.structs.replace(
            settings,
            store=settings.store if store is None else f"sqlite:///{store.absolute()}",
            spool_dir=None if spool is None else str(spool.absolute()),
            ledger=settings.ledger if ledger is None else f"sqlite:///{ledger.absolute()}",
        )
    except OSError:  # the working directory is gone
        return settings


_versions_known: dict[str, str] | None = None


def _versions() -> dict[str, str]:
    global _versions_known
    if _versions_known is None:
        found: dict[str, str] = {}
        for name in _VERSIONED:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        _versions_known = found
    return _versions_known


_meters: weakref.WeakSet[Meter] = weakref.WeakSet()
_registry = threading.RLock()
"""Held while meters are added, counted or forked."""
_default: Meter | None = None
_default_lock = threading.Lock()


def default_meter(**settings: Unpack[StoreOptions]) -> Meter:
    """The process's own meter, made at first use.

    Raises:
        SettingsError: It exists with other settings; the message names them.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = Meter(**settings)
        else:
            cure = "give all faces the same settings, or make a Meter and hand it to each"
            _check_same(_default, "the default meter exists already with", cure, settings)
        return _default


def meter_of_face(meter: Meter | None, **settings: Unpack[StoreOptions]) -> Meter:
    """The meter that a face was given, or the process's own. Settings beside a meter can only be those that it has.

    Raises:
        SettingsError: A setting is unknown, malformed or another than the meter's, or `meter` is none.
    """
    if meter is None:
        return default_meter(**settings)
    checked(meter, "settings are given by keyword, as in store=...")
    if settings:
        _check_same(meter, "the meter has", "give them to the Meter", settings)
    return meter


def checked(meter: Meter, cure: str = "give one that Meter(...) made") -> Meter:
    """A meter that somebody gave.

    Raises:
        SettingsError: It is none; the message ends with the cure.
    """
    if not isinstance(meter, Meter):
        raise SettingsError(f"meter is no Meter but {type(meter).__name__}; {cure}")
    return meter


def existing_default() -> Meter | None:
    """The process's own meter, if there is one."""
    return _default


def forget_default() -> None:
    """Close the process's own meter; the next use makes another. For tests and reloads."""
    global _default
    with _default_lock:
        meter, _default = _default, None
    if meter is not None:
        meter.close()


def _check_same(meter: Meter, told: str, cure: str, settings: StoreOptions) -> None:
    given = {name: value for name, value in settings.items() if value is not None}
    wanted = load(given)
    differing = [
        f"{name} (is {_shown(meter.settings, name)}, not {_shown(wanted, name)})"
        for name in given
        if getattr(meter.settings, name) != getattr(wanted, name)
    ]
    if differing:
        raise SettingsError(f"{told} other settings: {'; '.join(sorted(differing))}; {cure}")


def _shown(settings: Settings, name: str) -> str:
    return shown_setting(name, getattr(settings, name))


def _at_exit() -> None:
    for meter in meters():
        try:
            meter.close()
        except Exception:
            health.note("exit", "the last events could not be delivered at exit; they wait in the spool", exc_info=True)


_held: list[Meter] = []
"""The meters of a fork under way."""


def _before_fork() -> None:
    """Nothing may be half done in the copy that the child gets: no record, no import, no transaction."""
    _registry.acquire()
    forks.hold(FORK_PATIENCE)  # before the spools: while we wait, calls go on
    for meter in list(_meters):
        _held.append(meter)
        meter.spool.lock.acquire()


def _after_fork_in_parent() -> None:
    for meter in _held:
        _let_go(meter.spool.lock)
    _held.clear()
    forks.release()
    _let_go(_registry)


def _let_go(lock: threading.RLock) -> None:
    """Python forks all the same where a signal's handler raised while we waited, so that a lock may not be ours."""
    try:
        lock.release()
    except RuntimeError:
        pass


def _after_fork_in_child() -> None:
    global _registry, _default_lock
    _registry, _default_lock = threading.RLock(), threading.Lock()
    health.reset()
    forks.reset()
    frames.after_fork()
    context.frame.set(None)  # it may live on and work for others: what it does is nobody's, rather than somebody else's
    for meter in list(_meters):  # not those held: there may have been no time for that
        meter.after_fork()
    _held.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
