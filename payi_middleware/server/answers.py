"""What each operation answers, as the OpenAPI document tells it: names and types of Pay-i's models, with ours beside them.

Routes make their answers of rows; these say of what shape they are, and are never made. They are closed: a member that is
not named here is a fault of the document.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from ..limits.limit import Per, Unit

__all__ = ["ANSWERS", "REFUSALS", "ApiError"]

T = TypeVar("T")

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Money: TypeAlias = Annotated[float, msgspec.Meta(description="USD.")]
_Time: TypeAlias = datetime.datetime
_Properties: TypeAlias = dict[str, str]


class _Closed(msgspec.Struct, forbid_unknown_fields=True):
    """What all of them are."""


class Code(_Closed):
    """Why, for programs."""

    code: str | None
    message: str


class ApiError(_Closed):
    """A refusal."""

    message: str
    statusCode: int  # noqa: N815 - Pay-i's name
    xproxy_error: Code
    xproxy_result: dict[str, Any] | UnsetType = UNSET
    """Of a single ingest: empty."""


class Page(_Closed, Generic[T]):
    """Some items of a listing, and where the next ones begin."""

    request_id: str
    cursor: str | None
    items: list[T]


class Done(_Closed):
    """That it is done."""

    request_id: str
    message: str | UnsetType | None = UNSET


class Side(_Closed):
    """Cost of what went in, or came out."""

    base: _Money


class Total(_Closed):
    """Cost in all."""

    base: _Money
    overrun_base: _Money | UnsetType | None = UNSET
    """The part above a limit's maximum; null of one that counts calls or tokens."""


class LimitCost(_Closed):
    """What a limit was charged since its last reset."""

    input: Side
    output: Side
    total: Total


class LimitRequests(_Closed):
    """Requests by the state in which they left a limit."""

    ok: _Count
    exceeded: _Count
    overrun: _Count
    blocked: _Count
    blocked_external: _Count
    failed: _Count
    total: _Count


class Totals(_Closed):
    """What a limit counts."""

    cost: LimitCost
    requests: LimitRequests


_LimitType: TypeAlias = Literal["block", "allow"]
_Amount: TypeAlias = Annotated[float, msgspec.Meta(description="In the limit's unit: USD, calls or tokens.")]


class Limit(_Closed):
    """A limit."""

    limit_id: str
    limit_name: str
    limit_type: _LimitType
    max: _Amount
    """Of each of its accounts."""
    threshold: float | None
    limit_creation_timestamp: _Time
    limit_update_timestamp: _Time
    properties: _Properties
    totals: Totals
    unit: Unit
    window: str | None
    timezone: str
    per: list[Per]
    match: dict[str, str]
    tags: list[str]
    strict: bool
    on_error: Literal["open", "closed"] | None
    unknown_price: Literal["dearest", "block", "allow"]
    alerts: list[float | str]
    source: Literal["code", "api", "instance"]
    accounts: _Count
    """That are running."""
    spent: _Amount
    held: _Amount
    window_starts_at: _Time | None
    window_ends_at: _Time | None


class LimitAccount(_Closed):
    """An account of a limit."""

    key: list[str]
    """The values of `per`, in their order."""
    state: Literal["ok", "exceeded", "overrun"]
    max: _Amount
    spent: _Amount
    held: _Amount
    left: _Amount
    window_starts_at: _Time | None
    window_ends_at: _Time | None
    totals: Totals


class LimitResponse(_Closed):
    """A limit as an answer."""

    request_id: str
    message: str | None
    limit: Limit


class LimitHistory(_Closed):
    """What a limit had come to when it was reset."""

    limit_id: str
    limit_name: str
    limit_type: _LimitType
    max: _Amount
    limit_reset_timestamp: _Time
    limit_tags: list[str]
    totals: Totals


class LimitHistoryResponse(_Closed):
    """The same as an answer."""

    request_id: str
    message: str | None
    limit_history: LimitHistory


class Category(_Closed):
    """A category's name."""

    category: str


class UnitPrice(_Closed):
    """USD for a single unit; null where that side has no price."""

    input_price: _Money | None = None
    output_price: _Money | None = None


