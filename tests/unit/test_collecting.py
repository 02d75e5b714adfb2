"""When Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from commands import collecting


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


async def test_not_before_all_is_in_memory_and_not_what_was_there_then(
    autojump_clock: MockClock,
) -> None:
    collecting.hold()
    assert not gc.isenabled()
    begun = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collecting.keep, begun)
        await wait_all_tasks_blocked()
        assert not gc.isenabled()
        begun.set()
        await wait_all_tasks_blocked()
        assert gc.isenabled()
        assert gc.get_threshold() == collecting.THRESHOLDS
        frozen = gc.get_freeze_count()
        assert frozen > 0
        here: list[object] = []
        here.append(here)
        kept = [[number] for number in range(1_000)]
        await trio.sleep(2 * collecting.WHOLE_EVERY_S)
        assert gc.get_freeze_count() >= frozen + len(kept), "what has stayed is frozen, too"
        nursery.cancel_scope.cancel()
