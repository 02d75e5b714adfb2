"""Identity at the master: won without orphans, kept, taken over, and given up only when told to."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.master_link import PAUSE_SLOW_S, UNANSWERED_S
from actors.master_session import FIRST_FAILOVER_S
from actors.ports import LeaderUnknownError
from actors.registration import ADOPT_AFTER_S
from protocol.mesos import calls
from protocol.mesos.session import Verdict
from simulation.http_server import Cut, Reply, Request
from simulation.mesos_observed import CallReceived, StreamOpened
from tests.unit.actor_doubles import drained
from tests.unit.master_line import INFO, STANDBY, Line, line, running
from tests.unit.sim_mesos import MASTER, legacy_info


def failover_timeouts(here: Line) -> set[float]:
    return {one.info.failover_timeout_s for one in here.there.mesos.state.frameworks.values()}


def kinds(here: Line) -> list[str]:
    return [one.kind for one in here.there.observed(CallReceived)]


# -- the first registration -----------------------------------------------------------------------


async def test_until_the_id_is_stored_an_orphan_would_soon_be_gone(
    autojump_clock: MockClock,
) -> None:
    async with line() as here:
        here.keep.takes_s = 7.0
        async with running(here):
            await here.until(lambda: bool(here.there.observed(StreamOpened)))
            assert failover_timeouts(here) == {FIRST_FAILOVER_S}
            assert here.keep.stored == []
            await here.subscribed()
            await here.until(lambda: failover_timeouts(here) == {INFO.failover_timeout_s})
            assert kinds(here) == ["SUBSCRIBE", "UPDATE_FRAMEWORK"]


async def test_masters_that_cannot_update_a_framework_are_subscribed_to_once_more(
    autojump_clock: MockClock,
) -> None:
    async with line(version="1.8.0") as here, running(here):
        await here.subscribed(2)
        assert failover_timeouts(here) == {INFO.failover_timeout_s}
        [first, second] = here.subscriptions()
        assert (first[0], first[1], second[1]) == (second[0], True, False)
        assert kinds(here) == ["SUBSCRIBE", "SUBSCRIBE"]


async def test_an_update_that_got_lost_in_here_is_sent_again(autojump_clock: MockClock) -> None:
    """The writer may crash with it in hand."""
    async with line(writes=False) as here, running(here):
        await here.subscribed()
        [lost] = drained(here.writer.mailbox)
        assert isinstance(lost.call, calls.UpdateFramework)
        await trio.sleep(16.0)
        here.start_writing()
        await here.until(lambda: failover_timeouts(here) == {INFO.failover_timeout_s})
        assert here.now.subscriptions == 1


async def test_a_crash_of_the_reader_is_a_lost_subscription(autojump_clock: MockClock) -> None:
    async with line() as here:
        async with running(here):
            await here.subscribed()
        assert here.link.session.stream_id == ""
        async with running(here):
            await here.subscribed(2)
            states = [one.state for one in here.shown]
            assert states[-3:] == ["finding", "subscribing", "subscribed"]


async def test_an_update_that_is_refused_is_made_up_for_by_a_subscription(
    autojump_clock: MockClock,
) -> None:
    async with line() as here:
        front = here.there.mesos.fronts[0]

        async def forbid(request: Request) -> Any:
            if b"UPDATE_FRAMEWORK" in request.body:
                return Reply(status=403, body=b"Not authorized")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, forbid)
        async with running(here):
            await here.subscribed(2)
            assert failover_timeouts(here) == {INFO.failover_timeout_s}


async def test_a_crash_before_the_id_is_stored_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    """The next start finds the orphan, waits until it is gone, and registers."""
    async with line() as here:
        here.keep.takes_s = 1e6
        async with running(here):
            await here.until(lambda: bool(here.there.observed(StreamOpened)))
        here.link.session.state = type(here.link.session.state).DISCONNECTED
        here.keep.takes_s = 0.0
        async with running(here):
            await here.until(lambda: "-mesos.adopt" in here.now.detail)
            await here.subscribed()
            state = here.there.mesos.state
            assert len(state.frameworks) == 1
            assert here.now.framework_id in state.frameworks
            assert len(state.completed) == 1


# -- an id that the store has lost ----------------------------------------------------------------


async def lose_the_store(here: Line) -> str:
    """Our framework is registered, and goes away for long; its id."""
    async with running(here):
        await here.subscribed()
        await here.until(lambda: failover_timeouts(here) == {INFO.failover_timeout_s})
        ours = here.now.framework_id
    session = here.link.session
    session.info = attrs.evolve(session.info, framework_id="")
    session.state = type(session.state).DISCONNECTED
    here.keep.stored.clear()
    return ours


async def test_our_own_framework_is_not_registered_twice(autojump_clock: MockClock) -> None:
    async with line() as here:
        ours = await lose_the_store(here)
        async with running(here):
            await trio.sleep(5 * PAUSE_SLOW_S)
            assert here.now.state in ("disconnected", "finding")
            assert ours in here.now.detail
            assert "-mesos.adopt" in here.now.detail
            assert here.keep.stored == []
            assert list(here.there.mesos.state.frameworks) == [ours]


async def test_with_the_operators_leave_it_is_taken_over(autojump_clock: MockClock) -> None:
    async with line(adopt=True) as here:
        ours = await lose_the_store(here)
        async with running(here):
            await here.until(lambda: "if nobody comes back" in here.now.detail)
            await here.subscribed(2)
            assert here.now.framework_id == ours
            assert here.keep.stored == [ours], "before it is subscribed with"
            assert here.subscriptions()[-1] == (ours, False)


async def test_who_comes_back_in_time_is_not_taken_over(autojump_clock: MockClock) -> None:
    """Another scheduler was only between two subscriptions."""
    async with line(adopt=True) as here:
        ours = await lose_the_store(here)
        async with running(here):
            await here.until(lambda: "if nobody comes back" in here.now.detail)
            theirs = legacy_info(name=INFO.name, role=INFO.role, id={"value": ours})
            await here.there.subscribed(theirs, framework_id=ours)
            await trio.sleep(3 * PAUSE_SLOW_S)
            assert "another scheduler is active" in here.now.detail
            assert here.keep.stored == []


async def test_who_was_there_between_two_looks_starts_the_wait_anew(
    autojump_clock: MockClock,
) -> None:
    async with line(adopt=True) as here:
        ours = await lose_the_store(here)
        registration = here.link.registration
        assert isinstance(await registration.find(MASTER), Verdict)
        theirs = legacy_info(
            name=INFO.name,
            role=INFO.role,
            id={"value": ours},
            failover_timeout=6000.0,
            checkpoint=True,
        )
        other = await here.there.subscribed(theirs, framework_id=ours)
        await trio.sleep(ADOPT_AFTER_S - 10.0)
        assert "active" in said(await registration.find(MASTER))
        other.close()
        await trio.sleep(20.0)
        assert "if nobody comes back" in said(await registration.find(MASTER))
        assert here.keep.stored == []


async def test_a_framework_that_was_seen_long_ago_is_looked_at_again(
    autojump_clock: MockClock,
) -> None:
    """Its scheduler may live, and be between two subscriptions at this very moment."""
    async with line(adopt=True) as here:
        ours = await lose_the_store(here)
        registration = here.link.registration
        assert isinstance(await registration.find(MASTER), Verdict)
        theirs = legacy_info(
            name=INFO.name,
            role=INFO.role,
            id={"value": ours},
            failover_timeout=6000.0,
            checkpoint=True,
        )
        other = await here.there.subscribed(theirs, framework_id=ours)
        assert "active" in said(await registration.find(MASTER))
        await trio.sleep(3600.0)
        other.close()
        await wait_all_tasks_blocked()
        assert "if nobody comes back" in said(await registration.find(MASTER))
        await trio.sleep(200.0)
        assert "if nobody comes back" in said(await registration.find(MASTER)), "nobody looked"
        await trio.sleep(40.0)
        assert await registration.find(MASTER) is None
        assert here.keep.stored == [ours]
        assert here.link.session.adopted
        await registration.keep("")
        assert not here.link.session.adopted, "the next one is as old as its store"


def said(verdict: object) -> str:
    assert isinstance(verdict, Verdict)
    return verdict.sentence


async def test_a_new_master_is_not_asked_before_its_agents_are_back(
    autojump_clock: MockClock,
) -> None:
    """It knows our framework only by the tasks that they run."""
    async with line(adopt=True, agents=2) as here:
        ours = await lose_the_store(here)
        here.there.mesos.faults.master_failover(agents_within_s=300.0)
        async with running(here):
            await here.until(lambda: "agents are not back yet" in here.now.detail)
            await trio.sleep(60.0)
            assert here.keep.stored == []
            await here.until(lambda: here.now.state == "subscribed", within_s=900.0)
            assert here.now.framework_id != ours, "none of its tasks runs anywhere"


async def test_a_scheduler_that_is_active_under_our_name_is_left_alone(
    autojump_clock: MockClock,
) -> None:
    async with line(adopt=True) as here:
        theirs = legacy_info(name=INFO.name, role=INFO.role)
        await here.there.subscribed(theirs)
        async with running(here):
            await trio.sleep(3 * PAUSE_SLOW_S)
            assert "another scheduler is active" in here.now.detail
            assert here.now.subscriptions == 0


async def test_where_frameworks_may_not_be_listed_we_register_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async with line() as here:
        front = here.there.mesos.fronts[0]

        async def closed(request: Request) -> Any:
            if request.path == "/api/v1":
                return Reply(status=403, body=b"Forbidden")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, closed)
        async with running(here):
            await here.subscribed()


# -- an id that is dead ---------------------------------------------------------------------------


async def test_only_an_operators_word_makes_a_new_framework_of_a_removed_one(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        assert here.link.register_anew()[0] == 409
        dead = here.now.framework_id
        here.there.mesos.faults.remove_framework(dead)
        await here.until(lambda: here.now.state == "removed", within_s=600.0)
        await trio.sleep(5000.0)
        assert here.now.state == "removed"
        assert here.link.register_anew()[0] == 202
        await here.until(lambda: here.now.state == "subscribed")
        assert here.now.framework_id != dead
        assert here.keep.stored == [dead, "", here.now.framework_id]


# -- finding the leader ---------------------------------------------------------------------------


@attrs.define
class Told:
    """Leaders as the test tells them."""

    masters: tuple[str, ...] = ()
    news: trio.Event = attrs.field(factory=trio.Event)
    asked: int = 0

    async def bases(self) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if not self.masters:
            raise LeaderUnknownError("zk://zk.test:2181/mesos names no master: is the path right?")
        return self.masters

    async def changed(self) -> None:
        await self.news.wait()


async def test_an_unknown_leader_is_said_and_an_announced_one_shortens_the_pause(
    autojump_clock: MockClock,
) -> None:
    leaders = Told()
    async with line(leaders=leaders) as here, running(here):
        await here.until(lambda: "names no master" in here.now.detail)
        await here.until(lambda: leaders.asked > 6)  # pauses have grown to 7.5 s and more by now
        await trio.sleep(1.1)
        leaders.masters = (MASTER,)
        leaders.news.set()
        began = trio.current_time()
        await here.subscribed()
        assert trio.current_time() - began < 2.0


async def test_leaders_that_flap_do_not_make_us_spin(autojump_clock: MockClock) -> None:
    leaders = Told()
    leaders.news.set()
    async with line(leaders=leaders) as here, running(here):
        await trio.sleep(60.0)
        assert leaders.asked <= 125


async def test_the_next_master_is_asked_at_once_when_one_is_away(
    autojump_clock: MockClock,
) -> None:
    leaders = Told(("http://gone.test:5050", STANDBY, MASTER))
    async with line(masters=2, leaders=leaders) as here, running(here):
        await here.subscribed()
        assert trio.current_time() < 5.0
        assert leaders.asked == 1


# -- credentials ----------------------------------------------------------------------------------


@attrs.define
class Rotating:
    """What the file holds is `fresh`; what is sent is `secret`, until it is renewed."""

    secret: str = "old"
    fresh: str = "old"
    looks: int = 0

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self.secret}"}

    async def renew(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        changed = self.secret != self.fresh
        self.secret = self.fresh
        return changed


async def test_a_refused_secret_is_tried_slowly_and_a_corrected_one_at_once(
    autojump_clock: MockClock,
) -> None:
    credentials = Rotating()
    async with line(credentials=credentials, principal="storage", framework_id="F") as here:
        front = here.there.mesos.fronts[0]
        tries: list[float] = []

        async def guard(request: Request) -> Any:
            if request.path != "/version" and request.headers["authorization"] != "Basic new":
                tries.append(trio.current_time())
                return Reply(status=401, body=b"401 Unauthorized.")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, guard)
        async with running(here):
            await trio.sleep(600.0)
            assert "does not accept the credentials of principal 'storage'" in here.now.detail
            assert len(tries) <= 1 + 600.0 / (PAUSE_SLOW_S / 2)
            credentials.fresh = "new"
            began = trio.current_time()
            await here.subscribed()
            assert trio.current_time() - began <= 6.0, "no need to wait for the next slow try"


async def test_a_secret_that_is_changed_while_we_are_subscribed_costs_nothing(
    autojump_clock: MockClock,
) -> None:
    credentials = Rotating()
    async with line(credentials=credentials, framework_id="F") as here:
        front, valid = here.there.mesos.fronts[0], {"old"}

        async def guard(request: Request) -> Any:
            given = request.headers.get("authorization", "").removeprefix("Basic ")
            if request.path != "/version" and given not in valid:
                return Reply(status=401, body=b"401 Unauthorized.")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, guard)
        async with running(here):
            await here.subscribed()
            valid.clear()
            valid.add("new")
            credentials.fresh = "new"
            await here.send_revive()
            await here.until(lambda: "REVIVE" in kinds(here))
            assert here.now.subscriptions == 1


# -- a subscription of ours that was never answered -----------------------------------------------


async def test_an_answer_that_was_lost_does_not_make_us_throw_ourselves_out(
    autojump_clock: MockClock,
) -> None:
    """The first SUBSCRIBE is processed late, and takes the place of the second one."""
    async with line(framework_id="F") as here:
        front, held = here.there.mesos.fronts[0], [True]

        async def lossy(request: Request) -> Any:
            if b"SUBSCRIBE" in request.body and held:
                held.clear()
                await trio.sleep(1.0)
                return Cut()
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, lossy)
        async with running(here):
            await here.subscribed()
            theirs = legacy_info(id={"value": "F"}, role="scaleio", name=INFO.name)
            await here.there.subscribed(theirs, framework_id="F")
            await here.subscribed(2)
            await trio.sleep(UNANSWERED_S * 2)
            assert here.now.state == "subscribed"


# -- a master that knows less than its version ----------------------------------------------------


async def test_fewer_capabilities_are_asked_for_where_a_master_finds_no_enum(
    autojump_clock: MockClock,
) -> None:
    async with line(framework_id="F") as here:
        front = here.there.mesos.fronts[0]
        refused: list[bytes] = []

        async def old(request: Request) -> Any:
            if b"REGION_AWARE" in request.body:
                refused.append(request.body)
                return Reply(status=400, body=b"Failed to find enum for 'REGION_AWARE'")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, old)
        async with running(here):
            await here.subscribed()
            assert len(refused) == 1