class Resource(_Closed):
    """A version of a resource."""

    resource_id: str
    category: str
    resource: str
    active: bool
    proxy_allowed: bool
    start_timestamp: _Time
    end_timestamp: _Time | None
    units: dict[str, UnitPrice]
    max_input_units: _Count | None
    max_output_units: _Count | None
    max_total_units: _Count | None
    large_context_threshold: _Count | UnsetType | None = UNSET
    """Of a managed one: the tokens of a prompt above which the units of large context count, if any do."""


class InstanceLimit(_Closed):
    """The limit that each new instance gets."""

    max: _Money
    limit_type: _LimitType
    threshold: float | None
    properties: _Properties


class Definition(_Closed):
    """A use case."""

    request_id: str
    name: str
    description: str
    type_version: int
    limit_config: InstanceLimit | None
    logging_enabled: bool | None


_KpiType: TypeAlias = Literal["boolean", "number", "percentage", "likert5", "likert7", "likert10"]


class Kpi(_Closed):
    """What instances are scored by."""

    request_id: str
    name: str
    kpi_name: str
    description: str
    kpi_type: _KpiType
    goal: float
    created_timestamp: _Time
    updated_timestamp: _Time | None


class Instance(_Closed):
    """A run of a use case."""

    use_case_id: str
    use_case_name: str
    type_version: int
    limit_id: str | None
    properties: _Properties


class Score(_Closed):
    """How an instance did by a KPI; of a boolean one 0 or 1."""

    kpi_name: str
    kpi_type: _KpiType
    score: float | None
    create_timestamp: _Time
    update_timestamp: _Time | None


class LimitState(_Closed):
    """The state in which a request left a limit."""

    state: Literal["ok", "exceeded", "overrun", "blocked", "blocked_external", "failed"]


class Cost(_Closed):
    """What a request cost."""

    currency: Literal["usd"]
    input: Side
    output: Side
    total: Total


class Quantity(_Closed):
    """How much of a unit went in and came out."""

    input: _Count
    output: _Count


class Result(_Closed):
    """What is told of a request; members without a value are left out."""

    request_id: str
    limits: dict[str, LimitState]
    cost: Cost
    duplicate_request: bool
    blocked_limit_ids: list[str] | UnsetType = UNSET
    """The limits that refused it."""
    request_tags: list[str] | UnsetType = UNSET
    use_case_name: str | UnsetType = UNSET
    use_case_id: str | UnsetType = UNSET
    use_case_step: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    account_name: str | UnsetType = UNSET
    resource_id: str | UnsetType = UNSET
    """The version of the application's own resource that priced it."""
    unknown_units: dict[str, Quantity] | UnsetType = UNSET
    """What has no price."""
    warnings: list[str] | UnsetType = UNSET
    properties: _Properties | UnsetType = UNSET


class Told(_Closed):
    """The result of a request, asked for later."""

    xproxy_result: Result


class Ingested(_Closed):
    """An event that was ingested."""

    request_id: str
    ingest_timestamp: _Time
    event_timestamp: _Time
    message: str | None
    xproxy_result: Result


class ItemError(_Closed):
    """Why an item of a bulk was refused."""

    item_index: _Count
    xproxy_result: ApiError


class _Bulk(_Closed):
    request_id: str
    ingest_timestamp: _Time
    ingest_count: _Count
    error_count: _Count
    item_error_count: _Count
    total_count: _Count
    errors: list[ItemError] | None


class Bulk(_Bulk):
    """What became of the items of a bulk."""


class RefusedBulk(_Bulk):
    """A bulk of which nothing could be ingested."""

    message: str
    statusCode: int  # noqa: N815
    xproxy_error: Code


class LineError(ApiError, kw_only=True):
    """Why a line was refused."""

    line: Annotated[int, msgspec.Meta(ge=1)]


class _Lines(_Closed):
    request_id: str
    stored: _Count
    duplicates: _Count
    error_count: _Count
    errors: list[LineError]


class Lines(_Lines):
    """What became of the lines."""


class RefusedLines(_Lines):
    """Lines of which none could be stored."""

    message: str
    statusCode: int  # noqa: N815
    xproxy_error: Code


class EventsTaken(_Closed):
    """How events of ours are sent."""

    path: str
    schema: int
    content_encodings: list[str]


