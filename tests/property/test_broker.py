"""Whatever comes in whatever order: each offer of the present stream is answered once, in time."""

from __future__ import annotations

from collections import Counter
from functools import partial

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from actors.messages import GiveBack
from protocol.mesos import calls, events
from tests.unit.broker_desk import Desk, desk, offer, update, want

ANSWER_WITHIN_S = 10.0
agents = st.integers(1, 3)
SCRIPT = st.lists(
    st.one_of(
        st.tuples(
            st.just("offers"),
            st.lists(st.tuples(agents, st.sampled_from([0.05, 1.0, 4.0])), max_size=5),
        ),
        st.tuples(st.just("want"), agents, st.integers(1, 3)),
        st.tuples(st.just("give-back"), agents, st.booleans()),
        st.tuples(st.just("rescind"), st.integers(0, 30)),
        st.tuples(st.just("update"), agents, st.sampled_from(["TASK_RUNNING", "TASK_LOST"])),
        st.tuples(st.just("break")),
        st.tuples(st.just("time"), st.sampled_from([0.05, 0.7, 3.0])),
    ),
    max_size=25,
)


@attrs.define
class Ledger:
    """What was offered: offer id -> (generation, at); and what need not be answered."""

    offered: dict[str, tuple[int, float]] = attrs.field(factory=dict)
    excused: set[str] = attrs.field(factory=set)

    async def play(self, here: Desk, act: tuple[object, ...]) -> None:
        match act:
            case ("offers", list(listed)):
                made = [
                    offer(len(self.offered) + n, agent, cpus=cpus)
                    for n, (agent, cpus) in enumerate(listed)
                ]
                now = trio.current_time()
                self.offered.update({one.id.value: (here.generation, now) for one in made})
                await here.offered(*made)
            case ("want", int(agent), int(number)):
                await here.tell(want(agent, number))
            case ("give-back", int(agent), bool(dead)):
                task_id = f"a{agent}.sds.1.0badcafe"
                await here.tell(GiveBack(host=f"a{agent}", task_id=task_id, dead=dead))
            case ("rescind", int(number)):
                self.excused.add(f"O{number}")
                await here.event(events.Rescind(offer_id=f"O{number}"))
            case ("update", int(agent), str(state)):
                await here.event(update(f"a{agent}.sds.1.0badcafe", state))
            case ("break",):
                self.excused |= self.offered.keys()
                await here.stream_breaks()
                await here.subscribe()
            case ("time", float(seconds)):
                await trio.sleep(seconds)
            case other:
                raise AssertionError(other)

    def check(self, here: Desk) -> None:
        answers: Counter[str] = Counter()
        for at, message in here.sent:
            call = message.call
            if not isinstance(call, calls.Accept | calls.Decline):
                continue
            assert call.offer_ids
            for offer_id in call.offer_ids:
                generation, since = self.offered[offer_id]
                assert message.generation == generation, "an answer on another stream"
                assert at - since <= ANSWER_WITHIN_S
                answers[offer_id] += 1
        assert set(answers.values()) <= {1}
        assert self.offered.keys() - answers.keys() <= self.excused
        assert not here.broker.ledger, "nothing is kept back"


def check_accepts(here: Desk) -> None:
    for accept in here.accepts():
        assert accept.task.agent_id in {"S1", "S2", "S3"}
        assert all(one.amount_milli <= one.resource.amount_milli for one in accept.taken)


async def play(script: list[tuple[object, ...]], outcomes: tuple[str, ...]) -> None:
    ledger = Ledger()
    async with desk(outcomes=outcomes, call_s=0.1, writer_room=2) as here:
        for act in script:
            await ledger.play(here, act)
        await trio.sleep(ANSWER_WITHIN_S)
        ledger.check(here)
        check_accepts(here)


@settings(max_examples=60)
@given(SCRIPT, st.lists(st.sampled_from(["sent", "refused", "unknown"]), max_size=6).map(tuple))
def test_each_offer_is_answered_once_on_its_own_stream_in_time(
    script: list[tuple[object, ...]], outcomes: tuple[str, ...]
) -> None:
    trio.run(partial(play, script, outcomes), clock=MockClock(autojump_threshold=0))
