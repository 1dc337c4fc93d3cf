"""The tables on PostgreSQL: the steps of `schema.py`, and before them what only PostgreSQL needs.

A sequence counts the transactions that write, see `on_postgresql.py`. Histograms are spelt shorter by a function of the
database, as SQLite does by one of ours: `histogram.packed` says what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import StoreError
from ..store_url import shown_store
from .dialect import in_postgresql
from .postgresql import LOCK, SCHEMA
from .schema import MIGRATIONS, VERSION

if TYPE_CHECKING:
    import psycopg

__all__ = ["migrate", "no_store", "readable", "version_of"]

_OURS = """
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
    to_regclass(%s) IS NOT NULL, EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(%s))
"""
_OLDEST = 140_000
_PACKED = r"""
CREATE FUNCTION hist_packed(joined bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    WITH spelt AS (SELECT convert_from(joined, 'LATIN1') AS told)
    SELECT coalesce(string_agg(
        set_byte('\x00'::bytea, 0, code) || CASE WHEN n != 1 THEN convert_to(n::text, 'UTF8') ELSE ''::bytea END,
        ''::bytea ORDER BY code
    ), ''::bytea)
    FROM (
        SELECT code, sum(n) AS n FROM (
            SELECT ascii(one) AS code, count(*) AS n
            FROM spelt, string_to_table(regexp_replace(told, '[^-0-9][-0-9]+', '', 'g'), NULL) AS one GROUP BY one
            UNION ALL
            SELECT ascii(many[1]), many[2]::bigint FROM spelt, regexp_matches(told, '([^-0-9])([-0-9]+)', 'g') AS many
        ) AS parts GROUP BY code HAVING sum(n) != 0
    ) AS counted
$$
"""
"""Letters that stand alone, as most do, are not looked for by a pattern: ten thousand would take 40 ms instead of 7."""
_LESS = r"""
CREATE FUNCTION hist_less(joined bytea, gone bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT hist_packed(joined || convert_to(regexp_replace(
        regexp_replace(convert_from(gone, 'LATIN1'), '([^-0-9])(?![-0-9])', '\11', 'g'), '([^-0-9])', '\1-', 'g'
    ), 'LATIN1'))
$$
"""
"""What is taken away is added with a minus before how often; see `histogram.less`."""
_BEFORE = {
    0: (
        "CREATE TABLE payi_schema (version integer NOT NULL)",
        "INSERT INTO payi_schema (version) VALUES (0)",
        "CREATE SEQUENCE turns",
        _PACKED,
    ),
    1: (
        "ALTER TABLE rollup SET (fillfactor = 80)",
    ),  # with room beside it, a sum that changes costs no new index entry
    4: (_LESS,),
}
"""Number of a step -> what only PostgreSQL needs before it."""


def version_of(raw: psycopg.Connection[Any], url: str) -> int:
    """The version of the schema; 0 for a database without one.

    Raises:
        StoreError: It is another program's, or too new, or the database is no place for it.
    """
    where = f"store {shown_store(url)}"
    row = raw.execute(_OURS, (f"{SCHEMA}.payi_schema", SCHEMA)).fetchone()
    assert row is not None
    server, encoding, is_ours, is_used = row
    if server < _OLDEST:
        raise StoreError(f"{where} is on PostgreSQL {server // 10_000}, which is too old; 14 and later will do")
    if encoding != "UTF8":
        raise StoreError(f"{where} has the encoding {encoding}; make one that can hold any text: ENCODING 'UTF8'")
    if not is_ours:
        if is_used:
            raise StoreError(f"{where} has a schema {SCHEMA} of another program; name another database")
        return 0
    found = raw.execute("SELECT version FROM payi_schema").fetchone()
    version: int = 0 if found is None else found[0]
    refuse_newer(version, url)
    return version


def refuse_newer(version: int, url: str) -> None:
    """Raises StoreError: the schema is one that this version does not know."""
    if version > VERSION:
        raise StoreError(
            f"store {shown_store(url)} was written by a newer version of payi-middleware (schema {version}, this one "
            f"knows {VERSION}); upgrade this one"
        )


def migrate(raw: psycopg.Connection[Any], url: str) -> None:
    """Make the tables, or bring them up to date; of several processes that do so one does, while nobody writes.

    Raises:
        StoreError: As `version_of`.
        psycopg.Error: Nothing was changed.
    """
    if version_of(raw, url) == VERSION:
        return
    with raw.transaction():
        raw.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        version = version_of(raw, url)
        if version == 0:
            raw.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        for number in range(version, VERSION):
            for own in _BEFORE.get(number, ()):
                raw.execute(own.encode())
            for statement in MIGRATIONS[number]:
                raw.execute(in_postgresql(statement))
        raw.execute("UPDATE payi_schema SET version = %s", (VERSION,))


def readable(raw: psycopg.Connection[Any], url: str) -> None:
    """Whether the tables are there as this version knows them.

    Raises:
        StoreError: They are not; the message names the cure.
    """
    version, where = version_of(raw, url), shown_store(url)
    if version == 0:
        raise no_store(url)
    if version < VERSION:
        raise StoreError(
            f"store {where} has an older schema ({version}); bring it up to date: payi store upgrade, or start the "
            "application once"
        )


def no_store(url: str) -> StoreError:
    """There are no tables of ours."""
    where = shown_store(url)
    return StoreError(
        f"there is no store at {where}; run the application, which makes one when a call has ended, or name another: --store URL"
    )
