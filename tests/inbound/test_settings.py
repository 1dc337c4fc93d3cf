"""Settings: who wins, and what is said of wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from asking import Asking, browser, ids
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import (
    Limit,
    Meter,
    PayiMiddleware,
    PayiTransport,
    SettingsError,
    current,
    health,
    instrument,
    track,
    use_case,
)
from payi_middleware.demo.standin import StandIn
from payi_middleware.flask import Payi
from payi_middleware.instrumentation import hooked
from payi_middleware.meter import default_meter, existing_default, forget_default
from payi_middleware.settings import Options, Settings, StoreOptions, load
from payi_middleware.wsgi import PayiWSGIMiddleware


async def _told_later(alert: object) -> None: ...


class _ToldLater:
    async def __call__(self, alert: object) -> None: ...


EXAMPLES: dict[str, tuple[str, Any, Any]] = {
    "store": ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db", "sqlite:///b.db"),
    "application": ("one", "one", "two"),
    "hosts": ("a.test=openai, b.test:80=azure", {"a.test": "openai", "b.test:80": "azure"}, {"c.test": "anthropic"}),
    "trusted_hosts": ("10.0.0.0/8, unix", ("10.0.0.0/8", "unix"), ("127.0.0.1",)),
    "spool_dir": ("/tmp/spool", "/tmp/spool", "other"),
    "spool_bytes": ("2000000", 2_000_000, 3_000_000),
    "flush": ("request", "request", "background"),
    "flush_timeout": ("1.5", 1.5, 2.0),
    "flush_interval": ("0.5", 0.5, 1.0),
    "prices": ("rates.toml", "rates.toml", {"mapping": [{"model": "ours", "price_as": "gpt-4o"}]}),
    "update_prices": ("86400", 86400.0, 3600.0),
    "carrier_key": ("secret", "secret", "other"),
    "include_usage": ("1", True, False),
    "limits": ('[{"name": "a", "max": 10, "per": "user"}]', (Limit("a", 10, per="user"),), (Limit("b", 2),)),
    "ledger": ("valkey://cache:6379/1", "valkey://cache:6379/1", "memory://"),
    "ledger_timeout": ("0.5", 0.5, 2.0),
    "hold_ceiling": ("1000", 1000, 8192),
    "limit_responses": ("0", False, True),
    "on_alert": ("shop.alerts:tell", "shop.alerts:tell", print),
    "alert_webhooks": ("https://a.test/1, https://b.test", ("https://a.test/1", "https://b.test"), ("http://c.test",)),
    "alert_key": ("whsec_1", "whsec_1", "other"),
    "alert_networks": ("10.0.0.0/8,fd00::/8", ("10.0.0.0/8", "fd00::/8"), ("127.0.0.1",)),
    "api_key": ("payi_1\n", "payi_1", "payi_2"),
    "base_url": ("https://a.test:8600/x/", "https://a.test:8600/x", "http://b.test"),
    "create_resources": ("true", True, False),
    "pseudonymize": ("a key of some length", "a key of some length", "another key, as long"),
    "disabled": ("1", True, False),
}
"""As the environment spells it, what that means, and a keyword."""


def test_every_setting_has_an_example() -> None:
    """The table above, the settings and their types for checkers name the same."""
    assert EXAMPLES.keys() == set(Settings.__struct_fields__)
    assert StoreOptions.__annotations__.keys() | Options.__annotations__.keys() == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_precedence(name: str) -> None:
    """A keyword beats the environment, the environment beats the default; a keyword of None is none, nor is empty text."""
    text, meant, keyword = EXAMPLES[name]
    environment = {f"PAYI_{name.upper()}": text}

    assert getattr(load({name: keyword}, environment), name) == keyword
    assert getattr(load({name: None}, environment), name) == meant
    assert getattr(load({}, environment), name) == meant
    assert getattr(load({}, {f"PAYI_{name.upper()}": ""}), name) == getattr(Settings(), name)
    assert getattr(load({}, {}), name) == getattr(Settings(), name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sotre": "x"}, "unknown setting 'sotre'; valid settings are: store, application, hosts"),
        ({"store": "mysql://me:pw@db"}, "setting store='mysql://me@db' is not a store; use sqlite:///payi.db"),
        ({"store": "payi.db"}, "use sqlite:///payi.db (relative), sqlite:////var/lib/payi.db (absolute)"),
        ({"store": 7}, "setting store=7 is not valid"),
        ({"store": "sqlite:///"}, "setting store='sqlite:///' is not valid: it names no file; use sqlite:///payi.db"),
        ({"store": "sqlite:///p.db?mode=ro"}, "a SQLite file has no options here; use sqlite:///p.db"),
        ({"store": "sqlite:///~/p.db"}, f"~ is not expanded in a URL; use sqlite:///{Path.home()}/p.db"),
        ({"ledger": "sqlite:///?x"}, "setting ledger='sqlite:///?x' is not valid: a SQLite file has no options here"),
        ({"application": " "}, "setting application=' ' is not valid: a name of 1 to 256 characters, such as 'web'"),
        ({"application": "a" * 257}, "setting application='aaaaaaaaaaaaaaaaaaaa...' is not valid"),
        ({"application": "a\nb"}, r"setting application='a\nb' is not valid"),
        ({"trusted_hosts": ("localhost",)}, "'localhost' is no address or network; use for example '127.0.0.1'"),
        ({"trusted_hosts": ("10.0.0.0/33",)}, "'10.0.0.0/33' is no address or network"),
        ({"trusted_hosts": 7}, "setting trusted_hosts=7 is not valid: addresses, networks and 'unix'"),
        ({"on_alert": "print"}, "setting on_alert is not valid: a function that takes a LimitAlert"),
        ({"on_alert": _told_later}, "setting on_alert is an async function, which nobody would await"),
        ({"on_alert": _ToldLater()}, "setting on_alert is an async function, which nobody would await"),
        (
            {"alert_webhooks": "hooks.example"},
            "setting alert_webhooks is not valid: URLs such as https://hooks.example/payi",
        ),
        ({"alert_webhooks": 7}, "setting alert_webhooks=7 is not valid: URLs"),
        ({"alert_networks": "inside"}, "'inside' is no network; use for example '10.0.0.0/8'"),
        ({"flush": "sometimes"}, "setting flush='sometimes' is not valid: use 'background' or 'request'"),
        ({"flush_timeout": 0}, "setting flush_timeout=0.0 is not valid: seconds, above 0 and at most 86400"),
        ({"flush_timeout": float("inf")}, "setting flush_timeout=inf is not valid"),
        ({"flush_interval": float("nan")}, "setting flush_interval=nan is not valid"),
        ({"flush_interval": "soon"}, "setting flush_interval='soon' is not valid: a number of seconds"),
        ({"spool_bytes": 1000}, "setting spool_bytes=1000 is not valid: at least 1048576 (1 MiB)"),
        ({"spool_bytes": "1 GB"}, "setting spool_bytes='1 GB' is not valid: a whole number of bytes"),
        ({"hosts": ["a.test"]}, "setting hosts=['a.test'] is not valid: a mapping of host or host:port"),
        ({"prices": 7}, "setting prices=7 is not valid: the path of a TOML file, or a mapping of what is in one"),
        ({"update_prices": 1}, "setting update_prices=1.0 is not valid: seconds, at least 60, or 0 for none"),
        ({"update_prices": "daily"}, "setting update_prices='daily' is not valid: a number of seconds, or 0 for none"),
        ({"disabled": "perhaps"}, "setting disabled='perhaps' is not valid: use 1 or 0, true or false"),
        ({"api_key": "two words"}, "setting api_key is not valid: letters, digits and signs of ASCII, without spaces"),
        ({"api_key": "schlüssel"}, "setting api_key is not valid"),
        ({"api_key": 7}, "setting api_key=<secret> is not valid: text"),
        ({"carrier_key": b"key"}, "setting carrier_key=<secret> is not valid: text"),
        ({"base_url": "api.pay-i.com"}, "setting base_url is not valid: use http:// or https:// with a host"),
        ({"base_url": "ftp://a.test"}, "setting base_url is not valid"),
        ({"base_url": "https://a.test:port"}, "setting base_url is not valid"),
        ({"base_url": "https://me:secret@a.test"}, "no user, query or fragment"),
        ({"base_url": "https://a.test/?key=secret"}, "no user, query or fragment"),
        ({"ledger": "mysql://db"}, "setting ledger='mysql://db' is not a ledger; use sqlite:///..., postgresql://..."),
        ({"ledger": "mysql://me:secret@db"}, "setting ledger='mysql://me@db' is not a ledger"),
        (
            {"ledger": "redis+sentinel://me:secret@one:26379,two:26379/mymaster"},
            "names sentinels, which are not asked; name the primary by an address that follows it, such as valkey://host:6379/0",
        ),
        ({"ledger": 7}, "setting ledger=7 is not a ledger"),
        ({"ledger_timeout": 0}, "setting ledger_timeout=0.0 is not valid: seconds, above 0 and at most 60"),
        ({"ledger_timeout": "soon"}, "setting ledger_timeout='soon' is not valid: a number of seconds"),
        ({"hold_ceiling": 0}, "setting hold_ceiling=0 is not valid: tokens, at least 1"),
        ({"hold_ceiling": "many"}, "setting hold_ceiling='many' is not valid: a whole number of tokens"),
        ({"limit_responses": "perhaps"}, "setting limit_responses='perhaps' is not valid: use 1 or 0, true or false"),
        ({"limits": "premium"}, "setting limits is not valid: Limit(...) one by one, or in PAYI_LIMITS a JSON array"),
        ({"limits": 7}, "setting limits is not valid"),
        ({"limits": [Limit("a", 1), Limit("a", 2)]}, "setting limits is not valid: limit 'a' is there twice"),
        ({"limits": [{"name": "a", "max": 0}]}, "limit 'a': max=0 must be above 0"),
        ({"create_resources": "perhaps"}, "setting create_resources='perhaps' is not valid: use 1 or 0, true or false"),
    ],
)
def test_wrong_settings(given: dict[str, Any], message: str) -> None:
    """A wrong setting is an error at start that names it and what it may be."""
    with pytest.raises(SettingsError) as error:
        load(given, {})

    assert message in str(error.value)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PAYI_FLUSH", "never", "setting PAYI_FLUSH='never' is not valid: use 'background' or 'request'"),
        ("PAYI_DISABLED", "perhaps", "setting PAYI_DISABLED='perhaps' is not valid: use 1 or 0"),
        ("PAYI_SPOOL_BYTES", "many", "setting PAYI_SPOOL_BYTES='many' is not valid: a whole number of bytes"),
        ("PAYI_STORE", "mysql://db", "setting store='mysql://db' is not a store"),
        ("PAYI_HOSTS", '{"a.test"', "is not valid: a mapping of host or host:port to a provider's name"),
        ("PAYI_HOSTS", '{"a.test": 7}', "is not valid: a mapping of host or host:port to a provider's name"),
    ],
)
def test_wrong_environment(name: str, text: str, message: str) -> None:
    """A wrong variable is named as it is spelled in the environment."""
    with pytest.raises(SettingsError) as error:
        load({}, {name: text})
    assert message in str(error.value)


def test_a_variable_that_is_almost_a_setting(caplog: pytest.LogCaptureFixture) -> None:
    """It is told of, once; what is somebody else's is not, and neither stops an application."""
    load({}, {"PAYI_LOG": "debug", "PAYI_CUSTOM_HEADERS": "a: b", "PAYI_SERVICE_HOST": "10.0.0.1", "PAYI_STORE": ""})
    assert health.counters() == {}

    settings = load({}, {"PAYI_STROE": "sqlite:///x.db", "PAYI_TRUSTED_HOST": "10.0.0.1"})

    assert settings == Settings()
    assert health.counters() == {"setting_unknown": 2}
    assert len(caplog.messages) == 1
    assert "is no setting and is ignored; is PAYI_" in caplog.text


