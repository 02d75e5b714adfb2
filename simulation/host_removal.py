"""What the uninstall step does to a simulated host: settings of the agent first, then the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from simulation.host_ends import Ended, EndError, can_arm, known_platform
from simulation.host_packages import database_name

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

CONFIG: Final = "/etc/rexray/config.yml"
BROUGHT: Final = ("dvdcli", "rexray", "sdc", "sds")
SERVICES: Final[Mapping[str, str]] = {"rexray": "rexray", "sdc": "scini", "sds": "sds"}


def uninstall(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    if environment.get("LEFT_CLUSTER") != "yes":
        raise EndError(78, "in-cluster", "this host still belongs to the storage cluster")
    if host.has_sdc and host.has_volumes():
        raise EndError(78, "mapped", "volumes are mapped to this host")
    _agent_settings(host, environment)
    for component in BROUGHT:
        _stop(host, component)
    if host.dials.packages_locked and host.installed_by_us:
        sentence = "another program holds the package database"
        raise EndError(75, "package-lock", sentence, changed=True)
    for component in (*BROUGHT, *sorted(host.installed_by_us.difference(BROUGHT))):
        _remove(host, component)
    receipt = host.receipts.get("rexray")
    if receipt is not None:
        host.change()
        host.files.pop(CONFIG, None)
        host.password = ""
    host.change()
    host.receipts.clear()
    host.key, host.key_told = None, False
    host.isolation_before, host.putting_back = (), False
    return Ended(code=0, reason="removed", extra=(("kept", 0),))


def _agent_settings(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    """Put back, and restarted by the same watcher as on installing."""
    receipt = host.receipts.get("agent-restart")
    if receipt is not None and receipt.state == "open" and host.armed_restart:
        raise EndError(75, "restarting", "a restart of the Mesos agent is under way")
    if host.putting_back and receipt is not None and receipt.state == "rolled-back":
        host.putting_back = False
        raise EndError(78, "agent-old-settings", "the agent did not come back with its old ones")
    if not host.isolation_before or host.isolation == host.isolation_before:
        return
    wanted = environment.get("ISOLATION_TO", "")
    if not wanted:
        raise EndError(78, "isolation-unknown", "nobody knows what the isolation was before")
    can_arm(host)
    host.change()
    host.putting_back = True
    host.next_isolation = tuple(wanted.split(","))
    raise EndError(21, "agent-restart", "the old settings hold after a restart", changed=True)


def _stop(host: SimulatedHost, component: str) -> None:
    service = SERVICES.get(component, "")
    if component not in host.installed_by_us or service not in host.services:
        return
    host.change()
    host.services.discard(service)
    if component == "sdc":
        host.module_loaded = False
        host.on_sdc_down(host.sdc_guid)


def _remove(host: SimulatedHost, component: str) -> None:
    if component not in host.installed_by_us:
        return
    host.change()
    host.enabled.discard(SERVICES.get(component, ""))
    if component == "sdc":
        host.mdm_ips = ()
    host.packages.pop(database_name(host, component), None)
    host.unpacked.pop(component, None)
    host.installed_by_us.discard(component)
