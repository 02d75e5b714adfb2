"""When Python looks for garbage: never while the scheduler starts, and little afterwards.

Ten thousand agents are some five million objects that stay. A collection of all of them stops
every actor for a second, and Python makes one each time their number has grown by a quarter. So
none is made before all that the store held is in memory; then what is there is frozen
(`gc.freeze`: it is not looked at again), and later ones see only what came since. What reference
counting frees, nearly everything, is freed at once as ever. docs/performance.md has the figures.
"""

from __future__ import annotations

import gc
import time
from typing import Final

import trio

LOOK_EVERY_S: Final = 1.0
QUIET_SHARE: Final = 0.2  # of a core in use, and less
THRESHOLDS: Final = (2_000, 10, 100_000)  # net new objects; young, then middle generations
WHOLE_EVERY_S: Final = 600.0  # of what came since the last one, in a quiet moment
THAW_EVERY: Final = 144  # whole collections: once a day what is frozen is looked at, too


def hold() -> None:
    """At the beginning of the process: no collection until `keep` says so."""
    gc.disable()


async def keep(begun: trio.Event) -> None:
    """For as long as the process lives. `begun`: what the store held is in memory."""
    await begun.wait()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
    rounds = 0
    while True:
        await trio.sleep(WHOLE_EVERY_S)
        await _quiet(WHOLE_EVERY_S)
        rounds += 1
        if rounds % THAW_EVERY == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()


async def _quiet(patience_s: float) -> None:
    """Until a second has passed with little to do, or so many have."""
    with trio.move_on_after(patience_s):
        while True:
            before = time.process_time()
            await trio.sleep(LOOK_EVERY_S)
            if time.process_time() - before <= QUIET_SHARE * LOOK_EVERY_S:
                return
