"""Scripts: exact faults at exact simulated seconds, as text; and stories of Send and Expect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import attrs

from simulation.fault_kinds import KINDS
from simulation.world import World

EVERY_HOST: Final = "*"


class ScriptError(Exception):
    """The script cannot be played; the text names the line and what is wrong with it."""


@attrs.frozen(order=True)
class Line:
    """One fault. `size` is seconds, a count, an exit code: what the kind says; None the usual."""

    at: float
    kind: str
    host: str = EVERY_HOST
    size: float | None = None

    def __str__(self) -> str:
        words = [f"{self.at:.15g}", self.kind, self.host]
        return " ".join(words if self.size is None else [*words, f"{self.size:.15g}"])


def parse(text: str, hosts: Iterable[str] | None = None) -> tuple[Line, ...]:
    """`SECONDS KIND HOST [SIZE]`, apart by ; or line ends; # begins a remark. In order of time.

    HOST is a name from `hosts` (any name where that is None), or * for all. Raises ScriptError.
    """
    known = None if hosts is None else frozenset(hosts)
    rows = [row.partition("#")[0] for row in text.splitlines()]
    parts = (part.split() for row in rows for part in row.split(";"))
    lines = [_line(words, known) for words in parts if words]
    return tuple(sorted(lines, key=lambda line: line.at))


def render(lines: Iterable[Line]) -> str:
    return "; ".join(map(str, lines))


def _line(words: Sequence[str], hosts: frozenset[str] | None) -> Line:
    said = " ".join(words)
    if not 3 <= len(words) <= 4:
        raise ScriptError(f"{said!r}: a line is SECONDS KIND HOST, with a SIZE where wanted")
    at, kind, host = _number(words[0], said), words[1], words[2]
    if at < 0:
        raise ScriptError(f"{said!r}: time begins at 0")
    if kind not in KINDS:
        raise ScriptError(f"{said!r}: there is no fault {kind!r}; there are {', '.join(KINDS)}")
    if host != EVERY_HOST and hosts is not None and host not in hosts:
        raise ScriptError(f"{said!r}: there is no host {host!r}; name one like agent0.sim, or *")
    if len(words) == 4 and KINDS[kind].size is None:
        raise ScriptError(f"{said!r}: {kind} has no size")
    return Line(at, kind, host, _number(words[3], said) if len(words) == 4 else None)


def _number(word: str, said: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise ScriptError(f"{said!r}: {word!r} is no number") from None
    if not abs(number) < 1e9:
        raise ScriptError(f"{said!r}: {word!r} is out of bounds")
    return number


# -- stories ---------------------------------------------------------------------------------------


class Scene(Protocol):
    """What a story is played on: the world, and a way to disturb, to order and to wait."""

    @property
    def world(self) -> World: ...

    def disturb(self, line: Line) -> None: ...

    async def tell(self, command: str, host: str) -> int:
        """An operator's command; the HTTP status of the answer."""

    async def wait_for(self, condition: Callable[[], object], *, within_s: float) -> bool: ...

    def situation(self) -> object:
        """How all stands now, for people."""


Condition = Callable[[], object]


@attrs.frozen
class Send:
    """A fault (a kind of `fault_kinds`), or an operator's command (`hold`, `resume`, ...)."""

    what: str
    host: str = EVERY_HOST
    size: float | None = None

    async def play(self, scene: Scene) -> None:
        if self.what in KINDS:
            scene.disturb(Line(0.0, self.what, self.host, self.size))
            return
        hosts = sorted(scene.world.hosts) if self.host == EVERY_HOST else [self.host]
        for host in hosts:
            status = await scene.tell(self.what, host)
            if status >= 300:
                raise AssertionError(f"{self.what} {host} was answered {status}")


@attrs.frozen
class Expect:
    """A condition that must come to hold within so many simulated seconds."""

    what: str
    holds: Condition = attrs.field(repr=False)
    within_s: float = 3600.0

    async def play(self, scene: Scene) -> None:
        came = await scene.wait_for(self.holds, within_s=self.within_s)
        if not came:
            raise AssertionError(
                f"not within {self.within_s:g} s: {self.what}; instead {scene.situation()}"
            )


class Act(Protocol):
    def play(self, scene: Scene) -> Awaitable[None]: ...


async def play(scene: Scene, *acts: Act) -> None:
    """One after the other. Raises AssertionError at the first that does not come true."""
    for act in acts:
        await act.play(scene)
