"""The simulated master's reading of a scheduler call: JSON in, values or a 400 out."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final

import attrs
import msgspec

from simulation.mesos_resources import UNRESERVED, Bundle, Key, Range, merged
from simulation.mesos_values import (
    MULTI_ROLE,
    REFUSE_DEFAULT_S,
    REFUSE_MAX_S,
    Accept,
    Acknowledge,
    Call,
    Decline,
    FrameworkInfo,
    HealthCheck,
    Kill,
    OtherCall,
    Reconcile,
    Revive,
    Subscribe,
    Suppress,
    TaskOrder,
    Teardown,
    UpdateFramework,
)

JsonObject = dict[str, Any]

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
_KINDS: Final = (
    (bool, "boolean"),
    (str, "string"),
    ((int, float), "number"),
    (list, "array"),
    (dict, "object"),
)


class CallError(Exception):
    """The call is answered 400 with this text."""


def read_object(body: bytes, into: str) -> JsonObject:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise CallError("Failed to parse body into JSON: syntax error at line 1 near: ") from None
    if not isinstance(value, dict):
        raise CallError(f"Failed to convert JSON into {into} protobuf: Expecting a JSON object")
    return value


def _unfit(value: object, name: str) -> CallError:
    kind = next(word for types, word in _KINDS if isinstance(value, types))
    return CallError(
        f"Failed to convert JSON into Call protobuf: Not expecting a JSON {kind} for field '{name}'"
    )


def text(of: JsonObject, name: str) -> str:
    value = of.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _unfit(value, name)
    return value


def number(of: JsonObject, name: str, default: float) -> float:
    value = of.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(value, name)
    return float(value)


def flag(of: JsonObject, name: str) -> bool:
    value = of.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _unfit(value, name)
    return value


def inner(of: JsonObject, name: str) -> JsonObject:
    """The sub-object; empty when it is not there."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _unfit(value, name)
    return value


def items(of: JsonObject, name: str) -> list[Any]:
    value = of.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unfit(value, name)
    return value


def objects(of: JsonObject, name: str) -> list[JsonObject]:
    for item in (found := items(of, name)):
        if not isinstance(item, dict):
            raise _unfit(item, name)
    return found


def words(of: JsonObject, name: str) -> tuple[str, ...]:
    for item in (found := items(of, name)):
        if not isinstance(item, str):
            raise _unfit(item, name)
    return tuple(found)


def identifier(of: JsonObject, name: str) -> str:
    return text(inner(of, name), "value")


def seconds(of: JsonObject, name: str) -> float | None:
    """A DurationInfo."""
    if of.get(name) is None:
        return None
    return number(inner(of, name), "nanoseconds", 0.0) / 1e9


def refuse_s(of: JsonObject) -> float:
    asked = number(inner(of, "filters"), "refuse_seconds", REFUSE_DEFAULT_S)
    if math.isnan(asked) or asked < 0:
        return REFUSE_DEFAULT_S
    return min(asked, REFUSE_MAX_S)


def resources(entries: list[JsonObject]) -> Bundle:
    scalars: dict[Key, int] = {}
    ranges: dict[Key, tuple[Range, ...]] = {}
    for entry in entries:
        stack = objects(entry, "reservations")
        owner = text(stack[-1], "role") if stack else text(entry, "role") or UNRESERVED
        key = (owner, text(entry, "name"))
        if entry.get("type") == "SCALAR":
            milli = round(number(inner(entry, "scalar"), "value", 0.0) * 1000)
            scalars[key] = scalars.get(key, 0) + milli
        elif entry.get("type") == "RANGES":
            pairs = objects(inner(entry, "ranges"), "range")
            some = tuple((int(number(p, "begin", 0)), int(number(p, "end", 0))) for p in pairs)
            ranges[key] = merged(ranges.get(key, ()) + some)
    return Bundle(
        {key: milli for key, milli in scalars.items() if milli},
        {key: some for key, some in ranges.items() if some},
    )


def _pairs(entries: list[JsonObject], key: str) -> dict[str, str]:
    return {text(entry, key): text(entry, "value") for entry in entries}


def task_order(of: JsonObject) -> TaskOrder:
    command = inner(of, "command")
    check = inner(of, "health_check")
    return TaskOrder(
        task_id=identifier(of, "task_id"),
        name=text(of, "name"),
        agent_id=identifier(of, "agent_id"),
        resources=resources(objects(of, "resources")),
        executors=sum(of.get(name) is not None for name in ("command", "executor")),
        command=text(command, "value"),
        environment=_environment(command),
        labels=_pairs(objects(inner(of, "labels"), "labels"), "key"),
        grace_s=seconds(inner(of, "kill_policy"), "grace_period"),
        max_completion_s=seconds(of, "max_completion_time"),
        health_check=None if not check else _health_check(check),
    )


