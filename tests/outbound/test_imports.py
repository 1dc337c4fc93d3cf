"""Libraries that are hooked when the application imports them, and only then."""

from __future__ import annotations

import importlib
import sys
import textwrap
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import children
import pytest
import requests
import urllib3
from botocore.endpoint import Endpoint
from exchanges import Watched

from payi_middleware import _imports, health, instrument, instrumentation, uninstrument

SEAMS: list[tuple[Any, str]] = [
    (aiohttp.BaseConnector, "connect"),
    (requests.Session, "get_adapter"),
    (urllib3.HTTPConnectionPool, "urlopen"),
    (Endpoint, "_send"),
    (Endpoint, "create_request"),
]

PREPARED = """
import sys
from payi_middleware import Meter, instrument, uninstrument, instrumentation, health
names = ["aiohttp", "requests", "urllib3", "botocore"]
def states(): return [meter.hooks[name] for name in names]
before = set(sys.modules)
meter = Meter("sqlite:///:memory:", sinks=[])
instrument(meter)
"""


def told(code: str) -> str:
    """What a process of its own prints: this one has imported everything."""
    done = children.run(PREPARED + textwrap.dedent(code), flags=("-W", "error"))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_put_in_and_put_back(unhooked: Watched) -> None:
    """Each method is patched once, and is what it was when the hook is gone."""
    before = [owner.__dict__[name] for owner, name in SEAMS]
    for _ in range(2):
        instrument(unhooked.meter)
    once = [owner.__dict__[name] for owner, name in SEAMS]
    assert not [ours for ours, theirs in zip(once, before, strict=True) if ours is theirs]
    assert {unhooked.meter.hooks[name] for name in instrumentation.FACES} == {"seam"}
    uninstrument()
    assert [owner.__dict__[name] for owner, name in SEAMS] == before


@pytest.mark.parametrize(("owner", "name"), SEAMS)
def test_somebody_patched_over_us(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, unhooked: Watched) -> None:
    """Theirs stays."""
    instrument(unhooked.meter)
    ours = owner.__dict__[name]
    monkeypatch.setattr(owner, name, lambda *args, **options: ours(*args, **options))
    theirs = owner.__dict__[name]
    uninstrument()
    assert owner.__dict__[name] is theirs


def test_nothing_is_imported_that_the_application_has_not() -> None:
    """What is installed waits; it is hooked with its import, whatever of it is imported first, and told to the meter."""
    code = """
        assert not set(names) & (set(sys.modules) - before), set(sys.modules) - before
        print(*states())
        import requests.adapters
        import aiohttp.client
        print(*states())
        import botocore
        print(*states())
        import botocore.session
        print(*states())
        from botocore.endpoint import Endpoint
        print(Endpoint._send.__module__, requests.Session.get_adapter.__module__, aiohttp.BaseConnector.connect.__module__)
    """
    assert told(code).splitlines() == [
        "waiting waiting waiting waiting",
        "seam seam seam waiting",
        "seam seam seam waiting",
        "seam seam seam seam",
        "payi_middleware.botocore payi_middleware.requests payi_middleware.aiohttp",
    ]


def test_clients_that_are_imported_later() -> None:
    """No more do we import httpx or httpx2 for an application that has the other one, or neither; and its first call is seen."""
    code = """
        from payi_middleware import PayiTransport, current, track
        both = ["httpx2", "httpx"]
        print(*(meter.hooks[name] for name in both), *({"httpx2", "httpx"} & set(sys.modules)))
        try:
            PayiTransport(object(), meter)
        except TypeError:
            print(*({"httpx2", "httpx"} & set(sys.modules)))
        import httpx2
        print(*(meter.hooks[name] for name in both), "httpx" in sys.modules)
        def answer(request):
            usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
            return httpx2.Response(200, json={"model": "gpt-4o-mini", "choices": [], "usage": usage})
        client = httpx2.Client(transport=httpx2.MockTransport(answer))
        with track(user_id="jane", meter=meter):
            client.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-4o-mini", "messages": []})
            print(current().calls)
        import httpx
        print(*(meter.hooks[name] for name in both), httpx.AsyncClient._transport_for_url.__module__)
    """
    assert told(code).splitlines() == [
        "waiting waiting",
        "",
        "seam waiting False",
        "1",
        "seam seam payi_middleware._transport",
    ]


