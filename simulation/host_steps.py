"""What each step does to a simulated host: variables, exit codes and reasons as the script has."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from simulation.host_survey import digest

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

_TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "deb": ("libaio1", "numactl", "openssl", "curl"),
    "rpm": ("libaio", "numactl", "openssl", "curl"),
}


@attrs.frozen(kw_only=True)
class Ended:
    code: int
    reason: str
    sentence: str = ""
    changed: bool = False
    extra: tuple[tuple[str, str | int], ...] = ()


class EndError(Exception):
    """A model ends early, as `finish` does in a script."""

    def __init__(self, code: int, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.ended = Ended(code=code, reason=reason, sentence=sentence)


def run(
    host: SimulatedHost, step: str, environment: Mapping[str, str], *, under_way: bool = False
) -> Ended:
    """Change the host as the step does. `under_way`: it will not live to arm anything."""
    before = _fingerprint(host)
    try:
        ended = _MODELS[step](host, environment)
    except EndError as early:
        ended = early.ended
    if ended.reason == "armed" and not under_way:
        if step == "reboot":
            delay_s = float(environment.get("DELAY_S", "30"))
            host.on_reboot_armed(environment["PERMIT_URL"], delay_s)
        else:
            host.armed_restart = True
            host.on_agent_restart_armed()
    return attrs.evolve(ended, changed=_fingerprint(host) != before)


def database_name(host: SimulatedHost, component: str) -> str:
    if component in {"sds", "sdc"}:
        return f"emc-scaleio-{component}" if host.os.family == "deb" else f"EMC-ScaleIO-{component}"
    return component


def _fingerprint(host: SimulatedHost) -> object:
    return (
        dict(host.packages), frozenset(host.services), dict(host.files), host.mdm_ips,
        host.module_loaded, host.key is not None, host.next_kernel, host.next_isolation,
        host.armed_reboot, host.receipts.get("agent-restart"),
    )  # fmt: skip


def _need(environment: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not environment.get(name):
            raise EndError(
                78, "setting", f"variable {name} is missing: the scheduler has to give it"
            )


def _fits(kernel: str, environment: Mapping[str, str]) -> bool:
    patterns = environment.get("SUPPORTED_KERNELS", "").split()
    return not patterns or any(fnmatchcase(kernel, pattern) for pattern in patterns)


def _prerequisites(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    reboot = False
    if not _fits(host.kernel, environment):
        reboot = _want_kernel(host, environment)
    for name in _TOOLS[host.os.family]:
        if name not in host.packages:
            _download(host)
            host.change()
            host.packages[name] = "1.0"
    host.change()
    host.make_key()
    host.write_receipt("prerequisites", "kept")
    if reboot:
        return Ended(code=20, reason="reboot", sentence=f"kernel {host.next_kernel} is installed")
    return Ended(code=0, reason="holds")


def _want_kernel(host: SimulatedHost, environment: Mapping[str, str]) -> bool:
    patterns = environment["SUPPORTED_KERNELS"]
    if environment.get("KERNEL_MODE", "require") != "install":
        raise EndError(
            78, "kernel", f"kernel {host.kernel} is not one that this SDC supports ({patterns})"
        )
    exact = next((p for p in patterns.split() if "*" not in p), "")
    if not exact:
        raise EndError(78, "kernel-pattern", "the catalog names only kernel patterns")
    _download(host)
    host.change()
    host.next_kernel = exact
    return True


def _download(host: SimulatedHost) -> None:
    if host.dials.download_fails:
        raise EndError(75, "download", "the download failed: see curl's message above")


def _ensure_package(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> None:
    _need(environment, "PACKAGE_VERSION", "PACKAGE_URL", "PACKAGE_SHA256", "PACKAGE_SIZE")
    name, wanted = database_name(host, component), environment["PACKAGE_VERSION"]
    have = host.packages.get(name, "")
    if have:
        if have != wanted and not have.startswith((f"{wanted}.", f"{wanted}-")):
            raise EndError(
                78, "other-version", f"{component} {have} is installed, the catalog says {wanted}"
            )
        return
    _download(host)
    if host.dials.checksum_wrong:
        raise EndError(65, "checksum", f"{component} does not have the SHA-256 of the catalog")
    host.change()
    host.packages[name] = f"{wanted}.el7" if host.os.family == "rpm" else wanted


def _start(host: SimulatedHost, service: str) -> None:
    host.change()
    host.enabled.add(service)
    if not host.start(service):
        raise EndError(1, "service", f"service {service} does not run after it was started")


def _sds(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _ensure_package(host, "sds", environment)
    _start(host, "sds")
    host.write_receipt("sds", "kept", version=environment["PACKAGE_VERSION"])
    return Ended(code=0, reason="holds")


def _sdc(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(environment, "MDM_IP")
    if not _fits(host.kernel, environment):
        raise EndError(78, "kernel", f"kernel {host.kernel} is not one that this SDC supports")
    fresh = not host.has_sdc
    _ensure_package(host, "sdc", environment)
    host.module_kernels = tuple(environment.get("SUPPORTED_KERNELS", "").split())
    wanted = tuple(environment["MDM_IP"].split(","))
    if fresh:
        host.mdm_ips = wanted
    _start(host, "scini")
    if not host.module_loaded:
        raise EndError(
            1, "module",
            f"service scini runs, but its module is not loaded: there is none for {host.kernel}",
        )  # fmt: skip
    if frozenset(host.mdm_ips) != frozenset(wanted):
        if host.mdm_ips and not frozenset(host.mdm_ips) & frozenset(wanted):
            raise EndError(78, "other-cluster", "this SDC already serves another cluster")
        host.change()
        host.mdm_ips = wanted
        host.announce_sdc()
    host.write_receipt("sdc", "kept", version=environment["PACKAGE_VERSION"])
    return Ended(code=0, reason="holds", extra=(("guid", host.sdc_guid),))


def _rexray(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(
        environment, "GATEWAY_ENDPOINT", "GATEWAY_INSECURE", "GATEWAY_USER", "PROTECTION_DOMAIN",
        "STORAGE_POOL", "CONFIG_DIGEST", "SEALED_PASSWORD",
    )  # fmt: skip
    if not (environment.get("SYSTEM_ID") or environment.get("SYSTEM_NAME")):
        raise EndError(78, "setting", "SYSTEM_ID or SYSTEM_NAME has to be given")
    _ensure_package(host, "rexray", environment)
    path = "/etc/rexray/config.yml"
    receipt = host.receipts.get("rexray")
    ours = receipt is not None and receipt.more.get("config") == environment["CONFIG_DIGEST"]
    current = host.files.get(path)
    if not ours or receipt is None or digest(current or "") != receipt.more.get("sha256"):
        password = _open(host, environment["SEALED_PASSWORD"])
        host.change()
        host.password = password
        told = {k: v for k, v in environment.items() if not k.startswith("SEALED")}
        host.files[path] = "".join(f"{k}={v}\n" for k, v in sorted(told.items()))
        host.write_receipt(
            "rexray", "kept", config=environment["CONFIG_DIGEST"], sha256=digest(host.files[path])
        )
    _start(host, "rexray")
    return Ended(code=0, reason="holds")


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


def _isolator(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(environment, "ISOLATION_FROM", "ISOLATION_TO", "CHECKPOINT_DIR")
    if host.dials.flags_closed:
        raise EndError(78, "flags", "the agent's /flags cannot be read")
    if host.launcher != "linux":
        raise EndError(78, "launcher", "the agent's launcher is not linux")
    effective, wanted = ",".join(host.isolation), environment["ISOLATION_TO"]
    if effective not in {environment["ISOLATION_FROM"], wanted}:
        raise EndError(75, "flags-changed", "the agent's isolation changed since it was surveyed")
    _ensure_package(host, "dvdcli", environment)
    if host.dials.dvdcli_hidden:
        raise EndError(78, "dvdcli-path", "dvdcli is not on the agent's PATH")
    if effective == wanted:
        return Ended(code=0, reason="holds")
    host.change()
    host.next_isolation = tuple(wanted.split(","))
    host.write_receipt("isolator", "kept")
    return Ended(code=21, reason="agent-restart", sentence="it holds after an agent restart")


def _agent_restart(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(environment, "ISOLATION_TO", "MASTER_ENDPOINT")
    open_one = host.receipts.get("agent-restart")
    still_open = open_one is not None and open_one.state == "open"
    if still_open and host.armed_restart:  # a watcher that died with its task judges nothing
        raise EndError(75, "armed-already", "a restart of the agent is already under way")
    if host.dials.flags_closed:
        raise EndError(78, "flags", "the agent's /flags cannot be read")
    if ",".join(host.isolation) == environment["ISOLATION_TO"]:
        return Ended(code=0, reason="holds")
    if not host.next_isolation:
        raise EndError(78, "no-way-back", "there is no record of what was changed")
    host.change()
    host.write_receipt("agent-restart", "open")
    return Ended(code=0, reason="armed")


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
    if not disk.is_free or disk.read_only:
        return "it cannot be opened alone: something uses it"
    if blank and not disk.is_blank:
        return "blkid finds a signature"
    return "it holds data: not all samples are zero" if zero and not disk.zero else ""


def _probe(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(environment, "VOLUME_PATH")
    if not host.has_sdc:
        raise EndError(78, "drv-cfg", "drv_cfg is missing: the sdc step brings it")
    if not (host.module_loaded and host.sees_volume(environment["VOLUME_PATH"])):
        raise EndError(1, "not-seen", "the volume is mapped, but does not appear")
    return Ended(code=0, reason="seen")


def _reboot(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    _need(environment, "PERMIT_URL")
    host.change()
    host.write_receipt("reboot", "open")
    host.armed_reboot = True
    return Ended(code=0, reason="armed")


def _keeper(_host: SimulatedHost, _environment: Mapping[str, str]) -> Ended:
    return Ended(code=143, reason="keeping")


_MODELS: Final[Mapping[str, Callable[[SimulatedHost, Mapping[str, str]], Ended]]] = {
    "survey": lambda _host, _environment: Ended(code=0, reason="surveyed"),
    "prerequisites": _prerequisites,
    "sds": _sds,
    "sdc": _sdc,
    "rexray": _rexray,
    "isolator": _isolator,
    "agent-restart": _agent_restart,
    "claim": _claim,
    "probe": _probe,
    "reboot": _reboot,
    "keeper": _keeper,
}
