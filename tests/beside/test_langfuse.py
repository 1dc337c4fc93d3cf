"""Beside Langfuse's wrapper of the OpenAI SDK."""

from __future__ import annotations

import pytest
from beside import in_a_process

pytest.importorskip("langfuse")

CODE = """
def ours():
    instrument(meter)

def theirs():
    global spans
    from langfuse import Langfuse
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    spans = InMemorySpanExporter()
    Langfuse(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=spans)
    import langfuse.openai  # patches the SDK for good

for install in ORDER:
    install()
with track(user_id="jane"):
    call_all()
    from langfuse import get_client
    get_client().flush()
    print(events(), sorted(span.name for span in spans.get_finished_spans()))
    uninstrument()
    spans.clear()
    call_all()
    get_client().flush()
    print(events(), len(spans.get_finished_spans()))
    instrument(meter)
    call_all()
    print(events())
"""


@pytest.mark.parametrize("order", ["(ours, theirs)", "(theirs, ours)"])
def test_one_event_and_one_generation(order: str) -> None:
    """In either order each call is one event, and Langfuse's generations are made as ever."""
    # Langfuse meets deprecations of its own dependencies as it is imported.
    told = in_a_process(CODE.replace("ORDER", order), "-W", "default::DeprecationWarning").splitlines()
    assert told == [f"4 {['OpenAI-generation'] * 4}", "0 4", "4"]
