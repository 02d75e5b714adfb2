"""The scheduler with one more task in it, that notes how long it was kept from its turn.

    python -m benchmarks.canary FILE FLAGS...

Wakes a hundred times a second; each turn that comes more than 5 ms late is written to FILE at the
end, as JSON: pairs of when (CLOCK_MONOTONIC) and how late, both in seconds.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from pathlib import Path
from typing import Final

import trio

import cli

EVERY_S: Final = 0.01
NOTED_S: Final = 0.005

late: list[tuple[float, float]] = []


async def sing() -> None:
    while True:
        due = time.perf_counter() + EVERY_S
        await trio.sleep(EVERY_S)
        over = time.perf_counter() - due
        if over > NOTED_S:
            late.append((time.clock_gettime(time.CLOCK_MONOTONIC), over))


class Cage(trio.abc.Instrument):
    """Puts the canary into whatever `trio.run` begins."""

    def before_run(self) -> None:
        trio.lowlevel.spawn_system_task(sing)


def main() -> int:
    notes, *flags = sys.argv[1:]
    atexit.register(lambda: Path(notes).write_text(json.dumps(late)))
    run = trio.run

    def watched(*arguments: object, **options: object) -> object:
        return run(*arguments, instruments=[Cage()], **options)  # type: ignore[arg-type]

    trio.run = watched  # type: ignore[assignment]
    return cli.main(flags)


if __name__ == "__main__":
    sys.exit(main())
