"""The broker: every offer answered at once, every launch heard of, quiet when nothing is wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors import earlier_life, offer_broker
from actors.board import AgentSnapshot, GatewaySnapshot
from actors.messages import (
    AgentLost,
    AgentOffered,
    GiveBack,
    KillTask,
    StrangeTask,
    TrackTask,
)
from actors.offer_broker import UNCONFIRMED_S
from actors.offer_flow import (
    REFUSE_IDLE_S,
    REFUSE_LONG_S,
    REFUSE_NEXT_S,
    REFUSE_SOON_S,
    REVIVE_BURST,
    REVIVE_EVERY_S,
    REVIVE_GAP_S,
    SUPPRESS_AFTER_S,
)
from actors.task_book import KILL_EVERY_S, LAUNCH_PATIENCE_S, RECONCILE_ALL_S
from actors.want_book import OFFERLESS_S
from domain import inbox
from domain.offers import Matching, Need, match
from domain.storage import StorageSnapshot
from protocol.mesos import calls, events
from protocol.mesos.offered import Offer
from protocol.mesos.operator import AgentSeen
from tests.unit.actor_doubles import drained
from tests.unit.broker_desk import NOW_S, Desk, desk, offer, update, want, written

TASK = "a1.sds.1.0badcafe"


def shown(host: str, phase: str, *, working: bool = False) -> AgentSnapshot:
    return AgentSnapshot(
        host=host, agent_id="S1", address="", phase=phase, since=0.0, working=working
    )


# -- offers ---------------------------------------------------------------------------------------


async def test_an_offer_that_holds_a_want_is_accepted_for_it(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1), offer(2, 2))
        [accept] = here.accepts()
        assert accept.offer_ids == ("O1",)
        assert accept.task.task_id == TASK
        assert {t.resource.name: t.amount_milli for t in accept.taken} == {
            "cpus": 100,
            "mem": 512_000,
        }
        [decline] = here.declines()
        assert decline.offer_ids == ("O2",)
        assert len(here.broker.ledger) == 0


async def test_an_offer_too_small_is_declined_and_the_reason_shown(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1, mem=300.0))
        assert not here.accepts()
        assert here.broker.board.verdicts["a1"] == "needs 512 MB, offered 300 MB"


@pytest.mark.parametrize(("listed", "long_s"), [(True, REFUSE_IDLE_S), (False, REFUSE_LONG_S)])
async def test_an_unwanted_offer_is_refused_for_long_and_one_between_steps_for_a_moment(
    autojump_clock: MockClock, *, listed: bool, long_s: float
) -> None:
    """For longer still where the master's list tells of changes."""
    async with desk() as here:
        here.lists_agents = listed
        board = here.broker.board
        phases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("surveying", {}),
            ("installing", {"working": True}),
            ("installing", {}),
            ("installing", {"task_id": TASK}),
            ("activating", {}),
            ("installing", {}),
        ]
        for number, (phase, more) in enumerate(phases, start=1):
            snapshot = attrs.evolve(shown(f"a{number}", phase), agent_id=f"S{number}", **more)
            board.post_agent(snapshot)
        board.next_in_line = frozenset({"a7"})
        await here.offered(*(offer(n, n) for n in range(1, 9)))
        refused = {i: one.refuse_s for one in here.declines() for i in one.offer_ids}
        assert refused == {
            "O1": long_s,
            "O2": REFUSE_SOON_S,
            "O3": REFUSE_SOON_S,
            "O4": long_s,
            "O5": REFUSE_SOON_S,  # it may be of what that task has just freed
            "O6": REFUSE_SOON_S,
            "O7": REFUSE_NEXT_S,
            "O8": REFUSE_NEXT_S,  # nobody knows it yet
        }


