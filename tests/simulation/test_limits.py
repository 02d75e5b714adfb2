"""A storage cluster that can hold no more: agents wait before anything is installed on them."""

from __future__ import annotations

import json

from install_steps.layout_file import LayoutFile, read_layout
from simulation.world import Shape
from tests.simulation.stage import Stage, play

SHAPE = Shape(agents=4, storage=4)


def layout(**limits: int) -> LayoutFile:
    return read_layout(json.dumps({"version": 1, "limits": limits}), "-layout: test")


def test_those_who_would_exceed_a_limit_wait_with_the_figures_until_there_is_room() -> None:
    async def story(stage: Stage) -> None:
        stage.rehearsal.layout = layout(sds_per_domain=6)  # the world has three before us
        stage.raise_curtain()
        first = sorted(stage.world.hosts)[:3]
        last = sorted(stage.world.hosts)[3]
        await stage.until(lambda: all(stage.phase(host) == "ready" for host in first))
        await stage.pass_time(1800.0)
        shown = stage.shown(last)
        assert shown.phase == "installing"
        assert "has, or is about to have, 6 of at most 6 SDSs" in shown.reason
        assert "protection domain default" in shown.reason
        launched = {event.step for event in stage.launches() if event.task_id.startswith(last)}
        assert launched == {"survey"}, "nothing is installed on it"
        plan = (await stage.get("/v1/plan")).json()
        [conflict] = [one for one in plan["conflicts"] if one["kind"] == "limit"]
        assert (conflict["hosts"], conflict["blocking"]) == ([last], True)
        assert await stage.tell("uninstall", first[0]) == 202
        await stage.until(lambda: stage.phase(last) == "ready", within_s=7200.0)
        assert stage.violations() == []

    play(story, shape=SHAPE, curtain=False)


def test_the_plan_shows_what_all_want_together_and_who_asked() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        plan = (await stage.get("/v1/plan")).json()
        [domain] = plan["wanted"]["domains"]
        assert domain["there"]
        assert {sds["host"] for sds in domain["sds"]} == set(stage.world.hosts)
        assert all(sds["there"] and sds["reasons"] == ["the flags"] for sds in domain["sds"])
        [pool] = domain["pools"]
        assert pool["fault_units"] == 4
        assert pool["capacity_kb"] > 0
        assert plan["conflicts"] == []
        agent = plan["agents"][0]["layout"]
        assert agent["provides"] == [
            {"domain": "default", "pool": "default", "devices": None, "media": ""}
        ]

    play(story, shape=SHAPE)


def test_a_described_pool_is_made_and_kept_as_the_layout_says() -> None:
    async def story(stage: Stage) -> None:
        described = {"spare_percent": 34, "capacity_high": 60, "capacity_critical": 75}
        text = json.dumps(
            {
                "version": 1,
                "nodes": [
                    {
                        "match": {},
                        "domain": "pd1",
                        "pools": [{"pool": "flash"}],
                        "sdc_name": "host",
                    }
                ],
                "pools": {"flash": {"media": "SSD", **described}},
            }
        )
        stage.rehearsal.layout = read_layout(text, "-layout: test")
        stage.raise_curtain()
        await stage.all_ready()
        state = stage.world.gateway.state
        [pool] = [pool for pool in state.pools.values() if pool.name == "flash"]
        assert (pool.media_type, pool.spare_percent) == ("SSD", 34)
        assert (pool.high_percent, pool.critical_percent) == (60, 75)
        assert {device.pool_id for device in state.devices.values()} >= {pool.id}
        assert {sdc.name for sdc in state.sdcs.values()} >= set(stage.world.hosts)

    play(story, shape=Shape(agents=4, storage=4, api="3.6"), curtain=False)
