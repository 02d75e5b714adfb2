"""The few operator API calls we make (v1 master.proto), and their answers."""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.events import attributes_of

GET_AGENTS: Final = msgspec.json.encode({"type": "GET_AGENTS"})


@attrs.frozen(kw_only=True)
class AgentSeen:
    """A registered agent. `ip` and `port` are those of its own HTTP API (from its pid)."""

    agent_id: str
    hostname: str
    ip: str
    port: int
    attributes: dict[str, str]
    active: bool
    version: str = ""


def parse_agents(body: str) -> tuple[AgentSeen, ...]:
    """The answer to GET_AGENTS. Raises RemoteMesosError when it is none."""
    try:
        raw = msgspec.json.decode(body)
        return tuple(_agent(a) for a in raw["get_agents"].get("agents", []))
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteMesosError("the answer to GET_AGENTS is no JSON") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RemoteMesosError(f"a malformed answer to GET_AGENTS: {error!r}") from error


def _agent(raw: dict[str, Any]) -> AgentSeen:
    info = raw["agent_info"]
    where = str(raw.get("pid") or "").rpartition("@")[2]
    ip, _, port = where.rpartition(":")
    return AgentSeen(
        agent_id=str(info["id"]["value"]),
        hostname=str(info["hostname"]),
        ip=ip.strip("[]"),
        port=int(port or info.get("port") or 5051),
        attributes=attributes_of(info.get("attributes") or []),
        active=bool(raw.get("active", True)) and not raw.get("deactivated", False),
        version=str(raw.get("version") or ""),
    )


def parse_version_answer(body: str) -> str:
    """The `version` of GET /version. Raises RemoteMesosError when it is no such answer."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteMesosError(f"GET /version is no JSON: {body[:60]!r}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("version"), str):
        raise RemoteMesosError(f"GET /version names no version: {body[:60]!r}")
    return str(raw["version"])
