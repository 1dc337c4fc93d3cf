"""`payi price --request`: what a request would cost, before it is sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .faults import WrongOption
from .source import settings_of

if TYPE_CHECKING:
    from ..beforehand import Figure, RequestEstimate

__all__ = ["price_request"]

_MOST = 64 << 20


def price_request(
    path: Path, provider: str | None, endpoint: str | None, use_case: str | None, store: str | None, *, as_json: bool
) -> None:
    """Estimate and print; exits with 1 if not even the input has a price.

    Raises:
        WrongOption: The file cannot be read.
        PayiError: The request, a setting or the store is not as it should be.
    """
    from ..meter import Meter

    body = _read(path)
    maker, where = _told_by_shape(body, provider, endpoint)
    with Meter(settings_of(store).store) as meter:
        told = meter.estimate(body, provider=maker, endpoint=where, use_case=use_case)
    if as_json:
        typer.echo(json.dumps(told.to_dict()))
    else:
        _print(told)
    if told.low.cost is None:
        raise typer.Exit(1)


def _read(path: Path) -> bytes:
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            body = file.read(_MOST + 1)
    except OSError as error:
        raise WrongOption("--request", f"{path} cannot be read: {error.strerror or error}") from None
    if len(body) > _MOST:
        raise WrongOption("--request", f"{path} is over {_MOST >> 20} MB")
    return body


def _told_by_shape(body: bytes, provider: str | None, endpoint: str | None) -> tuple[str, str]:
    """(provider, endpoint) where they are not given: by the model and the members, as makers tell theirs apart."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        asked = {}
    model = str(asked.get("model") or "")
    if provider is None:
        provider = "anthropic" if model.startswith("claude") else "google" if "contents" in asked else "openai"
    return provider, endpoint or _endpoint(provider, model, asked)


def _endpoint(provider: str, model: str, asked: dict[str, Any]) -> str:
    if provider == "google" and "contents" in asked:
        if not model:
            raise WrongOption("--endpoint", "is missing, which names the model: /v1beta/models/MODEL:generateContent")
        return f"/v1beta/models/{model.removeprefix('models/')}:generateContent"
    if provider == "anthropic":
        return "/v1/messages"
    if "input" in asked:
        return "/v1/embeddings" if "embed" in model else "/v1/responses"
    return "/v1/chat/completions" if "messages" in asked or "prompt" not in asked else "/v1/completions"


def _print(told: RequestEstimate) -> None:
    from .amounts import count
    from .tables import console, print_table, say

    on = console()
    figures = (("low", told.low), ("likely", told.likely), ("at most", told.most))
    print_table(
        on,
        [("", False), ("USD", True), ("Tokens out", True), ("How", False)],
        [[name, _usd(figure), _tokens(figure), figure.how] for name, figure in figures],
    )
    taken = sum(sides[0] for sides in told.units.values())
    say(on, f"{told.model} of {told.provider}, {told.endpoint}: {count(taken)} tokens in, {told.how}.")
    for entry in told.unpriced:
        say(on, f"UNPRICED: {count(entry.quantity)} {entry.unit}: {entry.reason}.", loud=True)


def _usd(figure: Figure) -> str:
    return "-" if figure.cost is None else format(figure.cost.normalize(), "f")


def _tokens(figure: Figure) -> str:
    from .amounts import count

    return "-" if figure.output_tokens is None else count(figure.output_tokens)
