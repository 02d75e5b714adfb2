"""How one agent is taken out of use: the stages of the phase draining, each stored before its acts.

    asked -> leaving -> uninstalling [-> settling -> uninstalling] -> last -> retired

One whose host is gone for good goes from `leaving` to `last`, if the storage cluster has lost it,
too. If it comes back, it is taken up again; where its removal was ordered, that goes on there.

Until `leaving` nothing has been removed, and the operator's `resume` calls it off. After that it
can be held, but only goes forward: half an agent is of no use to anybody.
"""

from __future__ import annotations

from typing import Final

import attrs

from domain import effects, inbox
from domain.agent import NEXT, AgentRecord, Phase, Removal, Signal, TaskRef
from domain.draft import Draft
from domain.plan import AGENT_RESTART, SURVEY, UNINSTALL, Plan

QUESTION_PATIENCE_S: Final = 60.0  # the gate's and the broker's word; repeated after that
STORAGE_PATIENCE_S: Final = 180.0
LOOK_AGAIN_S: Final = 10.0  # at what the storage cluster waits for
RESTART_WAIT_S: Final = 60.0  # a detached restart begins after 10 s, and is watched for a while
RETIRED: Final = "removed: nothing of ours is left on it; resume it to take it up again"
RETIRED_GONE: Final = "retired: its host is gone, and the storage cluster has let it go"
STAYS: Final = frozenset({Phase.HELD, Phase.FAILED, Phase.DRAINING, Phase.RETIRED})
LOST: Final = "Mesos has lost the agent; it is taken up again when it returns"
POLICY: Final = "it has been away for too long (-agents.retire-after)"
AWAY: Final = "waits for the host, which Mesos has lost; retire it if it is gone for good"
OBSERVED: Final = "observe mode: nothing is removed"


def is_begun(record: AgentRecord) -> bool:
    """Something may have been removed: there is no way back."""
    return record.removal is not None and record.removal.stage != "asked"


# -- the operator's word ---------------------------------------------------------------------


def ask(draft: Draft) -> None:
    """Remembered at once; a reboot under way is waited for."""
    if draft.record.phase is Phase.RETIRED or draft.record.removal is not None:
        again(draft)
        return
    draft.change(removal=Removal(), held_by="", error="", tail="")
    _drain(draft)


def obey(draft: Draft) -> None:
    """Into the phase draining, as soon as the present phase lets go."""
    if draft.record.removal is not None and draft.record.phase not in STAYS:
        _drain(draft)


def _drain(draft: Draft, why: str = "the operator has it removed") -> None:
    if Signal.DRAIN in NEXT[draft.record.phase]:
        draft.signal(Signal.DRAIN, why)
        draft.drop_reboot()


def retire(draft: Draft) -> None:
    """Its host is gone for good; of one that Mesos has, it means nothing."""
    if draft.record.lost_at and draft.record.phase is not Phase.RETIRED:
        _give_up(draft, "the operator has it retired")


def by_policy(draft: Draft) -> None:
    left_s = draft.retires_in_s()
    if left_s is not None and left_s <= 0:
        _give_up(draft, POLICY)


def _give_up(draft: Draft, why: str) -> None:
    """Its places are for others. A task that should live on there is adopted if it returns."""
    before = draft.record.removal or Removal(ordered=False)
    stage = "last" if before.stage in ("uninstalling", "settling", "last") else before.stage
    draft.change(
        removal=attrs.evolve(before, stage=stage, gone=True), held_by="", error="", tail=""
    )
    for task in (draft.record.task, draft.record.keeper):
        if task is not None:
            draft.do(effects.Withdraw(task_id=task.task_id, dead=True))
    draft.change(task=None, keeper=None)
    draft.asked.clear()
    draft.end_disruption()
    if draft.record.restarting:
        draft.end_turn()
    if draft.record.phase is not Phase.DRAINING:
        _drain(draft, why)


