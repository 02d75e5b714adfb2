"""What goes wrong, and when: drawn from the seed over a bounded time, or read from a script."""

from __future__ import annotations

import random
from typing import Final

import attrs
import trio

from simulation.fault_kinds import KINDS
from simulation.process_dials import ProcessDials
from simulation.scripts import EVERY_HOST, Line
from simulation.world import World

PER_AGENT_S: Final = 12.0  # of trouble; 200 agents are troubled for 40 minutes
AT_LEAST_S: Final = 300.0
RARE_S: Final = (900.0, 3600.0)  # between two faults when the storm is over
HOUR_S: Final = 3600.0


class WeatherError(Exception):
    """There is no such fault; the text lists those that there are."""


@attrs.frozen(kw_only=True)
class Weather:
    """What a storm draws from, and the bounds of its pauses. Without kinds there is no storm."""

    kinds: tuple[str, ...] = ()
    pauses_s: tuple[float, float] = (2.0, 12.0)


_STORM_ONLY: Final = ("agent-restart", "master-failover", "reordered-update")
_SOME: Final = (
    "duplicate-update", "gateway-401", "gateway-500", "late-update", "reboot", "reboot-new-id",
    "rescind", "scheduler-crash", "stream-cut", "stream-ends", "task-fails", "task-lost",
)  # fmt: skip
WEATHERS: Final[dict[str, Weather]] = {
    "none": Weather(),
    "some": Weather(kinds=_SOME, pauses_s=(15.0, 60.0)),
    "storm": Weather(kinds=tuple(sorted((*_SOME, *_STORM_ONLY)))),
    "all": Weather(kinds=tuple(KINDS)),
}


def weather(words: str) -> Weather:
    """One of WEATHERS, or names of faults with commas between them. Raises WeatherError."""
    if words in WEATHERS:
        return WEATHERS[words]
    names = tuple(word.strip() for word in words.split(","))
    for name in names:
        if name not in KINDS:
            raise WeatherError(
                f"{name!r} is no fault: say {', '.join(WEATHERS)}, or some of "
                f"{', '.join(KINDS)} with commas between them"
            )
    return Weather(kinds=tuple(dict.fromkeys(names)))


@attrs.define
class Storm:
    """`run` ends when the time of troubles is over, and not before `hours` have passed.

    After the storm a fault comes now and then. A `script` takes the place of all chance.
    """

    world: World
    process: ProcessDials
    rng: random.Random
    weather: Weather = attrs.field(factory=Weather)
    script: tuple[Line, ...] | None = None
    hours: float = 0.0
    noted: list[Line] = attrs.field(factory=list, init=False)

    @property
    def injected(self) -> dict[str, int]:
        """Faults by kind."""
        counts: dict[str, int] = {}
        for line in self.noted:
            counts[line.kind] = counts.get(line.kind, 0) + 1
        return dict(sorted(counts.items()))

    async def run(self) -> None:
        if self.script is not None:
            await self._play(self.script)
        elif self.weather.kinds:
            await self._draw()
        await trio.sleep_until(self.hours * HOUR_S)

    async def _play(self, script: tuple[Line, ...]) -> None:
        for line in script:
            await trio.sleep_until(line.at)
            self.inject(line)

    async def _draw(self) -> None:
        until = trio.current_time() + AT_LEAST_S + PER_AGENT_S * len(self.world.hosts)
        while trio.current_time() < until:
            await self._after(self.weather.pauses_s)
        ends_at = self.hours * HOUR_S - RARE_S[0]  # what comes last is got over within the hours
        while trio.current_time() + RARE_S[1] < ends_at:
            await self._after(RARE_S)

    async def _after(self, pauses_s: tuple[float, float]) -> None:
        at = round(trio.current_time() + self.rng.uniform(*pauses_s), 3)
        await trio.sleep_until(at)
        kind = self.rng.choice(self.weather.kinds)
        host = self.rng.choice(sorted(self.world.hosts))
        size = KINDS[kind].size
        self.inject(
            Line(
                at,
                kind,
                host if KINDS[kind].hits_host else EVERY_HOST,
                None if size is None else size.draw(self.rng),
            )
        )

    def inject(self, line: Line) -> None:
        """That fault, now: on its host, or on each where it says so."""
        self.noted.append(line)
        kind = KINDS[line.kind]
        usual = 0.0 if kind.size is None else kind.size.usual
        everywhere = line.host == EVERY_HOST and kind.hits_host
        for host in sorted(self.world.hosts) if everywhere else (line.host,):
            kind.act(self, host, usual if line.size is None else line.size)
