"""What the server tells of itself when it has had something to do."""

from __future__ import annotations

import httpx2
import pytest
from expressions import Exposed, exposed
from servers import Server

EVENT = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}


@pytest.fixture(scope="session")
def there(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """The metrics of a real server that took an event, refused one, and has a limit."""
    with Server(tmp_path_factory.mktemp("metrics"), open_metrics=True) as server:
        with server.http() as http:
            http.post("/api/v1/ingest", json=EVENT).raise_for_status()
            assert http.post("/api/v1/ingest", json={}).status_code == 400
            http.post("/api/v1/limits", json={"limit_name": "Monthly", "max": 10}).raise_for_status()
        return exposed(httpx2.get(f"{server.url}/metrics", trust_env=False).text)
