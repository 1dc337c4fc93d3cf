"""Snowflake Cortex: OpenAI's and Anthropic's shapes, and an older call of its own in OpenAI's words.

Source: docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api, looked at on 2026-11-25.
"""

from __future__ import annotations

from typing import Final

from . import _chat, openai
from ._openai_usage import OPENAI
from ._paths import by_path

__all__ = ["find_route"]

# Whatever else this host is asked is SQL and files.
find_route: Final = by_path(
    {
        r"api/v2/cortex/inference(?::|%3[Aa])complete": _chat.endpoint("/api/v2/cortex/inference:complete"),
        r"api/v2/cortex/inference(?::|%3[Aa])embed": _chat.embeddings(OPENAI, "/api/v2/cortex/inference:embed"),
    },
    openai.routes(openai.endpoints(), strict=True),
)
