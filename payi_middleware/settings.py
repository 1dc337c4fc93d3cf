"""Settings: keyword before `PAYI_*` environment before default, checked once, named when wrong."""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

import msgspec

from . import health
from .exceptions import LimitError, SettingsError
from .store_url import FORMS, SQLITE, is_postgresql, is_store, shown_store, state_path, wrong_file

if TYPE_CHECKING:
    from .limits.alert import OnAlert
    from .limits.ledger import Ledger
    from .limits.limit import Limit

__all__ = ["Options", "Settings", "StoreOptions", "load", "shown_setting"]


class Options(TypedDict, total=False):
    """The settings as keywords, for type checkers; `store` is apart, since it may come first."""

    application: str
    hosts: Mapping[str, str]
    trusted_hosts: Sequence[str]
    spool_dir: str | os.PathLike[str] | None
    spool_bytes: int
    flush: Literal["background", "request"]
    flush_timeout: float
    flush_interval: float
    prices: str | os.PathLike[str] | Mapping[str, Any] | None
    update_prices: float
    carrier_key: str | None
    include_usage: bool
    limits: Sequence[Limit]
    ledger: str | Ledger | None
    ledger_timeout: float
    hold_ceiling: int
    limit_responses: bool
    on_alert: OnAlert | str | None
    alert_webhooks: Sequence[str]
    alert_key: str | None
    alert_networks: Sequence[str]
    api_key: str | None
    base_url: str
    create_resources: bool
    pseudonymize: str | None
    disabled: bool


