"""litellm's published table of prices, in our words: provider, model, unit, what must hold, USD for one unit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from payi_middleware.providers.bedrock.names import terms_of

__all__ = ["Cell", "cells", "is_installed", "table"]

_FILE = "model_prices_and_context_window_backup.json"

PROVIDERS: Mapping[str, str] = {
    "ai21": "ai21",
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "codestral": "mistral",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "databricks": "databricks",
    "deepgram": "deepgram",
    "deepinfra": "deepinfra",
    "deepseek": "deepseek",
    "elevenlabs": "elevenlabs",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "hyperbolic": "hyperbolic",
    "jina_ai": "jina",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "nebius": "nebius",
    "nscale": "nscale",
    "nvidia_nim": "nvidia",
    "openai": "openai",
    "perplexity": "perplexity",
    "sambanova": "sambanova",
    "snowflake": "snowflake",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai-anthropic_models": "google",
    "vertex_ai-embedding-models": "google",
    "vertex_ai-language-models": "google",
    "vertex_ai-text-models": "google",
    "vertex_ai-video-models": "google",
    "voyage": "voyageai",
    "watsonx": "watsonx",
    "xai": "x-ai",
    "zai": "zai",
}
"""litellm's provider -> ours. What is not here is not compared."""

_TOKENS: Mapping[str, str] = {
    "input_cost_per_token": "text.input",
    "output_cost_per_token": "text.output",
    "output_cost_per_reasoning_token": "reasoning.output",
    "cache_read_input_token_cost": "text_cache_read.input",
    "cache_creation_input_token_cost": "text_cache_write.input",
    "cache_creation_input_token_cost_above_1hr": "text_cache_write_1h.input",
    "cache_creation_input_token_cost_above_12hr": "text_cache_write_12h.input",
    "input_cost_per_audio_token": "audio.input",
    "output_cost_per_audio_token": "audio.output",
    "cache_read_input_audio_token_cost": "audio_cache_read.input",
    "input_cost_per_image_token": "vision.input",
    "output_cost_per_image_token": "image.output",
    "cache_read_input_image_token_cost": "vision_cache_read.input",
    "input_cost_per_video_token": "video.input",
    "output_cost_per_video_token": "video.output",
    "citation_cost_per_token": "citation.output",
}
_COUNTS: Mapping[str, str] = {
    "output_cost_per_image": "generated_image.output",
    "input_cost_per_character": "text_character.input",
    "ocr_cost_per_page": "document_page.input",
    "annotation_cost_per_page": "annotated_document_page.input",
    "google_maps_grounding_cost_per_query": "maps_request.output",
}
_TIERS: Mapping[str, str] = {"batches": "batch", "flex": "flex", "priority": "priority", "ultrafast": "ultrafast"}
_SUFFIX = re.compile(r"(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority|ultrafast))?$")
_SIZE = re.compile(r"(?:^|/)(\d+)-x-(\d+)/")
_QUALITY = re.compile(r"(?:^|/)(low|medium|high|standard|hd|auto)/")
_OTHERWISE = re.compile(r"/claude_platform/|-commitment/")
"""Anthropic's own platform at AWS, and capacity bought for months: neither is billed by Bedrock's token."""
_PLACE = re.compile(r"(?:bedrock|bedrock_mantle)/(?:invoke/|converse/)?(?:([a-z]{2}(?:-[a-z]+)+-\d)/)?")
_REGION = re.compile(r"^(?:us|eu|apac|global|global-standard)/")


class Cell(NamedTuple):
    """One price of the table."""

    key: str
    """The model's key in the table."""
    provider: str
    model: str
    unit: str
    """`UNIT.SIDE`."""
    usd: Decimal
    """For one unit."""
    tier: str | None = None
    terms: tuple[str, ...] = ()
    above: int = -1
    source: str = ""


def is_installed() -> bool:
    """Whether there is a table."""
    return find_spec("litellm") is not None


def table() -> dict[str, dict[str, Any]]:
    """The table as it lies in the installed package, which is not imported; numbers as decimals."""
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations
    text = (Path(spec.submodule_search_locations[0]) / _FILE).read_text("utf-8")
    models: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
    models.pop("sample_spec", None)
    return models


