"""Vertex's `:predict`, a method of many kinds of models: embeddings, images of Imagen, music of Lyria, PaLM's texts.

What an answer tells depends on the kind, so the kind is told by what the answer holds, and by the model of the path where
it holds nothing but data.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

import msgspec

from ..events import Units, Unpriced
from ._asking import ask_nothing
from ._errors import Error, error_type
from ._json import BAD, MOST_TOKENS, NOT_JSON, Count, fill, lenient, parse
from .base import Endpoint, Facts, Reading

__all__ = ["predict"]

_CLIP: Final = 30
"""Seconds of one of Lyria's clips. Source: cloud.google.com/vertex-ai/generative-ai/pricing, priced per 30 seconds."""

_IMAGES: Final = re.compile(r"image(?:n|generation|-segmentation)|virtual-try-on|product-recontext")
_MUSIC: Final = re.compile(r"lyria")
_BY_TOKENS: Final = re.compile(r"gemini-")
_MODEL: Final = re.compile(r"/models/([^/:]+)")
_FOUR: Final = 4  # images, where the request does not say; source: Vertex's reference of Imagen, `sampleCount`

_NOT_PRICED: Final = "what this model's predictions cost is not told by their answer"
_AS_ASKED: Final = "the answer is too large to be kept; counted as many as were asked for"
_UPSCALED: Final = Unpriced("upscale", 1, "images were made larger, which has a rate of its own")

_Rounded = Annotated[float, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class _Statistics(msgspec.Struct, gc=False):
    token_count: _Rounded | None = None


class _Embedded(msgspec.Struct, gc=False):
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct, gc=False, rename="camel"):
    embeddings: _Embedded | None = None
    bytes_base64_encoded: str | None = None
    gcs_uri: str | None = None
    audio_content: str | None = None

    @property
    def has_data(self) -> bool:
        """Whether it is a picture or a clip: one that was filtered out is not billed."""
        return bool(self.bytes_base64_encoded or self.gcs_uri or self.audio_content)


class _Tokens(msgspec.Struct, gc=False, rename="camel"):
    total_tokens: Count | None = None
    total_billable_characters: Count | None = None


class _TokenMetadata(msgspec.Struct, gc=False, rename="camel"):
    input_token_count: _Tokens | None = None
    output_token_count: _Tokens | None = None


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    billable_character_count: Count | None = None
    token_metadata: _TokenMetadata | None = None


class _Answer(msgspec.Struct, gc=False):
    predictions: list[_Prediction] | None = None
    metadata: _Metadata | None = None
    error: Error | None = None


class _Parameters(msgspec.Struct, gc=False, rename="camel"):
    sample_count: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    mode: str | None = None


class _Request(msgspec.Struct, gc=False):
    parameters: _Parameters | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_request = msgspec.json.Decoder(_Request).decode

_UNIT_OF_PIECES: Final = "prediction"
"""Stands for pictures and clips until the model tells which of them they are."""


def read(body: bytes) -> Reading:
    """Reads a whole body; what its predictions are is completed by `_refine`."""
    wrong = None
    try:
        answer: _Answer | None = _decode(body)
    except BAD:
        answer, wrong = _patiently(body)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    failed = error_type(answer.error)
    if failed:
        return Reading(reason="the answer is an error", error_type=failed)
    units = None if wrong else _embedded(answer) or _palm(answer)
    if units is None and not wrong:
        pieces = sum(prediction.has_data for prediction in answer.predictions or ())
        units = {_UNIT_OF_PIECES: (0, pieces)} if pieces else None
    return Reading(units=units, reason=wrong or (None if units else _NOT_PRICED))


def _patiently(body: bytes) -> tuple[_Answer | None, str | None]:
    """PaLM tells its texts as bare strings among the predictions, which are no fault."""
    value = parse(body)
    if not isinstance(value, dict):
        return lenient(body, _Answer)
    predictions = value.get("predictions")
    if isinstance(predictions, list):
        value["predictions"] = [told if isinstance(told, dict) else {} for told in predictions]
    return fill(value, _Answer)


def _embedded(answer: _Answer) -> Units | None:
    """Tokens of all inputs, and the characters by which older models are billed."""
    counts = [
        prediction.embeddings.statistics.token_count
        for prediction in answer.predictions or ()
        if prediction.embeddings is not None and prediction.embeddings.statistics is not None
    ]
    tokens = math.ceil(sum(count for count in counts if count is not None))
    if not tokens:
        return None
    units: Units = {"text": (tokens, 0)}
    characters = None if answer.metadata is None else answer.metadata.billable_character_count
    if characters:
        units["text_character"] = (characters, 0)
    return units


def _palm(answer: _Answer) -> Units | None:
    told = None if answer.metadata is None else answer.metadata.token_metadata
    if told is None:
        return None
    sides = told.input_token_count or _Tokens(), told.output_token_count or _Tokens()
    characters = sides[0].total_billable_characters or 0, sides[1].total_billable_characters or 0
    if any(characters):
        return {"text_character": characters}
    tokens = sides[0].total_tokens or 0, sides[1].total_tokens or 0
    return {"text": tokens} if any(tokens) else None


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads nothing of the two ends: pictures are megabytes each, and are counted as they were asked for."""
    return Reading(reason=_AS_ASKED, complete=tail.rstrip()[-1:] == b"}")


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a body that came in parts like any other."""
    return read_cut(head, tail) if tail else read(head)


def _refine(reading: Reading, facts: Facts) -> Reading:
    """Completes what was read by the model of the path, and where a body was too large by the request."""
    found = _MODEL.search(facts.path)
    model = found[1] if found is not None else ""
    units = reading.units
    if units is not None and "text_character" in units and len(units) > 1:
        left_out = "text_character" if _BY_TOKENS.match(model) else "text"
        return reading._replace(units={unit: sides for unit, sides in units.items() if unit != left_out})
    if units is None and reading.reason == _AS_ASKED and facts.request is not None:
        units = {_UNIT_OF_PIECES: (0, _parameters(facts.request).sample_count or _FOUR)}
        reading = reading._replace(units=units, estimated=True)
    if units is None or _UNIT_OF_PIECES not in units:
        return reading
    pieces = units[_UNIT_OF_PIECES][1]
    if _MUSIC.search(model):
        return reading._replace(units={"generated_audio_second": (0, pieces * _CLIP)})
    if not _IMAGES.search(model):
        return reading._replace(units=None, estimated=False, reason=_NOT_PRICED)
    if facts.request is not None and _parameters(facts.request).mode == "upscale":
        reading = reading._replace(terms=("mode:upscale",), unpriced=(_UPSCALED,))
    return reading._replace(units={"generated_image": (0, pieces)})


def _parameters(request: bytes) -> _Parameters:
    try:
        return _decode_request(request).parameters or _Parameters()
    except BAD:
        told: Any = lenient(request, _Request)[0]
        return (told.parameters if told is not None else None) or _Parameters()


def predict(prefix: str) -> Endpoint:
    """The method, below a prefix of the path's template."""
    return Endpoint(f"{prefix}/models/{{model}}:predict", ask_nothing, read, read_cut, read_stream, refine=_refine)
