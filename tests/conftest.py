"""What one test leaves behind is not met by the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import stores

from payi_middleware import health, uninstrument
from payi_middleware import meter as meters

os.environ.pop("PAYI_API_KEY", None)  # no test sends anything to a developer's own account
hypothesis.settings.register_profile("suite", deadline=None)  # this machine may be busy
hypothesis.settings.load_profile("suite")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test has one name in all processes that run the suite, although gzip writes the time into what it packs."""
    return argname if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.fixture(params=stores.KINDS)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The stores in the test's folder are on each kind of database in turn."""
    stores.place(tmp_path, request.param)


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """No hook, no meter, no counters."""
    health.reset()
    yield
    uninstrument()
    meters.forget_default()
    meters._meters.clear()  # one whose store refuses would try again whenever another test flushes all there are
    health.reset()
