"""Pay-i's own instrumentation with the real SDKs, against the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from children import environment
from servers import Server

from payi_middleware.demo.standin import StandIn
from payi_middleware.events import CallEvent
from payi_middleware.store import open_store


def watched(who: str, openai: StandIn, anthropic: StandIn, **more: str) -> None:
    """Make the calls in a process of their own, as both patch what they watch."""
    command = [sys.executable, "-m", "instrumented", who, openai.url, anthropic.url]
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def facts(event: CallEvent) -> dict[str, Any]:
    who = event.attribution
    return {
        "category": event.category,
        "resource": event.resource or event.requested_resource,
        "units": {name: sides for name, sides in event.units.items() if any(sides)},
        "cost": event.cost and event.cost.total,
        "source": event.cost_source,
        "outcome": event.outcome,
        "status": event.http_status,
        "who": (who.user_id, who.account_name, who.request_properties),
        "version": event.price_version if event.cost else None,
    }


@pytest.mark.slow
def test_payis_instrumentation_tells_what_ours_does(tmp_path: Path) -> None:
    """Chat, responses, embeddings, messages, whole and streamed, synchronous or not, and a failure: priced as ours prices them."""
    ours = f"sqlite:///{tmp_path / 'ours' / 'payi.db'}"
    with StandIn() as openai, StandIn() as anthropic, Server(tmp_path / "server") as server:
        watched("theirs", openai, anthropic, PAYI_BASE_URL=server.url, PAYI_API_KEY=server.key("ingest"))
        watched("ours", openai, anthropic, PAYI_STORE=ours)

    with open_store(server.store, create=False) as theirs, open_store(ours, create=False) as mine:
        told = list(theirs.events())
        assert [facts(event) for event in told] == [facts(event) for event in mine.events()]
    assert len(told) == 9
    assert {event.origin for event in told} == {"ingest"}
    # Named by the instrumentation itself, after the file that called it.
    assert {event.use_case_name for event in told} == {"instrumented"}
    assert "stack_trace" not in repr([event.to_dict() for event in told])
