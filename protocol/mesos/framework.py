"""Who we are to a master, and what each master version lets us say about it."""

from __future__ import annotations

import re

import attrs
import msgspec

from protocol.mesos.amounts import seconds_out

Version = tuple[int, int]


def parse_version(text: str) -> Version:
    """Major and minor of `1.11.0` or `1.12.0-dev`; (1, 0) when it says nothing we can read.

    The oldest version is the safe reading: masters before 1.5 refuse what they don't know.
    """
    found = re.match(r"\s*([0-9]{1,4})\.([0-9]{1,4})", text)
    return (int(found[1]), int(found[2])) if found else (1, 0)


@attrs.frozen(kw_only=True)
class FrameworkInfo:
    """Who we are to the master (mesos.proto FrameworkInfo). `failover_timeout_s` in seconds."""

    user: str
    name: str
    role: str
    hostname: str
    webui_url: str
    failover_timeout_s: float
    principal: str = ""
    framework_id: str = ""


def capabilities(version: Version, *, minimal: bool = False) -> tuple[str, ...]:
    """What to ask for; a master before 1.5 answers 400 to a name it does not know.

    `minimal` is what Mesos 1.0 knows, for a master that refused more than its version promises.
    """
    wanted = ["TASK_KILLING_STATE", "GPU_RESOURCES"]
    if minimal:
        return tuple(wanted)
    if version >= (1, 1):
        wanted.append("PARTITION_AWARE")
    if version >= (1, 3):
        wanted.append("MULTI_ROLE")
    if version >= (1, 4):
        wanted.append("REGION_AWARE")
    return tuple(wanted)


def subscribe(
    info: FrameworkInfo, version: Version, *, suppressed: bool, minimal: bool = False
) -> bytes:
    """The body of SUBSCRIBE, the only call without a stream id."""
    inner = registration(info, version, suppressed=suppressed, minimal=minimal)
    call: dict[str, object] = {"type": "SUBSCRIBE", "subscribe": inner}
    if info.framework_id:
        call["framework_id"] = {"value": info.framework_id}
    return msgspec.json.encode(call)


def registration(
    info: FrameworkInfo, version: Version, *, suppressed: bool, minimal: bool
) -> dict[str, object]:
    """What SUBSCRIBE and UPDATE_FRAMEWORK tell about us: each replaces all that was said before."""
    named = capabilities(version, minimal=minimal)
    body: dict[str, object] = {
        "user": info.user,
        "name": info.name,
        "hostname": info.hostname,
        "webui_url": info.webui_url,
        "failover_timeout": seconds_out(info.failover_timeout_s),
        "checkpoint": True,
        "capabilities": [{"type": kind} for kind in named],
    }
    if "MULTI_ROLE" in named:  # `roles` without it, or `role` with it, is an ERROR event
        body["roles"] = [info.role]
    else:
        body["role"] = info.role
    if info.principal:
        body["principal"] = info.principal
    if info.framework_id:
        body["id"] = {"value": info.framework_id}
    inner: dict[str, object] = {"framework_info": body}
    if version >= (1, 4):
        inner["suppressed_roles"] = [info.role] if suppressed else []
    return inner
