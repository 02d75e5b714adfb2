"""The simulated master's reading of a scheduler call: JSON in, values or a 400 out."""

from __future__ import annotations

from typing import Final

import attrs

from simulation import mesos_required
from simulation.mesos_fields import (
    CallError,
    JsonObject,
    flag,
    identifier,
    inner,
    number,
    objects,
    raw_bytes,
    read_object,
    seconds,
    text,
    words,
)
from simulation.mesos_parse_accept import accept, ids, refuse_s
from simulation.mesos_resources import UNRESERVED
from simulation.mesos_values import (
    MULTI_ROLE,
    Acknowledge,
    AcknowledgeOperation,
    AnswerInverseOffers,
    Call,
    Decline,
    FrameworkInfo,
    Kill,
    OtherCall,
    Reconcile,
    ReconcileOperations,
    Revive,
    Shutdown,
    Subscribe,
    Suppress,
    Teardown,
    UpdateFramework,
)

LENIENT_SINCE: Final = (1, 5)  # older masters answer 400 to an unknown enum word (MESOS-7828)
CAPABILITY_SINCE: Final = {
    "REVOCABLE_RESOURCES": (1, 0),
    "TASK_KILLING_STATE": (1, 0),
    "GPU_RESOURCES": (1, 0),
    "SHARED_RESOURCES": (1, 1),
    "PARTITION_AWARE": (1, 1),
    "MULTI_ROLE": (1, 2),
    "RESERVATION_REFINEMENT": (1, 4),
    "REGION_AWARE": (1, 4),
}
CALL_SINCE: Final = {
    "SUBSCRIBE": (1, 0),
    "TEARDOWN": (1, 0),
    "ACCEPT": (1, 0),
    "DECLINE": (1, 0),
    "REVIVE": (1, 0),
    "SUPPRESS": (1, 0),
    "KILL": (1, 0),
    "SHUTDOWN": (1, 0),
    "ACKNOWLEDGE": (1, 0),
    "RECONCILE": (1, 0),
    "MESSAGE": (1, 0),
    "REQUEST": (1, 0),
    "ACCEPT_INVERSE_OFFERS": (1, 0),
    "DECLINE_INVERSE_OFFERS": (1, 0),
    "ACKNOWLEDGE_OPERATION_STATUS": (1, 7),
    "RECONCILE_OPERATIONS": (1, 7),
    "UPDATE_FRAMEWORK": (1, 9),
}
BODILESS: Final = frozenset({"TEARDOWN", "REVIVE", "SUPPRESS"})


@attrs.frozen
class CallReader:
    """Reads calls as a master of that version does."""

    version: tuple[int, ...]

    def read(self, body: bytes) -> Call:
        of = read_object(body)
        mesos_required.check(mesos_required.SCHEDULER_CALL, of)
        framework_id = identifier(of, "framework_id")
        kind = self._kind(of)
        if kind == "":
            raise _invalid("Expecting 'type' to be present")
        if kind != "SUBSCRIBE" and not framework_id:
            raise _invalid("Expecting 'framework_id' to be present")
        name = kind.lower()
        if kind not in BODILESS and of.get(name) is None:
            raise _invalid(f"Expecting '{name}' to be present")
        own = inner(of, name)
        return self._read(kind, framework_id, own) or _read_rest(kind, framework_id, own)

    def _kind(self, of: JsonObject) -> str:
        kind = text(of, "type")
        if CALL_SINCE.get(kind, (99,)) <= self.version:
            return kind
        if kind and self.version < LENIENT_SINCE:
            raise CallError(
                f"Failed to convert JSON into Call protobuf: Failed to find enum for '{kind}'"
            )
        return ""

    def _read(self, kind: str, framework_id: str, body: JsonObject) -> Call | None:
        """Calls that read otherwise in other versions."""
        match kind:
            case "SUBSCRIBE":
                return self._subscribe(framework_id, body)
            case "REVIVE":
                return Revive(framework_id=framework_id, roles=self._roles(body))
            case "SUPPRESS":
                return Suppress(framework_id=framework_id, roles=self._roles(body))
            case "UPDATE_FRAMEWORK":
                return self._update_framework(framework_id, body)
            case _:
                return None

    def _subscribe(self, framework_id: str, body: JsonObject) -> Subscribe:
        info = self.framework_info(inner(body, "framework_info"))
        if info.id != framework_id:
            raise _invalid("'framework_id' differs from 'subscribe.framework_info.id'")
        suppressed = words(body, "suppressed_roles") if self.version >= (1, 5) else ()
        return Subscribe(info=info, suppressed_roles=suppressed, framework_id=framework_id)

    def _update_framework(self, framework_id: str, body: JsonObject) -> UpdateFramework:
        info = self.framework_info(inner(body, "framework_info"))
        if info.id != framework_id:
            raise _invalid("'framework_id' differs from 'update_framework.framework_info.id'")
        suppressed = words(body, "suppressed_roles")
        return UpdateFramework(framework_id=framework_id, info=info, suppressed_roles=suppressed)

    def _roles(self, body: JsonObject) -> tuple[str, ...]:
        """1.0 knows none, 1.2 one `role`, 1.3 and later `roles`."""
        if self.version >= (1, 3):
            return words(body, "roles")
        role = text(body, "role") if self.version >= (1, 2) else ""
        return (role,) if role else ()

    def framework_info(self, of: JsonObject) -> FrameworkInfo:
        listed = self._capabilities(of)
        role = None if of.get("role") is None else text(of, "role")
        roles = words(of, "roles") if self.version >= (1, 2) else ()
        single = () if MULTI_ROLE in listed else (role or UNRESERVED,)
        return FrameworkInfo(
            user=text(of, "user"),
            name=text(of, "name"),
            id=identifier(of, "id"),
            roles=single or roles or (UNRESERVED,),
            role_field=role,
            roles_field=roles,
            failover_timeout_s=number(of, "failover_timeout", 0.0),
            checkpoint=flag(of, "checkpoint"),
            principal=None if of.get("principal") is None else text(of, "principal"),
            hostname=text(of, "hostname"),
            webui_url=text(of, "webui_url"),
            capabilities=frozenset(listed),
            capability_list=listed,
        )

    def _capabilities(self, of: JsonObject) -> tuple[str, ...]:
        known = []
        for entry in objects(of, "capabilities"):
            word = text(entry, "type")
            if CAPABILITY_SINCE.get(word, (99,)) <= self.version:
                known.append(word)
            elif self.version < LENIENT_SINCE:
                raise CallError(
                    f"Failed to convert JSON into Call protobuf: Failed to find enum for '{word}'"
                )
        return tuple(known)


