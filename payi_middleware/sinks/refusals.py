"""Why a server refuses something: its `ApiError`, which is Pay-i's and our own server's alike."""

from __future__ import annotations

from typing import Any

__all__ = ["refusal"]


def refusal(told: Any) -> tuple[str | None, str]:
    """Code and message of an `ApiError`."""
    if not isinstance(told, dict):
        return None, ""
    error = told.get("xproxy_error")
    inner = error if isinstance(error, dict) else {}
    code, message = inner.get("code"), inner.get("message") or told.get("message")
    return (code if isinstance(code, str) else None), (message if isinstance(message, str) else "")