def cells(models: Mapping[str, Mapping[str, Any]]) -> Iterator[Cell]:
    """Every price of a provider that we compare."""
    for key, entry in models.items():
        provider = PROVIDERS.get(str(entry.get("litellm_provider")))
        if provider is None:
            continue
        if _OTHERWISE.search(key):
            continue
        model, terms = _at_bedrock(key) if provider == "aws" else _named(key, provider)
        source = str(entry.get("source", ""))
        for name, value in entry.items():
            for unit, usd, tier, more, above in _priced(name, value, entry):
                yield Cell(key, provider, model, unit, _exact(usd), tier, (*terms, *more), above, source)


def _named(key: str, provider: str) -> tuple[str, tuple[str, ...]]:
    """The model's own name, and the terms that the key spells before it."""
    terms: list[str] = []
    size, quality = _SIZE.search(key), _QUALITY.search(key)
    if size:
        terms.append(f"size:{size[1]}x{size[2]}")
    if quality:
        terms.append(f"quality:{quality[1]}")
    name = key
    head, slash, rest = key.partition("/")
    if slash and head in {*PROVIDERS, "vertex_ai", "azure_ai", "codestral", "text-completion-codestral"}:
        name = rest
    if provider == "azure":
        region = _REGION.match(name)
        if region and not region[0].startswith("global"):
            terms += ["scope:datazone", f"zone:{region[0][:-1]}"]
        name = _REGION.sub("", name)
    name = _QUALITY.sub("/", _SIZE.sub("/", f"/{name}")).lstrip("/")
    return re.sub(r"^(?:\d+-steps|max-steps|50-steps)/", "", name), tuple(terms)


def _at_bedrock(key: str) -> tuple[str, tuple[str, ...]]:
    """A key names the region where that changes the price; a call tells it by its host."""
    name, terms = _named(key, "aws")
    place = _PLACE.search(key)
    region = place[1] if place else None
    model = _PLACE.sub("", name if place is None else key[key.index(place[0]) :])
    host = f"bedrock-runtime.{region or 'us-east-1'}.amazonaws.com"
    return model, (*terms, *terms_of(model, host))


def _priced(
    name: str, value: Any, entry: Mapping[str, Any]
) -> Iterator[tuple[str, Decimal | int, str | None, tuple[str, ...], int]]:
    """The units that a member prices, each with its rate, tier, terms and mark."""
    mode = entry.get("mode")
    if isinstance(value, dict):
        if name == "search_context_cost_per_query":
            yield "web_search_request.output", value["search_context_size_medium"], None, (), -1
        return
    if not isinstance(value, (Decimal, int)) or isinstance(value, bool):
        return
    suffix = _SUFFIX.search(name)
    assert suffix is not None
    base, above = name[: suffix.start()], int(suffix[1]) * 1000 if suffix[1] else -1
    tier = _TIERS[suffix[2]] if suffix[2] else None
    if base in _TOKENS:
        yield _TOKENS[base], value, tier, (), above
    elif base in _COUNTS:
        yield _COUNTS[base], value, tier, (), above
    elif name == "input_cost_per_second" and mode in {"audio_transcription"}:
        yield "audio_second.input", value, None, (), -1
    elif name in {"output_cost_per_second", "output_cost_per_video_per_second"} and mode == "video_generation":
        yield "generated_video_second.output", value, None, (), -1
    elif name.startswith("output_cost_per_second_") and mode == "video_generation":
        yield "generated_video_second.output", value, None, (f"resolution:{name.rpartition('_')[2]}",), -1
    elif name == "output_cost_per_second" and mode == "audio_speech":
        yield "generated_audio_second.output", value, None, (), -1
    elif name == "input_cost_per_query" and mode == "rerank":
        yield "rerank_search.output", value, None, (), -1


def _exact(usd: Decimal | int) -> Decimal:
    """Without the dust of a float: prices have at most nine figures that count."""
    return Decimal(f"{Decimal(usd):.9g}")
