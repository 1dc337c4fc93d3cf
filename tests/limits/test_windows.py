"""Windows of the calendar: each begins once, where the one before ends, at local midnight or the first instant after it."""

import datetime
import itertools
import zoneinfo

import pytest

from payi_middleware.limits.windows import span

NS = 10**9
SINCE = int(datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC).timestamp())
UNTIL = SINCE + 2 * 365 * 86_400


def turns(window: str, zone: str, since: int = SINCE, until: int = UNTIL) -> list[int]:
    """Every begin of a window, each looked for in the last second of the one before and in its own first."""
    at, found = since, []
    while at < until:
        here = span(window, zone, at * NS)
        assert here.starts_ns <= at * NS < here.ends_ns
        assert span(window, zone, here.ends_ns - 1) == here
        found.append(here.starts_ns // NS)
        at = here.ends_ns // NS
        assert span(window, zone, at * NS).starts_ns == here.ends_ns
    return found


def local(zone: str, at: int) -> datetime.datetime:
    """An instant on the clocks of a zone."""
    return datetime.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(zone))


def distinct_zones() -> list[str]:
    """One name of each set of rules that differs from all others in these years."""
    rules: dict[tuple[float, ...], str] = {}
    for name in sorted(zoneinfo.available_timezones()):
        zone = zoneinfo.ZoneInfo(name)
        offsets = (datetime.datetime.fromtimestamp(at, zone).utcoffset() for at in range(SINCE, UNTIL, 43_200))
        rules.setdefault(tuple(offset.total_seconds() for offset in offsets if offset is not None), name)
    return sorted(rules.values())


def test_every_zone_has_each_day_once_from_its_first_instant() -> None:
    zones = distinct_zones()
    assert len(zones) > 40
    for zone in zones:
        days = [local(zone, at) for at in turns("day", zone)]
        dates = [day.date() for day in days]
        assert dates == [dates[0] + datetime.timedelta(days=n) for n in range(len(dates))], zone
        for day in days:
            before = local(zone, int(day.timestamp()) - 1)
            assert before.date() < day.date(), (zone, day)


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Africa/Cairo", "2026-04-24", "01:00:00+03:00"),
        ("America/Havana", "2026-03-08", "01:00:00-04:00"),
        ("America/Havana", "2025-11-02", "00:00:00-04:00"),  # midnight comes twice
        ("Europe/Berlin", "2026-03-29", "00:00:00+01:00"),
        ("Pacific/Apia", "2011-12-31", "00:00:00+14:00"),  # the day before it was left out
    ],
)
def test_clocks_that_are_set_at_midnight(zone: str, day: str, first: str) -> None:
    noon = int(datetime.datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp())
    assert local(zone, span("day", zone, noon * NS).starts_ns // NS).isoformat() == f"{day}T{first}"


@pytest.mark.parametrize(
    ("window", "at", "first", "following"),
    [
        ("week", "2026-11-26", "2026-11-23", "2026-11-30"),
        ("month", "2026-12-31", "2026-12-01", "2027-01-01"),
        ("quarter", "2026-11-26", "2026-10-01", "2027-01-01"),
        ("year", "2024-02-29", "2024-01-01", "2025-01-01"),
    ],
)
def test_longer_windows(window: str, at: str, first: str, following: str) -> None:
    zone = "Asia/Kolkata"
    moment = datetime.datetime.fromisoformat(f"{at}T23:30:00").replace(tzinfo=zoneinfo.ZoneInfo(zone))
    here = span(window, zone, int(moment.timestamp()) * NS)
    assert local(zone, here.starts_ns // NS).isoformat() == f"{first}T00:00:00+05:30"
    assert local(zone, here.ends_ns // NS).isoformat() == f"{following}T00:00:00+05:30"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Nuuk"])
def test_hours_begin_where_the_local_clock_says_so_or_is_set(zone: str) -> None:
    hours = turns("hour", zone, SINCE, SINCE + 400 * 86_400)
    odd = [at for at in hours if local(zone, at).minute]
    assert len(odd) == (2 if zone == "Australia/Lord_Howe" else 0)  # where clocks are set by half an hour
    assert all(later - at <= 3_600 for at, later in itertools.pairwise(hours))


def test_clocks_that_go_back_over_midnight() -> None:
    """In St. John's they once went from a minute past midnight to a minute past eleven: the new day began once, before that."""
    midnight = 1_289_097_000  # of 2010-11-07; a minute later it was 23:01 again
    begins = turns("day", "America/St_Johns", midnight - 86_400, midnight + 2 * 86_400)
    assert begins[1:3] == [midnight, midnight + 25 * 3600]
    assert span("day", "America/St_Johns", (midnight + 1800) * NS).starts_ns == midnight * NS  # half past eleven
