"""Scripts played on either side, and compared."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import attrs
import httpx
import trio
from trio.testing import MockClock

from simulation.seed import deterministic
from tests.fidelity.framework import NotHeardError
from tests.fidelity.real_ground import RealGround, real_ground
from tests.fidelity.side import Ground, Side, poll
from tests.fidelity.simulated_ground import SEED, Turn, simulated_ground
from tests.fidelity.table import Needs, Script
from tests.fidelity.wire import Json
from tests.real_mesos.library import prepare

LANES: Final = 4  # real clusters at a time: scripts wait more than they work


@attrs.frozen(kw_only=True)
class Played:
    """`error`: why the script could not be played to its end, or ""."""

    lines: tuple[str, ...]
    error: str = ""


@attrs.frozen(kw_only=True)
class Verdict:
    """`again`: of the second playing."""

    script: Script
    simulated: Played
    real: Played
    again: bool = False

    @property
    def agrees(self) -> bool:
        whole = not self.simulated.error and not self.real.error
        return whole and self.simulated.lines == self.real.lines

    def difference(self) -> str:
        errors = [
            f"{side}: {played.error}"
            for side, played in (("simulated", self.simulated), ("real", self.real))
            if played.error
        ]
        return "\n".join([*errors, *difference(self.simulated, self.real)])


def summary(verdicts: Sequence[Verdict]) -> str:
    agree = sum(verdict.agrees for verdict in verdicts)
    return f"fidelity: scripts={len(verdicts)} agree={agree} differ={len(verdicts) - agree}"


def difference(simulated: Played, real: Played) -> list[str]:
    """What is in one and not in the other; empty when they agree."""
    lines = difflib.unified_diff(real.lines, simulated.lines, "real", "simulated", lineterm="", n=1)
    return list(lines)


@asynccontextmanager
async def _side(ground: Ground, client: httpx.AsyncClient, needs: Needs) -> AsyncIterator[Side]:
    async with trio.open_nursery() as nursery:
        yield Side(ground=ground, client=client, nursery=nursery, credentials=needs.credentials)
        nursery.cancel_scope.cancel(reason="the script has ended")


async def _play(script: Script, side: Side) -> Played:
    error = ""
    try:
        await side.agents()  # their names
        await script.play(side)
        await side.settle("the end")
    except (NotHeardError, httpx.HTTPError, trio.TooSlowError, LookupError, TypeError) as why:
        error = f"{type(why).__name__}: {why}"
        side.transcript.close("broken off")
    for framework in side.frameworks:
        framework.close()
    return Played(lines=tuple(side.transcript.lines()), error=error)


# ---- simulated


async def _simulated(script: Script, turn: Turn | None) -> Played:
    async with (
        simulated_ground(script.needs, turn) as (ground, client),
        _side(ground, client, script.needs) as side,
    ):
        return await _play(script, side)


def simulated(script: Script, turn: Turn | None = None) -> Played:
    """In virtual time, always the same."""
    with deterministic(SEED):
        return trio.run(_simulated, script, turn, clock=MockClock(autojump_threshold=0))


# ---- real


async def _reset(side: Side) -> None:
    """No framework, nothing offered: as the cluster was at its start."""

    async def listed() -> list[Json]:
        _, found = await side.operator("GET_FRAMEWORKS", recorded=False)
        rows: list[Json] = found["get_frameworks"].get("frameworks", [])
        return rows

    for one in await listed():
        ends = {"framework_id": one["framework_info"]["id"]}
        await side.operator("TEARDOWN", ends, recorded=False)
    await poll(listed, lambda left: not left)


@attrs.define(eq=False)
class Lane:
    """One real cluster after the other; kept as long as the next script may use it."""

    stack: AsyncExitStack = attrs.field(factory=AsyncExitStack)
    ground: RealGround | None = None

    async def ground_for(self, needs: Needs, *, alone: bool) -> RealGround:
        held = self.ground
        if held is None or held.needs != needs or held.harmed or alone:
            await self.stack.aclose()
            self.ground = held = await self.stack.enter_async_context(real_ground(needs))
        return held

    async def play(self, script: Script) -> Played:
        ground = await self.ground_for(script.needs, alone=script.alone)
        timeout = httpx.Timeout(10.0, read=None)
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
            _side(ground, client, script.needs) as side,
        ):
            played = await _play(script, side)
            if script.alone or played.error:
                ground.harmed = True
            elif not ground.harmed:
                await _reset(side)
        return played


async def _real(
    scripts: Iterable[Script], told: Callable[[Script, Played], None], lanes: int
) -> None:
    waiting = deque(sorted(scripts, key=lambda one: (not one.slow, one.alone, str(one.needs))))

    async def work() -> None:
        lane = Lane()
        async with lane.stack:
            while waiting:
                script = waiting.popleft()
                told(script, await lane.play(script))

    async with trio.open_nursery() as nursery:
        for _ in range(min(lanes, len(waiting))):
            nursery.start_soon(work)


def real(
    scripts: Iterable[Script], told: Callable[[Script, Played], None], *, lanes: int = LANES
) -> None:
    """Several clusters side by side; `told` hears of each script that has been played."""
    prepare()
    trio.run(_real, scripts, told, lanes)


def compare(
    scripts: Iterable[Script], told: Callable[[Verdict], None], *, lanes: int = LANES
) -> None:
    """The simulated side first: it takes no time.

    Where they differ, the real side is played once more, alone: on a machine that others use,
    too, an agent can be late. What differs for a better reason does so again.
    """
    chosen = tuple(scripts)
    ours = {script.name: simulated(script) for script in chosen}
    again: list[Script] = []

    def heard(script: Script, played: Played) -> None:
        verdict = Verdict(script=script, simulated=ours[script.name], real=played)
        if verdict.agrees:
            told(verdict)
        else:
            again.append(script)

    def heard_again(script: Script, played: Played) -> None:
        verdict = Verdict(script=script, simulated=ours[script.name], real=played, again=True)
        told(verdict)

    real(chosen, heard, lanes=lanes)
    real([attrs.evolve(script, alone=True) for script in again], heard_again, lanes=1)
