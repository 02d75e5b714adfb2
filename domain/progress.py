"""How far an agent can go by itself: called after every message, until it has to wait."""

from __future__ import annotations

from typing import Final

from domain import effects, reboots, removal
from domain.agent import NEXT, Phase, Signal, TaskState
from domain.draft import Draft
from domain.plan import AGENT_RESTART, CLAIM, KEEPER, PROBE, REBOOT, SURVEY

OUTPUT_PATIENCE_S: Final = 60.0  # a sandbox is read in well under a second
SLOT_PATIENCE_S: Final = 60.0  # the question is repeated, in case the gate was restarted
STORAGE_PATIENCE_S: Final = 180.0  # a join is a dozen calls of up to 10 s
CLAIM_FRESH_S: Final = 120.0
BLOCKED: Final = "what was missing"
ABORTED: Final = "held, since the rollout was aborted; resume the rollout, or this agent"
BLOCKED_LOOK_S: Final = 900.0  # an operator who mended the cause need not tell us
CHANGING: Final = frozenset(
    {Phase.INSTALLING, Phase.JOINING, Phase.REBOOT_WANTED, Phase.ACTIVATING}
)
PASSES_MAX: Final = 16  # phases are thirteen: more would be a loop, and a bug


def go_on(draft: Draft) -> None:
    """Drive until nothing changes; every pass either moves the phase or waits."""
    for _ in range(PASSES_MAX):
        before = draft.record.phase
        _step(draft)
        if draft.record.phase is before:
            return
    raise AssertionError(f"{draft.record.host} moves in a circle at {draft.record.phase}")


def _step(draft: Draft) -> None:
    _hold_if_told(draft)
    reboots.miss_if_overdue(draft)
    removal.by_policy(draft)
    removal.obey(draft)
    if _task_is_in_the_way(draft) or draft.moment.now < draft.not_before:
        return
    match draft.record.phase:
        case Phase.SEEN if draft.record.agent_id:
            draft.signal(Signal.STARTED)
        case Phase.SURVEYING if draft.told_gone:
            draft.gone(removal.LOST)  # an operator's word has woken it
        case Phase.SURVEYING:
            _survey(draft)
        case Phase.INSTALLING:
            _install(draft)
        case Phase.JOINING:
            _join(draft)
        case Phase.REBOOT_WANTED:
            _want_reboot(draft)
        case Phase.REBOOTING:
            _reboot(draft)
        case Phase.ACTIVATING:
            _activate(draft)
        case Phase.DRAINING:
            removal.go_on(draft)
        case _:
            pass


def _hold_if_told(draft: Draft) -> None:
    """A hold that came during a reboot, and observe mode that begins in the middle of work."""
    phase = draft.record.phase
    if phase is Phase.HELD or Signal.HOLD not in NEXT[phase]:
        return
    if draft.record.held_by == "operator" and phase is not Phase.FAILED:
        draft.signal(Signal.HOLD, "held by the operator; resume it to go on")
    elif draft.record.held_by == "rollout" and phase is not Phase.FAILED:
        draft.signal(Signal.HOLD, ABORTED)
    elif draft.rules.mode == "observe" and phase in CHANGING:
        draft.change(held_by="observe")
        draft.signal(Signal.HOLD, "observe mode: the plan is shown, nothing is changed")


def _task_is_in_the_way(draft: Draft) -> bool:
    """One task of ours on an agent at a time; an ended one is first read out."""
    task = draft.record.task
    if task is None:
        return False
    if task.state is TaskState.ENDED and ask(draft, "output", OUTPUT_PATIENCE_S):
        draft.do(
            effects.ReadOutput(
                task_id=task.task_id, agent_id=task.agent_id, with_stderr=task.exit_code != 0
            )
        )
    return True


def ask(draft: Draft, question: str, patience_s: float) -> bool:
    return draft.asks(question, patience_s)


def _survey(draft: Draft) -> None:
    wait = draft.record.look_after - draft.moment.unix
    if wait > 0:
        draft.not_before = max(draft.not_before, draft.moment.now + wait)
    elif draft.record.agent_id:
        draft.launch(SURVEY)


def _has_slot(draft: Draft) -> bool:
    if draft.record.slot:
        return True
    if ask(draft, "slot", SLOT_PATIENCE_S):
        draft.change(reason="waits for a place of the rollout (-rollout.parallel)")
        draft.do(effects.AskSlot())
    return False


def _is_fresh(draft: Draft) -> bool:
    """Facts that grew old while the agent waited are looked at again before they are acted on."""
    if draft.moment.unix - draft.record.surveyed <= draft.rules.facts_fresh_s:
        return True
    draft.doubt("its survey has grown old while it waited")
    return False


def _install(draft: Draft) -> None:
    record = draft.record
    if record.reboot is not None and record.reboot.before_join:
        draft.signal(Signal.REBOOT_DUE, record.reboot.reason)
        return
    step = draft.plan.next_wanted(frozenset(record.done))
    if step is not None and step.state == "blocked":
        draft.blocked(step.sentence)
        if draft.asked.get(BLOCKED, float("inf")) <= draft.moment.now:
            del draft.asked[BLOCKED]
            draft.doubt("looking whether what was missing is there")
        else:
            draft.asked.setdefault(BLOCKED, draft.moment.now + BLOCKED_LOOK_S)
        return
    if step is None and not (record.restart or record.restart_for):
        if record.done:
            draft.doubt("the plan is carried out: looking again")
        else:
            draft.signal(Signal.INSTALLED)
        return
    if (step is None or step.restarts_agent) and not _has_turn(draft):
        return
    if step is not None and step.disrupts and not _may_disrupt(draft):
        return
    if not _has_slot(draft) or not _is_fresh(draft):
        return
    if step is None or step.restarts_agent:
        draft.change(restarting="begun")
    _launch(draft, step.name if step is not None else AGENT_RESTART)


