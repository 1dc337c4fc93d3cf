"""`payi demo`: real web applications and SDKs and a provider stand-in, to see who spends what on what in no time."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("anthropic", "fastapi", "flask", "openai", "uvicorn")


def main(*, serve: bool = False, live: bool = False) -> int:
    """Run the demo.

    Args:
        serve: Keep the applications up afterwards, until Ctrl-C.
        live: Ask the real providers whose keys the environment has, instead of the stand-in.

    Returns:
        The exit code: 0; 1 where something is missing, of which a line on standard error tells.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        print("the demo needs a few packages more: pip install 'payi-middleware[demo]'", file=sys.stderr)
        return 1
    began = time.monotonic()
    print("Loading FastAPI, Flask, the OpenAI and the Anthropic SDK ...", flush=True)
    from .run import run

    return run(serve=serve, live=live, began=began)