def _environment(command: JsonObject) -> dict[str, str]:
    return _pairs(objects(inner(command, "environment"), "variables"), "name")


def _health_check(of: JsonObject) -> HealthCheck:
    return HealthCheck(
        delay_s=number(of, "delay_seconds", 15.0),
        interval_s=number(of, "interval_seconds", 10.0),
        consecutive_failures=int(number(of, "consecutive_failures", 3.0)),
        grace_period_s=number(of, "grace_period_seconds", 10.0),
        environment=_environment(inner(of, "command")),
    )


@attrs.frozen
class CallReader:
    """Reads calls as a master of that version does."""

    version: tuple[int, ...]

    def read(self, body: bytes) -> Call:
        of = read_object(body, "Call")
        framework_id = identifier(of, "framework_id")
        kind = self._kind(of)
        if kind == "":
            raise _invalid("Expecting 'type' to be present")
        if kind != "SUBSCRIBE" and not framework_id:
            raise _invalid("Expecting 'framework_id' to be present")
        name = kind.lower()
        if kind not in BODILESS and of.get(name) is None:
            raise _invalid(f"Expecting '{name}' to be present")
        return self._read(kind, framework_id, inner(of, name))

    def _kind(self, of: JsonObject) -> str:
        kind = text(of, "type")
        if CALL_SINCE.get(kind, (99,)) <= self.version:
            return kind
        if kind and self.version < LENIENT_SINCE:
            raise CallError(
                f"Failed to convert JSON into Call protobuf: Failed to find enum for '{kind}'"
            )
        return ""

    def _read(self, kind: str, framework_id: str, body: JsonObject) -> Call:
        match kind:
            case "SUBSCRIBE":
                return self._subscribe(framework_id, body)
            case "ACCEPT":
                return _accept(framework_id, body)
            case "DECLINE":
                return Decline(
                    framework_id=framework_id,
                    offer_ids=_ids(body, "offer_ids"),
                    refuse_s=refuse_s(body),
                )
            case "REVIVE":
                return Revive(framework_id=framework_id, roles=self._roles(body))
            case "SUPPRESS":
                return Suppress(framework_id=framework_id, roles=self._roles(body))
            case "KILL":
                return Kill(
                    framework_id=framework_id,
                    task_id=identifier(body, "task_id"),
                    agent_id=identifier(body, "agent_id"),
                    grace_s=seconds(inner(body, "kill_policy"), "grace_period"),
                )
            case "ACKNOWLEDGE":
                return _acknowledge(framework_id, body)
            case "RECONCILE":
                pairs = objects(body, "tasks")
                tasks = tuple((identifier(p, "task_id"), identifier(p, "agent_id")) for p in pairs)
                return Reconcile(framework_id=framework_id, tasks=tasks)
            case "TEARDOWN":
                return Teardown(framework_id=framework_id)
            case "UPDATE_FRAMEWORK":
                return UpdateFramework(
                    framework_id=framework_id,
                    info=self.framework_info(inner(body, "framework_info")),
                    suppressed_roles=words(body, "suppressed_roles"),
                )
            case _:
                return OtherCall(framework_id=framework_id, kind=kind)

    def _subscribe(self, framework_id: str, body: JsonObject) -> Subscribe:
        if body.get("framework_info") is None:
            raise _invalid("Expecting 'subscribe.framework_info' to be present")
        info = self.framework_info(inner(body, "framework_info"))
        if info.id != framework_id:
            raise _invalid("'framework_id' differs from 'subscribe.framework_info.id'")
        suppressed = words(body, "suppressed_roles") if self.version >= (1, 5) else ()
        return Subscribe(info=info, suppressed_roles=suppressed, framework_id=framework_id)

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


def _ids(body: JsonObject, name: str) -> tuple[str, ...]:
    return tuple(text(entry, "value") for entry in objects(body, name))


def _accept(framework_id: str, body: JsonObject) -> Accept:
    tasks = [
        task_order(info)
        for operation in objects(body, "operations")
        if operation.get("type") == "LAUNCH"
        for info in objects(inner(operation, "launch"), "task_infos")
    ]
    return Accept(
        framework_id=framework_id,
        offer_ids=_ids(body, "offer_ids"),
        tasks=tuple(tasks),
        refuse_s=refuse_s(body),
    )


def _acknowledge(framework_id: str, body: JsonObject) -> Acknowledge:
    uuid = text(body, "uuid")
    try:
        raw = base64.b64decode(uuid, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 16 or raw[6] >> 4 not in {1, 2, 3, 4, 5} or raw[8] >> 6 != 0b10:
        raise _invalid("Not a valid UUID")
    return Acknowledge(
        framework_id=framework_id,
        agent_id=identifier(body, "agent_id"),
        task_id=identifier(body, "task_id"),
        uuid=uuid,
    )
