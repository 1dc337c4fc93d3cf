"""The tables, as steps from one version of the schema to the next.

Plain SQL, so that a twin for another database can follow; what only SQLite knows is in `sqlite.py`.

`events`    one row a call. What is grouped by stands in columns, what repeats is a number (`texts`, `wide`, `shapes`),
            the rest is packed.
`rollup`    sums by dimension and period (hour, day, month of UTC) over the events up to the mark in `folded`. What lies
            beyond the mark, some thousand rows at most, is read from `events`, so a report is exact at any moment.
            Beside them running sums, which have one row a key and kind for the last days, see `windows.py`.
`windows`   the days that are in each running sum.
`filled`    from which hour on the rollups have a dimension that came later than their store, see `filling.py`.
`corrections` one row a correction of an event's cost, see `corrections.py`.
`processes` the health of each process that writes.
`deliveries` up to which event a server has the events of an application; `rejected` those that it refused.
`keeping`   what was removed, see `keeping.py`.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone
from __future__ import annotations

from typing import Final

__all__ = [
    "ACCOUNT",
    "APPLICATION",
    "CORRECTED",
    "DAY",
    "DIMENSIONS",
    "EVER",
    "FAILURE",
    "HOUR",
    "LAST_7",
    "LAST_30",
    "LAST_90",
    "LATER",
    "MIGRATIONS",
    "MODEL",
    "MONTH",
    "NARROW",
    "NOT_GIVEN",
    "OTHER",
    "OTHER_ROUTE",
    "PROVIDER",
    "RANKED",
    "ROUTE",
    "ROUTED",
    "TAG",
    "USER",
    "USE_CASE",
    "VERSION",
    "WIDE",
    "WINDOWS",
]

HOUR: Final = 0
DAY: Final = 1
MONTH: Final = 2
LAST_7: Final = 3
LAST_30: Final = 4
LAST_90: Final = 5

WINDOWS: Final = {LAST_7: 7, LAST_30: 30, LAST_90: 90}
"""The grains of running sums, and how many days each has when it is full; their period is always 0."""
RANKED: Final = {grain: grain + 3 for grain in WINDOWS}
"""The grains that have the same a row a key, without kinds and histograms, of `DIMENSIONS`: to see which are dearest."""

WIDE: Final = 0
USER: Final = 1
ACCOUNT: Final = 2
TAG: Final = 3
ROUTE: Final = 4
FAILURE: Final = 5
USE_CASE: Final = 6
MODEL: Final = 7
PROVIDER: Final = 16
APPLICATION: Final = 17
ROUTED: Final = 18

NARROW: Final = {USE_CASE: "use_case", MODEL: "model", PROVIDER: "provider", APPLICATION: "application"}
"""What `WIDE` is by, one at a time: dimension -> column of `wide`. Keys are numbers of `texts`."""
LATER: Final = (*NARROW, ROUTED)
"""The dimensions that older stores did not have."""

DIMENSIONS: Final = {USER: "user", ACCOUNT: "account", TAG: "tag", ROUTE: "route"}
"""The dimensions whose values come from outside and can be many: dimension -> column of `events`."""

CORRECTED: Final = 8
"""A bit of dimensions: what corrections add to the sums of the one without it."""

NOT_GIVEN: Final = 0
"""The key of events that have no value in a dimension."""
OTHER: Final = -1
"""The key under which a rollup counts what is beyond its bound of values a day."""
OTHER_ROUTE: Final = (1 << 32) - 1
"""The same in `ROUTED`, whose keys are a number of `wide` and, in the lower 32 bits, one of a route."""

EVER: Final = -(1 << 40)
"""An hour before all others."""

_EVENTS = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    hour INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    first_byte_ns INTEGER,
    latency BLOB NOT NULL,
    first_byte BLOB,
    wide INTEGER NOT NULL,
    user INTEGER NOT NULL,
    account INTEGER NOT NULL,
    route INTEGER NOT NULL,
    tags INTEGER NOT NULL,
    failure INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_ticks INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    request_key INTEGER,
    rest BLOB NOT NULL
)
"""

