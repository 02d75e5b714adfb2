"""The operator of a simulated cluster: looks now and then, and lets a halted rollout go on."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from commands.rehearsal import Rehearsal

LOOK_S: Final = 60.0
PATIENCE_S: Final = 600.0  # of a halt: long enough to see that nobody begins meanwhile


@attrs.define
class Attendant:
    """`halts`: how often the rollout halted by itself; `resumes`: orders that were accepted."""

    rehearsal: Rehearsal
    halts: int = 0
    resumes: int = 0

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            if self._state() != "halted":
                continue
            self.halts += 1
            with trio.move_on_after(PATIENCE_S):
                while self._state() == "halted":  # noqa: ASYNC110 - looks on from outside
                    await trio.sleep(LOOK_S)
            if self._state() == "halted":
                status, _ = await self.rehearsal.rollout_order("resume")
                self.resumes += status < 400

    def _state(self) -> str:
        service = self.rehearsal.service
        return "" if service is None else service.board.rollout.state
