"""What is billed by the piece and not by the token: pictures, video by the second, queries of a reranker.

No usage tells them; they are counted in the answer, or in the request where the answer comes later or was too large to be
kept. Sources: AWS's pages "Amazon Bedrock pricing" and "Inference request parameters and response fields".
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import msgspec

from ...events import Units, Unpriced
from .._json import BAD, parse
from ..base import Facts, Reading

__all__ = ["embedded", "is_by_the_piece", "pieces_of", "reranked", "started"]

_PICTURES: Final = re.compile(r"(?:\w[\w-]*\.)?(?:amazon\.(?:titan-image|nova-canvas)|stability\.)")
_RERANKERS: Final = re.compile(r"(?:\w[\w-]*\.)?(?:amazon|cohere)\.rerank")
_EMBEDDERS: Final = re.compile(
    r"(?:\w[\w-]*\.)?(?:amazon\.(?:titan-embed-image|nova[\w-]*embed)|cohere\.embed|twelvelabs\.)"
)
_BY_SIZE: Final = ("titan-image", "nova-canvas")

_IMAGES_WITH_TEXT: Final = ("titan-embed-image", "nova")
_IMAGE: Final = re.compile(rb'"(?:inputImage|image)"\s*:')
_OTHER_MEDIA: Final = re.compile(rb'"(?:images|video|audio|mediaSource|inputVideo|inputAudio)"\s*:')
_LARGE: Final = 1 << 20

_DOCUMENTS: Final = 100
"""Documents that one query of a reranker includes."""
_CHARACTERS: Final = 1500
"""Characters of a document that are surely not more than the 512 tokens above which it counts as several."""
_LONG: Final = "documents of over 512 tokens count as several; by how many is not told"
_MOST: Final = 10**4
_SECONDS: Final = re.compile(r"(\d{1,3})s?")
_LATER: Final = "counted as it was asked for: how it ended is not seen"


class _Pictures(msgspec.Struct, gc=False):
    images: list[Any] | None = None
    artifacts: list[Any] | None = None


_decode = msgspec.json.Decoder(_Pictures).decode


@functools.lru_cache(maxsize=1024)
def is_by_the_piece(model: str) -> bool:
    """Whether a model makes or embeds what is no text, or ranks, so that its answers are to be looked at."""
    return any(names.match(model) for names in (_PICTURES, _RERANKERS, _EMBEDDERS))


def pieces_of(model: str, facts: Facts) -> tuple[Units, tuple[str, ...], tuple[Unpriced, ...]] | None:
    """(units, terms, what they leave out) of a call that is billed by pieces alone; None for any other."""
    if _PICTURES.match(model):
        return _pictures(model, facts)
    if _RERANKERS.match(model):
        request = parse(facts.request or b"")
        documents = request.get("documents") if isinstance(request, dict) else None
        return (*reranked(documents if isinstance(documents, list) else []),)
    return None


def _pictures(model: str, facts: Facts) -> tuple[Units, tuple[str, ...], tuple[Unpriced, ...]]:
    request = parse(facts.request or b"")
    request = request if isinstance(request, dict) else {}
    config = request.get("imageGenerationConfig")
    config = config if isinstance(config, dict) else {}
    made = _made(facts.answer)
    if made is None:
        made = _whole(config.get("numberOfImages")) or 1
    terms: tuple[str, ...] = ()
    if any(name in model for name in _BY_SIZE):
        size = max(_whole(config.get("width")) or 1024, _whole(config.get("height")) or 1024)
        side = next((side for side in (512, 1024) if size <= side), 2048)
        terms = (f"size:{side}x{side}", f"quality:{'premium' if config.get('quality') == 'premium' else 'standard'}")
    return {"generated_image": (0, made)}, terms, ()


def _made(answer: bytes) -> int | None:
    """The pictures in an answer: a refused one is null or empty. None if the answer is not whole."""
    try:
        told = _decode(answer)
    except BAD:
        return None
    return sum(map(bool, told.images or told.artifacts or []))


def reranked(documents: list[Any]) -> tuple[Units, tuple[str, ...], tuple[Unpriced, ...]]:
    """A query over documents: a hundred of them are one unit."""
    units: Units = {"rerank_search": (0, max(1, -(-len(documents) // _DOCUMENTS)))}
    long = sum(len(document if isinstance(document, str) else str(document)) > _CHARACTERS for document in documents)
    return units, (), (Unpriced("rerank_search", long, _LONG),) if long else ()


def embedded(model: str, reading: Reading, request: bytes | None) -> Reading:
    """Adds what an embedding of pictures and sounds costs beside its text."""
    if request is None or not _EMBEDDERS.match(model):
        return reading
    if any(name in model for name in _IMAGES_WITH_TEXT) and _IMAGE.search(request) is not None:
        return reading._replace(units=(reading.units or {}) | {"embedded_image": (1, 0)})
    if "twelvelabs." in model or _OTHER_MEDIA.search(request) is not None:
        return reading._replace(unpriced=(*reading.unpriced, Unpriced("embedded_media", 1, "its length is not told")))
    return reading


def started(reading: Reading, facts: Facts) -> Reading:
    """`StartAsyncInvoke`: a video is billed by the second, and only the request tells how many there will be."""
    request = parse(facts.request or b"")
    asked = request.get("modelInput") if isinstance(request, dict) else None
    if not isinstance(asked, dict) or reading.error_type:
        return reading
    config = asked.get("videoGenerationConfig")
    if isinstance(config, dict):  # Nova Reel
        seconds, height = _whole(config.get("durationSeconds")) or 6, str(config.get("dimension") or "1280x720")
        resolution = f"{height.rpartition('x')[2]}p"
    elif isinstance(asked.get("duration"), str):  # Luma
        found = _SECONDS.fullmatch(asked["duration"])
        seconds, resolution = int(found[1]) if found else 0, str(asked.get("resolution") or "720p")
    else:
        return reading
    if not seconds or not re.fullmatch(r"\d{3,4}p", resolution):
        return reading
    units: Units = {"generated_video_second": (0, seconds)}
    return reading._replace(units=units, terms=(f"resolution:{resolution}",), reason=_LATER, estimated=True)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST else None
