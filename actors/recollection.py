"""What a store holds of an earlier life, read before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from actors.clock import Chance
from actors.ports import Store
from domain import records
from domain.agent import AgentRecord
from domain.audit import AuditRecord, SilencesRecord
from domain.closing import ClosingRecord
from domain.debts import DebtsRecord
from domain.evacuation import OrdersRecord
from domain.records import FrameworkRecord, InstallationRecord
from domain.stages import RolloutRecord
from domain.told import NoticesRecord

R = TypeVar("R")
D = TypeVar("D")


@attrs.frozen(kw_only=True)
class Recollection:
    """Our identity, every agent in the order of their names, and the order to end it all."""

    framework: FrameworkRecord | None
    closing: ClosingRecord | None
    rollout: RolloutRecord
    debts: DebtsRecord
    removals: OrdersRecord
    notices: NoticesRecord
    audit: AuditRecord
    silences: SilencesRecord
    agents: tuple[AgentRecord, ...]


def recollect(stored: Mapping[str, bytes]) -> Recollection:
    """Raises RecordError where a record can't be read."""
    reader = records.AgentReader()
    return Recollection(
        framework=_kept(stored, records.FRAMEWORK_KEY, FrameworkRecord, None),
        closing=_kept(stored, records.CLOSING_KEY, ClosingRecord, None),
        rollout=_kept(stored, records.ROLLOUT_KEY, RolloutRecord, RolloutRecord()),
        debts=_kept(stored, records.DEBTS_KEY, DebtsRecord, DebtsRecord()),
        removals=_kept(stored, records.ORDERS_KEY, OrdersRecord, OrdersRecord()),
        notices=_kept(stored, records.NOTICES_KEY, NoticesRecord, NoticesRecord()),
        audit=_kept(stored, records.AUDIT_KEY, AuditRecord, AuditRecord()),
        silences=_kept(stored, records.SILENCES_KEY, SilencesRecord, SilencesRecord()),
        agents=tuple(
            reader.read(stored[key], key=key)
            for key in sorted(stored)
            if key.startswith(records.AGENT_PREFIX)
        ),
    )


def _kept(stored: Mapping[str, bytes], key: str, kind: type[R], otherwise: D) -> R | D:
    raw = stored.get(key)
    return otherwise if raw is None else records.decode(raw, kind, key=key)


async def installation_key(stored: Mapping[str, bytes], store: Store, chance: Chance) -> bytes:
    """The key by which secrets are told apart: made once, before anything depends on it."""
    raw = stored.get(records.INSTALLATION_KEY)
    if raw is None:
        raw = records.encode(InstallationRecord(key=chance.secret_token()))
        await store.write({records.INSTALLATION_KEY: raw})
    return records.decode(raw, InstallationRecord, key=records.INSTALLATION_KEY).key.encode()
