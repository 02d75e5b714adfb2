"""What a store holds of an earlier life, read before anything is done."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from actors.clock import Chance
from actors.ports import Store
from domain import records
from domain.agent import AgentRecord
from domain.closing import ClosingRecord
from domain.debts import DebtsRecord
from domain.evacuation import OrdersRecord
from domain.records import FrameworkRecord, InstallationRecord
from domain.stages import RolloutRecord
from domain.told import NoticesRecord


@attrs.frozen(kw_only=True)
class Recollection:
    """Our identity, every agent in the order of their names, and the order to end it all."""

    framework: FrameworkRecord | None
    closing: ClosingRecord | None
    rollout: RolloutRecord
    debts: DebtsRecord
    removals: OrdersRecord
    notices: NoticesRecord
    agents: tuple[AgentRecord, ...]


def recollect(stored: Mapping[str, bytes]) -> Recollection:
    """Raises RecordError where a record can't be read."""
    framework, closing = stored.get(records.FRAMEWORK_KEY), stored.get(records.CLOSING_KEY)
    word, debts = stored.get(records.ROLLOUT_KEY), stored.get(records.DEBTS_KEY)
    told = stored.get(records.NOTICES_KEY)
    return Recollection(
        framework=None
        if framework is None
        else records.decode(framework, FrameworkRecord, key=records.FRAMEWORK_KEY),
        closing=None
        if closing is None
        else records.decode(closing, ClosingRecord, key=records.CLOSING_KEY),
        rollout=RolloutRecord()
        if word is None
        else records.decode(word, RolloutRecord, key=records.ROLLOUT_KEY),
        debts=DebtsRecord()
        if debts is None
        else records.decode(debts, DebtsRecord, key=records.DEBTS_KEY),
        removals=OrdersRecord()
        if (removals := stored.get(records.ORDERS_KEY)) is None
        else records.decode(removals, OrdersRecord, key=records.ORDERS_KEY),
        notices=NoticesRecord()
        if told is None
        else records.decode(told, NoticesRecord, key=records.NOTICES_KEY),
        agents=tuple(
            records.decode(stored[key], AgentRecord, key=key)
            for key in sorted(stored)
            if key.startswith(records.AGENT_PREFIX)
        ),
    )


async def installation_key(stored: Mapping[str, bytes], store: Store, chance: Chance) -> bytes:
    """The key by which secrets are told apart: made once, before anything depends on it."""
    raw = stored.get(records.INSTALLATION_KEY)
    if raw is None:
        raw = records.encode(InstallationRecord(key=chance.secret_token()))
        await store.write({records.INSTALLATION_KEY: raw})
    return records.decode(raw, InstallationRecord, key=records.INSTALLATION_KEY).key.encode()