def test_hosts_may_be_json() -> None:
    """As the README spells them, which is what somebody copies into the environment."""
    assert load({}, {"PAYI_HOSTS": '{"llm.internal:8080": "openai"}'}).hosts == {"llm.internal:8080": "openai"}


@pytest.mark.parametrize("place", ["*.gw.test", "me@gw.test", "gw.test:http", "gw.test:0", ""])
def test_a_place_in_hosts_that_is_no_host(place: str) -> None:
    """It would never match; the error names it."""
    with pytest.raises(SettingsError, match=f"setting hosts: {re.escape(repr(place))} is not host or host:port"):
        Meter("sqlite:///:memory:", hosts={place: "openai"})


@pytest.mark.parametrize("spelling", [{"gw.test": "opnai"}, {"gw.test": ""}])
def test_unknown_provider_in_hosts(spelling: dict[str, str]) -> None:
    """An unknown provider in `hosts` is an error at start that names the host and lists what is valid."""
    with pytest.raises(SettingsError, match=r"setting hosts: 'gw\.test' is mapped to .*openai"):
        Meter("sqlite:///:memory:", hosts=spelling)


@pytest.mark.parametrize("scheme", ["valkey+unix", "redis+unix"])
def test_a_ledger_on_a_socket(scheme: str) -> None:
    """As its page names it."""
    assert load({"ledger": f"{scheme}:///run/valkey.sock?db=0"}, {}).ledger == f"{scheme}:///run/valkey.sock?db=0"


