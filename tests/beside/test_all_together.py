"""Beside OpenTelemetry, Sentry and Langfuse at once, all in one process."""

from __future__ import annotations

import pytest
from beside import in_a_process

pytest.importorskip("langfuse")
pytest.importorskip("opentelemetry.instrumentation.httpx")
pytest.importorskip("sentry_sdk")

CODE = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ask["messages"][0]["content"] = "#input=8"
telemetry, generations, sentry = InMemorySpanExporter(), InMemorySpanExporter(), []

def ours():
    instrument(meter)

def opentelemetry():
    from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
    global instrumentors
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(telemetry))
    instrumentors = HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor()
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)

def errors():
    import sentry_sdk
    from sentry_sdk.integrations.httpx import HttpxIntegration
    from sentry_sdk.integrations.httpx2 import Httpx2Integration
    from sentry_sdk.integrations.openai import OpenAIIntegration
    from sentry_sdk.transport import Transport
    class Kept(Transport):
        def capture_envelope(self, envelope):
            transaction = envelope.get_transaction_event()
            if transaction is not None:
                sentry.extend(span for span in transaction["spans"] if span["op"] == "http.client")
    integrations = [HttpxIntegration(), Httpx2Integration(), OpenAIIntegration()]
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Kept, traces_sample_rate=1.0,
        integrations=integrations, auto_enabling_integrations=False,
    )

def langfuse():
    from langfuse import Langfuse
    Langfuse(
        public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=generations,
        tracer_provider=TracerProvider(),
    )
    import langfuse.openai

def work():
    import sentry_sdk
    from langfuse import get_client
    for kept in (telemetry, generations, sentry):
        kept.clear()
    standin.clear()
    with sentry_sdk.start_transaction(name="test"), track(user_id="jane"):
        call_all()
        post(httpx)
    get_client().flush()
    assert meter.flush(10)
    costs = {event.cost.total_ticks for event in sink.events}
    traced = sum("traceparent" in seen.headers for seen in standin.requests)
    spans = len(telemetry.get_finished_spans()), len(sentry), len(generations.get_finished_spans())
    print(events(), sorted(costs), *spans, traced)

for install in ORDER:
    install()
work()
for instrumentor in instrumentors:
    instrumentor.uninstrument()
work()
uninstrument()
work()
opentelemetry()
ours()
work()
"""

SIX = "6 [156000]"  # ticks: 8 tokens in at 1,500 and 24 out at 6,000


@pytest.mark.parametrize(
    "order",
    ["(ours, opentelemetry, errors, langfuse)", "(langfuse, errors, opentelemetry, ours)"],
    ids=["first", "last"],
)
def test_each_counts_for_itself(order: str) -> None:
    """Each call is one event at its exact cost, one span of each tracer and, by the SDK, one generation."""
    # Langfuse meets deprecations of its own dependencies as it is imported.
    told = in_a_process(CODE.replace("ORDER", order), "-W", "default::DeprecationWarning").splitlines()
    assert told == [f"{SIX} 6 6 4 6", f"{SIX} 0 6 4 0", "0 [] 0 6 4 0", f"{SIX} 6 6 4 6"]