def test_a_library_that_is_not_installed() -> None:
    """It is absent, and the application's own import of it fails as ever."""
    code = """
        uninstrument()
        sys.modules["aiohttp"] = None
        instrument(meter)
        print(*states())
        try:
            import aiohttp
        except ModuleNotFoundError:
            print("none")
    """
    assert told(code) == "absent waiting waiting waiting\nnone"


def test_undone_before_the_import() -> None:
    """Then nothing is hooked, and nothing is left in the way of imports."""
    code = """
        uninstrument()
        import requests
        print(requests.Session.get_adapter.__module__, [finder for finder in sys.meta_path if "payi" in str(finder)])
    """
    assert told(code) == "requests.sessions []"


def test_a_library_that_cannot_be_hooked() -> None:
    """Its import goes well; it is reported, and the others are hooked."""
    code = """
        sys.modules["payi_middleware.requests"] = None
        import requests
        print(*states(), health.counters()["hook_import"])
    """
    assert told(code) == "waiting broken seam waiting 1"


def test_an_import_in_many_threads() -> None:
    """Whoever imports and instruments at the same time, it is hooked once and nobody waits for ever."""
    code = """
        import threading
        barrier = threading.Barrier(8)
        def work(n):
            barrier.wait()
            if n % 2:
                import requests, aiohttp, botocore.endpoint
            else:
                instrument(meter)
        threads = [threading.Thread(target=work, args=[n]) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        instrument(meter)
        print(*states(), health.counters())
        uninstrument()
        import requests
        print(requests.Session.get_adapter.__module__)
    """
    assert told(code) == "seam seam seam seam {}\nrequests.sessions"


def test_a_forked_child_hooks_what_it_imports() -> None:
    """What waits in the parent waits in the child."""
    code = """
        import os
        pid = os.fork()
        if pid == 0:
            import requests
            print(requests.Session.get_adapter.__module__, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(*states())
    """
    assert told(code) == "payi_middleware.requests\nwaiting waiting waiting waiting"