def test_paths() -> None:
    """A path is a store too; one address may stand without a tuple; the spool is beside the store, or where it is told."""
    settings = load(
        {"store": Path("/var/lib/x.db"), "trusted_hosts": "10.0.0.0/8", "spool_dir": Path("/var/spool/x")}, {}
    )

    assert settings.store_path == Path("/var/lib/x.db")
    assert settings.trusted_hosts == ("10.0.0.0/8",)
    assert settings.spool_path == Path("/var/spool/x")
    assert load({"store": "sqlite:///y.db"}, {}).spool_path == Path("y.db.spool")
    assert load({"store": "sqlite:///:memory:"}, {}).store_path is None
    assert load({"store": "sqlite:///:memory:"}, {}).spool_path is None


def test_secrets_are_not_shown() -> None:
    """Neither the settings' own text nor the error about a second meter's tells a key."""
    default_meter(store="sqlite:///:memory:", api_key="payi_first")

    with pytest.raises(SettingsError, match=r"api_key \(is <secret>, not <secret>\)"):
        default_meter(api_key="payi_second")
    told = repr(load({"api_key": "payi_first", "carrier_key": "mine"}, {}))
    assert "payi_first" not in told
    assert "mine" not in told
    assert "base_url='https://api.pay-i.com'" in told
    assert "api_key=None" in repr(Settings())


