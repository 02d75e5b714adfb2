"""What the two steps do that change how the Mesos agent of a simulated host is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from simulation.host_ends import Ended, EndError, can_arm, known_platform, need, room_for_state
from simulation.host_packages import ensure_package

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

FLAG_FILE: Final = "/etc/mesos-slave/isolation"


def isolator(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    need(environment, "ISOLATION_FROM", "ISOLATION_TO", "CHECKPOINT_DIR")
    _flags_open(host)
    if host.launcher != "linux":
        raise EndError(78, "launcher", "the agent's launcher is not linux")
    effective, wanted = ",".join(host.isolation), environment["ISOLATION_TO"]
    if effective not in {environment["ISOLATION_FROM"], wanted}:
        raise EndError(75, "flags-changed", "the agent's isolation changed since it was surveyed")
    ensure_package(host, "dvdcli", environment)
    _known_unit(host, environment)
    if host.dials.dvdcli_hidden:
        raise EndError(78, "dvdcli-path", "dvdcli is not on the agent's PATH")
    if effective == wanted:
        host.write_receipt("isolator", "kept")
        return Ended(code=0, reason="holds")
    can_arm(host)  # what is written is watched from then on
    _nothing_armed(host)
    _writable(host, environment)
    host.change()
    host.isolation_before = host.isolation_before or host.isolation
    host.next_isolation = tuple(wanted.split(","))
    host.write_receipt("isolator", "kept")
    return Ended(code=21, reason="agent-restart", sentence="it holds after an agent restart")


def _nothing_armed(host: SimulatedHost) -> None:
    open_one = host.receipts.get("agent-restart")
    still_open = open_one is not None and open_one.state == "open"
    if still_open and host.armed_restart:  # a watcher that died with its task judges nothing
        raise EndError(75, "armed-already", "a restart of the agent is already under way")


def _flags_open(host: SimulatedHost) -> None:
    if not host.tells_flags:
        raise EndError(78, "flags", "the agent's /flags cannot be read")


def _known_unit(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    named = environment.get("AGENT_UNIT", "")
    if named and named != host.agent_unit:
        raise EndError(78, "agent-unit", f"there is no service {named} here")
    if not named and host.dials.agent_down:
        raise EndError(78, "agent-unit", "no service mesos-slave or mesos-agent runs here")


def _writable(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    if host.agent_style == "fixed":
        raise EndError(78, "agent-style", "the agent's isolation stands where we don't write")
    standing = host.files.get(FLAG_FILE, "")
    if standing and standing not in {environment["ISOLATION_FROM"], environment["ISOLATION_TO"]}:
        raise EndError(78, "edited", f"{FLAG_FILE} says {standing}, but the agent runs otherwise")


def agent_restart(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    can_arm(host)
    need(environment, "ISOLATION_TO", "MASTER_ENDPOINT")
    _known_unit(host, environment)
    _nothing_armed(host)
    if host.dials.agent_down:
        raise EndError(75, "flags", "the agent does not answer")
    _flags_open(host)
    if ",".join(host.isolation) == environment["ISOLATION_TO"]:
        if environment.get("RESTART_ANYWAY") != "yes":
            return Ended(code=0, reason="holds")
        if not host.isolation_before:
            raise EndError(78, "no-watch", "nothing here could watch a restart of the agent")
    elif not host.next_isolation:
        raise EndError(78, "no-way-back", "there is no record of what was changed")
    room_for_state(host)
    host.change()
    host.write_receipt("agent-restart", "open")
    return Ended(code=0, reason="armed", changed=True)
