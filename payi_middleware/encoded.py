"""For whom and for what calls are made, with the encoded form that each of their records takes."""

from __future__ import annotations

import msgspec

from .events import Attribution

__all__ = ["Attributed", "with_instance"]


class Attributed:
    """An attribution and its encoded form, worked out once for all calls that share it."""

    __slots__ = ("_instance", "attribution_raw", "inbound_raw", "key", "shared", "version")

    def __init__(
        self,
        shared: Attribution,
        instance: str | None,
        attribution_raw: msgspec.Raw,
        inbound_raw: msgspec.Raw,
        version: int,
        key: tuple[object, ...],
    ) -> None:
        self.shared = shared
        """The attribution but for the id of the use case's instance, where that is the request's own."""
        self._instance = instance
        self.attribution_raw = attribution_raw
        self.inbound_raw = inbound_raw
        self.version = version
        """The activity's, when this was worked out."""
        self.key = key
        """The face's, when this was worked out."""

    @property
    def attribution(self) -> Attribution:
        """The whole of it."""
        return self.shared if self._instance is None else with_instance(self.shared, self._instance)

    def recorded_as(self, attribution_raw: msgspec.Raw) -> Attributed:
        """The same, with another form for the record."""
        return Attributed(self.shared, self._instance, attribution_raw, self.inbound_raw, self.version, self.key)


def with_instance(known: Attribution, instance: str) -> Attribution:
    """The same with an id of its use case's instance."""
    return msgspec.structs.replace(known, use_case_id=instance)
