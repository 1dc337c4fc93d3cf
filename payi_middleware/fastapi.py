"""The face of FastAPI: the ASGI middleware, and a dependency by which a whole router carries a use case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import HTTPConnection

from .annotation import ROUTER
from .asgi import PayiMiddleware
from .attribution import check_use_case, clean

__all__ = ["PayiMiddleware", "UseCase"]


class UseCase:
    """A use case for every route of a router: `APIRouter(dependencies=[Depends(UseCase("Document-Summary"))])`.

    A route's own `use_case` is laid over it.

    Args:
        name: 1 to 64 of `A-Z a-z 0-9 . _ -`.
        version: The version of the use case's definition.
        step: The step inside the instance.
        properties: Text by text, of the instance.
        tags: Request tags; an empty list clears those of the sources below.

    Raises:
        UseCaseError: The name is not valid.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int | None = None,
        step: str | None = None,
        properties: Mapping[str, Any] | None = None,
        tags: Sequence[str] | str = (),
    ) -> None:
        self._given = clean(
            use_case_name=check_use_case(name),
            use_case_version=version,
            use_case_step=step,
            use_case_properties=properties,
            request_tags=None if tags == () else tags,
        )

    async def __call__(self, connection: HTTPConnection) -> None:
        """Leave the use case in the request's scope."""
        outer = connection.scope.get(ROUTER, ())
        connection.scope[ROUTER] = (*outer, self._given)