FACES: dict[str, Callable[..., Any]] = {
    "asgi": lambda **settings: PayiMiddleware(Starlette(), **settings),
    "wsgi": lambda **settings: PayiWSGIMiddleware(lambda environ, start: [], **settings),
    "flask": lambda **settings: Payi(Flask("app"), **settings),
}


@pytest.mark.parametrize("face", FACES)
def test_default_meter_is_shared(face: str) -> None:
    """Faces with the same settings, or none, share the process's meter; other settings are an error that names them."""
    store = "sqlite:///:memory:"
    FACES[face](store=store, application="web")
    meter = existing_default()
    assert meter is not None
    for other in FACES.values():
        other()
        other(application="web", store=store)

    assert existing_default() is meter
    with pytest.raises(SettingsError) as error:
        FACES[face](application="other", store="sqlite:///x.db")
    assert "application (is 'web', not 'other'); store (is 'sqlite:///:memory:', not 'sqlite:///x.db')" in str(
        error.value
    )
    with pytest.raises(SettingsError, match="unknown setting 'sotre'"):
        FACES[face](sotre=store)
    assert default_meter() is meter


@pytest.mark.parametrize("face", FACES)
def test_settings_beside_a_meter(face: str) -> None:
    """A face with a meter takes only settings that the meter has: others would be ignored without a word."""
    meter = Meter("sqlite:///:memory:", application="web")
    make = FACES[face]
    make(meter=meter, application="web", trusted_hosts=None)

    with pytest.raises(SettingsError, match=r"the meter has other settings: application \(is 'web', not 'shop'\)"):
        make(meter=meter, application="shop")
    with pytest.raises(SettingsError, match="unknown setting 'identfy'; valid settings are"):
        make(meter=meter, identfy=len)
    with pytest.raises(SettingsError, match="meter is no Meter but str; settings are given by keyword, as in store="):
        make(meter="sqlite:///x.db")
    with pytest.raises(SettingsError, match="identify='jane' cannot be called: give a function"):
        make(meter=meter, identify="jane")
    assert existing_default() is None


