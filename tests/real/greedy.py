"""A neighbour in the cluster with bad manners, for tests of how we get on with it."""

from __future__ import annotations

import random
import threading
import time
from types import TracebackType
from typing import Final, Self

from tests.real_mesos.mini_scheduler import Json, Scheduler

HOLD_S: Final = (0.5, 4.0)  # how long it keeps an offer to itself
WORK_S: Final = (2.0, 6.0)  # how long its tasks run
SHARE: Final = (0.3, 0.9)  # of an offer's cpus, memory and ports that a task takes
BOW_OUT: Final = 0.2  # of the offers that it held it uses none
PULSE_S: Final = 0.05
INFO: Final[Json] = {
    "name": "greedy",
    "roles": ["greedy"],
    "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
}


class Greedy:
    """Takes every offer, sits on it for seconds, and fills the agent with short tasks.

    Each task takes other ports and another share than the one before: what is free of an agent
    is never the same twice, so that no filter of ours fits what comes next. As a context manager.
    """

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._chance = random.Random(seed)  # noqa: S311 - the same bad manners in each run
        self._until: dict[str, float] = {}  # offer id -> given up at
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.launched = 0
        self.fault: BaseException | None = None

    @property
    def offers_received(self) -> int:
        return sum(len(event["offers"]["offers"]) for event in self._scheduler.of_type("OFFERS"))

    @property
    def framework_id(self) -> str:
        return self._scheduler.framework_id

    def _run(self) -> None:
        try:
            while not self._stop.wait(PULSE_S):
                self._pulse(time.perf_counter())
        except (OSError, ValueError, AssertionError) as error:
            self.fault = error  # told by the test, which looks at it

    def _pulse(self, now: float) -> None:
        with self._scheduler.changed:
            held = dict(self._scheduler.outstanding)
        until = {one: now + self._chance.uniform(*HOLD_S) for one in held if one not in self._until}
        self._until = {one: at for one, at in {**self._until, **until}.items() if one in held}
        for one, at in self._until.items():
            if at <= now:
                self._use(held[one])

    def _use(self, offer: Json) -> None:
        if self._chance.random() < BOW_OUT:
            filters = {"refuse_seconds": 0.0}
            body = {"offer_ids": [offer["id"]], "filters": filters}
            assert self._scheduler.call("DECLINE", body)[0] == 202
            return
        work_s = self._chance.uniform(*WORK_S)
        self.launched += 1
        task = self._scheduler.task(
            f"neighbour.greedy.{self.launched}.00000000",  # `evidence` reads names of four parts
            offer,
            f"exec sleep {work_s:.2f}",
            more={"resources": self._portion(offer)},
        )
        assert self._scheduler.launch(offer, task)[0] == 202

    def _portion(self, offer: Json) -> list[Json]:
        share = self._chance.uniform(*SHARE)
        portion: list[Json] = []
        for resource in offer["resources"]:
            name, allocation = resource["name"], {"allocation_info": resource["allocation_info"]}
            if name in ("cpus", "mem"):
                amount = max(0.01, round(resource["scalar"]["value"] * share, 2))
                portion.append(
                    {"name": name, "type": "SCALAR", "scalar": {"value": amount}, **allocation}
                )
            elif name == "ports":
                widest = max(resource["ranges"]["range"], key=lambda r: int(r["end"]) - r["begin"])
                begin = self._chance.randint(widest["begin"], widest["end"])
                end = self._chance.randint(begin, widest["end"])
                ranges = {"range": [{"begin": begin, "end": end}]}
                portion.append({"name": name, "type": "RANGES", "ranges": ranges, **allocation})
        return portion

    def __enter__(self) -> Self:
        self._scheduler = Scheduler(self._url, INFO)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._scheduler.call("TEARDOWN")
        self._scheduler.close()
