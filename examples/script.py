"""A script or worker, without any web framework: say for whom, and what it cost.

pip install payi-middleware openai
OPENAI_API_KEY=... python examples/script.py jane john
payi report --by user
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import openai

from payi_middleware import Meter, current, instrument, track, use_case


@use_case("Nightly-Digest", step="write", version=2)
def digest(client: openai.OpenAI, topic: str) -> str:
    """Calls the provider; knows nothing of users."""
    answer = client.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": f"News of {topic}, in a line"}]
    )
    return answer.choices[0].message.content or ""


def main(users: list[str]) -> None:
    """Writes a digest for each user; two topics at once, whose threads know for whom they work."""
    with Meter() as meter, openai.OpenAI() as client, ThreadPoolExecutor(2) as pool:
        instrument(meter)
        for user in users:
            with track(user_id=user, request_tags=["nightly"]):
                answers = [pool.submit(digest, client, topic) for topic in ("ships", "harbours")]
                words = sum(len(answer.result().split()) for answer in answers)
                spent = current()
                # Rates load in the background; a call that ended before they came is priced when it is stored.
                cost = f"${spent.cost:.6f}" if spent.complete else "what `payi report` tells"
                print(f"{user}: {words} words for {cost}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["jane", "john"])
