"""A limit that holds: each premium user has $10 a month, and nothing is spent beyond it.

pip install payi-middleware openai
OPENAI_API_KEY=... python examples/limits.py jane bob
payi limits list
"""

from __future__ import annotations

import sys

import openai

from payi_middleware import Limit, LimitReached, Meter, current, instrument, track, use_case

PREMIUM = Limit("premium-monthly", 10, window="month", per="user", tags=["premium"])
"""One limit, an account for each user: made when first needed, and shared by all processes of the application."""


@use_case("Document-Summary", step="summarize")
def summarize(client: openai.OpenAI, text: str) -> str:
    """Calls the provider; knows nothing of limits."""
    answer = client.chat.completions.create(
        model="gpt-4o", max_tokens=400, messages=[{"role": "user", "content": f"Summarize in a line: {text}"}]
    )
    return answer.choices[0].message.content or ""


def serve(client: openai.OpenAI, user: str, documents: list[str]) -> str:
    """Summaries of a user's documents, until the limit says no; what became of it in a line."""
    done = 0
    with track(user_id=user, request_tags=["summarize_document"], limit_tags=["premium"]):
        try:
            for document in documents:
                summarize(client, document)
                done += 1
        except openai.OpenAIError as error:  # the SDK's own: a refused call is an answer of 400 to it
            reached = LimitReached.of(error)
            if reached is None:
                raise
            return f"{user}: {done} summaries, then {reached.message}"
        left = ", ".join(f"{one.left} {one.unit} of {one.name}" for one in current().limits)
        return f"{user}: {done} summaries, {left} left"


def main(users: list[str], documents: list[str]) -> None:
    """Serves one user after the other."""
    with Meter(application="Summarization-Service", limits=[PREMIUM]) as meter, openai.OpenAI() as client:
        instrument(meter)
        for user in users:
            print(serve(client, user, documents))


if __name__ == "__main__":
    texts = [line.strip() for line in sys.stdin] if not sys.stdin.isatty() else []
    main(sys.argv[1:] or ["jane", "bob"], texts or ["A long report on harbours.", "A longer one on ships."])
