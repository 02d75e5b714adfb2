"""`ports.Leaders` for masters that the operator names."""

from __future__ import annotations

import random

import attrs
import trio


@attrs.frozen(kw_only=True)
class FixedLeaders:
    """A list: any of them redirects to the leader, and nobody tells of a change."""

    masters: tuple[str, ...]  # scheme://host:port
    chance: random.Random = attrs.field(repr=False)

    async def bases(self) -> tuple[str, ...]:
        """In another order each time, so that one that hangs is not always asked first."""
        await trio.lowlevel.checkpoint()
        return tuple(self.chance.sample(self.masters, len(self.masters)))

    async def changed(self) -> None:
        await trio.sleep_forever()

    async def close(self) -> None:
        """There is nothing to close."""
        await trio.lowlevel.checkpoint()
