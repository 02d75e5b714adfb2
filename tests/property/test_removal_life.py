"""Removals under any order of the operator's words and crashes of our process."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import effects, inbox
from domain.agent import Phase
from domain.plan import UNINSTALL
from tests.unit.agent_story import Story

WORDS = ("uninstall", "retire", "hold", "resume", "retry")
MOVES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(("answer", "answer", "answer", "crash", "waits", "gone", "back")),
)
STAGES = ("asked", "leaving", "uninstalling", "settling", "uninstalling", "last")


def stage(story: Story) -> str:
    return story.record.removal.stage if story.record.removal is not None else ""


def answer(story: Story) -> None:
    """A friendly world; the keeper ends when it is told to."""
    killed = any(isinstance(one, effects.Kill) for one in story.log)
    if killed and story.record.keeper is not None and story.phase is Phase.DRAINING:
        story.keeper("TASK_KILLED")
    else:
        story._answer()


def act(story: Story, move: str) -> None:
    match move:
        case "answer":
            answer(story)
        case "crash":
            story.process_restarts()
        case "waits":
            story.later(300.0)
        case "gone":
            story.tell(inbox.AgentGone(agent_id="S1"))
        case "back":
            story.sighted()
        case word:
            story.tell(inbox.Command(name=word))


def check(before: Story, story: Story, move: str) -> None:
    old, new = stage(before), stage(story)
    if before.phase is Phase.RETIRED:
        came_back = move == "back" and before.record.on_return
        assert story.phase is Phase.RETIRED or move == "resume" or came_back
    if story.phase is Phase.RETIRED and before.phase is not Phase.RETIRED:
        assert old == "last"
    if old not in ("", "asked"):
        assert new not in ("", "asked") or story.phase is Phase.RETIRED, "there is no way back"
    for one in story.todo:
        if isinstance(one, effects.AskStorage) and one.request == "leave":
            assert new == "leaving"
        if isinstance(one, effects.Launch) and one.step == UNINSTALL:
            assert new == "uninstalling", "the storage cluster lets go first"
        if isinstance(one, effects.Launch) and old == new == "leaving":
            raise AssertionError(f"{one.step} was begun on an agent that leaves")


@settings(max_examples=150, deadline=None)
@given(begun=st.booleans(), moves=st.lists(MOVES, max_size=40))
def test_it_only_goes_forward_and_always_arrives(begun: bool, moves: list[str]) -> None:
    story = Story()
    if begun:
        story.until_phase(Phase.READY)
    else:
        story.sighted()
    story.log.clear()
    for move in moves:
        before = attrs.evolve(story)
        act(story, move)
        check(before, story, move)
    story.sighted()
    story.tell(inbox.Command(name="retry"))
    if story.phase is Phase.HELD:
        story.tell(inbox.Command(name="resume"))
    for _ in range(120):
        if story.phase in (Phase.READY, Phase.RETIRED) and not stage(story):
            break
        answer(story)
    assert story.phase in (Phase.READY, Phase.RETIRED), story.record
