"""The operator API of the leading master: what is asked, what is ordered, what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from simulation import mesos_json, mesos_required
from simulation.http_server import Reply, Request
from simulation.mesos_agent_http import json_reply, text_reply
from simulation.mesos_drain import Draining
from simulation.mesos_fields import (
    CallError,
    JsonObject,
    flag,
    identifier,
    inner,
    number,
    read_object,
    text,
    unconvertible,
)
from simulation.mesos_maintenance import Maintenance
from simulation.mesos_operator_views import OperatorViews
from simulation.mesos_parse import LENIENT_SINCE
from simulation.mesos_ports import DrainOrder
from simulation.mesos_state import AgentRecord, MasterState
from simulation.mesos_subscriptions import Subscriptions
from simulation.mesos_values import EPOCH_S

GZIP_FROM_BYTES: Final = 1024
READS: Final = frozenset(
    {
        "GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_VERSION", "GET_HEALTH", "GET_MASTER",
        "GET_FLAGS", "GET_MAINTENANCE_SCHEDULE", "GET_MAINTENANCE_STATUS",
    }
)  # fmt: skip
ORDERS_SINCE: Final = {
    "UPDATE_MAINTENANCE_SCHEDULE": (1, 0),
    "START_MAINTENANCE": (1, 0),
    "STOP_MAINTENANCE": (1, 0),
    "TEARDOWN": (1, 5),
    "MARK_AGENT_GONE": (1, 5),
    "DRAIN_AGENT": (1, 9),
    "DEACTIVATE_AGENT": (1, 9),
    "REACTIVATE_AGENT": (1, 9),
}
NOT_SIMULATED: Final = frozenset(
    {
        "SUBSCRIBE", "GET_STATE", "GET_EXECUTORS", "GET_OPERATIONS", "GET_ROLES", "GET_WEIGHTS",
        "UPDATE_WEIGHTS", "GET_QUOTA", "SET_QUOTA", "REMOVE_QUOTA", "UPDATE_QUOTA", "GET_METRICS",
        "GET_LOGGING_LEVEL", "SET_LOGGING_LEVEL", "LIST_FILES", "READ_FILE", "RESERVE_RESOURCES",
        "UNRESERVE_RESOURCES", "CREATE_VOLUMES", "DESTROY_VOLUMES", "GROW_VOLUME",
        "SHRINK_VOLUME",
    }
)  # fmt: skip


@attrs.define(eq=False, kw_only=True)
class Operator:
    """`master_flags` are added to what /flags shows."""

    state: MasterState
    views: OperatorViews
    maintenance: Maintenance
    draining: Draining
    subscriptions: Subscriptions
    master_flags: Mapping[str, str] = attrs.field(factory=dict)

    def flags(self) -> dict[str, str]:
        at = self.state.address
        own = {"ip": at.ip, "port": str(at.port), "hostname": at.shown, "zk": ""}
        return {**own, "quorum": "1", "work_dir": "/var/lib/mesos", **self.master_flags}

    def answer(self, request: Request) -> Reply:
        content = request.headers.get("content-type")
        if content is None:
            return text_reply(400, "Expecting 'Content-Type' to be present")
        if content != "application/json":
            return text_reply(
                415, "Expecting 'Content-Type' of application/json or application/x-protobuf"
            )
        try:
            of = read_object(request.body)
            mesos_required.check(mesos_required.MASTER_CALL, of)
            kind = self._kind(of)
            if not _accepts_json(request):
                why = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
                return text_reply(406, why)
            reply = self._answer(kind, of)
        except CallError as error:
            return text_reply(400, str(error))
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        if not zipped or len(reply.body) < GZIP_FROM_BYTES:
            return reply
        body = gzip.compress(reply.body, compresslevel=1, mtime=0)
        return attrs.evolve(
            reply, body=body, headers=(*reply.headers, ("Content-Encoding", "gzip"))
        )

    def _kind(self, of: JsonObject) -> str:
        kind = text(of, "type")
        order = ORDERS_SINCE.get(kind)
        ordered = order is not None and order <= self.state.version_tuple
        if not ordered and kind not in READS and kind not in NOT_SIMULATED:
            if kind and self.state.version_tuple < LENIENT_SINCE:
                raise unconvertible(f"Failed to find enum for '{kind}'")
            raise _invalid("type")
        if ordered and of.get(kind.lower()) is None:
            raise _invalid(kind.lower())
        return kind

    def _answer(self, kind: str, of: JsonObject) -> Reply:
        if kind in NOT_SIMULATED:
            return text_reply(501, "")
        if kind in READS:
            return json_reply({"type": kind, kind.lower(): self._read(kind)})
        return self._order(kind, inner(of, kind.lower()))

    def _read(self, kind: str) -> JsonObject:
        match kind:
            case "GET_AGENTS":
                return self.views.agents()
            case "GET_FRAMEWORKS":
                return self.views.frameworks()
            case "GET_TASKS":
                return self.views.tasks()
            case "GET_VERSION":
                return {"version_info": mesos_json.version_body(self.state.version)}
            case "GET_HEALTH":
                return {"healthy": True}
            case "GET_MASTER":
                at, version = self.state.address, self.state.version
                info = mesos_json.master_info(self.state.id, at, version)
                began = EPOCH_S + self.state.started_at
                return {"master_info": info, "start_time": began, "elected_time": began}
            case "GET_MAINTENANCE_SCHEDULE":
                return self.maintenance.schedule()
            case "GET_MAINTENANCE_STATUS":
                return self.maintenance.status()
            case _:
                flags = self.flags().items()
                return {"flags": [{"name": name, "value": value} for name, value in flags]}

    def _order(self, kind: str, body: JsonObject) -> Reply:
        match kind:
            case "UPDATE_MAINTENANCE_SCHEDULE":
                self.maintenance.update_schedule(body)
                return Reply()
            case "START_MAINTENANCE":
                self.maintenance.start(body)
                return Reply()
            case "STOP_MAINTENANCE":
                self.maintenance.stop(body)
                return Reply()
            case "TEARDOWN":
                return self._tear_down(identifier(body, "framework_id"))
            case "MARK_AGENT_GONE":
                agent_id = identifier(body, "agent_id")
                known = self.draining.mark_gone(agent_id)
                return Reply() if known else text_reply(404, f"Agent '{agent_id}' not found")
            case _:
                record = self.state.agents.get(identifier(body, "agent_id"))
                return self._of_agent(kind, record, body)

    def _of_agent(self, kind: str, record: AgentRecord | None, body: JsonObject) -> Reply:
        if kind == "REACTIVATE_AGENT":
            why = "Agent is not deactivated"
            if record is not None:
                why = self.draining.reactivate(record)
            return text_reply(400, why) if why else Reply()
        if record is None:
            return text_reply(400, "Unknown agent")
        orders: dict[str, Callable[[], None]] = {
            "DEACTIVATE_AGENT": lambda: self.draining.deactivate(record),
            "DRAIN_AGENT": lambda: self.draining.drain(record, _drain_order(body)),
        }
        orders[kind]()
        return Reply()

    def _tear_down(self, framework_id: str) -> Reply:
        framework = self.state.frameworks.get(framework_id)
        if framework is None:
            return text_reply(400, "No framework found with specified ID")
        self.subscriptions.remove(framework, "removed by an operator")
        return Reply()


def _invalid(missing: str) -> CallError:
    return CallError(f"Failed to validate master::Call: Expecting '{missing}' to be present")


def _accepts_json(request: Request) -> bool:
    accept = request.headers.get("accept", "*/*")
    return any(word in accept for word in ("application/json", "*/*", "application/*"))


def _drain_order(body: JsonObject) -> DrainOrder:
    """`max_grace_period` is a google.protobuf.Duration."""
    grace_s = None
    if body.get("max_grace_period") is not None:
        of = inner(body, "max_grace_period")
        grace_s = number(of, "seconds", 0.0) + number(of, "nanos", 0.0) / 1e9
    return DrainOrder(max_grace_s=grace_s, mark_gone=flag(body, "mark_gone"))
