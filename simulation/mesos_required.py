"""Which fields Mesos' messages cannot do without, as far as the simulation reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from simulation.mesos_fields import JsonObject, unconvertible


@attrs.frozen
class Message:
    """`inner`: the messages in its fields, or in the lists in them."""

    required: tuple[str, ...] = ()
    inner: Mapping[str, Message] = attrs.field(factory=dict)

    def missing(self, of: JsonObject, at: str = "") -> Iterator[str]:
        """Paths, a message's own fields first."""
        for name in self.required:
            if of.get(name) is None:
                yield f"{at}{name}"
        for name, message in self.inner.items():
            value: Any = of.get(name)
            if isinstance(value, dict):
                yield from message.missing(value, f"{at}{name}.")
            elif isinstance(value, list):
                for position, item in enumerate(value):
                    if isinstance(item, dict):
                        yield from message.missing(item, f"{at}{name}[{position}].")


def check(message: Message, of: JsonObject) -> None:
    missing = ", ".join(message.missing(of))
    if missing:
        raise unconvertible(f"Missing required fields: {missing}")


ID: Final = Message(("value",))
TIME: Final = Message(("nanoseconds",))
RESOURCES: Final = Message(
    ("name", "type"),
    {
        "scalar": Message(("value",)),
        "ranges": Message((), {"range": Message(("begin", "end"))}),
    },
)
COMMAND: Final = Message(
    (), {"uris": Message(("value",)), "environment": Message((), {"variables": Message(("name",))})}
)
FRAMEWORK_INFO: Final = Message(("user", "name"), {"id": ID})
TASK: Final = Message(
    ("name", "task_id", "agent_id"),
    {
        "task_id": ID,
        "agent_id": ID,
        "resources": RESOURCES,
        "executor": Message(("executor_id",), {"executor_id": ID, "command": COMMAND}),
        "command": COMMAND,
        "health_check": Message((), {"command": COMMAND}),
        "labels": Message((), {"labels": Message(("key",))}),
        "kill_policy": Message((), {"grace_period": TIME}),
        "max_completion_time": TIME,
    },
)
CONVERSION: Final = Message((), {"resources": RESOURCES})
OPERATION: Final = Message(
    (),
    {
        "launch": Message((), {"task_infos": TASK}),
        "reserve": CONVERSION,
        "unreserve": CONVERSION,
        "id": ID,
    },
)
OFFERS: Final = Message((), {"offer_ids": ID, "operations": OPERATION})
INVERSE_OFFERS: Final = Message((), {"inverse_offer_ids": ID})
NAMED: Final = {"agent_id": ID, "executor_id": ID, "task_id": ID, "operation_id": ID}

SCHEDULER_CALL: Final = Message(
    (),
    {
        "framework_id": ID,
        "subscribe": Message(("framework_info",), {"framework_info": FRAMEWORK_INFO}),
        "accept": OFFERS,
        "decline": OFFERS,
        "accept_inverse_offers": INVERSE_OFFERS,
        "decline_inverse_offers": INVERSE_OFFERS,
        "kill": Message(
            ("task_id",), {**NAMED, "kill_policy": Message((), {"grace_period": TIME})}
        ),
        "shutdown": Message(("executor_id", "agent_id"), NAMED),
        "acknowledge": Message(("agent_id", "task_id", "uuid"), NAMED),
        "acknowledge_operation_status": Message(("uuid", "operation_id"), NAMED),
        "reconcile": Message((), {"tasks": Message(("task_id",), {"task_id": ID, "agent_id": ID})}),
        "reconcile_operations": Message((), {"operations": Message(("operation_id",), NAMED)}),
        "message": Message(("agent_id", "executor_id", "data"), NAMED),
        "update_framework": Message(("framework_info",), {"framework_info": FRAMEWORK_INFO}),
    },
)

OF_AGENT: Final = Message(("agent_id",), NAMED)
SCHEDULE: Final = Message(
    (),
    {
        "windows": Message(
            ("unavailability",),
            {"unavailability": Message(("start",), {"start": TIME, "duration": TIME})},
        )
    },
)
MASTER_CALL: Final = Message(
    (),
    {
        "update_maintenance_schedule": Message(("schedule",), {"schedule": SCHEDULE}),
        "mark_agent_gone": OF_AGENT,
        "drain_agent": OF_AGENT,
        "deactivate_agent": OF_AGENT,
        "reactivate_agent": OF_AGENT,
        "teardown": Message(("framework_id",), {"framework_id": ID}),
    },
)
