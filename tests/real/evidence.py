"""What really happened, from those who did it: the sandboxes on the agents, and the agents' word.

Nothing of this comes from the scheduler. A task's executor folder bears the task's id, and the
inert steps write into their sandbox when they began and how they ended.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from tests.real_mesos import Cluster, get_json

Json = dict[str, Any]

KEEPER: Final = "keeper"
INSTALLATION: Final = frozenset({"prerequisites", "sds", "sdc", "rexray", "isolator"})
PATTERN: Final = "agent*/*/slaves/*/frameworks/*/executors/*/runs/*-*"  # not the link `latest`
NEVER: Final = float("inf")
KEEPING: Final = b"sleep\x001000000000\x00"


@attrs.frozen(kw_only=True)
class Run:
    """One task that an agent has run. Times are unix seconds; `ended` is NEVER while it runs."""

    host: str
    step: str
    task_id: str
    framework_id: str
    began: float
    ended: float
    exit_code: int | None
    state: str  # Mesos' last word

    @property
    def done(self) -> bool:
        return self.exit_code == 0


def runs(cluster: Cluster) -> list[Run]:
    """Every task that ever began on an agent, in the order of their beginnings.

    A task lasts from the first sign of it to the last: its own script's, or its executor's.
    """
    told = _told_by_agents(cluster)
    found = [_run(sandbox, told) for sandbox in sorted(cluster.work_dir.glob(PATTERN))]
    return sorted(found, key=lambda run: run.began)


def _run(sandbox: Path, told: dict[str, list[Json]]) -> Run:
    executor = sandbox.parent.parent
    host, step, _, _ = executor.name.rsplit(".", 3)
    noted = [line.split() for line in _lines(sandbox / "done-times")]
    began = [int(words[0]) / 1e9 for words in noted if words[1] == "begin"]
    ended = [int(words[0]) / 1e9 for words in noted if words[1] == "end"]
    codes = [int(words[2]) for words in noted if words[1] == "end"]
    assert len(began) <= 1, f"{sandbox} was used twice"
    assert len(ended) <= 1, f"{sandbox} was used twice"
    states = told.get(executor.name, [])
    over = [status for status in states if _is_over(status["state"])]
    return Run(
        host=host,
        step=step,
        task_id=executor.name,
        framework_id=executor.parent.parent.name,
        began=min([*began, *(s["timestamp"] for s in states), sandbox.stat().st_mtime]),
        ended=max([*ended, *(s["timestamp"] for s in over)]) if over else NEVER,
        exit_code=codes[0] if codes else None,
        state=states[-1]["state"] if states else "",
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:  # its script has not begun
        return []


def _is_over(state: str) -> bool:
    return state not in {"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"}


def _told_by_agents(cluster: Cluster) -> dict[str, list[Json]]:
    """Task id -> its statuses in order, from every running agent."""
    told: dict[str, list[Json]] = {}
    for name in cluster.pids():
        if name.startswith("agent"):
            for task in _tasks(get_json(cluster.endpoint(name) + "/state")):
                told[task["id"]] = sorted(task["statuses"], key=lambda s: s["timestamp"])
    return told


def _tasks(state: Json) -> Iterator[Json]:
    for framework in [*state["frameworks"], *state["completed_frameworks"]]:
        for executor in [*framework["executors"], *framework["completed_executors"]]:
            yield from executor["tasks"]
            yield from executor["completed_tasks"]


# -- judgements ------------------------------------------------------------------------------------


def overlaps(found: Iterable[Run]) -> list[str]:
    """Pairs of steps that ran at once on an agent; the keeper does not count."""
    wrong: list[str] = []
    for host, on_host in _by_host(run for run in found if run.step != KEEPER).items():
        in_order = sorted(on_host, key=lambda run: run.began)
        for one, later in itertools.combinations(in_order, 2):
            if later.began < one.ended:
                wrong.append(f"{host}: {later.task_id} began before {one.task_id} had ended")
    return wrong


def repeated(found: Iterable[Run]) -> list[str]:
    """Installation steps that ran again on an agent although they were done there."""
    wrong: list[str] = []
    done: set[tuple[str, str]] = set()
    for run in sorted(found, key=lambda run: run.began):
        key = (run.host, run.step)
        if key in done:
            wrong.append(run.task_id)
        if run.done and run.step in INSTALLATION:
            done.add(key)
    return wrong


def _by_host(found: Iterable[Run]) -> dict[str, list[Run]]:
    hosts: dict[str, list[Run]] = {}
    for run in found:
        hosts.setdefault(run.host, []).append(run)
    return hosts


def steps_done(cluster: Cluster) -> int:
    """Installation steps that ended well, on all agents; cheap enough to be asked all the time."""
    markers = cluster.work_dir.glob(f"{PATTERN}/done-times")
    ours = [path for path in markers if path.parts[-4].rsplit(".", 3)[1] in INSTALLATION]
    return sum(line.endswith(" end 0") for path in ours for line in _lines(path))


def keepers(cluster: Cluster) -> list[str]:
    """Host by host, as often as a keeper's process runs there now."""
    hosts: list[str] = []
    for pid in cluster.containers():
        with contextlib.suppress(OSError):  # it has just ended
            process = Path(f"/proc/{pid}")
            if (process / "cmdline").read_bytes() == KEEPING:
                hosts.append((process / "cwd").readlink().parts[-3].rsplit(".", 3)[0])
    return sorted(hosts)


# -- secrets ---------------------------------------------------------------------------------------


def written(secret: str) -> tuple[bytes, ...]:
    """The secret as it may stand in bytes: plain, or within any base64 (also of user:secret)."""
    raw = secret.encode()
    forms = [raw]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
        forms.append(encoded[4 * ((before + 2) // 3) : -2])
    return tuple(forms)


def holders(secret: str, folder: Path) -> list[str]:
    """Files in the folder that hold the secret."""
    forms = written(secret)
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [str(path)] if any(form in content for form in forms) else []
    return found
