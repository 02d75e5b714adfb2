"""What each step does to a simulated host: variables, exit codes and reasons as the script has."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from simulation.host_agent_steps import agent_restart, isolator
from simulation.host_ends import (
    Ended,
    EndError,
    can_arm,
    kernel_fits,
    known_platform,
    need,
    room_for_state,
)
from simulation.host_packages import ensure_package, prerequisites
from simulation.host_removal import uninstall
from simulation.host_survey import digest

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

CONFIG: Final = "/etc/rexray/config.yml"
_SAID: Final = re.compile(
    r"^ +(systemID|systemName|endpoint): *(?:https?://)?([^/\s]+)", re.MULTILINE
)


def run(
    host: SimulatedHost, step: str, environment: Mapping[str, str], *, under_way: bool = False
) -> Ended:
    """Change the host as the step does. `under_way`: it will not live to arm anything."""
    before = _fingerprint(host)
    try:
        ended = _MODELS.get(step, _extra)(host, environment)
    except EndError as early:
        ended = early.ended
    if ended.reason == "armed" and not under_way:
        if step == "reboot":
            delay_s = float(environment.get("DELAY_S", "30"))
            host.on_reboot_armed(environment["PERMIT_URL"], delay_s)
        else:
            host.armed_restart = True
            host.on_agent_restart_armed()
    return attrs.evolve(ended, changed=ended.changed or _fingerprint(host) != before)


def _fingerprint(host: SimulatedHost) -> object:
    return (
        dict(host.packages), dict(host.unpacked), frozenset(host.services), dict(host.files),
        host.mdm_ips, host.module_loaded, host.key is not None, host.key_told, host.next_kernel,
        host.next_isolation, frozenset(host.enabled), dict(host.half_installed),
        frozenset(host.damaged), host.identity_lost, host.renewed_modules,
    )  # fmt: skip


def _start(host: SimulatedHost, service: str) -> None:
    """At every boot, too."""
    host.change()
    host.enabled.add(service)
    if not host.start(service):
        sentence = f"service {service} does not run after it was started: see its log on the host"
        raise EndError(1, "service", sentence, changed=True)


def _not_masked(host: SimulatedHost, service: str) -> None:
    if service in host.masked:
        raise EndError(78, "masked", f"service {service} is masked on this host")


def _sds(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    _not_masked(host, "sds")
    running = "sds" in host.services
    action = ensure_package(host, "sds", environment, lambda: _permitted(host, environment))
    if running and action != "none":
        host.on_sds_replaced()
    _start(host, "sds")
    host.write_receipt("sds", "kept", version=environment["PACKAGE_VERSION"])
    return Ended(code=0, reason="holds")


def _permitted(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    if "sds" not in host.services:
        return
    url = environment.get("PERMIT_URL", "")
    if not url:
        raise EndError(75, "no-permit", "the running SDS would be restarted without a permit")
    if not host.is_permitted(url):
        raise EndError(75, "not-permitted", "the scheduler does not permit it now")


def _sdc(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    need(environment, "MDM_IP")
    if not kernel_fits(host.kernel, environment):
        raise EndError(78, "kernel", f"kernel {host.kernel} is not one that this SDC supports")
    wanted = tuple(environment["MDM_IP"].split(","))
    _our_cluster(host, wanted)
    _not_masked(host, "scini")
    fresh, had_module = not host.has_sdc, host.module_loaded
    action = ensure_package(host, "sdc", environment)
    host.module_kernels = tuple(environment.get("SUPPORTED_KERNELS", "").split())
    if fresh:
        host.mdm_ips = wanted
    host.identity_lost = False
    replaced = had_module and action not in {"none", "install"}
    waits = _renew_module(host, environment, replaced=replaced)
    _start(host, "scini")
    if not host.module_loaded:
        raise EndError(
            1, "module",
            f"service scini runs, but its module is not loaded: there is none for {host.kernel}",
            changed=True,  # it was restarted to fetch one
        )  # fmt: skip
    if frozenset(host.mdm_ips) != frozenset(wanted):
        host.change()
        host.mdm_ips = wanted
        host.announce_sdc()
    if waits:
        return Ended(code=20, reason="reboot", extra=(("guid", host.sdc_guid),))
    host.write_receipt("sdc", "kept", version=environment["PACKAGE_VERSION"])
    return Ended(code=0, reason="holds", extra=(("guid", host.sdc_guid),))


def _our_cluster(host: SimulatedHost, wanted: tuple[str, ...]) -> None:
    """Before anything is changed."""
    known = frozenset((*host.mdm_ips, *host.foreign_mdm_ips))
    if known and known.isdisjoint(wanted):
        raise EndError(78, "other-cluster", "this SDC already serves another cluster")
    if known != frozenset(wanted) and host.foreign_mdm_ips:
        raise EndError(78, "several-clusters", "this SDC serves several clusters")


def _renew_module(host: SimulatedHost, environment: Mapping[str, str], *, replaced: bool) -> bool:
    """True when the loaded module is the one before the installed package's, and stays."""
    receipt = host.receipts.get("sdc")
    open_now = receipt is not None and receipt.state == "open" and receipt.boot_id == host.boot_id
    if not (replaced or open_now) or not host.module_loaded:
        return False
    if not (host.module_in_use or host.has_volumes()):
        host.change()
        host.renewed_modules += 1
        return False
    host.write_receipt("sdc", "open", version=environment["PACKAGE_VERSION"])
    return True


