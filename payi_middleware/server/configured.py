"""What definitions of use cases say of their instances' limits, in the ledger from the start: it may be new, or another one."""

from __future__ import annotations

from sqlalchemy import Connection, select

from .. import health
from ..exceptions import LimitError
from ..limits.ledger import Ledger
from .away import Patient
from .defined import Defined
from .tables import applications, use_cases

__all__ = ["configure_all"]


def configure_all(sql: Connection, ledger: Ledger) -> None:
    """Have the ledger know each `limit_config`.

    Raises:
        LedgerError: It cannot be asked.
    """
    defined = Defined(Patient(ledger))
    joined = select(applications.c.name.label("whose"), use_cases).join(
        applications, applications.c.id == use_cases.c.application
    )
    for row in sql.execute(joined.where(use_cases.c.limit_config.is_not(None))).all():
        try:
            defined.configure(row.whose, row.name, row.limit_config, anew=True)
        except LimitError as error:
            health.note("server_limit_config", "instances of %s have no limit: %s", row.name, error)
