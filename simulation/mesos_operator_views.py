"""What operators read: agents, frameworks and tasks, as the master knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from simulation import mesos_json
from simulation.allocator import Allocator
from simulation.mesos_json import JsonObject, ResourceForm
from simulation.mesos_resources import Bundle
from simulation.mesos_state import AgentRecord, Drain, Framework, MasterState, Task
from simulation.mesos_values import FrameworkInfo

AGENT_CAPABILITIES: Final = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)

Share = tuple[str, Bundle]  # role, and what is allocated to it


@attrs.define(eq=False)
class OperatorViews:
    state: MasterState
    allocator: Allocator

    # ---- agents

    def agents(self) -> JsonObject:
        return {
            "agents": [self._agent(record) for record in self.state.agents.values()],
            "recovered_agents": [_agent_info(one) for one in self.state.recovered.values()],
        }

    def _agent(self, record: AgentRecord) -> JsonObject:
        at = record.port.address
        out: JsonObject = {
            "agent_info": _agent_info(record),
            "active": record.offering,
            "version": record.port.version,
            "pid": f"slave(1)@{at.ip}:{at.port}",
            "registered_time": mesos_json.nanoseconds(record.registered_at),
            "total_resources": ResourceForm(both=True, refined=True).objects(record.total),
        }
        if self.state.version_tuple >= (1, 9):
            out["deactivated"] = record.deactivated
        if record.reregistered_at is not None:
            out["reregistered_time"] = mesos_json.nanoseconds(record.reregistered_at)
        used = [(t.role, t.order.resources) for t in record.tasks.values() if t.holds_resources]
        offered = [(offer.role, offer.resources) for offer in record.offers.values()]
        out |= _shares(used, offered)
        if self.state.version_tuple >= (1, 3):
            out["capabilities"] = [{"type": word} for word in AGENT_CAPABILITIES]
        if record.drain is not None:
            out["drain_info"] = _drain_info(record.drain)
            out["estimated_drain_start_time"] = mesos_json.nanoseconds(record.drain.began_at)
        return out

    # ---- frameworks

    def frameworks(self) -> JsonObject:
        return {
            "frameworks": [self._framework(one) for one in self.state.frameworks.values()],
            "completed_frameworks": [
                {
                    **_of_framework(removed.info, removed.registered_at, removed.reregistered_at),
                    "unregistered_time": mesos_json.nanoseconds(removed.removed_at),
                }
                for removed in self.state.completed.values()
            ],
        }

    def _framework(self, framework: Framework) -> JsonObject:
        out = _of_framework(framework.info, framework.registered_at, framework.reregistered_at)
        out["active"] = out["connected"] = framework.connected
        out["recovered"] = framework.recovered
        tasks = framework.tasks.values()
        used = [(task.role, task.order.resources) for task in tasks if task.holds_resources]
        offered = [(offer.role, offer.resources) for offer in framework.offers.values()]
        out |= _shares(used, offered)
        if framework.offers:
            out["offers"] = [
                self.allocator.offer_object(framework, offer, whole=True)
                for offer in framework.offers.values()
            ]
        return out

    # ---- tasks

    def tasks(self) -> JsonObject:
        frameworks = self.state.frameworks.values()
        lists = {
            "tasks": [task for one in frameworks for task in one.tasks.values()],
            "completed_tasks": [
                *(task for one in frameworks for task in one.completed_tasks),
                *(task for one in self.state.completed.values() for task in one.tasks),
            ],
            "unreachable_tasks": [
                task for one in frameworks for task in one.unreachable_tasks.values()
            ],
        }
        return {name: [_task(task) for task in tasks] for name, tasks in lists.items()}


def _agent_info(record: AgentRecord) -> JsonObject:
    return {
        "hostname": record.hostname,
        "port": record.port.address.port,
        "resources": ResourceForm(refined=True).objects(record.total.without_dynamic()),
        "attributes": mesos_json.attribute_objects(record.port.attributes),
        "id": mesos_json.named(record.id),
        "checkpoint": True,
    }


def _drain_info(drain: Drain) -> JsonObject:
    config: JsonObject = {"mark_gone": drain.order.mark_gone}
    if drain.order.max_grace_s is not None:
        config["max_grace_period"] = {"nanoseconds": round(drain.order.max_grace_s * 1e9)}
    return {"state": "DRAINED" if drain.over else "DRAINING", "config": config}


def _shares(used: list[Share], offered: list[Share]) -> JsonObject:
    both = (("allocated_resources", used), ("offered_resources", offered))
    return {name: _by_role(shares) for name, shares in both if shares}


def _by_role(shares: Iterable[Share]) -> list[JsonObject]:
    totals: dict[str, Bundle] = {}
    for role, some in shares:
        totals[role] = totals.get(role, Bundle()) + some
    out = []
    for role, total in totals.items():
        out += ResourceForm(allocated=role, both=True, refined=True).objects(total)
    return out


def _of_framework(info: FrameworkInfo, registered_at: float, again_at: float) -> JsonObject:
    return {
        "framework_info": mesos_json.framework_info(info),
        "active": False,
        "connected": False,
        "recovered": False,
        "registered_time": mesos_json.nanoseconds(registered_at),
        "reregistered_time": mesos_json.nanoseconds(again_at),
        "offer_constraints": {},
    }


def _task(task: Task) -> JsonObject:
    order = task.order
    out: JsonObject = {
        "name": order.name,
        "task_id": mesos_json.named(order.task_id),
        "framework_id": mesos_json.named(task.framework_id),
        "agent_id": mesos_json.named(task.agent_id),
        "state": task.state,
        "resources": ResourceForm(allocated=task.role, refined=True).objects(order.resources),
        "statuses": [mesos_json.status_object(status) for status in task.statuses],
    }
    if task.shown is not None:
        out["status_update_state"] = task.shown.state
        out["status_update_uuid"] = task.shown.uuid
    if order.labels:
        labels = [{"key": key, "value": value} for key, value in order.labels.items()]
        out["labels"] = {"labels": labels}
    return out
