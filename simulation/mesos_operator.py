"""The operator API of the leading master: agents, frameworks, maintenance, flags."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Final

import attrs

from simulation import mesos_json
from simulation.http_server import Reply, Request
from simulation.mesos_agent_http import json_reply, text_reply
from simulation.mesos_json import JsonObject, ResourceForm
from simulation.mesos_parse import CallError, identifier, inner, read_object, text
from simulation.mesos_registrar import Registrar
from simulation.mesos_resources import Bundle
from simulation.mesos_state import AgentRecord, Framework, MasterState, Removed
from simulation.mesos_values import EPOCH_S

GZIP_FROM_BYTES: Final = 1024
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
_PLAIN: Final = ResourceForm()


@attrs.define(eq=False)
class Operator:
    """`master_flags` are added to what /flags shows."""

    state: MasterState
    registrar: Registrar
    master_flags: Mapping[str, str] = attrs.field(factory=dict)

    def flags(self) -> dict[str, str]:
        at = self.state.address
        own = {"ip": at.ip, "port": str(at.port), "hostname": at.shown, "zk": ""}
        return {**own, "quorum": "1", "work_dir": "/var/lib/mesos", **self.master_flags}

    def answer(self, request: Request) -> Reply:
        if request.headers.get("content-type") != "application/json":
            return text_reply(
                415, "Expecting 'Content-Type' of application/json or application/x-protobuf"
            )
        try:
            of = read_object(request.body, "v1::master::Call")
            reply = self._answer(of)
        except CallError as error:
            return text_reply(400, str(error))
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        if not zipped or len(reply.body) < GZIP_FROM_BYTES:
            return reply
        body = gzip.compress(reply.body, compresslevel=1, mtime=0)
        return attrs.evolve(
            reply, body=body, headers=(*reply.headers, ("Content-Encoding", "gzip"))
        )

    def _answer(self, of: JsonObject) -> Reply:
        kind = text(of, "type")
        match kind:
            case "":
                why = "Failed to validate v1::master::Call: Expecting 'type' to be present"
                return text_reply(400, why)
            case "DEACTIVATE_AGENT" | "REACTIVATE_AGENT":
                agent_id = identifier(inner(of, kind.lower()), "agent_id")
                return self._set_offering(agent_id, deactivated=kind == "DEACTIVATE_AGENT")
            case _:
                body = self._read(kind)
        if body is None:
            return text_reply(501, "")
        return json_reply({"type": kind, kind.lower(): body})

    def _read(self, kind: str) -> JsonObject | None:
        match kind:
            case "GET_AGENTS":
                return self.agents()
            case "GET_FRAMEWORKS":
                return self.frameworks()
            case "GET_VERSION":
                return {"version_info": mesos_json.version_body(self.state.version)}
            case "GET_HEALTH":
                return {"healthy": True}
            case "GET_MASTER":
                at, version = self.state.address, self.state.version
                info = mesos_json.master_info(self.state.id, at, version)
                began = EPOCH_S + self.state.started_at
                return {"master_info": info, "start_time": began, "elected_time": began}
            case "GET_FLAGS":
                flags = self.flags().items()
                return {"flags": [{"name": name, "value": value} for name, value in flags]}
            case "GET_MAINTENANCE_SCHEDULE":
                return {"schedule": {"windows": self._windows()}}
            case _:
                return None

    def _set_offering(self, agent_id: str, *, deactivated: bool) -> Reply:
        record = self.state.agents.get(agent_id)
        if self.state.version_tuple < (1, 9):
            return text_reply(501, "")
        if record is None:
            return text_reply(404, "Agent is not known")
        self.registrar.set_offering([record], deactivated=deactivated)
        return Reply()

    # ---- agents

    def agents(self) -> JsonObject:
        return {
            "agents": [self._agent(record) for record in self.state.agents.values()],
            "recovered_agents": [
                self._agent_info(record) for record in self.state.recovered.values()
            ],
        }

    def _agent(self, record: AgentRecord) -> JsonObject:
        at = record.port.address
        out: JsonObject = {
            "agent_info": self._agent_info(record),
            "active": record.offering,
            "version": record.port.version,
            "pid": f"slave(1)@{at.ip}:{at.port}",
            "registered_time": mesos_json.nanoseconds(record.registered_at),
            "total_resources": _PLAIN.objects(record.total),
        }
        if self.state.version_tuple >= (1, 9):
            out["deactivated"] = record.deactivated
        if record.reregistered_at is not None:
            out["reregistered_time"] = mesos_json.nanoseconds(record.reregistered_at)
        used = [task.order.resources for task in record.tasks.values() if task.holds_resources]
        offered = [offer.resources for offer in record.offers.values()]
        for name, parts in (("allocated_resources", used), ("offered_resources", offered)):
            total = sum(parts, Bundle())
            if total:
                out[name] = _PLAIN.objects(total)
        if self.state.version_tuple >= (1, 3):
            out["capabilities"] = [{"type": word} for word in AGENT_CAPABILITIES]
        return out

    def _agent_info(self, record: AgentRecord) -> JsonObject:
        return {
            "hostname": record.hostname,
            "port": record.port.address.port,
            "resources": ResourceForm(refined=True).objects(record.total),
            "attributes": mesos_json.attribute_objects(record.port.attributes),
            "id": mesos_json.named(record.id),
            "checkpoint": True,
        }

    def _windows(self) -> list[JsonObject]:
        return [
            {
                "machine_ids": [{"hostname": record.hostname, "ip": record.port.address.ip}],
                "unavailability": mesos_json.unavailability(*record.unavailability),
            }
            for record in self.state.agents.values()
            if record.unavailability is not None
        ]

    # ---- frameworks

    def frameworks(self) -> JsonObject:
        return {
            "frameworks": [self._framework(one) for one in self.state.frameworks.values()],
            "completed_frameworks": [_completed(one) for one in self.state.completed.values()],
        }

    def _framework(self, framework: Framework) -> JsonObject:
        return {
            "framework_info": mesos_json.framework_info(framework.info),
            "active": framework.connected,
            "connected": framework.connected,
            "recovered": framework.recovered,
            "registered_time": mesos_json.nanoseconds(framework.registered_at),
            "reregistered_time": mesos_json.nanoseconds(framework.reregistered_at),
        }


def _completed(removed: Removed) -> JsonObject:
    return {
        "framework_info": mesos_json.framework_info(removed.info),
        "active": False,
        "connected": False,
        "recovered": False,
        "registered_time": mesos_json.nanoseconds(removed.registered_at),
        "unregistered_time": mesos_json.nanoseconds(removed.removed_at),
    }
