"""Rates of our own, and of the application's owner, as data: what genai-prices lacks, and what it says otherwise.

A file is TOML, one table an entry:

    [[rate]]                            # rates, for models that have them nowhere else or that lack some
    provider = "openai"                 # the id of genai-prices, or "*"
    models = ["gpt-image-1", "gpt-image-1-2*"]   # names, `*` for any ending; compared in lower case, with and without a date
    when = ["tier:batch"]               # optional: what must hold (all of it), see below
    above = 200_000                     # optional: for prompts of more tokens than this
    from = 2026-03-01                   # valid from this day, UTC; until = the first day on which it is not
    source = "https://..."              # the page that says so
    checked = 2026-11-25                # when somebody looked
    rates = { "text.input" = "2.50/M", "web_search_request.output" = "10/K", "generated_image.output" = "0.04" }
    replaces = true                     # optional: also where genai-prices has a rate
    doubt = "the least of a session"    # optional: why the rate is not the whole truth; then every use is in `unpriced`

    [[factor]]                          # a multiple of rates, wherever they are from
    provider = "anthropic"
    models = ["claude-opus-4-6*"]
    when = ["geo:us"]
    times = "1.1"
    units = "tokens"                    # or "*": tool fees, images and seconds too
    from = 2026-02-05
    source = "https://..."
    checked = 2026-11-25

A rate is USD for one unit, `/K` for a thousand, `/M` for a million, `/60` for sixty; or a multiple of another unit's rate,
whatever that is: `"text_cache_write_12h.input" = "2.5 x text.input"`. Of two entries for one unit the one with a model's whole
name comes before a pattern, a pattern before `*`, one with more conditions before one with fewer, and a later `from` before an
earlier. So it is with two factors that have the same conditions; of a factor and one for a special case of it (`scope:datazone`,
and in Europe) the latter holds; all others multiply. A factor leaves alone what has a rate of its own under one of its
conditions: where a list tells what a model's batches cost, no factor for batches halves that.

What must hold (`when`) is the tier as served, `tier:flex`, or one of the `terms` that a provider's file found in an exchange:

    region:*, geo:*, scope:*, speed:*, latency:*
                                        change the price of a call: where no entry knows one, the call says so in `unpriced`
    account:*                           the account for which the call is made, if an entry of the owner's names it
    anything else (size:*, quality:*)   tells apart what has a price by it: where no entry knows it, there is no rate
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal, NamedTuple

from ..events import Side
from ..exceptions import SettingsError

__all__ = ["ALTERING", "Entry", "Rows", "last_checked", "parsed", "published_entries"]

ALTERING: Final = ("region:", "geo:", "scope:", "speed:", "latency:")
"""The kinds of terms that no call may carry without a word if no entry knows them."""

_CHECKED: Final = re.compile(r"^checked = (\d{4}-\d\d-\d\d)", re.MULTILINE)
_PER: Final = {"": 1, "K": 1_000, "M": 1_000_000}
_MULTIPLE: Final = re.compile(r"(\d[\d.]*) x (\w+\.\w+)")
_REQUIRED: Final = {"rate": {"rates"}, "factor": {"times"}}
_OPTIONAL: Final = {
    "rate": {"when", "above", "from", "until", "replaces", "doubt", "source", "checked", "provider", "models"},
    "factor": {"when", "units", "from", "until", "source", "checked", "provider", "models"},
}


class Entry(NamedTuple):
    """One table of a file."""

    provider: str
    models: tuple[str, ...]
    when: frozenset[str]
    above: int
    starts: datetime.date | None
    ends: datetime.date | None
    source: str
    rates: Mapping[tuple[str, Side], tuple[Decimal, int]]
    """(unit, side) -> USD for so many."""
    replaces: bool
    times: Decimal | None
    """Set if the entry is a factor."""
    all_units: bool
    multiples: Mapping[tuple[str, Side], tuple[Decimal, tuple[str, Side]]] = {}
    """(unit, side) -> so many times the rate of another."""
    doubt: str | None = None
    """Why the rates are not the whole truth."""

    def holds(self, conditions: frozenset[str], day: datetime.date) -> bool:
        """Whether the entry is in force under these conditions on this day."""
        return (
            self.when <= conditions
            and (self.starts is None or self.starts <= day)
            and (self.ends is None or day < self.ends)
        )

    def names(self, spellings: Iterable[str]) -> Literal[0, 1, 2, 3, 4]:
        """How well a model is named: 4 by its whole name, 3 by another spelling of it, 2 by a pattern, 1 by `*` alone."""
        best: Literal[0, 1, 2, 3, 4] = 1 if "*" in self.models else 0
        for number, name in enumerate(spellings):
            if name in self.models:
                return 3 if number else 4
            if best < 2 and any("*" in model and model != "*" and fnmatchcase(name, model) for model in self.models):
                best = 2
        return best

    @property
    def carries(self) -> bool:
        """Whether the entry alone makes a model known: it prices more than fees, and names it or tells what text costs."""
        named = self.models != ("*",) and not all(unit.endswith("request") for unit, _ in self.rates)
        return self.times is None and (named or ("text", "input") in self.rates)

    @property
    def rank(self) -> tuple[int, int, datetime.date]:
        """By which of two entries that name a model equally well is the stronger one."""
        return len(self.when), self.above, self.starts or datetime.date.min


class Rows:
    """Entries, the later the stronger.

    Args:
        layers: Entries of the same strength each: first those that are published, then the owner's.
    """

    def __init__(self, *layers: Iterable[Entry]) -> None:
        self._by_provider: dict[str, list[tuple[int, Entry]]] = {}
        self.kinds: set[str] = set()
        """Every condition that an entry names."""
        self.doubts: set[str] = set()
        """Why rates of entries are not the whole truth."""
        for depth, layer in enumerate(layers):
            for entry in layer:
                self._by_provider.setdefault(entry.provider, []).append((depth, entry))
                self.kinds |= entry.when
                if entry.doubt is not None:
                    self.doubts.add(entry.doubt)

    @property
    def version(self) -> str:
        """A name for these very entries; empty if there are none."""
        text = "\n".join(
            sorted(map(repr, ((sorted(entry.when), entry._replace(when=frozenset())) for entry in self.entries())))
        )
        return f"rows {hashlib.sha256(text.encode()).hexdigest()[:8]}" if text else ""

    def of(self, provider: str, spellings: Iterable[str]) -> list[Entry]:
        """The entries that name a model, at any time and under any condition, the stronger behind."""
        spellings = [name.lower() for name in spellings]
        found: list[tuple[tuple[Any, ...], Entry]] = []
        for depth, entry in self._entries(provider):
            named = entry.names(spellings)
            if named:
                found.append(((depth, named, *entry.rank), entry))
        found.sort(key=lambda ranked: ranked[0])
        return [entry for _, entry in found]

    def _entries(self, provider: str) -> Iterator[tuple[int, Entry]]:
        yield from self._by_provider.get("*", ())
        yield from self._by_provider.get(provider, ())

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        return (entry for entries in self._by_provider.values() for _, entry in entries)


@functools.cache
def published_entries() -> tuple[Entry, ...]:
    """The entries that come with the package. Reads files: for the loading thread."""
    import tomllib

    entries: list[Entry] = []
    for file in _files():
        entries += parsed(tomllib.loads(file.read_text("utf-8")), file.name)
    return tuple(entries)


def last_checked() -> str:
    """The last day on which somebody looked at an entry that comes with the package, as `2026-11-25`. Reads files."""
    days: list[str] = [day for file in _files() for day in _CHECKED.findall(file.read_text("utf-8"))]
    return max(days)


def _files() -> list[Traversable]:
    there = (resources.files("payi_middleware.pricing") / "data").iterdir()
    return sorted((file for file in there if file.name.endswith(".toml")), key=lambda file: file.name)


def parsed(document: Mapping[str, Any], where: str) -> list[Entry]:
    """The entries of a document.

    Args:
        document: As `tomllib` reads it.
        where: What to call it in an error.

    Raises:
        SettingsError: Something in it is unknown or malformed; the message names the entry.
    """
    unknown = document.keys() - _REQUIRED.keys()
    if unknown:
        raise SettingsError(f"{where}: unknown table {', '.join(sorted(unknown))}; there are [[rate]] and [[factor]]")
    entries: list[Entry] = []
    for kind, tables in document.items():
        if not isinstance(tables, list):
            raise SettingsError(f"{where}: {kind} is written [[{kind}]], once for each entry")
        for number, table in enumerate(tables, 1):
            entries.append(_entry(kind, table, f"{where}, [[{kind}]] {number}"))
    return entries


def _entry(kind: str, table: Mapping[str, Any], where: str) -> Entry:
    missing, unknown = _REQUIRED[kind] - table.keys(), table.keys() - _REQUIRED[kind] - _OPTIONAL[kind]
    if missing or unknown:
        told = [
            f"{word} {', '.join(sorted(names))}"
            for word, names in (("needs", missing), ("does not know", unknown))
            if names
        ]
        raise SettingsError(f"{where}: an entry {' and '.join(told)}")
    times = table.get("times")
    priced = {_unit(name, where): _rate(text, f"{where}, {name}") for name, text in table.get("rates", {}).items()}
    return Entry(
        _text(table.get("provider", "*"), f"{where}, provider"),
        tuple(name.lower() for name in _texts(table.get("models", ["*"]), f"{where}, models")),
        frozenset(_texts(table.get("when", []), f"{where}, when")),
        _whole(table.get("above", -1), f"{where}, above"),
        _day(table.get("from"), f"{where}, from"),
        _day(table.get("until"), f"{where}, until"),
        _text(table.get("source", where), f"{where}, source"),
        {unit: (usd, per) for unit, (usd, per) in priced.items() if isinstance(per, int)},
        bool(table.get("replaces", False)),
        None if times is None else _amount(times, f"{where}, times"),
        _units(table.get("units", "tokens"), f"{where}, units"),
        {unit: (times, of) for unit, (times, of) in priced.items() if isinstance(of, tuple)},
        None if "doubt" not in table else _text(table["doubt"], f"{where}, doubt"),
    )


def _unit(name: str, where: str) -> tuple[str, Side]:
    unit, _, side = name.rpartition(".")
    if unit and side == "input":
        return unit, "input"
    if unit and side == "output":
        return unit, "output"
    raise SettingsError(f"{where}: {name!r} is no unit and side; write for example 'text.input'")


def _rate(text: Any, where: str) -> tuple[Decimal, int | tuple[str, Side]]:
    """USD and for how many units, or how many times and which other unit's rate."""
    multiple = _MULTIPLE.fullmatch(text) if isinstance(text, str) else None
    if multiple is not None:
        return _amount(multiple[1], where), _unit(multiple[2], where)
    usd, slash, per = text.partition("/") if isinstance(text, str) else (text, "", "")
    count = int(per) if per.isascii() and per.isdigit() else _PER.get(per, 0)
    if count < 1 or (slash and not per):
        raise SettingsError(
            f"{where}: {text!r} is no rate; write USD for one unit as '0.04', for a million as '2.50/M', "
            "a multiple as '2 x text.input'"
        )
    return _amount(usd, where), count


def _units(value: Any, where: str) -> bool:
    """Whether a factor is for all units, and not for tokens alone."""
    if value not in {"tokens", "*"}:
        raise SettingsError(f"{where}: {value!r} is neither 'tokens' nor '*'")
    return bool(value == "*")


def _amount(text: Any, where: str) -> Decimal:
    try:
        amount = Decimal(text) if isinstance(text, (str, int, Decimal)) and not isinstance(text, bool) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or amount < 0:
        raise SettingsError(f"{where}: {text!r} is no amount; write it as a text of digits, such as '0.04'")
    return amount


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{where}: {value!r} is no text")
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise SettingsError(f"{where}: {value!r} is no list of texts")
    return [_text(item, where) for item in value]


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingsError(f"{where}: {value!r} is no whole number")
    return value


def _day(value: Any, where: str) -> datetime.date | None:
    if value is None or (isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)):
        return value
    raise SettingsError(f"{where}: {value!r} is no day; write it without quotes, such as 2026-03-01")
