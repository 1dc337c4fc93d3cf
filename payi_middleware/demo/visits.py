"""Who asks the demo's applications for what."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["ACCOUNTS", "VISITS", "Visit"]

ACCOUNTS = {"jane": "acme", "ravi": "acme", "mei": "globex", "omar": "globex", "lena": "initech"}


class Visit(NamedTuple):
    """One request of a user to an application."""

    user: str
    path: str
    needs: str
    """The provider that the application calls for it."""
    body: dict[str, Any]
    tags: str
    hint: str = ""
    """Markers for the stand-in (`question` lists them); a real provider is not sent them."""
    standin_only: bool = False

    def json(self, *, live: bool) -> dict[str, Any]:
        """The request's body, with the hint where a stand-in answers."""
        if live or not self.hint:
            return self.body
        if "text" in self.body:
            return self.body | {"text": f"{self.body['text']} {self.hint}"}
        return self.body | {"turns": [*self.body["turns"][:-1], f"{self.body['turns'][-1]} {self.hint}"]}


REPORT = "In March the harbour of Trieste handled 212 ships, in April 240; the cranes stood still for nine days. " * 30
LETTER = "Dear Sir, the lamp you sent is green. I had asked for a blue one, as you may see from my order. " * 12
LATE = "My parcel is late. What now?"
TURNS = [LATE, "Which day was it due?", "Monday, and it is Friday now."]
WHERE = "Where is my order?"

VISITS = (
    Visit("jane", "/documents/summary", "openai", {"text": REPORT}, "quarterly,finance", "#output=180"),
    Visit("jane", "/documents/summary/stream", "anthropic", {"text": LETTER}, "mail", "#output=120"),
    Visit("jane", "/chat/stream", "openai", {"text": LATE}, "web"),
    # The first attempt is answered 429; the SDK tries again by itself.
    Visit("ravi", "/documents/summary", "openai", {"text": LETTER}, "mail", "#fail-429-once #output=90"),
    Visit("ravi", "/chat/order", "openai", {"text": WHERE}, "mobile"),
    # A model without a price: shown as unpriced, never as free.
    Visit("mei", "/documents/summary", "openai", {"text": LETTER, "model": "house-model-7b"}, "trial", "", True),
    Visit("mei", "/chat", "anthropic", {"turns": [LATE]}, "mobile", "#output=60"),
    # The first turn writes the handbook to Anthropic's cache, the second reads it.
    Visit("omar", "/chat", "anthropic", {"turns": TURNS[:1]}, "web", "#output=40"),
    Visit("omar", "/chat", "anthropic", {"turns": TURNS}, "web", "#output=70"),
    Visit("omar", "/documents/summary/stream", "anthropic", {"text": REPORT}, "finance", "#output=200"),
    Visit("lena", "/chat/order", "openai", {"text": WHERE}, "web"),
    Visit("lena", "/chat/stream", "openai", {"text": LATE}, "web", "#output=80"),
    Visit("lena", "/documents/summary", "openai", {"text": REPORT}, "finance"),
)