def test_a_face_that_is_imported_before_its_library() -> None:
    """Whoever walks through our package imports the library with it: that is hooked as soon as our thread looks."""
    code = """
        import payi_middleware.httpx
        print(meter.hooks["httpx"], health.counters())
        meter.drainer.look_around()
        import httpx
        print(meter.hooks["httpx"], httpx.Client._transport_for_url.__module__)
    """
    assert told(code) == "waiting {}\nseam payi_middleware._transport"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a module that can be imported until the test ends, with the finder away afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def module(name: str, source: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield module
    _imports.forget()
    for name in made:
        sys.modules.pop(name, None)


def test_told_once_and_when_it_is_whole(module: Any) -> None:
    """What waits is called when the module has run, once."""
    seen: list[Any] = []
    name = module("payi_waited", "value = 1")
    _imports.when_imported(name, lambda: seen.append(sys.modules[name].value))
    importlib.import_module(name)
    importlib.reload(sys.modules[name])
    assert seen == [1]


def test_an_import_that_fails_is_waited_for_again(module: Any) -> None:
    """The error is the application's; the next attempt counts."""
    seen: list[str] = []
    name = module("payi_failing", "raise ValueError('not yet')")
    _imports.when_imported(name, lambda: seen.append(name))
    with pytest.raises(ValueError, match="not yet"):
        importlib.import_module(name)
    module(name, "value = 2  # longer than before")
    importlib.import_module(name)
    assert seen == [name]


def test_a_fault_of_what_waits_is_ours(module: Any) -> None:
    """The import goes well, and the fault is counted."""
    name = module("payi_faulty")

    def fault() -> None:
        raise RuntimeError("ours")

    _imports.when_imported(name, fault)
    assert importlib.import_module(name).__name__ == name
    assert health.counters()["hook_import"] == 1


def test_beside_other_finders(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finders of others, with loaders that serve many modules, that are classes, or that have no say, go on as before."""
    ran: list[str] = []

    class Loader:
        def create_module(self, spec: Any) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            ran.append(module.__name__)

    shared = Loader()

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name.startswith("payi_shared"):
                return importlib.machinery.ModuleSpec(name, shared)
            if name == "payi_class":
                return importlib.machinery.ModuleSpec(name, importlib.machinery.FrozenImporter)
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    seen: list[str] = []
    for name in ("payi_shared_1", "payi_class", "payi_nowhere"):
        _imports.when_imported(name, lambda: seen.append("it"))
    spec = importlib.util.find_spec("payi_shared_1")  # only looked for
    assert spec is not None
    importlib.import_module("payi_shared_2")
    importlib.import_module("payi_shared_1")
    shared.exec_module(ModuleType("another"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("payi_nowhere")
    with pytest.raises(ImportError):
        importlib.import_module("payi_class")
    assert (ran, seen) == (["payi_shared_2", "payi_shared_1", "another"], ["it"])
    for name in ("payi_shared_1", "payi_shared_2"):
        del sys.modules[name]


def test_a_loader_that_is_a_class(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compiled and frozen applications have: the import is told, and the loader is the module's own afterwards."""

    class Loader:
        NAME = "theirs"

        @staticmethod
        def create_module(spec: Any) -> None:
            return None

        @staticmethod
        def exec_module(module: Any) -> None:
            module.loaded_by = module.__spec__.loader.NAME

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            return importlib.machinery.ModuleSpec(name, Loader) if name == "payi_frozen" else None  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    seen: list[str] = []
    _imports.when_imported("payi_frozen", lambda: seen.append(sys.modules["payi_frozen"].loaded_by))
    looked_for = importlib.util.find_spec("payi_frozen")
    assert looked_for is not None
    assert looked_for.loader.NAME == "theirs"  # type: ignore[union-attr]
    frozen = importlib.import_module("payi_frozen")
    assert (seen, frozen.__loader__, frozen.__spec__.loader) == (["theirs"], Loader, Loader)
    del sys.modules["payi_frozen"]


def test_what_was_missed_is_found(module: Any) -> None:
    """An import that had begun before it was waited for; one that is not over is left alone."""
    seen: list[str] = []
    name = module("payi_missed", "import payi_middleware._imports as imports; imports.look()")
    importlib.import_module(name)
    del sys.modules[name]
    _imports.when_imported(name, lambda: seen.append(name))
    sys.meta_path.remove(_imports._Finder)
    importlib.import_module(name)
    assert seen == []
    _imports.look()
    _imports.look()
    assert seen == [name]


def test_a_loader_that_takes_no_attributes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it cannot be followed, which is told; the import goes well."""

    class Fixed:
        __slots__ = ()

        def create_module(self, spec: Any) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            pass

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            return importlib.machinery.ModuleSpec(name, Fixed()) if name == "payi_fixed" else None  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    _imports.when_imported("payi_fixed", lambda: None)
    importlib.import_module("payi_fixed")
    assert health.counters()["hook_import"] == 1
    del sys.modules["payi_fixed"]


def test_another_module_costs_one_look_up(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other finder is asked by us for what nobody waits for."""
    asked: list[str] = []
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, *a, **k: asked.append(name))
    _imports.when_imported("payi_waited_for", lambda: None)
    assert _imports._Finder.find_spec("payi_other") is None
    assert asked == []
    monkeypatch.setattr(sys, "meta_path", [object(), _imports._Finder])  # one of the kind that Python asked of old
    assert _imports._Finder.find_spec("payi_waited_for") is None
