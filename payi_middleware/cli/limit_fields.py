"""The fields of a limit as options, stated once for every command that takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

import typer

from .faults import WrongOption, told

__all__ = ["Given", "with_fields"]

Given: TypeAlias = dict[str, Any]
"""The fields of a limit that were given, as `Limit` takes them."""

_PARAMETER: Final = "given"

_OPTIONS: Final[dict[str, Any]] = {
    "type": Annotated[
        str | None, typer.Option(metavar="block|allow", help="Refuse calls (the default), or only tell.")
    ],
    "threshold": Annotated[
        str | None, typer.Option(metavar="SHARE", help="Of the maximum, from which it is `exceeded`; or none.")
    ],
    "window": Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="hour, day, week, month, quarter, year; 90m, 24h, 30d; or none: only a reset."
        ),
    ],
    "timezone": Annotated[str | None, typer.Option(metavar="NAME", help="By which days and months turn.")],
    "match": Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Only such calls, as properties.plan=pro. Several: all of them."),
    ],
    "tag": Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only calls that have one of these limit tags.")
    ],
    "alert": Annotated[
        list[str] | None, typer.Option(metavar="SHARE", help="A share of the maximum to tell at, or forecast.")
    ],
    "strict": Annotated[
        bool | None, typer.Option("--strict/--no-strict", help="No call begins that could pass the maximum.")
    ],
    "on_error": Annotated[str | None, typer.Option(metavar="open|closed", help="When the ledger is out of reach.")],
    "unknown_price": Annotated[
        str | None, typer.Option(metavar="dearest|block|allow", help="Models without a known price.")
    ],
}


def with_fields(command: Callable[..., None]) -> Callable[..., None]:
    """A command in whose place of `given` each field is an option of its own."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        with told():
            values[_PARAMETER] = _fields({name: values.pop(name) for name in _OPTIONS})
        command(**values)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += (
            options if parameter.name == _PARAMETER else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        )
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer goes by
    return run


def _fields(given: dict[str, Any]) -> Given:
    """As `Limit` takes them; an empty value clears, `none` takes away."""
    there = {name: value for name, value in given.items() if value is not None}
    fields = {name: _READERS[name](value) if name in _READERS else value for name, value in there.items()}
    return {_NAMES.get(name, name): value for name, value in fields.items()}


def _pair(text: str) -> tuple[str, str]:
    field, sign, value = text.partition("=")
    if not sign:
        raise WrongOption("--match", f"{text!r} is no FIELD=VALUE; give for example properties.plan=pro")
    return field, value


def _share(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WrongOption(option, f"{text!r} is no share of the maximum; give for example 0.8") from None


_NAMES: Final = {"tag": "tags", "alert": "alerts"}
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "threshold": lambda text: None if text in ("", "none") else _share("--threshold", text),
    "window": lambda text: None if text in ("", "none") else text,
    "match": lambda texts: dict(_pair(text) for text in texts if text),
    "tag": lambda texts: tuple(text for text in texts if text),
    "alert": lambda texts: tuple(text if text == "forecast" else _share("--alert", text) for text in texts if text),
}
