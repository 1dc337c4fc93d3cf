"""Ingest in Pay-i's shape: one request whose body tells what and whose headers tell for whom, or a bare array of many.

Plain routes: a bulk is decoded at once, and only on an error item by item, so that the good ones are kept.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...events import format_id, format_time
from ...manual.items import BulkItem, Draft, Item
from ..auth import SEND, allowed, budget
from ..errors import MALFORMED, Answer, ApiError, refusal
from ..items import draft_of, refusal_of
from ..keys import Caller
from ..results import result_of
from ..rows import new_request_id
from ..serving import serving
from ..settling import Load, Outcome, Settled
from ..writer import Writer

__all__ = ["bulk", "bulk_upsert", "single"]

_AT_ONCE = 10_000  # items of a transaction: a larger bulk is written in parts, so that others have their turn
_ITSELF = 200  # items that are decoded in the event loop; more would keep others waiting

_decode_item = msgspec.json.Decoder(Item).decode
_decode_bulk = msgspec.json.Decoder(list[BulkItem]).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(BulkItem).decode
_decode_map = msgspec.json.Decoder(dict[str, str | None]).decode

_HEADERS = {
    "xproxy-user-id": "user_id",
    "xproxy-account-name": "account_name",
    "xproxy-usecase-name": "use_case_name",
    "xproxy-usecase-id": "use_case_id",
    "xproxy-usecase-step": "use_case_step",
    "xproxy-resource-scope": "scope",
    # What these were called before, which old clients still send.
    "xproxy-experience-name": "use_case_name",
    "xproxy-experience-id": "use_case_id",
}
_LISTS = {"xproxy-limit-ids": "limit_ids", "xproxy-request-tags": "request_tags"}
_MAPS = {"xproxy-request-properties": "properties", "xproxy-usecase-properties": "use_case_properties"}


async def single(request: Request) -> Response:
    """`POST /api/v1/ingest`; the query's `id`, which the instrumentation adds, tells nothing that the body does not."""
    caller, left = allowed(request, SEND), budget(request)
    left.begin()
    body = await request.body()
    left.bring(1)
    running = serving(request)
    try:
        outcome = (await running.writer.ingest(Load(caller, [_single(body, request.headers, caller)])))[0]
        if isinstance(outcome, ApiError):
            raise outcome
    except ApiError as error:
        running.metrics.counted([error])
        if error.status_code != 400:
            raise
        return Answer({**error.body(), "xproxy_result": {}}, 400)
    running.metrics.counted([outcome])
    event = outcome.event
    return Answer(
        {
            "request_id": format_id(event.event_id),
            "ingest_timestamp": format_time(time.time_ns()),
            "event_timestamp": format_time(event.started_ns),
            "message": None,
            "xproxy_result": result_of(event, duplicate=outcome.duplicate),
        }
    )


async def bulk(request: Request) -> Response:
    """`POST /api/v1/ingest/bulk`: a bare array; an empty body is an empty one."""
    return await _bulk(request, upsert=False)


async def bulk_upsert(request: Request) -> Response:
    """`POST /api/v1/ingest/bulk-upsert`: what is there already, by `provider_response_id`, is corrected."""
    return await _bulk(request, upsert=True)


async def _bulk(request: Request, *, upsert: bool) -> Response:
    caller, left = allowed(request, SEND), budget(request)
    left.begin()
    body = await request.body()
    running = serving(request)
    read = (
        await run_in_threadpool(_items, body, caller.name) if len(body) > _ITSELF * 300 else _items(body, caller.name)
    )
    if isinstance(read, ApiError):
        running.metrics.counted([read])
        whole = {"ingest_count": 0, "error_count": 1, "item_error_count": 0, "total_count": 0, "errors": None}
        return Answer(_times() | whole | read.body(), 400)
    left.bring(len(read))
    outcomes = await _written(running.writer, caller, read, upsert)
    running.metrics.counted(outcomes)
    errors = [
        {"item_index": n, "xproxy_result": outcome.body()}
        for n, outcome in enumerate(outcomes)
        if isinstance(outcome, ApiError)
    ]
    answer: dict[str, Any] = {
        "ingest_count": len(outcomes) - len(errors),
        "error_count": len(errors),
        "item_error_count": len(errors),
        "total_count": len(outcomes),
        "errors": errors or None,
    }
    if not errors or len(errors) < len(outcomes):
        return Answer(_times() | answer)
    return Answer(_times() | answer | ApiError(400, "no item could be ingested; `errors` tells why").body(), 400)


async def _written(writer: Writer, caller: Caller, read: Sequence[Draft | ApiError], upsert: bool) -> list[Outcome]:
    """What became of the items, which are written in parts.

    Once some are stored, the failure of a later part is told of each of the items that are not: were the whole refused, it
    would be sent again, and what has no `provider_response_id` be stored twice.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(read), _AT_ONCE):
        try:
            outcomes += await writer.ingest(Load(caller, read[start : start + _AT_ONCE], upsert))
        except Exception as error:  # the writer has told of a fault of ours
            if not any(isinstance(one, Settled) for one in outcomes):
                raise
            return outcomes + [one if isinstance(one, ApiError) else refusal(error) for one in read[start:]]
    return outcomes


def _times() -> dict[str, Any]:
    return {"request_id": new_request_id(), "ingest_timestamp": format_time(time.time_ns())}


def _single(body: bytes, headers: Mapping[str, str], caller: Caller) -> Draft:
    try:
        item = _decode_item(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise refusal_of(error) from None
    told: dict[str, Any] = {}
    for name, field in _HEADERS.items():
        value = headers.get(name)
        if value and field not in told:
            told[field] = _text(value)
    for name, field in _LISTS.items():
        value = headers.get(name)
        if value:
            told[field] = [part for text in _text(value).split(",") if (part := text.strip())]
    for name, field in _MAPS.items():
        value = headers.get(name)
        if value:
            setattr(item, field, {**_map(name, value), **(getattr(item, field) or {})})
    version = headers.get("xproxy-usecase-version")
    if version:
        told["use_case_version"] = _version(version)
    return draft_of(item, told, caller.name)


def _text(value: str) -> str:
    """A header's text: servers read it as latin-1, clients mostly write UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _version(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) < 2**31):
        raise ApiError(400, "xProxy-UseCase-Version: not a whole number from 0 to 2147483647")
    return int(value)


def _map(name: str, value: str) -> dict[str, str | None]:
    """Properties of a header: a JSON object, plain or in base64."""
    try:
        return _decode_map(value if value.lstrip().startswith("{") else base64.b64decode(value, validate=True))
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        raise ApiError(400, f"{name}: neither a JSON object of texts nor one in base64", MALFORMED) from None


def _items(body: bytes, application: str) -> list[Draft | ApiError] | ApiError:
    """What a bulk's body tells, item by item; the whole refused if it is no array."""
    if not body.strip():
        return []
    try:
        items: Sequence[Any] = _decode_bulk(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        try:
            items = _decode_raw(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return refusal_of(error)
    return [_item(one, application) for one in items]


def _item(one: BulkItem | msgspec.Raw, application: str) -> Draft | ApiError:
    try:
        item = one if isinstance(one, BulkItem) else _decode_one(one)
        return draft_of(item, msgspec.structs.asdict(item), application)
    except ApiError as error:
        return error
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return refusal_of(error)
