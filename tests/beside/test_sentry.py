"""Beside Sentry's integrations of httpx and httpx2, and of threads."""

from __future__ import annotations

import pytest
from beside import in_a_process

pytest.importorskip("sentry_sdk")

CODE = """
import threading
import sentry_sdk
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.httpx2 import Httpx2Integration
from sentry_sdk.transport import Transport

spans = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        transaction = envelope.get_transaction_event()
        if transaction is not None:
            spans.extend(span for span in transaction["spans"] if span["op"] == "http.client")

def ours():
    instrument(meter)

def theirs():
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Kept,
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,  # it would import all it knows
        integrations=[HttpxIntegration(), Httpx2Integration()],
    )

def work():
    with sentry_sdk.start_transaction(name="test"), track(user_id="jane"):
        call_all()
        post(httpx)
        thread = threading.Thread(target=post, args=(httpx2,))
        thread.start()
        thread.join()

for install in ORDER:
    install()
work()
print(events(), len(spans))
instrument(meter)  # again, over whatever they patched
spans.clear()
work()
print(events(), len(spans))
uninstrument()
spans.clear()
work()
print(events(), len(spans))
sentry_sdk.get_client().close()
ours()
work()
print(events())
"""


@pytest.mark.parametrize("order", ["(ours, theirs)", "(theirs, ours)"])
def test_one_event_and_one_span(order: str) -> None:
    """In either order each call is one event, from a thread too, and Sentry's spans are made as ever."""
    first, second, third, fourth = in_a_process(CODE.replace("ORDER", order)).splitlines()
    assert (first, second, third, fourth) == ("8 8", "8 8", "0 8", "8")
