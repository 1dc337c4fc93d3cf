"""Hooking the outbound HTTP libraries, and undoing it; or one client alone, without any patch."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from . import _imports, health
from . import threads as _threads
from ._outbound import HOOK
from ._patches import Patches
from ._transport import InnerWrapper, SyncWrapper, wrapped_for_url
from .meter import Meter, checked, default_meter

__all__ = ["PayiTransport", "hooked", "instrument", "uninstrument"]

SEAM = "_transport_for_url"
CLIENTS = ("httpx2", "httpx")
"""Faces whose library has clients with that method."""
FACES = {
    "httpx2": "httpx2",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "requests": "requests",
    "urllib3": "urllib3",
    "botocore": "botocore.endpoint",
}
"""All faces, and the module that is there when the application has imported its library: none is imported for it."""

T = TypeVar("T")

_patches = Patches()

_done: dict[str, str] = {}
"""What was done to each library: every meter's `hooks`, as the libraries are the process's."""


def instrument(meter: Meter | None = None, *, threads: bool = True) -> None:
    """See every call to a GenAI provider that goes through httpx, httpx2, aiohttp, requests, urllib3 or botocore.

    Clients made before are seen too. A library that the application has not imported is hooked when it does.

    The middleware calls this; scripts and workers call it themselves. A second call does nothing but to set the meter.

    Args:
        meter: For calls outside of a bound request or a `track` block with a meter; None for the process's own.
        threads: Carry the running request into threads and executors.

    Raises:
        SettingsError: `meter` is none.
    """
    meter = (HOOK.meter or default_meter()) if meter is None else checked(meter)
    if meter.disabled:
        return
    HOOK.meter = meter
    HOOK.active = True
    meter.hooks = _done
    for name in FACES:
        _hook(name)
    if threads:
        _threads.patch()


def uninstrument() -> None:
    """Undo `instrument`: what is ours is put back; what others patched over does nothing any more."""
    HOOK.meter = None
    HOOK.active = False
    _imports.forget()
    _patches.undo()
    _threads.unpatch()


def hooked() -> bool:
    """Whether calls are seen now without a `PayiTransport`."""
    return HOOK.active


def _hook(name: str) -> None:
    """Hook a library that is imported, or have it hooked when it is."""
    if not _is_installed(name):
        _done[name] = "absent"
        return
    if FACES[name] not in sys.modules:
        _done[name] = "waiting"
        _wait_for(name)
        if FACES[name] not in sys.modules:  # else another thread began meanwhile; whom this misses, `look` finds
            return
    _done[name] = _hook_now(name)


def _wait_for(name: str) -> None:
    _imports.when_imported(FACES[name], lambda: _hook_imported(name))


def _hook_imported(name: str) -> None:
    if HOOK.active:
        _done[name] = _hook_now(
            name
        )  # no lock: an import of ours may do this, for which a fork waits that has them all


def _hook_now(name: str) -> str:
    try:
        import_module(FACES[name])  # another thread may be at it: first its lock, then the face's, whoever asks
        face = import_module(f".{name}", __package__)
        if _imports.is_incomplete(face):  # somebody imports our face, and that its library: then later
            _wait_for(name)
            return "waiting"
        done: str = _hook_clients(name, face) if name in CLIENTS else face.hook(_patches)
    except Exception:
        health.note("hook_import", "%s is installed but cannot be hooked; its calls are not seen", name, exc_info=True)
        return "broken"
    return done


def _hook_clients(name: str, face: ModuleType) -> str:
    if SEAM not in face.CLIENT.__dict__ or SEAM not in face.ASYNC_CLIENT.__dict__:
        return _fall_back(name, face)
    _put_seam(face.CLIENT, face.Seam)
    _put_seam(face.ASYNC_CLIENT, face.AsyncSeam)
    return "seam"


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a stand-in without a spec, in somebody's tests
        return False


def _put_seam(owner: type[Any], wrapper: type[SyncWrapper]) -> None:
    _patches.put(owner, SEAM, lambda original: wrapped_for_url(original, wrapper))


def _fall_back(name: str, face: ModuleType) -> str:
    """The seam is gone in this version: hook the standard transports, which misses custom ones."""
    health.note("hook_fallback", "%s has no %s in this version; only its own transports are seen", name, SEAM)
    library = import_module(name)
    _put_handling(library.HTTPTransport, "handle_request", face.Transport)
    _put_handling(library.AsyncHTTPTransport, "handle_async_request", face.AsyncTransport)
    return "fallback"


def _put_handling(owner: type[Any], method: str, wrapper: type[InnerWrapper]) -> None:
    _patches.put(owner, method, lambda original: _handling(original, method, wrapper))


def _handling(original: Any, method: str, wrapper: type[InnerWrapper]) -> Any:
    class Inner:
        """The original method as the transport to send by."""

        def __init__(self, transport: Any) -> None:
            self.transport = transport

        def handle_request(self, request: Any) -> Any:
            return original(self.transport, request)

        async def handle_async_request(self, request: Any) -> Any:
            return await original(self.transport, request)

    def handle(self: Any, request: Any) -> Any:
        if not HOOK.active:
            return original(self, request)
        return getattr(wrapper(Inner(self), None), method)(request)

    return handle


def PayiTransport(inner: T, meter: Meter | None = None) -> T:  # noqa: N802  # a transport to its user
    """One client's transport with our hook around it; nothing is patched.

    Put inside a transport that retries, it sees attempt by attempt.

    Args:
        inner: The transport that sends, of httpx or httpx2, sync or async.
        meter: The meter; None for the running request's, `instrument`'s or the default one.

    Raises:
        SettingsError: `meter` is none.
        TypeError: `inner` is a transport of neither library.
    """
    if meter is not None:
        checked(meter)
    for name in CLIENTS:
        if sys.modules.get(name) is None or not _is_installed(name):  # what nobody imported, nobody has a transport of
            continue
        library = import_module(name)
        face = import_module(f".{name}", __package__)
        is_sync = isinstance(inner, library.BaseTransport)
        if isinstance(inner, library.AsyncBaseTransport):
            wrapper = face.DualTransport if is_sync else face.AsyncTransport
            return wrapper(inner, meter)  # type: ignore[no-any-return]
        if is_sync:
            return face.Transport(inner, meter)  # type: ignore[no-any-return]
    raise TypeError(f"{type(inner).__name__} is no transport of httpx or httpx2")