_ROLLUP = """
CREATE TABLE rollup (
    dim INTEGER NOT NULL,
    grain INTEGER NOT NULL,
    period INTEGER NOT NULL,
    key INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_ticks INTEGER NOT NULL,
    latency BLOB NOT NULL,
    first_byte BLOB NOT NULL,
    PRIMARY KEY (dim, grain, period, key, kind)
) WITHOUT ROWID
"""

_WIDE = """
CREATE TABLE wide (
    id INTEGER PRIMARY KEY,
    packed BLOB NOT NULL UNIQUE,
    application TEXT NOT NULL,
    use_case TEXT,
    use_case_version INTEGER,
    use_case_step TEXT,
    provider TEXT NOT NULL,
    category TEXT NOT NULL,
    model TEXT
)
"""

_PROCESSES = """
CREATE TABLE processes (
    process TEXT PRIMARY KEY,
    seen_ns INTEGER NOT NULL,
    events INTEGER NOT NULL,
    health BLOB NOT NULL
)
"""

_CORRECTIONS = """
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    old_kind INTEGER NOT NULL,
    old_ticks INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    rest BLOB NOT NULL
)
"""

_DELIVERIES = """
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    application TEXT NOT NULL,
    mark INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    UNIQUE (url, application)
)
"""

_REJECTED = """
CREATE TABLE rejected (
    delivery INTEGER NOT NULL,
    event INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    again INTEGER NOT NULL,
    status INTEGER NOT NULL,
    code TEXT,
    message TEXT NOT NULL,
    PRIMARY KEY (delivery, event)
) WITHOUT ROWID
"""

_KEEPING = """
CREATE TABLE keeping (
    removed INTEGER NOT NULL,
    before_hour INTEGER,
    generation INTEGER NOT NULL
)
"""

_WINDOWS = """
CREATE TABLE windows (
    grain INTEGER NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (grain, day)
) WITHOUT ROWID
"""

_FILLED = """
CREATE TABLE filled (
    dim INTEGER NOT NULL,
    from_hour INTEGER NOT NULL,
    PRIMARY KEY (dim)
) WITHOUT ROWID
"""

_LATER = " UNION ALL ".join(f"SELECT {dim} AS dim" for dim in LATER)
_FILLED_FROM_NOW = f"""
INSERT INTO filled (dim, from_hour)
SELECT later.dim, CASE WHEN newest.hour IS NULL THEN {EVER} ELSE (newest.hour / 24 + 1) * 24 END
FROM ({_LATER}) AS later CROSS JOIN (
    SELECT max(hour) AS hour FROM (
        SELECT max(hour) AS hour FROM events
        UNION ALL SELECT max(period) AS hour FROM rollup WHERE dim = {WIDE} AND grain = {HOUR}
    ) AS hours
) AS newest
"""
"""A store without calls has all from the start; others from the day after their newest, the rest is filled in by and by."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        _EVENTS,
        # The hour first: ids and request ids are random, and an index in random order was the bottleneck of writing.
        "CREATE INDEX events_by_hour ON events (hour, request_key)",
        _ROLLUP,
        _WIDE,
        "CREATE TABLE texts (id INTEGER PRIMARY KEY, packed TEXT NOT NULL UNIQUE)",
        "CREATE TABLE shapes (id INTEGER PRIMARY KEY, packed BLOB NOT NULL UNIQUE)",
        "CREATE TABLE tags (tags INTEGER NOT NULL, tag INTEGER NOT NULL, PRIMARY KEY (tags, tag)) WITHOUT ROWID",
        "CREATE TABLE folded (id INTEGER NOT NULL)",
        "INSERT INTO folded (id) VALUES (0)",
        _PROCESSES,
    ),
    (_CORRECTIONS, "CREATE INDEX corrections_by_event ON corrections (event)"),
    (_DELIVERIES, _REJECTED),
    (_KEEPING, "INSERT INTO keeping (removed, before_hour, generation) VALUES (0, NULL, 0)"),
    (
        _WINDOWS,
        _FILLED,
        _FILLED_FROM_NOW,
        # Processes of an older version that still run would fold and correct without the new sums: these names stop them,
        # so that their events wait in the spool until they are started anew.
        "ALTER TABLE folded RENAME COLUMN id TO event",
        "ALTER TABLE corrections RENAME COLUMN rest TO told",
    ),
)
"""Step n takes a schema of version n to n + 1. Steps are only ever added."""

VERSION: Final = len(MIGRATIONS)
