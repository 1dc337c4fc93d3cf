"""Databricks: models behind serving endpoints of the customer's or of its own naming, in OpenAI's shapes.

Source: docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Final

from . import _chat, openai
from ._paths import by_path
from .base import Facts, Provider, Reading, refined_by

__all__ = ["HOSTS", "PROVIDER"]

_NAMED: Final = re.compile(r"/serving-endpoints/(databricks-[^/]+)/invocations$")


def _listed(reading: Reading, facts: Facts) -> Reading:
    """Endpoints of Databricks' own are listed by their name, which the answer replaces by that of a build."""
    found = _NAMED.search(facts.path)
    name = found[1] if found else facts.asked.model or ""
    return reading._replace(model=name) if name.startswith("databricks-") else reading


_OURS: Final = {path: refined_by(endpoint, _listed) for path, endpoint in openai.endpoints().items()}

_FIND_ROUTE: Final = by_path(
    {
        r"serving-endpoints/(?P<model>[^/]+)/invocations": refined_by(
            _chat.endpoint("/serving-endpoints/{name}/invocations"), _listed
        ),
    },
    openai.routes(_OURS, strict=True),
)


def _on(cloud: str) -> Provider:
    return Provider("databricks", f"system.databricks.{cloud}", _FIND_ROUTE)


PROVIDER: Final = _on("aws")
HOSTS: Final = (
    (re.compile(r"[a-z0-9.-]+\.cloud\.databricks\.com"), PROVIDER),
    (re.compile(r"[a-z0-9.-]+\.azuredatabricks\.net"), _on("azure")),
    (re.compile(r"[a-z0-9.-]+\.gcp\.databricks\.com"), _on("google")),
)
"""Workspaces and their gateways: one list of prices, and a category of Pay-i's for each cloud."""
