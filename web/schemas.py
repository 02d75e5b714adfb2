"""What the answers look like: JSON Schema for the OpenAPI document.

Objects may get more members in later versions; those named here stay.
"""

from __future__ import annotations

from typing import Final

Schema = dict[str, object]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
MAYBE_NUMBER: Final[Schema] = {"type": ["number", "null"]}
MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
ANY_OBJECT: Final[Schema] = {"type": "object"}
MAYBE_OBJECT: Final[Schema] = {"type": ["object", "null"]}


def of(required: dict[str, Schema], also: dict[str, Schema] | None = None) -> Schema:
    """An object with these members."""
    return {
        "type": "object",
        "required": sorted(required),
        "properties": {**required, **(also or {})},
    }


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def counted(name: str, item: Schema) -> Schema:
    """A page of a list."""
    return of({"total": WHOLE, "offset": WHOLE, "limit": WHOLE, name: listed(item)})


PROBLEM: Final = of({"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "error": TEXT})
RESULT: Final = of({"result": TEXT})
AGENT: Final = of(
    {
        "host": TEXT, "agent_id": TEXT, "address": TEXT, "phase": TEXT, "since": NUMBER,
        "for_s": NUMBER, "step": TEXT, "task_id": TEXT, "reason": TEXT, "error": TEXT,
        "reboot_wanted": FLAG, "missing": FLAG, "fault_set": TEXT, "keeper_healthy": FLAG,
        "reboots_avoided": listed(TEXT),
    }
)  # fmt: skip
STEP: Final = of({"name": TEXT, "state": TEXT, "detail": TEXT})
DEVICE: Final = of({"path": TEXT, "verdict": TEXT})
AGENT_WHOLE: Final = of(
    {
        "host": TEXT, "phase": TEXT, "why": TEXT, "unblocked_by": TEXT, "plan": listed(STEP),
        "devices": listed(DEVICE), "concerns": listed(TEXT), "tail": TEXT, "attempts": ANY_OBJECT,
        "facts": MAYBE_OBJECT, "offer": ANY_OBJECT, "runs": listed(ANY_OBJECT),
    }
)  # fmt: skip
RUN: Final = of(
    {
        "step": TEXT, "task_id": TEXT, "attempt": {"type": ["integer", "null"]},
        "began": NUMBER, "ended": NUMBER, "duration_s": MAYBE_NUMBER,
        "exit_code": {"type": ["integer", "null"]}, "outcome": TEXT, "tail": TEXT,
    }
)  # fmt: skip
PREVIEW: Final = of({"host": TEXT, "command": TEXT, "refused": TEXT, "will": TEXT, "cli": TEXT})
STEPS: Final = of(
    {
        "host": TEXT, "plan": listed(STEP), "running": MAYBE_OBJECT, "steps": listed(RUN),
        "attempts": ANY_OBJECT, "tail": TEXT,
    }
)  # fmt: skip
DEVICE_LINE: Final = of(
    {
        "host": TEXT, "path": TEXT, "verdict": TEXT, "rule": TEXT, "taken": FLAG, "state": TEXT,
        "size_bytes": {"type": ["integer", "null"]},
    }
)  # fmt: skip
CONDITION: Final = of(
    {
        "name": TEXT, "severity": TEXT, "subject": TEXT, "text": TEXT, "cure": TEXT,
        "objects": listed(TEXT), "since": NUMBER, "for_s": NUMBER,
        "silenced_until": MAYBE_NUMBER, "silenced_by": TEXT, "silenced_for": TEXT,
    }
)  # fmt: skip
WHY: Final = of(
    {
        "subject": TEXT, "sentence": TEXT, "unblocked_by": TEXT,
        "chain": listed(of({"subject": TEXT, "fact": TEXT})),
    }
)  # fmt: skip
POOL: Final = of(
    {
        "domain": TEXT, "pool": TEXT, "capacity_kb": WHOLE, "in_use_kb": WHOLE, "spare_kb": WHOLE,
        "available_kb": WHOLE, "degraded_kb": WHOLE, "failed_kb": WHOLE, "moving_kb": WHOLE,
        "used_percent": NUMBER, "full_in_s": MAYBE_NUMBER, "moved_in_s": MAYBE_NUMBER,
        "moved_percent": MAYBE_NUMBER, "trend": listed(listed(NUMBER)),
    }
)  # fmt: skip
CAPACITY: Final = of({"error": TEXT, "pools": listed(POOL)})
OFFERS: Final = of(
    {
        "received": WHOLE, "accepted": WHOLE, "declined": WHOLE, "void": WHOLE,
        "held_mean_s": NUMBER, "held_max_s": NUMBER, "declined_for": ANY_OBJECT,
        "last_age_s": MAYBE_NUMBER, "recent": listed(ANY_OBJECT), "blocked": ANY_OBJECT,
    }
)  # fmt: skip
EVENT: Final = of(
    {
        "id": WHOLE, "at": NUMBER, "kind": TEXT, "subject": TEXT, "text": TEXT, "severity": TEXT,
        "by": TEXT, "from": TEXT, "outcome": TEXT,
    }
)  # fmt: skip
EVENTS: Final = of({"events": listed(EVENT), "next": WHOLE, "gap": FLAG})
SETTING: Final = of({"flag": TEXT, "value": {}, "default": {}, "source": TEXT, "meaning": TEXT})
SETTINGS: Final = of({"settings": listed(SETTING), "warnings": listed(TEXT)})
STATUS: Final = of(
    {
        "version": TEXT, "verdict": TEXT, "reasons": listed(TEXT), "mode": TEXT, "role": TEXT,
        "store": TEXT, "revision": WHOLE,
        "agents": WHOLE, "phases": ANY_OBJECT, "conditions": ANY_OBJECT, "master": ANY_OBJECT,
        "closing": MAYBE_OBJECT, "rollout": ANY_OBJECT, "offers": ANY_OBJECT,
        "gateway": ANY_OBJECT, "troubles": listed(TEXT), "warnings": listed(TEXT),
    }
)  # fmt: skip
ROLLOUT: Final = of(
    {
        "state": TEXT, "stage": TEXT, "allowed": WHOLE, "concerned": WHOLE, "done": WHOLE,
        "under_way": listed(TEXT), "failed": listed(TEXT), "why": TEXT,
        "estimate_s": MAYBE_NUMBER, "estimate": TEXT, "deactivated": listed(TEXT),
    }
)  # fmt: skip
PLAN: Final = of(
    {
        "mode": TEXT, "agents": listed(ANY_OBJECT), "wanted": ANY_OBJECT,
        "conflicts": listed(ANY_OBJECT),
    }
)  # fmt: skip
STORAGE: Final = of(
    {
        "error": TEXT, "fault": TEXT, "since": NUMBER, "for_s": NUMBER,
        "leaving": listed(ANY_OBJECT), "snapshot": MAYBE_OBJECT,
    }
)  # fmt: skip
REMOVAL_PLAN: Final = of(
    {
        "host": TEXT, "phase": TEXT, "waits_for": TEXT, "storage": listed(TEXT),
        "host_steps": listed(TEXT), "reason": TEXT,
    }
)  # fmt: skip
FRAMEWORK_REMOVAL: Final = of(
    {"agents": listed(REMOVAL_PLAN), "left": WHOLE, "order": MAYBE_OBJECT}
)
HEALTH: Final = of({"status": TEXT, "reasons": listed(TEXT)})
ACTOR: Final = of(
    {
        "name": TEXT, "kind": TEXT, "phase": TEXT, "mailbox_depth": WHOLE, "mailbox_peak": WHOLE,
        "mailbox_size": WHOLE, "handled": WHOLE, "last_message": TEXT,
        "last_message_age_s": MAYBE_NUMBER, "restarts": WHOLE, "last_error": TEXT,
        "waiting_for": TEXT,
    },
    {"recent": listed(ANY_OBJECT)},
)  # fmt: skip
ACTORS: Final = of({"actors": listed(ACTOR)})

REASON: Final[Schema] = {"type": "string", "maxLength": 500}
ORDER_BODY: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"reason": REASON},
}
FRAMEWORK_BODY: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "teardown": {"type": "boolean", "default": False},
        "confirm": {"type": "string", "description": "the framework's id, with teardown"},
        "reason": REASON,
    },
}
SILENCE_BODY: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "subject": {"type": "string", "description": "empty: whatever it is about"},
        "for_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 2592000},
        "reason": REASON,
    },
}