def _invalid(why: str) -> CallError:
    return CallError(f"Failed to validate scheduler::Call: {why}")


def _acknowledge(framework_id: str, body: JsonObject) -> Acknowledge:
    raw = raw_bytes(body, "uuid")
    if len(raw) != 16 or raw[6] >> 4 not in {1, 2, 3, 4, 5} or raw[8] >> 6 != 0b10:
        raise _invalid("Not a valid UUID")
    return Acknowledge(
        framework_id=framework_id,
        agent_id=identifier(body, "agent_id"),
        task_id=identifier(body, "task_id"),
        uuid=text(body, "uuid"),
    )


def _read_rest(kind: str, framework_id: str, body: JsonObject) -> Call:
    """Calls that read the same in all versions."""
    match kind:
        case "ACCEPT":
            return accept(framework_id, body)
        case "DECLINE":
            offer_ids = ids(body, "offer_ids")
            return Decline(framework_id=framework_id, offer_ids=offer_ids, refuse_s=refuse_s(body))
        case "ACCEPT_INVERSE_OFFERS" | "DECLINE_INVERSE_OFFERS":
            return AnswerInverseOffers(
                framework_id=framework_id,
                ids=ids(body, "inverse_offer_ids"),
                accepted=kind == "ACCEPT_INVERSE_OFFERS",
                refuse_s=refuse_s(body),
            )
        case "KILL":
            return Kill(
                framework_id=framework_id,
                task_id=identifier(body, "task_id"),
                agent_id=identifier(body, "agent_id"),
                grace_s=seconds(inner(body, "kill_policy"), "grace_period"),
            )
        case "SHUTDOWN":
            return Shutdown(
                framework_id=framework_id,
                executor_id=identifier(body, "executor_id"),
                agent_id=identifier(body, "agent_id"),
            )
        case "ACKNOWLEDGE":
            return _acknowledge(framework_id, body)
        case "ACKNOWLEDGE_OPERATION_STATUS":
            raw_bytes(body, "uuid")
            operation_id = identifier(body, "operation_id")
            return AcknowledgeOperation(framework_id=framework_id, operation_id=operation_id)
        case "RECONCILE":
            pairs = objects(body, "tasks")
            tasks = tuple((identifier(p, "task_id"), identifier(p, "agent_id")) for p in pairs)
            return Reconcile(framework_id=framework_id, tasks=tasks)
        case "RECONCILE_OPERATIONS":
            asked = [identifier(one, "operation_id") for one in objects(body, "operations")]
            return ReconcileOperations(framework_id=framework_id, operation_ids=tuple(asked))
        case "TEARDOWN":
            return Teardown(framework_id=framework_id)
        case _:
            return OtherCall(framework_id=framework_id, kind=kind)
