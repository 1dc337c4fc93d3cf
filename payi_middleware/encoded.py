"""For whom and for what calls are made, with the encoded form that each of their records takes."""

from __future__ import annotations

import msgspec

from .events import Attribution, format_id

__all__ = ["Attributed", "with_instance"]


_encode = msgspec.msgpack.Encoder().encode


class Attributed(msgspec.Struct, frozen=True, eq=False):
    """An attribution and its encoded form, worked out once for all calls that share it."""

    shared: Attribution
    """The attribution but for the id of the use case's instance, where that is the request's own."""
    instance: bytes | None
    """That id."""
    attribution_raw: msgspec.Raw
    """Without that id."""
    inbound_raw: msgspec.Raw
    version: int
    """The activity's, when this was worked out."""
    key: tuple[object, ...]
    """The face's, when this was worked out."""

    @property
    def attribution(self) -> Attribution:
        """The whole of it."""
        return self.shared if self.instance is None else with_instance(self.shared, format_id(self.instance))

    @property
    def whole_raw(self) -> msgspec.Raw:
        """The encoded form of the whole."""
        return self.attribution_raw if self.instance is None else msgspec.Raw(_encode(self.attribution))

    def recorded_as(self, attribution_raw: msgspec.Raw) -> Attributed:
        """The same, with another form of the whole for the record."""
        return msgspec.structs.replace(self, shared=self.attribution, instance=None, attribution_raw=attribution_raw)


def with_instance(known: Attribution, instance: str) -> Attribution:
    """The same with an id of its use case's instance."""
    return msgspec.structs.replace(known, use_case_id=instance)
