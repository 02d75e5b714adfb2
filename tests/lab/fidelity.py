"""STEP FIDELITY: the same step in the same situation, in a booted host and in the host model.

Both are told what the product tells a host. Exit code, `changed`, reason and the facts of a
survey afterwards have to agree. `python -m tests.lab.fidelity [WORD]...` runs all situations
(or those whose title holds a word) and says how many do.
"""

from __future__ import annotations

import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Final

import attrs

from domain.facts import Disk, Facts, Service
from install_steps.facts import SurveyError, parse_survey
from install_steps.sealing import result_of
from tests.lab.fidelity_sides import Bench, Ended
from tests.lab.site import Site
from tests.lab.situations import ALL
from tests.lab.situations.bases import BASES
from tests.lab.situations.table import Situation

LANES: Final = 2

# What is not compared, and why. Everything else in Facts and in a result line is.
OWN: Final = {
    "machine_id": "each side has its own",
    "boot_id": "each side has its own; a step that changes it ends with its host",
    "sdc_guid": "each SDC makes its own: only whether there is one is compared",
    "public_key": "each side has its own: whether there is one, and whether it is a new one, are",
    "clock": "a model has no time of its own",
    "uptime_s": "a model has no time of its own",
    "took_s": "a model has no time of its own",
    "clock_synced": "what the machine below says of its clock, through the shared kernel",
    "space": "the machine's own; that the same folders are told is compared",
    "tools": "versions are the archive's: names are compared, but for what the bare tree has",
    "sdc_clusters": "each storage cluster has an id of its own: addresses are compared",
    "agent": "flags are the lab's: how it was started and how many there are is compared",
}
OWN_TOOLS: Final = {"libaio1": "the tree's lvm2 needs it, in every host"}
OWN_DISK: Final = {
    "/dev/sda": "the model's system disk: a lab host lives in a folder of the machine",
}
OWN_RESULT: Final = {
    "guid": "each SDC makes its own",
    "frames": "as many as the host has disks, the system disk included",
}


@attrs.frozen(kw_only=True)
class Verdict:
    """`differences`: sentences for people; none when both sides agree."""

    situation: Situation
    differences: tuple[str, ...]
    said: str = ""  # the end of what the real step wrote to stderr


def verdict_of(bench: Bench, situation: Situation) -> Verdict:
    real, model = bench.real(situation), bench.model(situation)
    differences = (*_endings(real, model), *_facts(real, model))
    return Verdict(situation=situation, differences=differences, said=real.stderr[-600:])


def _endings(real: Ended, model: Ended) -> Iterator[str]:
    yield from _differ("exit code", real.code, model.code)
    told, modelled = _result(real), _result(model)
    for name in sorted(told.keys() | modelled.keys()):
        yield from _differ(name, told.get(name), modelled.get(name))


def _result(ended: Ended) -> dict[str, object]:
    result = result_of(ended.stdout)
    return {} if result is None else {k: v for k, v in result.items() if k not in OWN_RESULT}


def _facts(real: Ended, model: Ended) -> Iterator[str]:
    """Facts after the step; a survey that was the step itself has told its own."""
    try:
        seen, expected = parse_survey(real.survey), parse_survey(model.survey)
    except SurveyError as error:
        yield f"a survey afterwards cannot be read: {error}"
        return
    mine, its = _comparable(seen), _comparable(expected)
    for name in mine:
        yield from _differ(name, mine[name], its[name])
    yield from _differ(
        "the key is a new one",
        seen.public_key != real.key_before,
        expected.public_key != model.key_before,
    )


def _comparable(facts: Facts) -> dict[str, object]:
    found = {field.name: getattr(facts, field.name) for field in attrs.fields(Facts)}
    found = {name: value for name, value in found.items() if name not in OWN}
    found["disks"] = _disks(facts.disks)
    found["receipts"] = sorted((receipt.step, receipt.state) for receipt in facts.receipts)
    found["sdc_guid"] = bool(facts.sdc_guid)
    found["public_key"] = bool(facts.public_key)
    found["space"] = [space.folder for space in facts.space if space.free_bytes >= 0]
    found["tools"] = sorted(facts.tools.keys() - OWN_TOOLS.keys())
    found["states"] = {name: _rough(state) for name, state in facts.states.items()}
    found["sdc_clusters"] = [cluster.addresses for cluster in facts.sdc_clusters]
    agent = facts.agent
    found["agent"] = (agent.start, agent.unit, agent.processes, bool(agent.version))
    return found


def _rough(service: Service) -> Service:
    """Which word systemd has for one that does not run depends on the moment."""
    down = service.state in {"starting", "failed", "inactive"}
    return attrs.evolve(service, state="down") if down else service


def _disks(disks: Sequence[Disk]) -> list[str]:
    """A lab's disk is a loop device, with its own number and sectors; evidence has process ids."""
    return sorted(
        str(
            attrs.evolve(
                disk,
                evidence=dict.fromkeys(sorted(disk.evidence.keys() - {"whole"}), ""),
                model="",
                rotational=False,
                logical_bytes=0,
                physical_bytes=0,
            )
        )
        for disk in disks
        if disk.path not in OWN_DISK
    )


def _differ(name: str, real: object, model: object) -> Iterator[str]:
    if real != model:
        yield f"{name}: the host says {real!r}, the model {model!r}"


def verdicts(chosen: Sequence[Situation], folder: Path) -> Iterator[Verdict]:
    """As they become known. Two hosts work at a time, each from its end of the list."""
    order = list(BASES)
    waiting = deque(sorted(chosen, key=lambda situation: order.index(situation.base)))
    known: Queue[Verdict | None] = Queue()
    with Site(folder / "site", []) as site, ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(_lane, site, number, waiting, known) for number in range(LANES)]
        running = len(lanes)
        try:
            while running:
                verdict = known.get()
                if verdict is None:
                    running -= 1
                else:
                    yield verdict
        finally:
            waiting.clear()
        for lane in lanes:
            lane.result()


def _next(waiting: deque[Situation], lane: int) -> Situation | None:
    try:
        return waiting.pop() if lane else waiting.popleft()
    except IndexError:
        return None


def _lane(site: Site, number: int, waiting: deque[Situation], known: Queue[Verdict | None]) -> None:
    """Until nothing waits; a lane that fails leaves nothing to the other one."""
    try:
        with Bench(site, number) as bench:
            while (situation := _next(waiting, number)) is not None:
                known.put(verdict_of(bench, situation))
    finally:
        waiting.clear()
        known.put(None)


def main(words: Sequence[str]) -> int:
    chosen = [s for s in ALL if not words or any(word in s.title for word in words)]
    differing = 0
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        for verdict in verdicts(chosen, Path(folder)):
            differing += bool(verdict.differences)
            print(f"{'differs' if verdict.differences else 'agrees '} {verdict.situation.title}")
            for difference in verdict.differences:
                print(f"    {difference}")
            if verdict.differences:
                print(f"    stderr: {verdict.said}")
    print(f"fidelity: scripts={len(chosen)} agree={len(chosen) - differing} differ={differing}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
