"""The routes, a file a resource."""

from __future__ import annotations

from .. import segments  # noqa: F401 - paths of the routes name its convertor