def returned(draft: Draft) -> None:
    """Mesos has it: it is not gone."""
    record, removal = draft.record, draft.record.removal
    if record.phase is Phase.RETIRED and record.on_return:
        draft.change(removal=Removal() if record.on_return == UNINSTALL else None, on_return="")
        draft.signal(Signal.RESUME, "it is back after it was retired")
        return
    if removal is None or not removal.gone:
        return
    draft.asked.clear()
    if removal.ordered:
        stage = "uninstalling" if removal.stage == "last" else removal.stage
        draft.change(removal=Removal(stage=stage), reason="it is back: its removal goes on there")
        return
    draft.change(removal=None)
    draft.signal(
        Signal.RETRY if record.phase is Phase.FAILED else Signal.RESUME,
        "it is back: it is not retired",
    )


def again(draft: Draft) -> None:
    """Goes on where it was stopped by a hold or a failure."""
    if draft.record.removal is not None and draft.record.phase in (Phase.HELD, Phase.FAILED):
        draft.change(held_by="", attempts={}, error="", tail="")
        draft.signal(Signal.DRAIN, "its removal goes on")


def resume(draft: Draft) -> bool:
    """The word `resume` for an agent that is being removed; True if it was meant for this."""
    record = draft.record
    if record.removal is None:
        return False
    if not is_begun(record):
        draft.change(removal=None, held_by="", disrupt="")
        if record.lost_at:
            draft.change(lost_at=draft.moment.unix)  # policy counts anew
        if record.phase in (Phase.HELD, Phase.DRAINING):
            draft.asked.clear()
            draft.free_place()
            draft.signal(Signal.RESUME, "its removal was called off")
    elif record.phase is Phase.HELD:
        again(draft)
    else:
        draft.change(reason="its removal has begun and cannot be called off")
    return True


# -- as far as it can go -----------------------------------------------------------------------


def go_on(draft: Draft) -> None:
    removal = draft.record.removal
    if removal is None:
        draft.change(removal=Removal())  # a record of before there were stages
        return
    if draft.rules.mode == "observe":
        draft.change(reason=OBSERVED)
        return
    match removal.stage:
        case "asked" | "leaving" if removal.gone:
            _storage(draft, "leave-check" if removal.stage == "asked" else "leave")
        case "asked" | "uninstalling" | "settling" if draft.record.lost_at:
            draft.change(reason=AWAY)
            draft.end_disruption()
        case "asked" if draft.record.facts is None or _is_old(draft):
            _look(draft)
        case "asked":
            if _has_permit(draft):
                _storage(draft, "leave-check")
        case "leaving":
            _end_keeper(draft)
            if _has_permit(draft):
                _storage(draft, "leave")
        case "uninstalling":
            if _end_keeper(draft) and draft.record.agent_id:
                _launch(draft, UNINSTALL)
        case "settling":
            if _has_turn(draft):
                _launch(draft, AGENT_RESTART)
        case _:
            _storage(draft, "leave-last")


def _look(draft: Draft) -> None:
    """Its SDC is known by what the host tells."""
    if draft.record.agent_id:
        draft.launch(SURVEY)
    else:
        draft.change(reason="waits for the host: what is on it is not known")


def _is_old(draft: Draft) -> bool:
    return draft.moment.unix - draft.record.surveyed > draft.rules.facts_fresh_s


def _stage(draft: Draft, removal: Removal, stage: str, reason: str) -> None:
    draft.asked.pop("storage", None)
    draft.change(removal=attrs.evolve(removal, stage=stage), reason=reason)


def _has_permit(draft: Draft) -> bool:
    """One fault unit at a time, and none while another host reboots: as for a reboot."""
    if draft.record.disrupt:
        return True
    if draft.asks("reboot", QUESTION_PATIENCE_S):
        draft.do(effects.AskReboot(provides_storage=True, boots=False))
    return False