async def test_ten_thousand_offers_are_answered_at_once_in_bounded_calls(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        began = trio.current_time()
        await here.offered(*(offer(n) for n in range(10_000)))
        assert all(len(one.offer_ids) <= calls.DECLINE_IDS_MAX for one in here.declines())
        answered = [i for one in here.declines() for i in one.offer_ids]
        assert len(answered) == len(set(answered)) == 10_000
        assert trio.current_time() - began < 1.0


async def test_every_offer_is_told_to_the_roster(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.offered(offer(1, 1), offer(2, 2))
        seen = drained(here.broker.roster)
        assert [one.hostname for one in seen if isinstance(one, AgentOffered)] == ["a1", "a2"]


async def test_a_crash_strands_no_offer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offers belong to the ledger from receipt to answer, whatever happens in between."""
    crashes = [RuntimeError("a bug")]

    def crashing(
        needs: Iterable[Need],
        there: Sequence[Offer],
        *,
        now_s: float,
    ) -> Matching:
        if crashes:
            raise crashes.pop()
        return match(needs, there, now_s=now_s)

    monkeypatch.setattr(offer_broker, "match", crashing)
    async with desk() as here:
        await here.tell(want(mem_milli=9_000_000))
        await here.offered(offer(1))
        assert here.broker.mailbox.vitals.restarts == 1
        await trio.sleep(10.0)
        assert [one.offer_ids for one in here.declines()] == [("O1",)]


async def test_an_offer_of_another_agent_does_not_hide_the_reason(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1, mem=300.0))
        await here.offered(offer(2, 2))
        assert here.broker.board.verdicts["a1"] == "needs 512 MB, offered 300 MB"


# -- launches -------------------------------------------------------------------------------------


async def test_a_want_posted_twice_is_launched_once(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.tell(want())
        await here.offered(offer(1))
        await here.tell(want())
        await here.offered(offer(2))
        assert len(here.accepts()) == 1


async def test_the_newest_want_of_an_agent_is_the_one_that_counts(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want(number=1))
        await here.tell(want(number=2))
        await here.offered(offer(1), offer(2))
        assert [one.task.task_id for one in here.accepts()] == ["a1.sds.2.0badcafe"]


async def test_a_launch_that_was_refused_is_wanted_again(autojump_clock: MockClock) -> None:
    async with desk(outcomes=("refused",)) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.offered(offer(2))
        assert [one.task.task_id for one in here.accepts()] == [TASK, TASK]


async def test_a_launch_of_unknown_fate_is_asked_about_and_not_repeated(
    autojump_clock: MockClock,
) -> None:
    async with desk(outcomes=("unknown",)) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.tell(want())
        await trio.sleep(2.5)
        await here.offered(offer(2))
        assert len(here.accepts()) == 1
        assert ((TASK, "S1"),) in here.reconciled()


async def test_a_launch_that_nobody_hears_of_is_asked_about(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1))
        await trio.sleep(LAUNCH_PATIENCE_S - 5.0)
        assert not here.reconciled()
        await trio.sleep(10.0)
        assert here.reconciled()[0] == ((TASK, "S1"),)


async def test_who_is_heard_of_is_not_asked_about_any_more(autojump_clock: MockClock) -> None:
    async with desk(outcomes=("unknown",)) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.event(update(TASK, "TASK_RUNNING", uuid="u"))
        count = len(here.reconciled())
        await trio.sleep(LAUNCH_PATIENCE_S * 2)
        assert len(here.reconciled()) == count
        await trio.sleep(RECONCILE_ALL_S)
        assert here.reconciled()[count] == ((TASK, "S1"),), "but now and then about all that run"


async def test_a_want_that_is_given_back_was_never_sent(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.tell(GiveBack(host="a1", task_id=TASK, dead=False))
        [note] = drained(here.agents["a1"])
        assert isinstance(note, inbox.NeverSent)
        assert note.task_id == TASK
        await here.offered(offer(1))
        assert not here.accepts()


async def test_what_is_given_back_on_its_way_is_not_wanted_again(
    autojump_clock: MockClock,
) -> None:
    """The operator holds an agent while its ACCEPT is out: refused, it must not be repeated."""
    async with desk(outcomes=("refused",), call_s=1.0) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.tell(GiveBack(host="a1", task_id=TASK, dead=False))
        await trio.sleep(2.0)
        await here.offered(offer(2))
        await trio.sleep(5.0)
        assert len(here.accepts()) == 1
        notes = [one for one in drained(here.agents["a1"]) if isinstance(one, inbox.NeverSent)]
        assert [one.task_id for one in notes] == [TASK]


# -- updates --------------------------------------------------------------------------------------


def fill(here: Desk) -> None:
    """No room in the mailbox of agent a1."""
    mailbox = here.agents["a1"]
    while mailbox.offer(inbox.Tick()):
        pass


DENIAL = attrs.evolve(update(TASK, "TASK_GONE"), reason="REASON_RECONCILIATION")


async def test_what_is_not_launched_yet_cannot_be_denied(autojump_clock: MockClock) -> None:
    async with desk(call_s=50.0) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.event(DENIAL)  # of an ACCEPT before, that was void with its stream
        assert drained(here.agents["a1"]) == []
        await trio.sleep(60.0)
        assert len(here.accepts()) == 1
        await here.event(DENIAL)
        assert len(drained(here.agents["a1"])) == 1


async def test_what_is_wanted_again_cannot_be_denied(autojump_clock: MockClock) -> None:
    async with desk(outcomes=("refused",)) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.event(DENIAL)
        assert drained(here.agents["a1"]) == []
        await here.offered(offer(2))
        assert len(here.accepts()) == 2


async def test_a_launch_whose_note_was_lost_is_denied_in_the_end(autojump_clock: MockClock) -> None:
    async with desk(call_s=1e6) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await trio.sleep(UNCONFIRMED_S)
        await here.event(DENIAL)
        assert len(drained(here.agents["a1"])) == 1


async def test_updates_reach_their_agent(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.event(update(TASK, "TASK_FINISHED", uuid="u"))
        [status] = drained(here.agents["a1"])
        assert isinstance(status, inbox.Status)
        assert (status.task_id, status.state, status.uuid) == (TASK, "TASK_FINISHED", "u")
        assert status.terminal


async def test_an_update_that_finds_no_room_is_not_acknowledged_and_comes_again_by_itself(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        fill(here)
        await here.event(update(TASK, "TASK_RUNNING", uuid="u"))
        await trio.sleep(60.0)
        assert not here.of(calls.Acknowledge)
        drained(here.agents["a1"])
        await here.event(update(TASK, "TASK_RUNNING", uuid="u"))
        assert len(drained(here.agents["a1"])) == 1


async def test_an_update_without_uuid_that_finds_no_room_is_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        fill(here)
        await here.event(update(TASK, "TASK_LOST"))
        await trio.sleep(2.0)
        assert here.reconciled()[0] == ((TASK, "S1"),)


async def test_a_task_whose_end_found_no_room_is_not_launched_a_second_time(
    autojump_clock: MockClock,
) -> None:
    """The agent, which has not heard of it, posts its want again; Mesos will repeat the end."""
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1))
        fill(here)
        await here.event(update(TASK, "TASK_FINISHED", uuid="u"))
        await here.tell(want())
        await here.offered(offer(2))
        assert len(here.accepts()) == 1


async def test_an_update_for_a_host_that_nobody_minds_goes_to_the_roster(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.event(update("a9.sds.1.0badcafe", "TASK_RUNNING", uuid="u"))
        [strange] = drained(here.broker.roster)
        assert isinstance(strange, StrangeTask)
        assert strange.host == "a9"


async def test_a_failure_of_an_agent_goes_to_the_roster_and_one_of_an_executor_nowhere(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.event(events.Failure(agent_id="S1", executor_id="e"))
        await here.event(events.Failure(agent_id="S1"))
        await here.event(events.Unknown(kind="NEW"))
        await here.event(events.Heartbeat())
        assert drained(here.broker.roster) == [AgentLost(agent_id="S1")]


# -- a new subscription ---------------------------------------------------------------------------


async def test_a_broken_stream_voids_the_offers_and_asks_about_every_task(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(TrackTask(host="a2", task_id="a2.sds.1.0badcafe", agent_id="S2"))
        await here.event(update("a2.sds.1.0badcafe", "TASK_RUNNING", uuid="u"))
        await here.stream_breaks()
        await here.tell(want())
        count = len(here.sent)
        await trio.sleep(100.0)
        assert len(here.sent) == count, "nothing is said while there is no subscription"
        await here.subscribe()
        await trio.sleep(2.0)
        assert here.reconciled()[-1] == (("a2.sds.1.0badcafe", "S2"),)
        assert all(message.generation == 2 for _, message in here.sent[count:])


async def test_reconciliation_backs_off_while_nobody_answers(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(TrackTask(host="a1", task_id=TASK, agent_id="S1"))
        await trio.sleep(600.0)
        assert 8 <= len(here.reconciled()) <= 20
        await here.event(update(TASK, "TASK_RUNNING"))
        count = len(here.reconciled())
        await trio.sleep(200.0)
        assert len(here.reconciled()) == count


# -- suppress and revive --------------------------------------------------------------------------


async def test_with_nothing_wanted_offers_are_suppressed_once(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await trio.sleep(SUPPRESS_AFTER_S + 5.0)
        assert len(here.of(calls.Suppress)) == 1
        await trio.sleep(1000.0)
        assert len(here.of(calls.Suppress)) == 1
        assert here.suppressed == [True]


async def test_where_agents_cannot_be_listed_offers_are_never_suppressed(
    autojump_clock: MockClock,
) -> None:
    """New agents are then seen in offers only."""
    async with desk() as here:
        here.lists_agents = False
        await trio.sleep(1000.0)
        assert not here.of(calls.Suppress)


async def test_while_something_is_wanted_offers_are_not_suppressed(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await trio.sleep(500.0)
        assert not here.of(calls.Suppress)


async def test_while_a_task_is_unheard_of_offers_are_not_suppressed(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(TrackTask(host="a1", task_id=TASK, agent_id="S1"))
        await trio.sleep(500.0)
        assert not here.of(calls.Suppress)


async def test_a_new_want_revives_at_once_after_a_suppression(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await trio.sleep(SUPPRESS_AFTER_S + 5.0)
        await here.tell(want())
        await trio.sleep(1.5)
        assert isinstance(here.sent[-1][1].call, calls.Revive)
        assert here.suppressed == [True, False]


async def test_revives_are_limited_whatever_is_wanted(autojump_clock: MockClock) -> None:
    async with desk() as here:
        for number in range(100):
            await here.tell(want(number % 3 + 1, number))
            await trio.sleep(3.0)
        times = [at for at, message in here.sent if isinstance(message.call, calls.Revive)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert min(gaps) >= REVIVE_GAP_S, "the offers that one brings are waited for"
        assert min(gaps[REVIVE_BURST:]) >= REVIVE_EVERY_S - 2.0
        assert 300.0 / REVIVE_EVERY_S <= len(times) <= REVIVE_BURST + 1 + 300.0 / REVIVE_EVERY_S


async def test_a_fresh_want_waits_a_moment_for_an_offer_before_it_revives(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1))
        await trio.sleep(5.0)
        assert not here.of(calls.Revive)


async def test_offers_that_come_in_spite_of_a_suppression_are_answered_with_another(
    autojump_clock: MockClock,
) -> None:
    """Masters before 1.5 forget it when the stream breaks."""
    async with desk() as here:
        await trio.sleep(SUPPRESS_AFTER_S + 5.0)
        await here.stream_breaks()
        await here.subscribe()
        await here.offered(offer(1))
        await trio.sleep(30.0)
        assert len(here.of(calls.Suppress)) == 2


async def test_a_launch_that_the_master_calls_wrong_is_not_repeated(
    autojump_clock: MockClock,
) -> None:
    """The same bytes would be refused with the next offer, and the next."""
    async with desk(outcomes=("rejected",)) as here:
        await here.tell(want())
        await here.offered(offer(1))
        await here.offered(offer(2))
        assert len(here.accepts()) == 1
        [note] = [one for one in drained(here.agents["a1"]) if isinstance(one, inbox.NeverSent)]
        assert "the master refuses the call" in note.why


# -- tasks ----------------------------------------------------------------------------------------


async def test_a_kill_is_sent_until_the_task_is_over(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(KillTask(task_id=TASK, agent_id="S1"))
        await trio.sleep(3 * KILL_EVERY_S)
        await here.event(update(TASK, "TASK_KILLED", uuid="u"))
        kills = here.of(calls.Kill)
        assert {(one.task_id, one.agent_id) for one in kills} == {(TASK, "S1")}
        assert len(kills) in (3, 4)
        await trio.sleep(3 * KILL_EVERY_S)
        assert len(here.of(calls.Kill)) == len(kills)


async def test_after_each_subscription_tasks_that_we_do_not_know_are_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await trio.sleep(8.0)
        assert [call.tasks for call in here.of(calls.Reconcile)] == [()]
        await here.stream_breaks()
        await here.subscribe()
        await trio.sleep(8.0)
        assert [call.tasks for call in here.of(calls.Reconcile)] == [(), ()]


# -- who is there ---------------------------------------------------------------------------------


def listed(*, free: float = 4.0, **more: Any) -> AgentSeen:
    return AgentSeen(
        agent_id="S1",
        hostname="a1",
        ip="10.0.0.1",
        port=5051,
        attributes={},
        active=True,
        total_milli={"cpus": 4000, "mem": 4_096_000},
        allocated_milli={"cpus": round(4000 - 1000 * free), "mem": 0},
        **more,
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (listed(free=0.05), "waits for resources: needs 0.1 cpus, 0.05 of 4 are free"),
        (listed(reserved_milli={"db": {"cpus": 4000}}), "(reserved for db: 4)"),
        (listed(deactivated=True), "have deactivated it"),
        (listed(draining=True), "are draining it"),
        (attrs.evolve(listed(), active=False), "not connected"),
        (listed(offered_milli={"cpus": 4000}), "offered to somebody"),
        (listed(), "Mesos is asked for one"),
    ],
)
async def test_an_agent_that_is_never_offered_says_why(
    seen: AgentSeen, words: str, autojump_clock: MockClock
) -> None:
    async with desk() as here:
        here.broker.board.seen = {"S1": seen}
        await here.tell(want())
        await trio.sleep(12.0)
        assert words in here.broker.board.verdicts["a1"]


@pytest.mark.parametrize("more", [{"free": 0.0}, {"draining": True}, {"deactivated": True}])
async def test_an_agent_that_cannot_be_offered_costs_no_calls(
    more: dict[str, Any], autojump_clock: MockClock
) -> None:
    """Each REVIVE makes the master offer all agents anew."""
    async with desk() as here:
        here.broker.board.seen = {"S1": listed(**more)}
        await here.tell(want())
        await trio.sleep(3600.0)
        assert len(here.of(calls.Revive)) == 0
        assert len(here.sent) <= 12, "reconciliation, now and then"
        here.broker.board.seen = {"S1": listed()}
        await trio.sleep(2.0)
        assert len(here.of(calls.Revive)) == 1


async def test_an_agent_whose_offers_are_too_small_is_asked_for_ever_more_rarely(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        here.lists_agents = False
        await here.tell(want())
        for _ in range(12):
            await here.offered(offer(len(here.sent), mem=300.0))
            await trio.sleep(300.0)
        assert here.broker.board.verdicts["a1"] == "needs 512 MB, offered 300 MB"
        assert len(here.of(calls.Revive)) <= 12


async def test_a_want_without_any_offer_revives_ever_more_rarely(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await trio.sleep(3600.0)
        assert 5 <= len(here.of(calls.Revive)) <= 12


async def test_without_a_list_of_agents_a_suppression_is_taken_back(
    autojump_clock: MockClock,
) -> None:
    """Nobody else would tell of new agents."""
    async with desk() as here:
        await trio.sleep(SUPPRESS_AFTER_S * 2)
        assert len(here.of(calls.Suppress)) == 1
        here.lists_agents = False
        await trio.sleep(3600.0)
        assert len(here.of(calls.Revive)) == 1
        assert here.suppressed == [True, False]


async def test_a_full_agent_does_not_cost_the_subscription(autojump_clock: MockClock) -> None:
    """Each one makes the master speak to every agent; it is for offers that got lost."""
    renewals: list[float] = []
    async with desk() as here:
        here.broker.renew = lambda: renewals.append(trio.current_time())
        here.broker.board.seen = {"S1": listed(free=0.0)}
        await here.tell(want())
        await trio.sleep(2000.0)
        assert renewals == []
        here.broker.board.seen = {"S1": listed()}
        await trio.sleep(OFFERLESS_S - 10.0)
        assert renewals == [], "a REVIVE may bring its offers"
        await trio.sleep(60.0)
        assert len(renewals) == 1


async def test_a_new_subscription_is_given_time_to_bring_offers(autojump_clock: MockClock) -> None:
    renewals: list[float] = []
    async with desk() as here:
        here.broker.renew = lambda: renewals.append(trio.current_time())
        await here.tell(want())
        await trio.sleep(100.0)
        await here.stream_breaks()
        await trio.sleep(1000.0)
        await here.subscribe()
        await trio.sleep(OFFERLESS_S - 10.0)
        assert renewals == []


async def test_nothing_wanted_for_a_minute_means_a_minute_after_the_last_task(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        await here.tell(want())
        await trio.sleep(120.0)
        await here.offered(offer(1))
        await trio.sleep(SUPPRESS_AFTER_S - 5.0)
        assert here.of(calls.Suppress) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"resources": {"cpus": 4}}, "'resources' must be a list"),
        ({"url": {"address": {"port": True}}}, "'port' must be a port"),
        ({"unavailability": {"start": 7}}, "'start' must be an object"),
    ],
)
async def test_an_offer_that_cannot_be_read_is_declined_and_the_others_are_used(
    autojump_clock: MockClock, broken: dict[str, object], words: str
) -> None:
    parts = {name: written(value) for name, value in broken.items()}
    async with desk() as here:
        await here.tell(want(1))
        await here.tell(want(2))
        with capture_logs() as logs:
            await here.offered(msgspec.structs.replace(offer(1), **parts), offer(2, 2))
        assert [one.offer_ids for one in here.declines()] == [("O1",)]
        assert [one.offer_ids for one in here.accepts()] == [("O2",)]
        assert [words in line["reason"] for line in logs if "reason" in line][:1] == [True]
        await here.offered(offer(3))
        assert len(here.accepts()) == 2, "the next one is good again"


async def test_agents_at_rest_are_told_to_nobody_and_refused_for_long(
    autojump_clock: MockClock,
) -> None:
    """Where the master's list tells of changes, an offer of a ready agent costs next to nothing."""
    async with desk() as here:
        ready = attrs.evolve(shown("a1", "ready"), agent_id="S1", keeper_healthy=True)
        here.broker.board.post_agent(ready)
        await here.offered(offer(1), offer(2, 2))
        told = [
            one.agent_id for one in drained(here.broker.roster) if isinstance(one, AgentOffered)
        ]
        assert told == ["S2"]
        refused = {one.offer_ids: one.refuse_s for one in here.declines()}
        assert refused[("O1",)] > refused[("O2",)]
        here.broker.board.post_agent(attrs.evolve(ready, lost_at=1.0))
        await here.offered(offer(3))
        back = drained(here.broker.roster)
        assert [one.agent_id for one in back if isinstance(one, AgentOffered)] == ["S1"]


# -- maintenance ----------------------------------------------------------------------------------


async def test_nothing_is_begun_on_an_agent_that_goes_down_soon(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        soon = NOW_S + trio.current_time() + 600.0
        window = {
            "start": {"nanoseconds": round(soon * 1e9)},
            "duration": {"nanoseconds": 60_000_000_000},
        }
        await here.offered(msgspec.structs.replace(offer(1), unavailability=written(window)))
        assert not here.accepts()
        assert here.declines()[0].offer_ids == ("O1",)
        verdict = here.broker.board.verdicts["a1"]
        assert verdict.startswith("operators have announced maintenance (begins in 10 min")
        await here.offered(offer(2))
        assert len(here.accepts()) == 1


def asked(number: int, agent: int = 1) -> events.InverseOffer:
    return events.InverseOffer(
        offer_id=f"I{number}",
        agent_id=f"S{agent}",
        hostname=f"a{agent}",
        ip="",
        unavailable_from_s=NOW_S + 3600.0,
        unavailable_for_s=None,
    )


async def test_every_inverse_offer_is_answered_by_what_the_storage_can_bear(
    autojump_clock: MockClock,
) -> None:
    async with desk() as here:
        here.broker.board.agents = {"a1": shown("a1", "ready")}
        await here.event(events.InverseOffers(offers=(asked(1), asked(2, 9))))
        [known, unknown] = here.of(calls.DeclineInverseOffers)
        assert (known.inverse_offer_ids, unknown.inverse_offer_ids) == (("I1",), ("I2",))
        assert min(known.refuse_s, unknown.refuse_s) >= 300.0, "it may become another answer"
        shown_text = here.broker.board.maintenance["a1"]
        assert "begins in 60 min" in shown_text
        assert "declined: the state of the storage" in shown_text
        here.broker.board.gateway = GatewaySnapshot(storage=whole(trio.current_time()))
        await here.event(events.InverseOffers(offers=(asked(3),)))
        [accepted] = here.of(calls.AcceptInverseOffers)
        assert accepted.inverse_offer_ids == ("I3",)
        await here.event(events.RescindInverseOffer(offer_id="I1"))
        assert "accepted" in here.broker.board.maintenance["a1"], "that one stands"
        await here.event(events.RescindInverseOffer(offer_id="I3"))
        assert here.broker.board.maintenance == {}


async def test_a_window_that_is_over_is_not_shown_any_more(autojump_clock: MockClock) -> None:
    async with desk() as here:
        here.broker.board.agents = {"a1": shown("a1", "ready")}
        short = attrs.evolve(asked(1), unavailable_for_s=600.0)
        await here.event(events.InverseOffers(offers=(short,)))
        await trio.sleep(4000.0)
        assert "under way, ends in" in here.broker.board.maintenance["a1"]
        await trio.sleep(300.0)
        assert here.broker.board.maintenance == {}
        assert here.broker.inverse.asked == {}


def whole(taken_at: float) -> StorageSnapshot:
    return StorageSnapshot(taken_at=taken_at, api_version=(2, 5), system_id="s", mdm_normal=True)


# -- figures --------------------------------------------------------------------------------------


async def test_offers_are_counted_by_what_became_of_them(autojump_clock: MockClock) -> None:
    async with desk() as here:
        await here.tell(want())
        await here.offered(offer(1), offer(2, 2))
        await here.event(events.Rescind(offer_id="O1"))
        board = here.broker.board
        assert (board.offers.received, board.offers.void) == (2, 0), "an answered one is not void"
        answers = [message.offered_at for _, message in here.sent if message.offered_at is not None]
        assert len(answers) == 2


async def test_an_older_framework_begins_nothing_before_it_asked_what_runs_there(
    autojump_clock: MockClock,
) -> None:
    """Its store was lost: a task of its earlier life may still run on that agent."""
    async with desk() as here:
        here.broker.earlier.adopted = lambda: True
        await here.tell(want())
        await here.offered(offer(1))
        assert here.accepts() == []
        assert here.broker.board.verdicts["a1"] == earlier_life.ASKED_FIRST
        await trio.sleep(2.0)
        assert calls.Reconcile(tasks=()) in here.of(calls.Reconcile)
        await here.offered(offer(2))
        assert here.accepts() == [], "the answer may be on its way"
        await trio.sleep(5.0 + earlier_life.ANSWERED_S)
        await here.offered(offer(3))
        assert len(here.accepts()) == 1
