"""Why an agent, its step or its disk waits, or failed: down to the fact that would unblock it.

Everything is read off the board; page, API and command line tell the same sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.board import AgentSnapshot, StepSnapshot
from domain.plan import REBOOT
from web.causes import (
    GOES_ON,
    NAMED_MAX,
    NOTHING,
    Causes,
    Link,
    Why,
    because,
    last_line,
    lowered,
    parted,
    spoken_of,
)


class AgentExplainer(Causes):
    def agent(self, shown: AgentSnapshot) -> Why:
        host = shown.host
        match shown.phase:
            case "ready":
                return self._ready(shown)
            case "failed":
                what, cure = parted(shown.error or shown.reason or "it has failed")
                what = what.removeprefix(f"{host}: ")
                end = last_line(shown.tail)
                known = not end or end.partition(": ")[2] in what
                said = [] if known else [Link("its output ends with", end)]
                chain = (Link(host, f"has failed: {what}"), *said)
                cure = cure or "mend the cause, then retry the agent"
                return Why(subject=host, chain=chain, unblocked_by=cure)
            case "held":
                return self._held(shown)
            case "lost":
                return self._lost(shown)
            case "retired":
                fact = f"is retired{because(shown.reason)}"
                cure = "resume it to take it up again"
                return Why(subject=host, chain=(Link(host, fact),), unblocked_by=cure)
            case _:
                return self._moving(shown)

    def _ready(self, shown: AgentSnapshot) -> Why:
        named = {shown.host, shown.address}
        about = [c for c in self.board.conditions if c.subject in named]
        if sds := self.sds_of(shown):
            about += [c for c in self.board.conditions if c.subject == sds.name]
        fact = "is ready" + ("" if about else ", and nothing is waited for")
        chain = (Link(shown.host, fact), *(Link(c.name, c.text) for c in about[:NAMED_MAX]))
        cure = next((c.cure for c in about if c.cure), NOTHING)
        return Why(subject=shown.host, chain=chain, unblocked_by=cure)

    def _held(self, shown: AgentSnapshot) -> Why:
        host = shown.host
        match shown.held_by:
            case "observe":
                fact, cure = "is held by -mode=observe", "start the scheduler with -mode=run"
                causes: list[Link] = []
            case "rollout":
                fact, cure = "is held, since the rollout was aborted", "resume the rollout"
                causes = list(self.ordered("", ("rollout abort",)))
            case _:
                fact, cure = "is held by the operator", f"resume {host}"
                causes = list(self.ordered(host, ("hold",)))
        if shown.removal:
            causes.append(Link("its removal", f"has come to the stage {shown.removal}"))
        return Why(subject=host, chain=(Link(host, fact), *causes), unblocked_by=cure)

    def _lost(self, shown: AgentSnapshot) -> Why:
        age = self.times.since_unix(shown.lost_at or shown.since)["for_s"]
        facts = [Link(shown.host, f"is lost: Mesos has not had it for {spoken_of(age)}")]
        cure = "bring the host back, or retire it if it is gone for good"
        if shown.missing:
            facts.append(Link("it", "did not come back from the reboot that was ordered"))
            cure = "look at its console; hold or retire it, and the others go on"
        if link := self.master():
            facts.append(link)
            cure = "bring the master back: whether the agent is there is not known meanwhile"
        return Why(subject=shown.host, chain=tuple(facts), unblocked_by=cure)

    def _moving(self, shown: AgentSnapshot) -> Why:
        host = shown.host
        does = _doing(shown)
        if shown.task_id and shown.began:
            age = self.times.since_unix(shown.began)["for_s"]
            attempt = shown.attempts.get(shown.step, 1)
            tried = f", attempt {attempt}" if attempt > 1 else ""
            fact = f"runs step {shown.step} for {spoken_of(age)}{tried}"
            causes = [Link("before that,", lowered(shown.error))] if shown.error else []
            return Why(subject=host, chain=(Link(host, fact), *causes), unblocked_by=GOES_ON)
        causes = list(self._causes(shown))
        if not causes:
            reason = self.board.why_waiting(shown)
            causes = [Link("", reason)] if reason else []
        cure = self._cure(shown, causes)
        return Why(subject=host, chain=(Link(host, does), *causes), unblocked_by=cure)

    def _causes(self, shown: AgentSnapshot) -> Iterator[Link]:
        """What keeps one that moves from moving now, the nearest first."""
        if link := self.master():
            yield link
            return
        if self.board.store_fault:
            yield Link("the store", f"takes nothing: {self.board.store_fault}")
            return
        if shown.task_id:
            verdict = self.board.verdicts.get(shown.host) or "no offer of it has come yet"
            yield Link("", f"an offer is waited for: {verdict}")
            if announced := self.board.maintenance.get(shown.host):
                yield Link("", announced)
            return
        if self.board.gateway.storage is None or self.board.gateway.error:
            needs_storage = shown.phase not in ("seen", "surveying")
            if needs_storage:
                yield self.gateway()
                return
        yield from self._gated(shown)

    def _gated(self, shown: AgentSnapshot) -> Iterator[Link]:
        """By the rollout, the storage cluster's health, or the operator's missing word."""
        verdict = self.board.gate_verdicts.get(shown.host, "")
        said = "; ".join(text for text in (shown.later, shown.reason) if text)
        wants_storage = shown.phase in ("reboot_wanted", "draining") or "SDS" in shown.reason
        if wants_storage and verdict:
            deeper = [*self.missing(shown.host), *self.rollout_stops(), *self.not_whole()]
            yield from deeper or [Link("", verdict)]
            yield from self.before(shown)
            return
        if verdict:
            stops = [*self.missing(shown.host), *self.rollout_stops()]
            yield from stops or [Link("", verdict)]
            return
        if said:
            yield Link("", said)
        if shown.phase == "installing" and not shown.working and "place" in shown.reason:
            yield from self.places()

    def _cure(self, shown: AgentSnapshot, causes: list[Link]) -> str:
        """The word for whoever wants to help: mostly, to let it go on."""
        rollout = self.board.rollout
        if self.master():
            return "bring the Mesos master back, or correct -uri"
        if self.board.store_fault:
            return "bring the store back: see /v1/conditions"
        if self.board.gateway.error and causes and causes[0].subject == "the Gateway":
            return "bring the Gateway back: see /v1/conditions"
        if shown.missing or any("halts all" in link.fact for link in causes):
            return "look at the console of the host that is missing; hold or retire it"
        if rollout.why and any(link.fact == rollout.why for link in causes):
            return {
                "paused": "resume the rollout",
                "aborted": "resume the rollout",
                "asking": "start the rollout",
            }.get(rollout.state, "retry what failed, or resume the rollout without it")
        blocked = next((step for step in shown.plan if step.state == "blocked"), None)
        if blocked is not None and not shown.task_id:
            return parted(blocked.detail)[1] or f"give what is missing: {blocked.detail}"
        return GOES_ON

    def step(self, shown: AgentSnapshot, name: str) -> Why | None:
        step = next((one for one in shown.plan if one.name == name), None)
        run = next((one for one in reversed(shown.runs) if one.step == name), None)
        if step is None and run is None and shown.step != name:
            return None
        subject = f"step {name} of {shown.host}"
        if shown.step == name:
            deeper = self.agent(shown)
            return Why(subject=subject, chain=deeper.chain, unblocked_by=deeper.unblocked_by)
        state = step.state if step is not None else "over"
        chain, cure = [Link(subject, _step_fact(state, step))], NOTHING
        if run is not None and run.outcome != "held":
            said = f": {last_line(run.said)}" if run.said else ""
            chain.append(Link("its last run", f"{run.outcome}{said}"))
        if state in ("wanted", "blocked", "failed"):
            deeper = self.agent(shown)
            before = self._step_before(shown, name)
            if before and state == "wanted":
                chain.append(Link(f"step {before}", "comes first"))
            chain += deeper.chain
            cure = deeper.unblocked_by
        return Why(subject=subject, chain=tuple(chain), unblocked_by=cure)

    def _step_before(self, shown: AgentSnapshot, name: str) -> str:
        for step in shown.plan:
            if step.name == name:
                return ""
            if step.state in ("wanted", "blocked", "running", "failed"):
                return step.name
        return ""

    def device(self, shown: AgentSnapshot, path: str) -> Why | None:
        verdict = dict(shown.devices).get(path)
        if verdict is None:
            return None
        subject = f"{path} of {shown.host}"
        rule, _, sentence = verdict.partition(": ")
        taken = verdict.startswith("in pool ") or path in shown.claimed
        chain = [Link(subject, verdict if taken else f"is judged {rule}")]
        if sentence:
            chain.append(Link("", sentence))
        cure = NOTHING
        if not taken and rule in ("empty", "declared", "overwrite"):
            deeper = self.agent(shown)
            chain += deeper.chain
            cure = deeper.unblocked_by
        elif not taken:
            cure = (
                "leave it, or name it in the agent's attributes or the layout file if it is to be "
                "taken: see docs/hosts.md on disks"
            )
        return Why(subject=subject, chain=tuple(chain), unblocked_by=cure)


def _doing(shown: AgentSnapshot) -> str:
    match shown.phase:
        case "reboot_wanted":
            return "waits to reboot"
        case "rebooting" if shown.task_id or shown.step == REBOOT:
            return "prepares its reboot"
        case "rebooting":
            return "reboots"
        case "draining":
            return "is being removed"
        case _ if shown.step:
            return f"waits to run step {shown.step}"
        case "installing" if blocked := next((s for s in shown.plan if s.state == "blocked"), None):
            return f"cannot do step {blocked.name}"
        case phase:
            return f"waits ({phase})"


def _step_fact(state: str, step: StepSnapshot | None) -> str:
    detail = f" ({step.detail})" if step is not None and step.detail else ""
    match state:
        case "satisfied":
            return f"holds{detail}"
        case "ignored":
            return f"is left out{detail}"
        case "wanted":
            return f"is still to be done{detail}"
        case "over":
            return "is over"
        case _:
            return f"is {state}{detail}"
