"""Time and chance as the actors get them: one value, made by the composition root."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
import trio

from domain.rules import Moment


@attrs.frozen(kw_only=True)
class Chance:
    """`wall` gives unix seconds; `rng` is seeded in the simulation, from the system elsewhere."""

    wall: Callable[[], float]
    rng: random.Random

    def moment(self) -> Moment:
        return Moment(
            now=trio.current_time(),
            unix=self.wall(),
            token=f"{self.rng.getrandbits(32):08x}",
            jitter=self.rng.random(),
        )

    def secret_token(self) -> str:
        """128 bits for a permit that must not be guessed."""
        return f"{self.rng.getrandbits(128):032x}"
