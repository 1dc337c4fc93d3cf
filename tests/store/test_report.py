"""Reports, held against sums worked out event by event."""

from __future__ import annotations

import datetime
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from made import DAY, HOUR, START_NS, call, some_events
from stores import place, url
from truth import KEYS, is_missing, told, truth

from payi_middleware.events import CallEvent
from payi_middleware.store import Store, open_store, report
from payi_middleware.store.query import BY

EVENTS = some_events()


@pytest.fixture(
    scope="module",
    params=[("sqlite", 1), ("sqlite", 300), ("sqlite", 10**6), ("postgresql", 300)],
    ids=["folded", "some folded", "none folded", "some folded on PostgreSQL"],
)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The events, all in the rollups, most of them, or none."""
    kind, fold_every = request.param
    folder = tmp_path_factory.mktemp("store")
    place(folder, kind)
    with open_store(url(folder), create=True, fold_every=fold_every) as opened:
        for start in range(0, len(EVENTS), 70):
            opened.write(EVENTS[start : start + 70])
        yield opened


def grouped(events: list[CallEvent], by: tuple[str, ...], timezone: str = "UTC") -> dict[Any, list[CallEvent]]:
    """Events by key as JSON has it."""
    groups = defaultdict(list)
    for event in events:
        values = [members(event, name, timezone) for name in by]
        for key in itertools.product(*values):
            groups[key[0] if len(by) == 1 else key].append(event)
    return groups


def members(event: CallEvent, name: str, timezone: str) -> list[Any]:
    """What a call counts under."""
    if name == "tag":
        return list(event.attribution.request_tags) or [None]
    if name == "day":
        return [datetime.datetime.fromtimestamp(event.started_ns // 10**9, ZoneInfo(timezone)).date().isoformat()]
    return [KEYS[name](event)]


def check(
    store: Store, by: tuple[str, ...], since: int | None, until: int | None, timezone: str = "UTC"
) -> dict[str, Any]:
    """Hold a report against the truth; returns its JSON form."""
    found = store.report(by, since_ns=since, until_ns=until, timezone=timezone).to_dict()
    within = [e for e in EVENTS if (since is None or e.started_ns >= since) and (until is None or e.started_ns < until)]
    rows = {tuple(row["key"]) if isinstance(row["key"], list) else row["key"]: told(row) for row in found["rows"]}

    assert rows == {key: truth(events) for key, events in grouped(within, by, timezone).items()}
    assert told(found["total"]) == truth(within)
    return found


RANGES: list[tuple[int | None, int | None]] = [
    (None, None),
    (START_NS - 50 * DAY, None),
    (START_NS // HOUR * HOUR - 40 * DAY, START_NS // HOUR * HOUR - 30 * HOUR),
    (START_NS - 60 * DAY + 1, START_NS - 3 * DAY + 7),
    (START_NS - 2 * HOUR, START_NS - 2 * HOUR + 10**12),
    (None, START_NS - 70 * DAY),
    (START_NS + DAY, None),
    (None, START_NS - 900 * DAY),
]


@pytest.mark.parametrize("name", BY)
@pytest.mark.parametrize("since_until", RANGES)
def test_a_report_is_the_sum_of_its_events(store: Store, name: str, since_until: tuple[int | None, int | None]) -> None:
    """By whatever it groups and wherever its range begins and ends, a report is exact to the last digit."""
    check(store, (name,), *since_until)


@pytest.mark.parametrize(
    "by",
    [
        ("user", "model"),
        ("use-case", "provider"),
        ("day", "user"),
        ("tag", "day"),
        ("user", "account", "tag"),
        ("route", "model"),
    ],
    ids="+".join,
)
def test_combinations_are_exact_too(store: Store, by: tuple[str, ...]) -> None:
    """Combinations with and without a rollup are exact, over all time and over a range."""
    check(store, by, None, None)
    check(store, by, START_NS - 33 * DAY - 5, START_NS - DAY)


@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"])
def test_days_begin_at_midnight_of_the_time_zone(store: Store, timezone: str) -> None:
    """Days are local days, where they cut an hour as well."""
    check(store, ("day",), None, None, timezone)
    check(store, ("day", "user"), START_NS - 20 * DAY - 17, START_NS - 2 * DAY, timezone)


def test_a_day_with_a_changed_clock_is_whole() -> None:
    """The day when the clock goes back has 25 hours, and each call stands in one day."""
    noon = int(datetime.datetime(2025, 11, 2, 12, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9
    with open_store("sqlite:///:memory:", create=True, fold_every=1) as store:
        store.write([call(started_ns=noon + hours * HOUR + 60 * 10**9) for hours in range(-24, 24)])

        rows = store.report(("day",), timezone="America/New_York").rows

        assert [(row.key, row.sums.calls) for row in rows] == [
            (("2025-11-01",), 11),
            (("2025-11-02",), 25),
            (("2025-11-03",), 12),
        ]


def test_rows_are_ordered() -> None:
    """The dearest comes first, days come in their order."""
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write([call(user_id=name, ticks=ticks) for name, ticks in (("a", 1), ("b", 3), ("c", 2), ("d", 3))])
        store.write([call(user_id="d", ticks=0, started_ns=START_NS - DAY)])

        assert [row.key[0] for row in store.report(("user",)).rows] == ["d", "b", "c", "a"]
        assert [row.key for row in store.report(("user", "day")).rows] == [
            ("d", "2026-09-20"),
            ("b", "2026-09-21"),
            ("d", "2026-09-21"),
            ("c", "2026-09-21"),
            ("a", "2026-09-21"),
        ]


def test_a_report_says_when_it_reads_events(store: Store) -> None:
    """A combination without sums and a range that cuts an hour are told, with the time they took; others are not."""
    whole = START_NS // HOUR * HOUR

    assert store.report(("user",), since_ns=whole - DAY, until_ns=whole).note is None
    assert "cuts an hour" in str(store.report(("user",), since_ns=whole + 1).note)
    assert "no sums by user and model" in str(store.report(("user", "model")).note)
    assert " s" in store.report(("user", "model")).to_dict()["note"]


def test_unpriced_models_are_named(store: Store) -> None:
    """The report lists each model with calls that its cost leaves out, most first."""
    found = store.report(("user",)).to_dict()["unpriced"]

    counts: dict[str | None, int] = defaultdict(int)
    for event in EVENTS:
        counts[event.resource] += is_missing(event)
    assert {row["model"]: row["calls"] for row in found} == counts
    assert [row["calls"] for row in found] == sorted(counts.values(), reverse=True)


def test_failures_are_told_by_kind(store: Store) -> None:
    """What failed or was tried again stands by outcome, status, error type, provider and model, with its money."""
    found = store.failures().to_dict()

    groups = defaultdict(list)
    for e in EVENTS:
        if e.outcome != "ok" or e.attempt > 1:
            groups[e.outcome, e.http_status, e.error_type, e.provider, e.resource or e.requested_resource].append(e)
    assert {tuple(row["key"]): told(row) for row in found["rows"]} == {
        key: truth(group) for key, group in groups.items()
    }
    assert found["by"] == ["outcome", "http_status", "error_type", "provider", "model"]
    assert told(found["total"]) == truth(EVENTS)


@pytest.mark.usefixtures("anywhere")
def test_an_empty_store_has_an_empty_report(tmp_path: Path) -> None:
    """No calls are no rows and a total of nothing."""
    with open_store(url(tmp_path), create=True) as store:
        found = store.report(("user", "day")).to_dict()

        assert found["rows"] == []
        assert found["total"]["calls"] == 0
        assert found["total"]["cost"] == "0"
        assert found["total"]["latency_ms"] == {"p50": None, "p95": None}
        assert store.latest(5) == []
        assert store.count() == 0


@pytest.mark.usefixtures("anywhere")
def test_more_values_than_the_bound_are_counted_as_other(tmp_path: Path) -> None:
    """Beyond the bound of a day the rollups say "(other)", nothing is lost from the sum, and events keep their own."""
    events = [call(user_id=f"user-{n:02}", ticks=10, started_ns=START_NS + n % 2 * DAY) for n in range(40)]
    with open_store(url(tmp_path), create=True, fold_every=4, most_keys=5) as store:
        for start in range(0, 40, 4):
            store.write(events[start : start + 4])
        store.write([call(user_id=None, ticks=10), call(user_id="user-00", ticks=10), call(user_id="late", ticks=10)])
        store.write([call(user_id="later", ticks=10)])

        rows = {row.key[0]: row.sums.calls for row in store.report(("user",)).rows}

        assert len(rows) == 5 + 5 + 1 + 1
        assert rows["(other)"] == 40 - 10 + 2
        assert rows["user-00"] == 2
        assert rows[None] == 1
        assert store.report(("user",)).total.cost_ticks == 44 * 10
        assert sum(event.user_id is not None for event in store.events()) == 43


@pytest.mark.usefixtures("anywhere")
def test_histograms_of_busy_rows_stay_short(tmp_path: Path) -> None:
    """Half a million durations in one row take a kilobyte or two, and still tell the percentiles."""
    with open_store(url(tmp_path), create=True, fold_every=500) as store:
        for _ in range(20):
            store.write([call(duration_ns=10**9 + n * 10**7, user_id="jane") for n in range(500)])

        longest = store._connection.execute("SELECT max(length(latency)) FROM rollup").fetchone()[0]
        p50 = store.report(("user",)).rows[0].sums.latency_ms()[0]

    assert longest <= 1024
    assert p50 == pytest.approx(3500, rel=0.09)


@pytest.mark.usefixtures("anywhere")
def test_late_events_enter_periods_that_are_long_summed(tmp_path: Path) -> None:
    """An event of last month that comes after today's adds to last month's sums."""
    with open_store(url(tmp_path), create=True, fold_every=1) as store:
        store.write([call(started_ns=START_NS, ticks=1)])
        store.write([call(started_ns=START_NS - 40 * DAY, ticks=2)])
        store.write([call(started_ns=START_NS - 40 * DAY, ticks=4)])

        assert [row.sums.cost_ticks for row in store.report(("day",)).rows] == [6, 1]


@pytest.mark.parametrize("by", ["user", "day", "tag"])
@pytest.mark.parametrize(
    ("since", "until"),
    [(None, 10**21), (-(10**21), None), (-(10**21), 10**21), (-(10**21), -(10**20)), (10**20, 10**21)],
)
def test_a_range_beyond_all_calls(by: str, since: int | None, until: int | None) -> None:
    """Whatever the range, years 1 to 9999 and beyond, it is answered from what there is."""
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write([call(request_tags=("a",)), call(request_tags=("a",), started_ns=START_NS + 40 * DAY)])
        found = store.report((by,), since_ns=since, until_ns=until)

    assert found.total.calls == (0 if since == 10**20 or until == -(10**20) else 2)
    assert (found.since_ns, found.until_ns) == (since, until)
    assert found.note is None
    assert all(value is None or value[4] == "-" for value in (found.to_dict()["since"], found.to_dict()["until"]))


def test_only_days_that_can_have_calls_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By day until the year 2100, the days of the months of calls are asked for, not 27,000 empty ones."""
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write([call()])
        asked: list[int] = []
        ask = report.read

        def read(connection: object, how: object, since_ns: int, until_ns: int, held: object) -> object:
            asked.append(since_ns)
            return ask(connection, how, since_ns, until_ns, held)  # type: ignore[arg-type]

        monkeypatch.setattr(report, "read", read)
        found = store.report(("day",), since_ns=0, until_ns=START_NS + 27_000 * DAY)

    assert [row.key for row in found.rows] == [("2026-09-21",)]
    assert len(asked) <= 32


def test_days_that_begin_within_an_hour_are_told() -> None:
    """In a time zone of half hours, days cut hours of UTC, so events are read, and the report says so."""
    with open_store("sqlite:///:memory:", create=True, fold_every=1) as store:
        store.write([call()])
        by_day = store.report(("day",), timezone="Asia/Kolkata")
        by_user = store.report(("user",), timezone="Asia/Kolkata")

    assert "days of the range cut an hour: the events of its edges were read" in (by_day.note or "")
    assert by_user.note is None