def test_a_meter_that_is_none() -> None:
    """It is refused where it is given, and not where a call would go unrecorded for it."""
    wrong: Any = "sqlite:///x.db"
    for give in (
        lambda: instrument(wrong),
        lambda: track(meter=wrong),
        lambda: track.from_carrier({}, meter=wrong),
        lambda: PayiTransport(httpx2.MockTransport(lambda sent: httpx2.Response(200)), wrong),
    ):
        with pytest.raises(SettingsError, match=r"meter is no Meter but str; give one that Meter\(\.\.\.\) made"):
            give()


def test_making_a_meter_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter, and a face over it, open no file and no thread before there is anything to do."""
    import threading

    monkeypatch.chdir(tmp_path)
    before = threading.active_count()
    with Meter() as meter:
        PayiMiddleware(Starlette(), meter)
        Payi(Flask("app"), meter)

        assert threading.active_count() == before
        assert list(tmp_path.iterdir()) == []


async def test_disabled(standin: StandIn, sdk: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With PAYI_DISABLED=1 every face is a no-op: nothing is hooked, bound, changed, counted or written."""
    monkeypatch.setenv("PAYI_DISABLED", "1")
    monkeypatch.chdir(tmp_path)

    @use_case("A")
    async def endpoint(request: Request) -> Response:
        with track(user_id="jane"):
            await sdk.aask(extra_headers={"x-other": "stays"})
        current().set(user_id="tom")
        return PlainTextResponse("ok")

    settings: dict[str, Any] = {"hosts": {standin.host: "openai"}}
    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[Middleware(PayiMiddleware, cost_headers=True, flush="request", **settings)],
    )
    async with app.router.lifespan_context(app), browser(app) as client:
        answer = await client.get("/", headers=ids("jane"))

    instrument()
    assert answer.text == "ok"
    assert set(answer.headers) == {"content-length", "content-type"}
    assert not hooked()
    assert health.counters() == {}
    assert list(tmp_path.iterdir()) == []
    assert len(standin.requests) == 1


def test_disabled_flask(
    standin: StandIn, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same of Flask and plain WSGI."""
    monkeypatch.setenv("PAYI_DISABLED", "1")
    monkeypatch.chdir(tmp_path)
    app = Flask("app")

    @app.get("/")
    @use_case("A")
    def view() -> str:
        blocking_sdk.ask()
        return "ok"

    wsgi_app = app.wsgi_app
    Payi(app, hosts={standin.host: "openai"}, cost_headers=True)
    assert app.wsgi_app == wsgi_app
    app.wsgi_app = PayiWSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]

    answer = app.test_client().get("/")
    assert answer.text == "ok"
    assert "x-payi-cost" not in answer.headers
    assert not hooked()
    assert list(tmp_path.iterdir()) == []


def test_lifespan_of_a_disabled_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disabled meter starts no thread at lifespan startup."""
    from starlette.testclient import TestClient

    monkeypatch.setenv("PAYI_DISABLED", "true")
    with TestClient(Starlette(middleware=[Middleware(PayiMiddleware)])):
        meter = existing_default()
        assert meter is not None
        assert meter.disabled
        assert meter.cold
    forget_default()


def test_settings_are_frozen() -> None:
    """Nobody changes the settings of a running meter."""
    with pytest.raises(AttributeError):
        Settings().application = "other"  # type: ignore[misc]
    assert msgspec.structs.asdict(Settings())["application"] == "default"
