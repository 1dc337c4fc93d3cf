"""Doing something as soon as a module has been imported, without importing it.

A finder stands before all others and asks them for the modules that are waited for; the loader that they give runs the
module, then what waits for it. For any other module it costs one look-up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from . import health

__all__ = ["forget", "is_incomplete", "look", "when_imported"]

_waiting: dict[str, Callable[[], None]] = {}


class _Finder:
    """What `sys.meta_path` asks first."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module that is waited for, with a loader that tells when it is there; None for any other."""
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is _Finder or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                try:
                    _tell(spec)
                except Exception:
                    health.note("hook_import", "%s is loaded in a way that cannot be followed", name, exc_info=True)
                return spec
        return None


class _Told:
    """In place of a loader that is a class, as compiled and frozen applications have: it takes no method for one module alone."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, put its own loader back, and tell."""
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _imported(spec.name)


def _tell(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    if not hasattr(loader, "exec_module"):  # a namespace
        return
    if isinstance(loader, type):
        spec.loader = _Told(loader)  # type: ignore[assignment]
        return
    known: dict[str, Any] = vars(loader)
    original, patched = loader.exec_module, known.get("exec_module")

    def exec_module(module: ModuleType) -> None:
        if module.__spec__ is not spec:  # a loader may be there for many modules
            original(module)
            return
        if patched is None:
            del loader.exec_module
        else:
            loader.exec_module = patched
        original(module)
        _imported(spec.name)

    loader.exec_module = exec_module


def _imported(name: str) -> None:
    ready = _waiting.pop(name, None)
    if ready is not None:
        try:
            ready()
        except Exception:
            health.note("hook_import", "%s was imported, but cannot be hooked", name, exc_info=True)


def when_imported(name: str, ready: Callable[[], None]) -> None:
    """Have `ready` called once when a module has been imported; whoever asks last for a module is told."""
    _waiting[name] = ready
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def look() -> None:
    """Tell of modules that are there and were missed: whose import had begun, in another thread, before they were waited for."""
    for name in list(_waiting):
        module = sys.modules.get(name)
        if module is not None and not is_incomplete(module):
            _imported(name)


def is_incomplete(module: ModuleType) -> bool:
    """Whether a module is being imported."""
    return getattr(module.__spec__, "_initializing", False) is True


def forget() -> None:
    """Wait for nothing any more."""
    _waiting.clear()
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)
