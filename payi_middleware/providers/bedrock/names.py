"""The names of models on Bedrock: what a path calls, and where the call is processed.

A model is called by `VENDOR.MODEL`, by an inference profile (`us.VENDOR.MODEL`, `global.VENDOR.MODEL`) or by an ARN. The
prefix stays in the name: it decides the rate, and price lists have a row for each. Source: AWS's pages "Supported foundation
models", "Inference profiles" and "Amazon Bedrock pricing".
"""

from __future__ import annotations

import functools
import re
from typing import Final
from urllib.parse import unquote

__all__ = ["full_name", "is_named", "model_of", "region_of", "terms_of", "why_unnamed"]

_UNNAMED: Final = "the ARN names no model: say with price_as, or with a rate of your own, which one is behind it"
_OTHERWISE: Final = {
    "imported-model": "an imported model is billed by the time that its copies run, not by token",
    "provisioned-model": "provisioned throughput is bought beforehand, not billed by token",
}

_ARN: Final = re.compile(r"arn:[^:]*:[a-z-]+:[^:]*:[^:]*:([^/]+)/(.+)", re.DOTALL)
_NAMING: Final = frozenset({"foundation-model", "inference-profile"})
_PROFILE: Final = re.compile(r"(us-gov|apac|global|[a-z]{2})\.(?=[a-z0-9-]+\.)")
_VENDOR: Final = re.compile(r"(?:(?:us-gov|apac|global|[a-z]{2})\.)?[a-z][a-z0-9-]*\.(?=[a-z])")
_HOST: Final = re.compile(r"bedrock-(?:agent-)?(?:runtime|mantle)(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
_LONGEST: Final = 256

# The regions whose rates are the ones that price lists give for a model as such.
_LISTED: Final = frozenset({"us-east-1", "us-east-2", "us-west-2"})
_GOVERNMENT: Final = "us-gov"
# Makers with one rate in every commercial region, profiles apart; gpt-oss is not OpenAI's to price.
_SAME_EVERYWHERE: Final = re.compile(
    r"ai21\.|amazon\.rerank|anthropic\.|cohere\.|luma\.|openai\.(?!gpt-oss)|stability\.|twelvelabs\.|writer\.|xai\."
)


@functools.lru_cache(maxsize=1024)
def model_of(segment: str) -> str:
    """The name in a segment of a path, percent-encoded or not, or in a member of a body.

    An ARN that names no model is left with its kind and its id, without region and account.
    """
    name = unquote(segment)[:_LONGEST].encode("utf-8", "replace").decode()  # JSON may hold half of a surrogate pair
    arn = _ARN.fullmatch(name)
    if arn is None:
        return name
    return arn[2] if arn[1] in _NAMING else f"{arn[1]}/{arn[2]}"


def is_named(model: str | None) -> bool:
    """Whether a name is a model's: what is left of an ARN that names none has a slash in it."""
    return model is not None and "/" not in model


def why_unnamed(name: str) -> str:
    """What to say of a call under such a name: it has no rate, or it is not billed by token at all."""
    return _OTHERWISE.get(name.partition("/")[0], _UNNAMED)


@functools.lru_cache(maxsize=1024)
def full_name(asked: str | None, answered: str | None) -> str | None:
    """The model that answered, by the name under which it was called: answers leave out the profile and the maker."""
    if not answered or not asked:
        return answered or asked
    if "." not in asked or answered == asked:
        return answered
    prefix = _VENDOR.match(asked)
    if prefix is None or _VENDOR.match(answered) is not None:
        return answered if prefix is None or not asked.endswith(answered) else asked
    return f"{prefix[0]}{answered}"


def region_of(host: str) -> str | None:
    """The region in a host's name, those of VPC endpoints and of the FIPS and dual-stack ones included."""
    found = _HOST.search(f"{host}.")
    return None if found is None else found[1]


@functools.lru_cache(maxsize=1024)
def terms_of(model: str, host: str) -> tuple[str, ...]:
    """What besides the name changes the rates: the region or area where it is processed, where that makes a difference."""
    region, profile = region_of(host), _PROFILE.match(model)
    area = None if profile is None else profile[1]
    if area == _GOVERNMENT or (region is not None and region.startswith(_GOVERNMENT)):
        return (f"region:{_GOVERNMENT}",)
    if area in ("global", "us") or _SAME_EVERYWHERE.match(model, 0 if profile is None else profile.end()):
        return ()
    if area is not None:
        return (f"region:{area}",)
    return () if region is None or region in _LISTED else (f"region:{region}",)