def _rexray(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    need(
        environment, "GATEWAY_ENDPOINT", "GATEWAY_INSECURE", "GATEWAY_USER", "PROTECTION_DOMAIN",
        "STORAGE_POOL", "CONFIG_DIGEST", "SEALED_PASSWORD",
    )  # fmt: skip
    if not (environment.get("SYSTEM_ID") or environment.get("SYSTEM_NAME")):
        raise EndError(78, "setting", "SYSTEM_ID or SYSTEM_NAME has to be given")
    _our_configuration(host, environment)
    _not_masked(host, "rexray")
    ensure_package(host, "rexray", environment)
    host.enabled.add("rexray")
    written = not _is_ours(host, environment)
    if written:
        _write_config(host, environment)
    _start(host, "rexray")
    if host.dials.socket_missing:
        raise EndError(1, "socket", "rexray runs, but offers no socket in /run/docker/plugins")
    return Ended(code=0, reason="holds", changed=written)


def _our_configuration(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    """A file that somebody wrote for another cluster is theirs; an empty one is nobody's."""
    current, receipt = host.files.get(CONFIG, ""), host.receipts.get("rexray")
    written = "GATEWAY_ENDPOINT=" in current or (
        receipt is not None and receipt.more.get("sha256") == digest(current)
    )
    if written or not current.strip():
        return
    said = dict(_SAID.findall(current))
    gateway = environment["GATEWAY_ENDPOINT"].partition("://")[2].partition("/")[0]
    wanted = (
        ("systemID", environment.get("SYSTEM_ID", "")),
        ("systemName", environment.get("SYSTEM_NAME", "")),
        ("endpoint", gateway),
    )
    for key, ours in wanted:
        if said.get(key) and ours:
            if said[key].lower() == ours.lower():
                return
            break
    raise EndError(78, "other-config", f"{CONFIG} is not ours and points to another cluster")


def _is_ours(host: SimulatedHost, environment: Mapping[str, str]) -> bool:
    """The file is what we wrote for this very wish."""
    receipt, current = host.receipts.get("rexray"), host.files.get(CONFIG)
    return (
        receipt is not None
        and current is not None
        and receipt.more.get("config") == environment["CONFIG_DIGEST"]
        and receipt.more.get("sha256") == digest(current)
    )


def _write_config(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    password = _open(host, environment["SEALED_PASSWORD"])
    receipt, current = host.receipts.get("rexray"), host.files.get(CONFIG)
    ours = digest(current) if current is not None else ""
    known = {"sha256": ours} if receipt and receipt.more.get("sha256") == ours else {}
    host.write_receipt("rexray", "open", **known)  # a host that cannot keep one is not touched
    host.change()
    host.password = password
    host.services.discard("rexray")  # it is restarted
    told = {k: v for k, v in environment.items() if not k.startswith("SEALED")}
    host.files[CONFIG] = text = "".join(f"{k}={v}\n" for k, v in sorted(told.items()))
    host.write_receipt("rexray", "kept", config=environment["CONFIG_DIGEST"], sha256=digest(text))


def _open(host: SimulatedHost, sealed: str) -> str:
    if host.key is None:
        raise EndError(78, "key", "the host key is missing: the prerequisites step makes it")
    scheme = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    try:
        return host.key.decrypt(base64.b64decode(sealed, validate=True), scheme).decode()
    except (ValueError, binascii.Error):
        raise EndError(
            65, "sealed", "the sealed secret does not open with this host's key"
        ) from None


def _claim(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    groups = {
        name: environment.get(name, "").split()
        for name in ("DEVICES_OVERWRITE", "DEVICES_DECLARED", "DEVICES")
    }
    if not any(groups.values()):
        raise EndError(78, "setting", "no device is named")
    for name, paths in groups.items():
        for path in paths:
            fault = _occupied(host, path, blank=name != "DEVICES_OVERWRITE", zero=name == "DEVICES")
            if fault:
                raise EndError(65, "not-empty", f"{path}: {fault}; nothing was given to ScaleIO")
    count = sum(len(paths) for paths in groups.values())
    return Ended(code=0, reason="empty", extra=(("devices", count),))


def _occupied(host: SimulatedHost, path: str, *, blank: bool, zero: bool) -> str:
    disk = host.disk_named(path)
    if disk is None:
        return "it is no block device now"
    if any(fnmatchcase(name, line) for name in (disk.path, *disk.links) for line in host.denied):
        return "it stands in devices.deny"
    if disk.multipath:
        return "multipathd has claimed it as a path of a volume"
    if disk.configured:
        return f"a file of the host's configuration names it: {disk.configured}"
    if disk.opener:
        return f"a process has it open: {disk.opener}"
    if not disk.is_free or disk.read_only:
        return "it cannot be opened alone: something uses it"
    if blank and not disk.is_blank:
        return "blkid finds a signature"
    return "it holds data: not all samples are zero" if zero and not disk.zero else ""


def _probe(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    need(environment, "VOLUME_PATH")
    if not environment["VOLUME_PATH"].startswith("/dev/disk/by-id/emc-vol-"):
        raise EndError(78, "setting", "variable VOLUME_PATH does not name a ScaleIO volume")
    if not host.has_sdc:
        raise EndError(78, "drv-cfg", "drv_cfg is missing: the sdc step brings it")
    if not (host.module_loaded and host.sees_volume(environment["VOLUME_PATH"])):
        raise EndError(1, "not-seen", "the volume is mapped, but does not appear")
    if host.dials.volume_unreadable:
        raise EndError(1, "not-readable", "the volume appeared, but cannot be read")
    return Ended(code=0, reason="seen")


def _extra(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    """An operator's own step, of which only its receipt is known here."""
    need(environment, "EXTRA_NAME", "EXTRA_DIGEST")
    room_for_state(host)
    host.write_receipt(environment["EXTRA_NAME"], "kept", digest=environment["EXTRA_DIGEST"])
    return Ended(code=0, reason="operators", changed=True)


def _reboot(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    can_arm(host)
    need(environment, "PERMIT_URL")
    if not environment["PERMIT_URL"].startswith(("https://", "http://")):
        raise EndError(78, "setting", "variable PERMIT_URL is no http or https URL")
    if "curl" not in host.packages:
        raise EndError(78, "curl", "curl is missing: the prerequisites step brings it")
    room_for_state(host)
    host.change()
    host.write_receipt("reboot", "open")
    host.armed_reboot = True
    return Ended(code=0, reason="armed", changed=True)


def _keeper(_host: SimulatedHost, _environment: Mapping[str, str]) -> Ended:
    return Ended(code=143, reason="keeping")


def illness(host: SimulatedHost, environment: Mapping[str, str]) -> str:
    """What the keeper's health check finds first; "" when all is well."""
    if environment.get("PROVIDES_SDS") == "yes" and "sds" not in host.services:
        return "sds"
    if environment.get("WATCH_SDC", "yes") == "yes" and not host.module_loaded:
        return "module"
    watched = environment.get("WATCH_REXRAY", "yes") == "yes"
    return "rexray" if watched and "rexray" not in host.services else ""


def _keeper_health(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    ill = illness(host, environment)
    return Ended(code=1 if ill else 0, reason=ill or "healthy")


_MODELS: Final[Mapping[str, Callable[[SimulatedHost, Mapping[str, str]], Ended]]] = {
    "survey": lambda _host, _environment: Ended(code=0, reason="surveyed"),
    "prerequisites": prerequisites,
    "sds": _sds,
    "sdc": _sdc,
    "rexray": _rexray,
    "isolator": isolator,
    "agent-restart": agent_restart,
    "claim": _claim,
    "probe": _probe,
    "reboot": _reboot,
    "uninstall": uninstall,
    "keeper": _keeper,
    "keeper_health": _keeper_health,
}
