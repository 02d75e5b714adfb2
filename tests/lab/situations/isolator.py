"""The volume isolator: what the agent is like decides whether its flags may be written."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from simulation.host_agent_steps import FLAG_FILE
from tests.lab.situations.table import (
    AGENT_IS_BACK,
    HOLD_LOCK,
    OTHER_PLATFORM,
    Situation,
    dials,
    platform,
    together,
    with_values,
)

_AGENT: Final = partial(Situation, step="isolator", base="agent")
_FOLDER: Final = "/etc/mesos-slave"
_UNIT: Final = "/etc/systemd/system/mesos-slave.service"
_OTHER: Final = "posix/cpu,posix/mem,network/cni"
_RESTART: Final = f"systemctl daemon-reload\nsystemctl restart mesos-slave.service\n{AGENT_IS_BACK}"


def set_flag(name: str, value: str) -> str:
    """The agent runs with this flag from now on."""
    return f"printf '%s\\n' '{value}' >{_FOLDER}/{name}\n{_RESTART}"


def _unit_with(*lines: str, flag: str = "") -> str:
    """Flags stand in the unit itself, as without the packages' start script."""
    more = "".join(f"{line}\\n" for line in lines)
    return f"""
    set -- $(sed -n 's/^exec \\([^ ]*\\) .*/\\1/p' /usr/bin/mesos-init-wrapper)
    for file in {_FOLDER}/*; do set -- "$@" "--${{file##*/}}=$(cat "$file")"; done
    printf '[Service]\\nExecStart=%s {flag}\\n{more}' "$*" >{_UNIT}
    rm -r {_FOLDER}
    {_RESTART}
    """


CLOSED: Final = f"""
echo '{{"credentials":[{{"principal":"a","secret":"b"}}]}}' >/etc/mesos-credentials
echo /etc/mesos-credentials >{_FOLDER}/http_credentials
{set_flag("authenticate_http_readonly", "true")}
"""
STOPPED: Final = "systemctl stop mesos-slave.service"


def was_stopped(host: SimulatedHost) -> None:
    """It does not run, and would be started with the host."""
    dials(agent_down=True)(host)
    host.enabled.add(host.agent_unit)


POSIX: Final = set_flag("launcher", "posix")
# The start script needs its own few programs, and finds no others.
_HIDDEN: Final = f"""
mkdir -p /usr/local/few /etc/systemd/system/mesos-slave.service.d
ln -s /usr/bin/cat /usr/local/few/cat
printf '[Service]\\nEnvironment=PATH=/usr/local/few\\n' \
    >/etc/systemd/system/mesos-slave.service.d/lab.conf
{_RESTART}
"""


def _edited(host: SimulatedHost) -> None:
    host.files[FLAG_FILE] = _OTHER


ROWS: Final = (
    _AGENT(name="a plain agent"),
    _AGENT(name="already written, not yet in effect", before=("isolator",)),
    _AGENT(name="a restart is armed", before=("isolator", "agent-restart")),
    Situation(name="already in effect", step="isolator", base="isolated"),
    _AGENT(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _AGENT(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _AGENT(name="the wanted isolation is missing", environment={"ISOLATION_TO": ""}),
    _AGENT(name="the agent tells nobody its flags", real=CLOSED, model=dials(flags_closed=True)),
    _AGENT(name="the agent was stopped", real=STOPPED, model=was_stopped),
    _AGENT(name="a posix launcher", real=POSIX, model=with_values(launcher="posix")),
    _AGENT(
        name="the isolation changed since the survey",
        real=set_flag("isolation", "posix/cpu"),
        model=with_values(isolation=("posix/cpu",)),
    ),
    _AGENT(name="dvdcli is not on the agent's path", real=_HIDDEN, model=dials(dvdcli_hidden=True)),
    _AGENT(name="a unit that nobody has", wish={"agent_unit": "mesos-other"}),
    _AGENT(name="flags in the unit", real=_unit_with(), model=with_values(agent_style="unit")),
    _AGENT(
        name="isolation in the unit",
        real=_unit_with(flag="--isolation=posix/cpu,posix/mem"),
        model=with_values(agent_style="fixed"),
    ),
    _AGENT(
        name="isolation in the environment",
        real=_unit_with("Environment=MESOS_ISOLATION=posix/cpu,posix/mem"),
        model=with_values(agent_style="fixed"),
    ),
    _AGENT(
        name="its file was edited, and the agent not restarted",
        real=f"echo {_OTHER} >{FLAG_FILE}",
        model=_edited,
    ),
    _AGENT(
        name="a wrong checksum",
        environment={"PACKAGE_SHA256": "0" * 64},
        model=dials(checksum_wrong=True),
    ),
    _AGENT(
        name="another dvdcli is installed",
        before=("isolator",),
        environment={"PACKAGE_VERSION": "0.2.0"},
    ),
    _AGENT(
        name="somebody's own dvdcli",
        real="printf '#!/bin/sh\\n' >/usr/bin/dvdcli; chmod 0755 /usr/bin/dvdcli",
        model=lambda host: host.unpacked.update(dvdcli=""),
    ),
    _AGENT(
        name="the flags are closed and the launcher is posix",
        real=f"echo posix >{_FOLDER}/launcher\n{CLOSED}",
        model=together(with_values(launcher="posix"), dials(flags_closed=True)),
    ),
)
