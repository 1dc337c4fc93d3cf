"""What one test leaves behind is not met by the next."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from payi_middleware import health, uninstrument
from payi_middleware.meter import forget_default

hypothesis.settings.register_profile("suite", deadline=None)  # this machine may be busy
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """No hook, no default meter, no counters."""
    health.reset()
    yield
    uninstrument()
    forget_default()
    health.reset()