def granted(draft: Draft, permit: str) -> bool:
    """The gate's permission, where it is still wanted."""
    removal = draft.record.removal
    if draft.record.phase is not Phase.DRAINING or removal is None or removal.gone:
        return False
    if removal.stage not in ("asked", "leaving"):
        return False
    draft.change(disrupt=permit, reason="")
    return True


def _has_turn(draft: Draft) -> bool:
    if draft.record.restarting:
        return True
    if draft.asks("restart", QUESTION_PATIENCE_S):
        draft.change(reason="waits for its turn to restart the Mesos agent")
        draft.do(effects.AskRestart())
    return False


def _storage(draft: Draft, request: str) -> None:
    if draft.asks("storage", STORAGE_PATIENCE_S):
        draft.do(effects.AskStorage(request=request))


def _end_keeper(draft: Draft) -> bool:
    """True once no keeper runs. Applications' tasks are their operators' matter."""
    keeper = draft.record.keeper
    if keeper is None:
        return True
    if draft.asks("keeper", QUESTION_PATIENCE_S):
        if not keeper.running:
            draft.do(effects.Withdraw(task_id=keeper.task_id))
        draft.do(effects.Kill(task_id=keeper.task_id, agent_id=keeper.agent_id))
    return False


def _launch(draft: Draft, step: str) -> None:
    draft.change(reason="")
    if step == AGENT_RESTART:
        draft.change(restarting="begun")
    draft.launch(step)


# -- answers -------------------------------------------------------------------------------------


def storage_answer(draft: Draft, message: inbox.StorageAnswer) -> None:
    removal = draft.record.removal
    if removal is None or draft.asked.pop("storage", None) is None:
        return
    match removal.stage, message.request, message.outcome:
        case "asked", "leave-check", "done":
            _stage(draft, removal, "leaving", "it leaves the storage cluster")
        case "leaving", "leave", "done":
            draft.change(sds_id="", joined=False, probe="", claimed={})
            draft.whole_again()
            _stage(draft, removal, "last" if removal.gone else "uninstalling", "")
        case "last", "leave-last", "done":
            _retire(draft)
        case _, _, "refused":
            draft.fail(f"the Gateway refuses: {message.sentence}", "mend it, then retry")
        case _:
            draft.change(reason=message.sentence)
            draft.pause(at_least=LOOK_AGAIN_S)


def step_held(draft: Draft, task: TaskRef, code: int) -> bool:
    """The end of a step of the removal; False for one of before it."""
    removal = draft.record.removal
    if removal is None or not is_begun(draft.record):
        return False
    if task.step == UNINSTALL and code == 21:
        _stage(draft, removal, "settling", "the Mesos agent's settings are put back")
    elif task.step == UNINSTALL:
        draft.end_turn()
        draft.change(error="", tail="")
        _stage(draft, removal, "last", "")
    elif task.step == AGENT_RESTART:
        draft.uncount(UNINSTALL)  # it has more than one thing to do
        draft.change(restarting="armed")
        _stage(
            draft, removal, "uninstalling", "the Mesos agent is restarting with its old settings"
        )
        draft.pause(at_least=RESTART_WAIT_S)
    else:
        return False
    return True


def _retire(draft: Draft) -> None:
    kept = draft.record
    gone = kept.removal is not None and kept.removal.gone
    if not draft.signal(Signal.DRAINED, RETIRED_GONE if gone else RETIRED):
        return
    if kept.undone == "halt":
        draft.do(effects.FreeRestart(outcome="forgiven"))
    ordered, kept = kept.removal is None or kept.removal.ordered, draft.record
    draft.plan = Plan()
    draft.record = AgentRecord(
        host=kept.host,
        agent_id=kept.agent_id,
        address=kept.address,
        port=kept.port,
        attributes=kept.attributes,
        phase=kept.phase,
        since=kept.since,
        reason=kept.reason,
        launches=kept.launches,
        ended=kept.ended,
        runs=kept.runs,
        lost_at=kept.lost_at,
        on_return="" if not gone else UNINSTALL if ordered else "resume",
    )
