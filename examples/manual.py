"""Events that no hook sees, told by hand: a service with rates of one's own, a model behind a queue, last month's bill.

pip install payi-middleware
python examples/manual.py
payi report --by user --by model
"""

from __future__ import annotations

from decimal import Decimal

from payi_middleware import Meter, current, track, use_case

PRICES = {
    "rate": [
        {"provider": "maps", "models": ["geocoding"], "rates": {"request.input": "0.005"}, "source": "our contract"},
    ]
}


def find(meter: Meter, places: list[str]) -> None:
    """Asks a service that is no GenAI provider; three places are three requests."""
    meter.record("maps", "geocoding", {"request": len(places)}, latency_ms=120)


def main() -> None:
    """Charges two users with what they had others do, and takes over a cost that somebody else has computed."""
    with Meter(prices=PRICES) as meter:
        for user, places in (("jane", ["Kiel", "Bremen", "Emden"]), ("john", ["Rostock"])):
            with track(user_id=user, request_tags=["routes"]), use_case("Route-Planning"):
                find(meter, places)
                # What a worker told us of its call: counts by unit, input and output. The id makes it count once.
                told = {"text": (1200, 300), "text_cache_read": (800, 0)}
                meter.record("system.openai", "gpt-4o", told, provider_response_id=f"chatcmpl-{user}")
                meter.record("system.openai", "gpt-4o", told, provider_response_id=f"chatcmpl-{user}")
                print(f"{user}: {current().calls} events")
        meter.record(
            "transcripts",
            "standard",
            {"audio_second": 5400},
            at="2026-10-31T12:00:00Z",
            cost=Decimal("0.54"),
            user_id="jane",
        )


if __name__ == "__main__":
    main()
