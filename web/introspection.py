"""A look inside the running process: actors from the board, tasks from Trio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import trio

from actors.board import ActorSnapshot, Board
from web.replies import Redact
from web.views import Times, plain

TRIO: Final = f"{Path(trio.__file__).parent}/"
TEXT_CHARACTERS_MAX: Final = 400
TASKS_SHOWN_MAX: Final = 5000  # enough for one task per agent of a large cluster


def actor_line(actor: ActorSnapshot) -> dict[str, object]:
    line = plain(attrs.evolve(actor, recent=()))
    del line["recent"]
    return line


def actors(board: Board) -> dict[str, object]:
    return {"actors": [actor_line(look()) for _, look in sorted(board.actors.items())]}


def actor_whole(actor: ActorSnapshot, times: Times, redact: Redact) -> dict[str, object]:
    """Messages are redacted before they are cut: half a secret is one too."""
    recent = [
        {
            "age_s": times.age(message.at),
            "kind": message.kind,
            "text": redact(message.text)[:TEXT_CHARACTERS_MAX],
        }
        for message in actor.recent
    ]
    return {**actor_line(actor), "recent": recent}


@attrs.frozen(kw_only=True)
class TaskLine:
    depth: int
    name: str
    waits_in: str  # innermost frame: function, file, line


def tasks() -> list[TaskLine]:
    """Trio's tasks, parents before children. No await: the tree does not change under us."""
    root = trio.lowlevel.current_root_task()
    return list(_below(root)) if root else []


def _below(root: trio.lowlevel.Task) -> Iterator[TaskLine]:
    todo = [(0, root)]
    shown = 0
    while todo and shown < TASKS_SHOWN_MAX:
        depth, task = todo.pop()
        shown += 1
        yield TaskLine(depth=depth, name=task.name, waits_in=_innermost(task))
        children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        todo += [(depth + 1, child) for child in sorted(children, key=lambda c: c.name)[::-1]]


def _innermost(task: trio.lowlevel.Task) -> str:
    """Where it waits, in code that is not Trio's own: in there all tasks look alike."""
    where = ""
    for frame, line in task.iter_await_frames():
        code = frame.f_code
        if where and code.co_filename.startswith(TRIO):
            continue
        where = f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{line})"
    return where


def tasks_text(lines: list[TaskLine]) -> str:
    return "".join(f"{'  ' * line.depth}{line.name}  in {line.waits_in}\n" for line in lines)