def _has_turn(draft: Draft) -> bool:
    """Agents are restarted in turns, and the place of one that waits is for others."""
    if draft.record.restarting:
        return True
    draft.give_slot_back()
    if ask(draft, "restart", SLOT_PATIENCE_S):
        draft.change(reason="waits for its turn to restart the Mesos agent")
        draft.do(effects.AskRestart())
    return False


def disrupts_next(draft: Draft) -> bool:
    step = draft.plan.next_wanted(frozenset(draft.record.done))
    return step is not None and step.disrupts


def _may_disrupt(draft: Draft) -> bool:
    """Storage first: a running SDS is replaced as a host is rebooted, one fault unit at a time."""
    if draft.record.disrupt:
        return True
    draft.give_slot_back()
    if ask(draft, "reboot", SLOT_PATIENCE_S):
        draft.change(reason="waits for the permission to replace its SDS, which restarts it")
        draft.do(effects.AskReboot(provides_storage=True, boots=False))
    return False


def _launch(draft: Draft, step: str) -> None:
    if draft.record.attempts.get(step, 0) >= draft.rules.attempts_max:
        draft.fail(
            f"step {step} ended well {draft.rules.attempts_max} times, and the survey still "
            "does not see what it should bring",
            "compare the step's output with the survey's facts, then retry",
        )
        return
    draft.change(reason="")
    draft.launch(step)


def _join(draft: Draft) -> None:
    record = draft.record
    if not record.joined:
        if not _has_slot(draft) or not _is_fresh(draft):
            return
        if set(draft.plan.devices) - record.claimed.keys():
            _claim(draft)
        elif _claim_is_old(draft):
            draft.doubt("the Gateway has not taken its disks in time: looking at them again")
        else:
            _storage(draft, "join")
    elif draft.rules.probe and not _probed(record.probe):
        _probe(draft)
    elif record.reboot is not None:
        draft.signal(Signal.REBOOT_DUE, record.reboot.reason)
    else:
        draft.signal(Signal.JOINED)


def _claim(draft: Draft) -> None:
    """A disk is taken when two surveys a delay apart, and then the claim step, find it empty."""
    first_seen = draft.record.candidates
    if not first_seen.keys() >= set(draft.plan.devices):
        draft.doubt("other disks are asked for than its survey looked at")
        return
    ripe_at = max(first_seen[d] for d in draft.plan.devices)
    ripe_at += draft.rules.claim_delay_s
    if draft.record.surveyed >= ripe_at:
        _launch(draft, CLAIM)
        return
    if draft.moment.unix >= ripe_at:
        draft.doubt("second look at its empty disks")
        return
    draft.change(reason="its empty disks are looked at once more before they are taken")
    draft.not_before = draft.moment.now + (ripe_at - draft.moment.unix)


def _claim_is_old(draft: Draft) -> bool:
    """True before a request, if somebody may have begun to use a disk since it was found empty."""
    record, now = draft.record, draft.moment
    under_way = now.now < draft.asked.get("storage", float("-inf"))
    return bool(record.claimed) and not under_way and now.unix - record.claimed_at > CLAIM_FRESH_S


def _probed(probe: str) -> bool:
    return probe in ("ok", "off") or probe.startswith("skipped:")


def _probe(draft: Draft) -> None:
    kind, _, volume = draft.record.probe.partition(":")
    match kind:
        case "mapped":
            _launch(draft, PROBE)
        case "seen":
            _storage(draft, "probe-clean", volume)
        case _:
            _storage(draft, "probe-map")


def _storage(draft: Draft, request: str, volume_id: str = "") -> None:
    if ask(draft, "storage", STORAGE_PATIENCE_S):
        draft.do(effects.AskStorage(request=request, volume_id=volume_id))


def _want_reboot(draft: Draft) -> None:
    if ask(draft, "reboot", SLOT_PATIENCE_S):
        draft.do(effects.AskReboot(provides_storage=draft.plan.provides_storage))


def _reboot(draft: Draft) -> None:
    reboot = draft.record.reboot
    if reboot is None:
        draft.signal(Signal.BACK)
    elif reboot.armed or not draft.record.surveyed:
        draft.launch(SURVEY)
    elif draft.rules.mode == "observe":
        draft.deny_reboot("observe mode: no reboot is begun")
    else:
        draft.launch(REBOOT)


def _activate(draft: Draft) -> None:
    keeper = draft.record.keeper
    if keeper is None:
        if draft.record.attempts.get(KEEPER, 0) >= draft.rules.attempts_max * 2:
            draft.fail("the keeper task does not stay up", "read its output, then retry")
        else:
            draft.launch(KEEPER)
    elif keeper.running and keeper.healthy:
        draft.signal(Signal.ACTIVATED)