class Capabilities(_Closed):
    """What the server is and can."""

    server: Literal["payi-middleware"]
    version: str
    price_version: str
    application: str
    role: Literal["ingest", "read", "admin"]
    events: EventsTaken
    bounds: dict[str, _Count]


_API = "/api/v1"
_LIMIT = f"{_API}/limits/{{limit_id}}"
_CATEGORY = f"{_API}/categories/{{category}}"
_RESOURCE = f"{_CATEGORY}/resources/{{resource}}"
_USE_CASE = f"{_API}/use_cases/definitions/{{use_case_name}}"
_RUNS = f"{_API}/use_cases/instances/{{use_case_name}}"
_RUN = f"{_RUNS}/{{use_case_id}}"
_REQUEST = f"{_API}/requests/{{request_id}}"
_BY_PROVIDER = f"{_API}/requests/provider/{{category}}/{{provider_response_id}}"

ANSWERS: Final[dict[tuple[str, str], Any]] = {
    ("POST", f"{_API}/limits"): LimitResponse,
    ("GET", f"{_API}/limits"): Page[Limit],
    ("GET", _LIMIT): LimitResponse,
    ("PUT", _LIMIT): LimitResponse,
    ("DELETE", _LIMIT): Done,
    ("POST", f"{_LIMIT}/reset"): LimitHistoryResponse,
    ("PUT", f"{_LIMIT}/properties"): list[LimitResponse],
    ("GET", f"{_LIMIT}/accounts"): Page[LimitAccount],
    ("GET", f"{_API}/categories"): Page[Category],
    ("DELETE", _CATEGORY): list[Resource],
    ("GET", f"{_CATEGORY}/resources"): Page[Resource],
    ("POST", _RESOURCE): Resource,
    ("GET", _RESOURCE): Page[Resource],
    ("DELETE", _RESOURCE): list[Resource],
    ("GET", f"{_RESOURCE}/{{resource_id}}"): Resource,
    ("DELETE", f"{_RESOURCE}/{{resource_id}}"): Resource,
    ("POST", f"{_API}/use_cases/definitions"): Definition,
    ("GET", f"{_API}/use_cases/definitions"): Page[Definition],
    ("GET", _USE_CASE): Definition,
    ("PUT", _USE_CASE): Definition,
    ("DELETE", _USE_CASE): Definition,
    ("POST", f"{_USE_CASE}/increment_version"): Definition,
    ("POST", f"{_USE_CASE}/limit_config"): Definition,
    ("DELETE", f"{_USE_CASE}/limit_config"): Definition,
    ("POST", f"{_USE_CASE}/kpis"): Kpi,
    ("GET", f"{_USE_CASE}/kpis"): Page[Kpi],
    ("GET", f"{_USE_CASE}/kpis/{{kpi_name}}"): Kpi,
    ("PUT", f"{_USE_CASE}/kpis/{{kpi_name}}"): Kpi,
    ("DELETE", f"{_USE_CASE}/kpis/{{kpi_name}}"): Kpi,
    ("POST", _RUNS): Instance,
    ("GET", _RUN): Instance,
    ("DELETE", _RUN): Instance,
    ("PUT", f"{_RUN}/properties"): Instance,
    ("GET", f"{_RUN}/kpis"): Page[Score],
    ("PUT", f"{_RUN}/kpis/{{kpi_name}}"): Done,
    ("GET", f"{_REQUEST}/result"): Told,
    ("PUT", f"{_REQUEST}/properties"): Done,
    ("GET", f"{_BY_PROVIDER}/result"): Told,
    ("PUT", f"{_BY_PROVIDER}/properties"): Done,
    ("POST", f"{_API}/ingest"): Ingested,
    ("POST", f"{_API}/ingest/bulk"): Bulk,
    ("POST", f"{_API}/ingest/bulk-upsert"): Bulk,
    ("POST", f"{_API}/events"): Lines,
    ("GET", f"{_API}/capabilities"): Capabilities,
}
"""By method and path, of status 200."""

REFUSALS: Final[dict[tuple[str, str], Any]] = {
    ("POST", f"{_API}/ingest/bulk"): RefusedBulk,
    ("POST", f"{_API}/ingest/bulk-upsert"): RefusedBulk,
    ("POST", f"{_API}/events"): RefusedLines,
}
"""The same of status 400, where it may be more than an `ApiError`."""
