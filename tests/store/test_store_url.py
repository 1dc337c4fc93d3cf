"""What the URL of a store tells, and what of it may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from payi_middleware.exceptions import SettingsError
from payi_middleware.settings import Settings, load
from payi_middleware.store_url import identity, shown_store, state_path

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/a@b:c.db", "sqlite:////var/a@b:c.db"),
        (f"postgresql://jane:{SECRET}@db:5433/payi", "postgresql://jane@db:5433/payi"),
        (f"postgresql://jane:{SECRET}@x@db/payi", "postgresql://jane@db/payi"),
        (f"postgres://jane:{SECRET}/x@db/payi", "postgres://jane@db/payi"),
        ("postgresql://db/payi?sslmode=require", "postgresql://db/payi?sslmode=require"),
        (f"postgresql:///payi?password={SECRET}&host=db", "postgresql:///payi?***&host=db"),
        (f"postgresql://db/payi?sslpassword={SECRET}", "postgresql://db/payi?***"),
        (f"mysql://jane:{SECRET}@db/payi", "mysql://jane@db/payi"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert shown_store(url) == shown
    assert SECRET not in repr(Settings(store=url))


@pytest.mark.parametrize(
    "url",
    [f"mysql://jane:{SECRET}@db/payi", f"postgresql://jane:{SECRET}@[db/payi", f"postgresql://jane:{SECRET}@d b/x"],
)
def test_what_is_no_store(url: str) -> None:
    """It is refused when settings are read, without its password."""
    with pytest.raises(SettingsError, match=r"is not a store; use sqlite:///payi\.db .*postgresql://") as caught:
        load({"store": url})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://db/payi",
        "postgres://jane@DB/payi",
        "postgresql://paul:x@db:5432/payi",
        "postgresql://db/payi?sslmode=require&application_name=x",
    ],
)
def test_one_database_whoever_uses_it(other: str) -> None:
    """Names, passwords and how the way there is kept secret are no part of which it is."""
    assert identity(other) == identity("postgresql://db/payi")


@pytest.mark.parametrize("other", ["postgresql://db:5433/payi", "postgresql://db/other", "postgresql://b/payi?host=c"])
def test_another_database(other: str) -> None:
    assert identity(other) != identity("postgresql://db/payi")
    assert state_path(other) != state_path("postgresql://db/payi")


def test_local_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spool, rates and keys are in the user's folder for state, where there is one; a store in memory has none."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = load({"store": "postgresql://db/payi"})
    assert (settings.store_path, settings.in_memory) == (None, False)
    assert settings.spool_path is not None
    assert settings.spool_path.parent == tmp_path / "payi"
    assert load({"store": "postgresql://db/payi", "spool_dir": "/a"}).spool_path == Path("/a")

    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/jane")
    assert str(settings.files_path).startswith("/home/jane/.local/state/payi/postgresql-")
    monkeypatch.setenv("HOME", "~nobody-of-this-name")
    assert settings.files_path is None
    assert load({"store": "sqlite:///:memory:"}).in_memory
