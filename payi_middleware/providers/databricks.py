"""Databricks: models behind serving endpoints of the customer's or of its own naming, in OpenAI's shapes.

Source: docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Final

from . import _chat, openai
from ._paths import by_path
from .base import Facts, Reading, refined_by

__all__ = ["find_route"]

_NAMED: Final = re.compile(r"/serving-endpoints/(databricks-[^/]+)/invocations$")


def _listed(reading: Reading, facts: Facts) -> Reading:
    """Endpoints of Databricks' own are listed by their name, which the answer replaces by that of a build."""
    found = _NAMED.search(facts.path)
    name = found[1] if found else facts.asked.model or ""
    return reading._replace(model=name) if name.startswith("databricks-") else reading


_OURS: Final = {path: refined_by(endpoint, _listed) for path, endpoint in openai.endpoints().items()}

find_route: Final = by_path(
    {
        r"serving-endpoints/(?P<model>[^/]+)/invocations": refined_by(
            _chat.endpoint("/serving-endpoints/{name}/invocations"), _listed
        ),
    },
    openai.routes(_OURS, strict=True),
)
