"""`why` in planted situations: the sentence leads to the fact that would unblock it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest

from actors.board import (
    AgentSnapshot,
    Board,
    ClosingSnapshot,
    Condition,
    GatewaySnapshot,
    LinkSnapshot,
    RolloutSnapshot,
    StepSnapshot,
)
from domain.agent import Run
from domain.storage import DomainState, PoolState, SdsState, StorageSnapshot
from domain.storage_health import Outlook
from tests.unit.test_web import NOW, WALL, get
from web.causes import Why
from web.views import Times
from web.why_cluster import Explainer

SUBSCRIBED: Final = LinkSnapshot(state="subscribed", master="http://m:5050", subscriptions=1)
WHOLE: Final = StorageSnapshot(
    taken_at=NOW - 5,
    api_version=(3, 6),
    system_id="1",
    mdm_normal=True,
    domains=(DomainState(id="d", name="rack"),),
    pools=(PoolState(id="p", name="ssd", domain_id="d", capacity_kb=1000, in_use_kb=100),),
    sds=(
        SdsState(id="s1", name="sds1", domain_id="d", addresses=("10.0.0.1",), good=True),
        SdsState(id="s2", name="sds2", domain_id="d", addresses=("10.0.0.2",), good=True),
    ),
)


def an_agent(host: str = "a", phase: str = "installing", **fields: Any) -> AgentSnapshot:
    made = AgentSnapshot(
        host=host, agent_id=f"S-{host}", address="10.0.0.1", phase=phase, since=WALL - 60
    )
    return attrs.evolve(made, **fields)


def world(*agents: AgentSnapshot, storage: StorageSnapshot | None = WHOLE) -> Board:
    board = Board(
        agents={one.host: one for one in agents},
        link=SUBSCRIBED,
        gateway=GatewaySnapshot(storage=storage),
        wall=lambda: WALL,
    )
    board.touch()
    return board


def rebuilding(storage: StorageSnapshot = WHOLE) -> StorageSnapshot:
    (pool,) = storage.pools
    moving = attrs.evolve(pool, moving=True, moving_kb=590, degraded_kb=590)
    return attrs.evolve(storage, pools=(moving,))


# --- the situations: a board, whom is asked about, what sentence and cure must name ---------------

Ask = Callable[[Explainer], Why | None]
Situation = tuple[Board, Ask, tuple[str, ...], str]
SITUATIONS: dict[str, Callable[[], Situation]] = {}


def situation(make: Callable[[], Situation]) -> Callable[[], Situation]:
    SITUATIONS[make.__name__.replace("_", " ")] = make
    return make


def about(host: str) -> Ask:
    return lambda explain: explain.agent(explain.board.agents[host])


@situation
def waits_to_reboot_while_a_pool_is_rebuilt_and_another_is_before_it() -> Situation:
    first = an_agent("agent-3", "reboot_wanted", since=WALL - 500, address="10.0.0.2")
    board = world(first, an_agent("agent-7", "reboot_wanted"), storage=rebuilding())
    board.gate_verdicts["agent-7"] = "data is degraded, failed, or being rebuilt"
    board.outlooks = {"p": Outlook(moved_in_s=720.0, moved_percent=41)}
    names = (
        "agent-7 waits to reboot", "pool ssd is rebuilding, 41 %, about 12 minutes",
        "then agent-3 is before it",
    )  # fmt: skip
    return board, about("agent-7"), names, "goes on by itself"


@situation
def waits_to_reboot_while_another_reboots() -> Situation:
    other = an_agent("b", "rebooting", address="10.0.0.2", since=WALL - 180)
    board = world(other, an_agent("a", "reboot_wanted"))
    board.gate_verdicts["a"] = "1 of 1 reboots are under way (b)"
    return board, about("a"), ("waits to reboot", "b reboots since 3 minutes"), "by itself"


@situation
def waits_to_reboot_while_an_sds_is_down_whose_host_has_failed() -> Situation:
    down = attrs.evolve(WHOLE.sds[1], good=False, detail="Normal Joined Disconnected")
    storage = attrs.evolve(WHOLE, sds=(WHOLE.sds[0], down))
    broken = an_agent("b", "failed", address="10.0.0.2", error="b: no disk; mend it")
    board = world(broken, an_agent("a", "reboot_wanted"), storage=storage)
    board.gate_verdicts["a"] = "SDS sds2 of the same protection domain is not healthy"
    return board, about("a"), ("SDS sds2 is not healthy: b is failed",), "by itself"


@situation
def waits_to_reboot_while_the_mdm_cluster_is_not_normal() -> Situation:
    storage = attrs.evolve(WHOLE, mdm_normal=False, mdm_detail="2 of 3 good")
    board = world(an_agent("a", "reboot_wanted"), storage=storage)
    board.gate_verdicts["a"] = "the MDM cluster is not normal (2 of 3 good)"
    return board, about("a"), ("the MDM cluster is not normal (2 of 3 good)",), "by itself"


@situation
def waits_to_reboot_since_one_is_missing() -> Situation:
    gone = an_agent("b", "lost", missing=True, lost_at=WALL - 900)
    board = world(gone, an_agent("a", "reboot_wanted"))
    board.gate_verdicts["a"] = "reboots and restarts are halted: b did not come back"
    return board, about("a"), ("b did not come back whole",), "console of the host"


@situation
def waits_to_reboot_and_only_the_gate_knows_why() -> Situation:
    board = world(an_agent("a", "reboot_wanted"))
    board.gate_verdicts["a"] = "the scheduler runs on this host: it is rebooted last"
    return board, about("a"), ("the scheduler runs on this host",), "by itself"


@situation
def waits_for_the_gateway() -> Situation:
    board = world(an_agent("a", "joining"))
    board.gateway = GatewaySnapshot(storage=WHOLE, error="connection refused")
    return board, about("a"), ("a waits", "the Gateway does not answer"), "bring the Gateway back"


@situation
def waits_for_the_first_look_at_the_gateway() -> Situation:
    return world(an_agent("a"), storage=None), about("a"), ("was not asked yet",), "by itself"


@situation
def waits_for_the_master() -> Situation:
    board = world(an_agent("a"))
    board.link = LinkSnapshot(state="disconnected", detail="no route to host")
    return board, about("a"), ("the Mesos master is not there", "no route"), "bring the Mesos"


@situation
def waits_for_the_store() -> Situation:
    board = world(an_agent("a"))
    board.store_fault = "disk full"
    return board, about("a"), ("the store takes nothing: disk full",), "bring the store back"


@situation
def waits_for_an_offer_that_is_large_enough() -> Situation:
    board = world(an_agent("a", step="sds", task_id="a.sds.1.x"))
    board.verdicts["a"] = "needs 0.5 CPUs, offered 0.1 CPUs"
    names = ("a waits to run step sds", "an offer is waited for: needs 0.5 CPUs")
    return board, about("a"), names, "by itself"


@situation
def waits_for_an_offer_while_operators_announced_maintenance() -> Situation:
    board = world(an_agent("a", step="sds", task_id="a.sds.1.x"))
    board.maintenance["a"] = "operators have announced maintenance from now for 2 h"
    return board, about("a"), ("no offer of it has come", "announced maintenance"), "by itself"


@situation
def runs_a_step_for_the_second_time() -> Situation:
    board = world(
        an_agent(
            step="sds",
            task_id="a.sds.2.x",
            began=WALL - 180,
            attempts={"sds": 2},
            error="A: step sds failed: exit status 1: no space",
        )
    )
    names = ("a runs step sds for 3 minutes, attempt 2", "no space")
    return board, about("a"), names, "by itself"


@situation
def waits_for_the_canary() -> Situation:
    board = world(an_agent("a"), an_agent("b", "installing", working=True))
    board.gate_verdicts["a"] = "waits for the canary of this rollout (b)"
    return board, about("a"), ("waits for the canary of this rollout (b)",), "by itself"


@situation
def waits_for_a_place() -> Situation:
    board = world(
        an_agent("a", reason="waits for a place of the rollout (-rollout.parallel)"),
        an_agent("b", working=True),
    )
    return board, about("a"), ("a place of the rollout", "b has the place"), "by itself"


@situation
def the_rollout_is_paused_by_somebody_for_a_reason() -> Situation:
    board = world(an_agent("a"))
    board.rollout = RolloutSnapshot(state="paused", why="the rollout is paused", concerned=1)
    board.gate_verdicts["a"] = "the rollout is paused"
    board.chronicle.note(
        "order", "", "rollout pause (it is Friday): paused", at=WALL - 7200, by="ann"
    )
    names = ("the rollout is paused", "ann said so 2 hours ago", "it is Friday")
    return board, about("a"), names, "resume the rollout"


@situation
def the_rollout_is_halted_by_a_failure() -> Situation:
    broken = an_agent("b", "failed", error="b: step sdc failed 5 times: no module; mend, retry")
    board = world(an_agent("a"), broken)
    board.rollout = RolloutSnapshot(state="halted", why="halted: b failed", failed=("b",))
    board.gate_verdicts["a"] = "halted: b failed"
    names = ("halted: b failed", "b has failed: step sdc failed 5 times: no module")
    return board, about("a"), names, "retry what failed"


@situation
def ask_mode_waits_for_the_word() -> Situation:
    board = world(an_agent("a"))
    why = "-mode=ask: nothing is begun before the word to start"
    board.rollout = RolloutSnapshot(state="asking", why=why)
    board.gate_verdicts["a"] = why
    return board, about("a"), ("-mode=ask",), "start the rollout"


@situation
def a_step_is_blocked_by_something_missing() -> Situation:
    blocked = StepSnapshot(
        name="sds", state="blocked", detail="no package for centos 9; add one to the catalog"
    )
    board = world(an_agent("a", plan=(blocked,), reason=blocked.detail))
    names = ("a cannot do step sds", "no package for centos 9")
    return board, about("a"), names, "add one to the catalog"


@situation
def a_step_asks_to_be_tried_later() -> Situation:
    board = world(an_agent("a", later="step sds waits: apt is locked by pid 7"))
    return board, about("a"), ("apt is locked by pid 7",), "by itself"


@situation
def it_has_failed() -> Situation:
    board = world(
        an_agent(
            phase="failed",
            error="a: step sdc cannot work: no driver; mend it, then retry",
            tail="scini: FATAL\nmodprobe: no such module",
        )
    )
    names = ("a has failed: step sdc cannot work: no driver", "modprobe: no such module")
    return board, about("a"), names, "mend it, then retry"


@situation
def it_is_held_by_an_operator() -> Situation:
    board = world(an_agent(phase="held", held_by="operator"))
    board.chronicle.note("order", "a", "hold (its fan): held", at=WALL - 600, by="bob")
    return board, about("a"), ("is held by the operator", "bob said so", "its fan"), "resume a"


@situation
def it_is_held_by_the_aborted_rollout() -> Situation:
    board = world(an_agent(phase="held", held_by="rollout"))
    return board, about("a"), ("since the rollout was aborted",), "resume the rollout"


@situation
def it_is_held_by_observe_mode() -> Situation:
    board = world(an_agent(phase="held", held_by="observe"))
    return board, about("a"), ("-mode=observe",), "-mode=run"


@situation
def it_is_lost() -> Situation:
    board = world(an_agent(phase="lost", lost_at=WALL - 7200))
    return board, about("a"), ("Mesos has not had it for 2 hours",), "retire it"


@situation
def it_is_lost_and_missing() -> Situation:
    board = world(an_agent(phase="lost", lost_at=WALL - 7200, missing=True))
    return board, about("a"), ("did not come back from the reboot",), "console"


@situation
def it_is_retired() -> Situation:
    return world(an_agent(phase="retired", reason="removed")), about("a"), ("removed",), "resume it"


@situation
def it_is_being_removed_and_waits_for_the_storage() -> Situation:
    board = world(an_agent(phase="draining", removal="leaving", reason="SDS sds1 still has data"))
    return board, about("a"), ("a is being removed", "still has data"), "by itself"


@situation
def it_is_ready() -> Situation:
    return world(an_agent(phase="ready")), about("a"), ("nothing is waited for",), "nothing has"


@situation
def it_is_ready_and_its_sds_is_not() -> Situation:
    board = world(an_agent(phase="ready"))
    board.conditions = (
        Condition(
            name="sds-unhealthy", severity="warning", subject="sds1", text="it is down", since=0,
            cure="look at its service",
        ),
    )  # fmt: skip
    return board, about("a"), ("a is ready", "sds-unhealthy it is down"), "look at its service"


@situation
def a_step_is_still_to_be_done_after_another() -> Situation:
    plan = (
        StepSnapshot(name="sds", state="wanted", detail="install sds 2.0"),
        StepSnapshot(name="sdc", state="wanted", detail="install sdc 2.0"),
    )
    board = world(an_agent("a", plan=plan, reason="waits for a place of the rollout"))
    names = ("step sdc of a is still to be done", "step sds comes first", "place of the rollout")
    return board, lambda e: e.step(e.board.agents["a"], "sdc"), names, "by itself"


@situation
def a_step_that_failed_before() -> Situation:
    run = Run(step="sds", task_id="a.sds.1.x", outcome="failed", said="line\ndisk full")
    plan = (StepSnapshot(name="sds", state="wanted"),)
    board = world(an_agent("a", plan=plan, runs=(run,)))
    return board, lambda e: e.step(e.board.agents["a"], "sds"), ("failed: disk full",), "by itself"


@situation
def a_step_holds() -> Situation:
    plan = (StepSnapshot(name="sds", state="satisfied", detail="2.0 runs"),)
    board = world(an_agent("a", "ready", plan=plan))
    names = ("step sds of a holds (2.0 runs)",)
    return board, lambda e: e.step(e.board.agents["a"], "sds"), names, "nothing has to be done"


@situation
def a_disk_is_left_alone() -> Situation:
    devices = (("/dev/sdb", "signature: ext4 was found"),)
    board = world(an_agent("a", "ready", devices=devices))
    names = ("/dev/sdb of a is judged signature", "ext4 was found")
    return board, lambda e: e.device(e.board.agents["a"], "/dev/sdb"), names, "attributes"


@situation
def a_disk_waits_for_its_agent() -> Situation:
    devices = (("/dev/sdb", "empty: provably empty"),)
    board = world(an_agent("a", devices=devices, later="apt is locked"))
    names = ("is judged empty", "a waits (installing)", "apt is locked")
    return board, lambda e: e.device(e.board.agents["a"], "/dev/sdb"), names, "by itself"


@situation
def a_pool_is_rebuilt_since_a_host_reboots() -> Situation:
    down = attrs.evolve(WHOLE.sds[1], good=False)
    storage = rebuilding(attrs.evolve(WHOLE, sds=(WHOLE.sds[0], down)))
    board = world(an_agent("b", "rebooting", address="10.0.0.2"), storage=storage)
    names = ("pool ssd is rebuilding", "SDS sds2 is not healthy: b is rebooting", "10 % used")
    return board, lambda e: e.pool("rack", "ssd"), names, "by itself"


@situation
def a_pool_fills() -> Situation:
    board = world()
    board.outlooks = {"p": Outlook(full_in_s=3 * 86400.0)}
    board.conditions = (
        Condition(
            name="capacity-high", severity="warning", subject="ssd", text="it is 85 % full",
            since=0, cure="add disks",
        ),
    )  # fmt: skip
    names = ("pool ssd is whole", "full in about 3 days", "capacity-high it is 85 % full")
    return board, lambda e: e.pool("rack", "ssd"), names, "add disks"


@situation
def the_rollout_waits_for_its_slowest() -> Situation:
    board = world(an_agent("a", later="apt is locked", working=True), an_agent("b", "ready"))
    board.rollout = RolloutSnapshot(concerned=2, done=1)
    names = ("the rollout is running", "1 of 2 agents are ready", "a waits", "apt is locked")
    return board, lambda e: e.rollout(), names, "by itself"


@situation
def the_rollout_has_only_a_failure_left() -> Situation:
    broken = an_agent("a", "failed", error="a: no disk; mend it, then retry")
    board = world(broken, an_agent("b", "ready"))
    board.rollout = RolloutSnapshot(concerned=2, done=1)
    return board, lambda e: e.rollout(), ("a has failed: no disk",), "mend it, then retry"


@situation
def the_rollout_is_over() -> Situation:
    board = world(an_agent("b", "ready"))
    board.rollout = RolloutSnapshot(concerned=1, done=1)
    return board, lambda e: e.rollout(), ("nothing left to do",), "nothing has to be done"


@situation
def the_framework_is_being_removed() -> Situation:
    board = world()
    board.closing = ClosingSnapshot(stage="ordered", teardown=True, waits_for="3 agents: a, b, c")
    return board, lambda e: e.framework(), ("is being removed", "3 agents: a, b, c"), "by itself"


@situation
def the_framework_waits_for_mesos() -> Situation:
    board = world()
    board.link = LinkSnapshot(state="disconnected", detail="403: wrong secret")
    return board, lambda e: e.framework(), ("waits for Mesos", "wrong secret"), "correct -uri"


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_reason_leads_to_what_would_unblock_it(name: str) -> None:
    board, ask, named, cure = SITUATIONS[name]()
    why = ask(Explainer(board, Times(now=lambda: NOW, wall=lambda: WALL)))
    assert why is not None
    at = [why.sentence.find(text) for text in named]
    assert -1 not in at, (why.sentence, named[at.index(-1)])
    assert at == sorted(at), why.sentence  # the nearest cause first
    assert cure in why.unblocked_by, why.unblocked_by
    assert "; then ; then" not in why.sentence
    assert "\n" not in why.sentence


def test_there_are_enough_situations() -> None:
    assert len(SITUATIONS) >= 25


async def test_api_and_page_tell_the_same_sentence() -> None:
    board, ask, _, _ = SITUATIONS["waits for an offer that is large enough"]()
    why = ask(Explainer(board, Times(now=lambda: NOW, wall=lambda: WALL)))
    assert why is not None
    told = (await get(board, "/v1/why/agent/a")).json()
    assert told["sentence"] == why.sentence == (await get(board, "/v1/agents/a")).json()["why"]
    assert why.sentence in (await get(board, "/ui/agents/a")).text


@pytest.mark.parametrize(
    "path",
    ["agent/ghost", "step/a/ghost", "step/ghost/sds", "device/a?path=/dev/none", "pool/d/none"],
)
async def test_what_is_not_there_has_no_reason(path: str) -> None:
    reply = await get(world(an_agent("a")), f"/v1/why/{path}")
    assert reply.status_code == 404
