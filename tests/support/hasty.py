"""A ledger in SQLite that does at once what it can, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence

from payi_middleware.limits.ledger import Answer, Step
from payi_middleware.limits.sqlite import SqliteLedger

__all__ = ["Hasty"]


class Hasty(SqliteLedger):
    """Else as any."""

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """One step at once, if it may be; all others as ever."""
        answers = self.at_once(steps[0]) if len(steps) == 1 else []
        return answers or super().run(steps)
