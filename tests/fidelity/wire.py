"""RecordIO and the few JSON shapes that the scripts send and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

MODERN: Final = ("PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "RESERVATION_REFINEMENT")
JSON_TYPES: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class Records:
    """Decodes a RecordIO stream, fed piece by piece."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, part: bytes) -> list[Json]:
        self._held += part
        found = []
        while (end := self._held.find(b"\n")) >= 0:
            size = int(self._held[:end])
            if len(self._held) < end + 1 + size:
                break
            found.append(json.loads(self._held[end + 1 : end + 1 + size]))
            self._held = self._held[end + 1 + size :]
        return found


def named(value: str) -> Json:
    return {"value": value}


def modern(**more: Any) -> Json:
    """A FrameworkInfo with all that the product asks for."""
    info = {
        "user": "root",
        "name": "modern",
        "roles": ["*"],
        "capabilities": [{"type": word} for word in MODERN],
        "failover_timeout": 120.0,
        "checkpoint": True,
    }
    return {**info, **more}


def legacy(**more: Any) -> Json:
    """A FrameworkInfo without capabilities and without checkpointing."""
    return {"user": "root", "name": "legacy", "failover_timeout": 120.0, **more}


def offers_in(event: Json) -> list[Json]:
    found: list[Json] = event.get("offers", {}).get("offers", [])
    return found


def status_in(event: Json) -> Json:
    found: Json = event.get("update", {}).get("status", {})
    return found


def allocated(offer: Json) -> Json:
    """Only frameworks with MULTI_ROLE see the allocation, and must repeat it."""
    return {name: offer[name] for name in ("allocation_info",) if name in offer}


def scalar(name: str, amount: float, **more: Any) -> Json:
    return {"name": name, "type": "SCALAR", "scalar": {"value": amount}, **more}


def reservation(role: str, principal: str) -> Json:
    return {"reservations": [{"type": "DYNAMIC", "role": role, "principal": principal}]}


def launch(*tasks: Json) -> Json:
    return {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}


def window(machines: Sequence[Mapping[str, str]], start_ns: int, duration_s: float) -> Json:
    """One window of a maintenance schedule."""
    duration = {"nanoseconds": round(duration_s * 1e9)}
    unavailability = {"start": {"nanoseconds": start_ns}, "duration": duration}
    return {"machine_ids": list(machines), "unavailability": unavailability}
