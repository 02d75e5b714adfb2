"""All scripts. Importing a module of scripts puts its functions into the table."""

from __future__ import annotations

from typing import Final

from tests.fidelity.scripts import (
    agents,
    connection,
    launches,
    maintenance,
    masters,
    offers,
    operations,
    operator,
    updates,
)
from tests.fidelity.table import SCRIPTS, Script

MODULES: Final = (
    connection,
    launches,
    offers,
    updates,
    agents,
    masters,
    maintenance,
    operations,
    operator,
)
ALL: Final[dict[str, Script]] = SCRIPTS
