"""The small signed mapping that takes a request's attribution through a job queue to a worker."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import health
from .attribution import NOTHING, Given
from .events import Attribution
from .identify import given_by

if TYPE_CHECKING:
    from .metering import Metering

__all__ = ["CARRIED", "SIGNATURE", "make", "read"]

CARRIED = "payi-attribution"
SIGNATURE = "payi-signature"
MAX_CARRIED = 1 << 20
"""Characters of a carrier that are looked at; the largest attribution takes less."""
KEY_BYTES = 32

_own_key = secrets.token_bytes(KEY_BYTES)
"""This process's, and its forked children's, where none can be kept."""


def make(attribution: Attribution, meter: Metering) -> dict[str, str]:
    """The mapping for one attribution; empty where nothing is to be done."""
    if meter.disabled:
        return {}
    carried = base64.urlsafe_b64encode(msgspec.msgpack.encode(attribution)).decode()
    return {CARRIED: carried, SIGNATURE: _signature(carried, meter)}


def read(mapping: Mapping[str, Any], find_meter: Callable[[], Metering]) -> Given:
    """What a carrier tells; nothing if it is malformed, altered or signed with another key."""
    try:
        if not isinstance(mapping, Mapping):
            raise ValueError(f"{type(mapping).__name__} is no mapping")
        if not mapping:  # of code that ran outside of any request
            return NOTHING
        carried, signature = mapping.get(CARRIED), mapping.get(SIGNATURE)
        if not isinstance(carried, str) or not isinstance(signature, str) or len(carried) > MAX_CARRIED:
            raise ValueError("not a carrier")
        meter = find_meter()  # not before it is needed: this may make one
        if meter.disabled:
            return NOTHING
        if not hmac.compare_digest(signature, _signature(carried, meter)):
            raise ValueError("another key signed it")
        return given_by(msgspec.msgpack.decode(base64.urlsafe_b64decode(carried), type=Attribution))
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        health.note(
            "carrier_refused",
            "a carrier is ignored (%s): calls under it are unattributed; give both processes the same PAYI_CARRIER_KEY",
            error,
        )
        return NOTHING


def _signature(carried: str, meter: Metering) -> str:
    return hmac.new(_key(meter), carried.encode(), "sha256").hexdigest()


def _key(meter: Metering) -> bytes:
    """The setting's key, or one beside the spool for processes of one machine."""
    if meter.settings.carrier_key:
        return meter.settings.carrier_key.encode()
    key = meter.carrier_key
    if key is None:
        key = meter.carrier_key = _kept_key(meter.spool.folder)
    return key


def _kept_key(folder: Path | None) -> bytes:
    """The key of a folder, made by the first process that needs one; of this process alone where none can be kept."""
    if folder is None:
        return _own_key
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "carrier.key"
        key = _read(path) if os.path.lexists(path) else _made(path)
        if len(key) == KEY_BYTES:
            return key
        raise ValueError(f"{path} has {len(key)} bytes instead of {KEY_BYTES}: remove it")
    except (OSError, ValueError) as error:
        health.note(
            "carrier_key",
            "no key for carriers can be kept (%s): only this process can read its carriers; set PAYI_CARRIER_KEY",
            error,
        )
        return _own_key


def _made(path: Path) -> bytes:
    """A new key, unless another process names its own first."""
    draft = path.with_name(f"carrier.{secrets.token_hex(6)}.new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(fd)  # an empty key, after a power cut, would be everybody's
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW), "rb") as file:
        return file.read(KEY_BYTES + 1)


_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