class StoreOptions(Options, total=False):
    """All settings as keywords."""

    store: str | os.PathLike[str]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a meter can be told."""

    store: str = "sqlite:///payi.db"
    """Where events are kept: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host/database`."""
    application: str = "default"
    hosts: dict[str, str] = {}
    """host or host:port -> provider, for gateways, test servers and self-hosted models."""
    trusted_hosts: tuple[str, ...] = ()
    """Peers whose xProxy headers count: addresses, networks, `unix`."""
    spool_dir: str | None = None
    """Default: the store's path with `.spool` appended; for PostgreSQL a folder of the user's, see `files_path`."""
    spool_bytes: int = 1 << 30
    """The most that waiting events may take on disk."""
    flush: Literal["background", "request"] = "background"
    flush_timeout: float = 5.0
    """Seconds that a flush at the end of a request (`flush="request"`), at shutdown or at exit may take."""
    flush_interval: float = 0.25
    """Seconds between two writes to the store while events come in."""
    prices: dict[str, Any] | str | None = None
    """The owner's rates, discounts and names: the path of a TOML file, or what is in one. See `pricing/owners.py`."""
    update_prices: float = 0
    """Seconds between two fetches of the newest rates in the background; 0 for none."""
    carrier_key: str | None = None
    """Signs what `current().carrier()` makes; processes that exchange carriers share it. Default: a key beside the spool."""
    include_usage: bool = False
    """Asks chat streams for their usage where the application does not, and hides the chunk that tells it."""
    limits: tuple[Any, ...] = ()
    """Each a `Limit`."""
    ledger: Any = None
    """Where limits are counted: a URL, or a `Ledger`. Default: a file beside the store, its path with `.ledger` appended; with a
    store in PostgreSQL the same database."""
    ledger_timeout: float = 1.0
    """Seconds that a call waits for the ledger, at most."""
    hold_ceiling: int = 4096
    """Tokens of an answer, at most, that are held for a call where neither its request nor earlier calls tell how long it gets."""
    limit_responses: bool = True
    """Answers 429 where a limit refused a call and the endpoint did not catch that."""
    on_alert: Any = None
    """Called with each `LimitAlert` of the application's limits, in a thread of ours; or `module:function`, imported then."""
    alert_webhooks: tuple[str, ...] = ()
    """URLs that get each alert."""
    alert_key: str | None = None
    """Signs what webhooks get: `whsec_...`, or any text."""
    alert_networks: tuple[str, ...] = ()
    """Networks in which webhooks may be, besides public addresses."""
    api_key: str | None = None
    """With it, events also go to the server at `base_url`; an empty one is none, whatever the environment says."""
    base_url: str = "https://api.pay-i.com"
    """Pay-i, or a server of your own."""
    create_resources: bool = False
    """Makes the resources that Pay-i does not know, with our rates."""
    pseudonymize: str | None = None
    """A key of 16 characters or more: users are stored and sent under pseudonyms, see `pseudonyms.py`; empty for none."""
    disabled: bool = False
    """Makes every face a no-op."""

    def __repr__(self) -> str:
        """All settings but the secret ones, which must not stand in a log."""
        told = ", ".join(f"{name}={shown_setting(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"Settings({told})"

    @property
    def store_path(self) -> Path | None:
        """The file of a SQLite store; None for one in memory, or elsewhere."""
        return _file_of(self.store)

    @property
    def in_memory(self) -> bool:
        """Whether the store is lost with its process."""
        return self.store_path is None and not is_postgresql(self.store)

    @property
    def files_path(self) -> Path | None:
        """What the store's files are named after: its own, or one in the user's folder for state; None if there is none."""
        return state_path(self.store) if is_postgresql(self.store) else self.store_path

    @property
    def spool_path(self) -> Path | None:
        """The spool's folder; None if the store is in memory and no folder is named."""
        if self.spool_dir:
            return _path(self.spool_dir)
        path = self.files_path
        return None if path is None else _path(f"{path}.spool")

    @property
    def named_ledger_path(self) -> Path | None:
        """The file of the ledger that is named; None if none is, or it is no file."""
        if not isinstance(self.ledger, str) or not self.ledger.startswith(SQLITE):
            return None
        path = self.ledger.removeprefix(SQLITE)
        return None if path in ("", ":memory:") else Path(path)

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file beside the store; None if another one is named, or the store is no file."""
        path = self.store_path
        return None if self.ledger is not None or path is None else path.with_name(path.name + ".ledger")


@functools.lru_cache(maxsize=64)
def _file_of(store: str) -> Path | None:
    path = store.removeprefix(SQLITE)
    return None if path in ("", ":memory:") or is_postgresql(path) else Path(path)


_path = functools.lru_cache(maxsize=64)(Path)
"""Each batch of events asks, and to make a path takes as long as to store an event."""

MAX_SECONDS = 86_400
SHORTEST_KEY = 16
_LONGEST_NAME = 256
_MOST_WAITING = 60

SECRET = frozenset(("alert_key", "api_key", "carrier_key", "pseudonymize"))


def shown_setting(name: str, value: Any) -> str:
    """A setting's value as it may stand in a message."""
    if name in ("store", "ledger") and isinstance(value, str):
        return repr(shown_store(value))
    return "<secret>" if name in SECRET and value is not None else repr(value)


_ENVIRONMENT = {name: f"PAYI_{name.upper()}" for name in Settings.__struct_fields__}


def load(given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from keywords and environment.

    Raises:
        SettingsError: A setting is unknown or malformed; the message names it and what it may be.
    """
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        valid = ", ".join(Settings.__struct_fields__)
        raise SettingsError(f"unknown setting {', '.join(map(repr, unknown))}; valid settings are: {valid}")
    _note_misspelt(environ)
    values: dict[str, Any] = {
        name: _parsed(name, environ[key]) for name, key in _ENVIRONMENT.items() if environ.get(key)
    }
    values |= {name: value for name, value in given.items() if value is not None}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        checked[name] = _checked(name, value, given)
    settings = Settings(**checked)
    _check_application(settings.application)
    _check_store(settings.store)
    _check_hosts(settings.trusted_hosts)
    _check_key(settings.api_key)
    settings = msgspec.structs.replace(settings, base_url=_checked_url(settings.base_url))
    if settings.pseudonymize and len(settings.pseudonymize) < SHORTEST_KEY:
        raise SettingsError(
            f"setting pseudonymize is not valid: a key of at least {SHORTEST_KEY} characters, as short ones can be tried out; "
            "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    for name in ("flush_interval", "flush_timeout"):
        seconds = getattr(settings, name)
        if not 0 < seconds <= MAX_SECONDS:
            raise SettingsError(f"setting {name}={seconds} is not valid: seconds, above 0 and at most {MAX_SECONDS}")
    if settings.update_prices and not 60 <= settings.update_prices <= 365 * MAX_SECONDS:
        raise SettingsError(
            f"setting update_prices={settings.update_prices} is not valid: seconds, at least 60, or 0 for none"
        )
    if not 0 < settings.ledger_timeout <= _MOST_WAITING:
        raise SettingsError(
            f"setting ledger_timeout={settings.ledger_timeout} is not valid: seconds, above 0 and at most {_MOST_WAITING}"
        )
    if settings.hold_ceiling < 1:
        raise SettingsError(f"setting hold_ceiling={settings.hold_ceiling} is not valid: tokens, at least 1")
    _check_ledger(settings.ledger)
    _check_alerts(settings)
    if settings.spool_bytes < 1 << 20:
        raise SettingsError(f"setting spool_bytes={settings.spool_bytes} is not valid: at least 1048576 (1 MiB)")
    return settings


def _note_misspelt(environ: Mapping[str, str]) -> None:
    """Say which variables look like settings and are none. No error: others, such as Pay-i's own client, have theirs."""
    for name in environ.keys() - _ENVIRONMENT.values():
        if name.startswith("PAYI_"):
            import difflib  # seldom needed, and slow to import

            near = difflib.get_close_matches(name, _ENVIRONMENT.values(), 1, 0.85)
            if near:
                health.note(
                    "setting_unknown", "%s is no setting and is ignored; is %s meant?", health.shown(name), *near
                )


def _parsed(name: str, text: str) -> Any:
    """A setting's value as the environment spells it: lists by commas, mappings as `key=value` by commas or in JSON."""
    if name in _LISTS:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name == "hosts" and text.lstrip().startswith("{"):
        return _object(text)
    if name == "hosts":
        pairs = (part.partition("=") for part in text.split(",") if part.strip())
        return {host.strip(): provider.strip() for host, _, provider in pairs}
    return text.strip() if name == "api_key" else text  # files of secrets end with a newline


def _object(text: str) -> Any:
    """A JSON object; what is none stays as it is, and is not valid."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _checked(name: str, value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, os.PathLike):
        path = os.fsdecode(value)
        value = f"{SQLITE}{path}" if name == "store" else path
    if name in _LISTS and isinstance(value, str):
        value = (value,)
    if name == "limits":
        return _limits(value)
    kind = _TYPES[name]
    try:
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        where = name if given.get(name) is not None else _ENVIRONMENT[name]
        raise SettingsError(
            f"setting {where}={shown_setting(name, value)} is not valid: {_VALID.get(name, error)}"
        ) from None


def _limits(given: Any) -> tuple[Limit, ...]:
    """Limits, or mappings of their fields; the environment has a JSON array of such."""
    from .limits.limit import Limit

    try:
        listed = msgspec.json.decode(given) if isinstance(given, str) else given
        if isinstance(listed, Limit | Mapping):
            listed = (listed,)
        made = tuple([one if isinstance(one, Limit) else Limit(**one) for one in listed])
    except LimitError as error:
        raise SettingsError(str(error)) from None
    except (TypeError, ValueError):
        raise SettingsError(
            "setting limits is not valid: Limit(...) one by one, or in PAYI_LIMITS a JSON array of objects, such as "
            '[{"name": "monthly", "max": 10, "window": "month", "per": "user"}]'
        ) from None
    names = [limit.name for limit in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"setting limits is not valid: limit {twice[0]!r} is there twice")
    return made


LEDGERS = (
    "sqlite:///",
    "postgresql://",
    "postgres://",
    "valkey://",
    "valkeys://",
    "redis://",
    "rediss://",
    "valkey+unix://",
    "redis+unix://",
    "memory://",
)


_SENTINEL = re.compile(r"[a-z+]*sentinel[a-z+]*://")


def _check_ledger(ledger: Any) -> None:
    """A URL, or a ledger that the application made."""
    is_ledger = ledger is None or (ledger.startswith(LEDGERS) if isinstance(ledger, str) else hasattr(ledger, "run"))
    if isinstance(ledger, str) and _SENTINEL.match(ledger):
        raise SettingsError(
            f"setting ledger={shown_setting('ledger', ledger)} names sentinels, which are not asked; name the primary by an "
            "address that follows it, such as valkey://host:6379/0 of a proxy, or a node of a cluster"
        )
    if not is_ledger:
        raise SettingsError(
            f"setting ledger={shown_setting('ledger', ledger)} is not a ledger; use {', '.join(f'{one}...' for one in LEDGERS)}"
        )
    if isinstance(ledger, str):
        _check_file("ledger", ledger)


def _check_alerts(settings: Settings) -> None:
    told = settings.on_alert
    if told is not None and not callable(told) and not (isinstance(told, str) and _FUNCTION.fullmatch(told)):
        raise SettingsError(
            "setting on_alert is not valid: a function that takes a LimitAlert, or where it is: module:function"
        )
    if inspect.iscoroutinefunction(told) or inspect.iscoroutinefunction(getattr(told, "__call__", None)):  # noqa: B004
        raise SettingsError(
            "setting on_alert is an async function, which nobody would await: it is called in a thread of its own, outside of any "
            "event loop; give a plain one, which may hand the alert to a loop: asyncio.run_coroutine_threadsafe(tell(alert), loop)"
        )
    for url in settings.alert_webhooks:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("setting alert_webhooks is not valid: URLs such as https://hooks.example/payi")
    for network in settings.alert_networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise SettingsError(
                f"setting alert_networks: {network!r} is no network; use for example '10.0.0.0/8'"
            ) from None


_FUNCTION = re.compile(r"[\w.]+:[\w.]+")
_LISTS = ("alert_networks", "alert_webhooks", "trusted_hosts")
"""Of texts; one alone is a list of one."""
_VALID = {
    "alert_key": "text",
    "alert_networks": "networks, such as ('10.0.0.0/8',)",
    "alert_webhooks": "URLs, such as ('https://hooks.example/payi',)",
    "api_key": "text",
    "carrier_key": "text",
    "create_resources": "use 1 or 0, true or false",
    "disabled": "use 1 or 0, true or false",
    "include_usage": "use 1 or 0, true or false",
    "hold_ceiling": "a whole number of tokens",
    "ledger_timeout": "a number of seconds",
    "limit_responses": "use 1 or 0, true or false",
    "flush": "use 'background' or 'request'",
    "flush_interval": "a number of seconds",
    "flush_timeout": "a number of seconds",
    "hosts": "a mapping of host or host:port to a provider's name, such as {'127.0.0.1:9001': 'openai'}",
    "prices": "the path of a TOML file, or a mapping of what is in one",
    "pseudonymize": "text",
    "spool_bytes": "a whole number of bytes",
    "update_prices": "a number of seconds, or 0 for none",
    "trusted_hosts": "addresses, networks and 'unix', such as ('10.0.0.0/8', 'unix')",
}

_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _check_application(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:20]}..."
        raise SettingsError(
            f"setting application={shown!r} is not valid: a name of 1 to {_LONGEST_NAME} characters, such as 'web'"
        )


def _check_store(store: str) -> None:
    if not is_store(store):
        raise SettingsError(f"setting store={shown_store(store)!r} is not a store; use {FORMS}")
    _check_file("store", store)


def _check_file(setting: str, url: str) -> None:
    """What SQLite's URLs have elsewhere, and what would be part of a file's name here."""
    wrong = wrong_file(url)
    if wrong is not None:
        raise SettingsError(f"setting {setting}={url!r} is not valid: {wrong}")


def _check_key(key: str | None) -> None:
    """What cannot stand in a header would fail each time it is sent."""
    if key and not all(33 <= ord(sign) < 127 for sign in key):
        raise SettingsError("setting api_key is not valid: letters, digits and signs of ASCII, without spaces")


def _checked_url(url: str) -> str:
    """The URL without slashes at its end, as paths are put behind it."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        is_url = is_plain = False
    if not (is_url and is_plain and url.isascii() and url.isprintable() and " " not in url):
        raise SettingsError(
            "setting base_url is not valid: use http:// or https:// with a host, and a port and a path if need be, such as "
            "https://payi.internal:8600; no user, query or fragment"
        )
    return url.rstrip("/")


def _check_hosts(hosts: Iterable[str]) -> None:
    for host in hosts:
        if host == "unix":
            continue
        try:
            ipaddress.ip_network(host, strict=False)
        except ValueError:
            raise SettingsError(
                f"setting trusted_hosts: {host!r} is no address or network; use for example '127.0.0.1', '10.0.0.0/8' or 'unix'"
            ) from None
