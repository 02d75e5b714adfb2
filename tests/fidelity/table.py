"""The scripts by name, with the cluster that each of them needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from tests.fidelity.side import Side

Play = Callable[[Side], Awaitable[None]]
Register = Callable[[Play], Play]


@attrs.frozen(kw_only=True)
class Needs:
    """A kind of cluster. Scripts with equal needs may share one, one after the other."""

    masters: int = 1
    agents: int = 2
    credentials: tuple[tuple[str, str], ...] = ()
    attributes: str = ""  # of every agent, as --attributes; else rack:rN
    resources: str = ""  # of every agent, as --resources; else those of the harness


@attrs.frozen(kw_only=True)
class Script:
    """`alone`: on a real cluster of its own, as it looks at all of it, or harms it."""

    name: str
    title: str
    play: Play
    needs: Needs
    alone: bool
    slow: bool


USUAL: Final = Needs()
SCRIPTS: Final[dict[str, Script]] = {}


def script(
    title: str, *, needs: Needs = USUAL, alone: bool = False, slow: bool = False
) -> Register:
    """Puts a function into the table. `slow` ones are begun first."""

    def register(play: Play) -> Play:
        name = getattr(play, "__name__", "")
        if name in SCRIPTS:
            raise ValueError(f"two scripts are called {name}")
        SCRIPTS[name] = Script(
            name=name, title=title, play=play, needs=needs, alone=alone, slow=slow
        )
        return play

    return register
