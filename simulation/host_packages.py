"""Packages of a simulated host: those of its distribution, and those of the operator's catalog."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from simulation.host_ends import Ended, EndError, kernel_fits, known_platform, need

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "deb": ("libaio1", "numactl", "openssl", "curl", "ca-certificates"),
    "rpm": ("libaio", "numactl", "openssl", "curl", "ca-certificates"),
}
_ARCHIVES: Final = (".tar.gz", ".tgz")


def database_name(host: SimulatedHost, component: str) -> str:
    if component in {"sds", "sdc"}:
        return f"emc-scaleio-{component}" if host.os.family == "deb" else f"EMC-ScaleIO-{component}"
    return component


def prerequisites(host: SimulatedHost, environment: Mapping[str, str]) -> Ended:
    known_platform(host)
    reboot = not kernel_fits(host.kernel, environment) and _want_kernel(host, environment)
    if any(name not in host.packages for name in TOOLS[host.os.family]):
        _bring_dependencies(host, environment)
    missing = [name for name in TOOLS[host.os.family] if name not in host.packages]
    if missing:
        _from_distribution(host)
    for name in missing:
        host.change()
        host.packages[name] = "1.0"
        host.installed_by_us.add(name)
    if host.key_damaged:
        raise EndError(78, "key", "the host key is damaged: remove it if you agree to a new one")
    host.change()
    host.make_key()
    host.change()
    host.key_told = True
    host.write_receipt("prerequisites", "kept")
    if reboot:
        return Ended(code=20, reason="reboot", sentence=f"kernel {host.next_kernel} is installed")
    return Ended(code=0, reason="holds")


def _want_kernel(host: SimulatedHost, environment: Mapping[str, str]) -> bool:
    patterns, mode = environment["SUPPORTED_KERNELS"], environment.get("KERNEL_MODE", "require")
    if mode not in {"require", "install"}:
        raise EndError(78, "setting", f"variable KERNEL_MODE is '{mode}'")
    if mode == "require":
        raise EndError(
            78, "kernel", f"kernel {host.kernel} is not one that this SDC supports ({patterns})"
        )
    exact = next((p for p in patterns.split() if "*" not in p), "")
    if not exact:
        raise EndError(78, "kernel-pattern", "the catalog names only kernel patterns")
    if max(host.kernels | {exact}, key=_by_version) != exact:
        raise EndError(
            78, "kernel-order",
            f"a newer kernel than {exact} is installed and would be booted: make {exact} the "
            "default and reboot",
        )  # fmt: skip
    if exact not in host.kernels:
        _from_distribution(host)
        host.change()
        host.kernels.add(exact)
    elif host.kernel_installed_in not in {"", host.boot_id}:
        raise EndError(78, "kernel-not-booted", f"{exact} is installed, but was not booted")
    host.kernel_installed_in = host.boot_id
    host.next_kernel = exact
    return True


def _by_version(kernel: str) -> list[tuple[int, str]]:
    """As `sort -V` has it: numbers count as numbers."""
    return [(int(part or 0), rest) for part, rest in re.findall(r"(\d*)(\D*)", kernel)]


def _bring_dependencies(host: SimulatedHost, environment: Mapping[str, str]) -> None:
    """The distribution's packages that the catalog brings itself: all at once."""
    lines = [
        environment[f"DEPENDENCY_{n}"].split()
        for n in range(1, int(environment.get("DEPENDENCIES", "0")) + 1)
    ]
    wanted = [line for line in lines if line[0] not in host.packages]
    for name, _, _, plain, *urls in wanted:
        _download(host, name, urls, environment, plain=plain == "yes")
    if wanted and host.dials.packages_locked:
        raise EndError(75, "package-lock", "another program holds the package database")
    for name, *_ in wanted:
        host.change()
        host.packages[name] = "1.0"
        host.installed_by_us.add(name)


def _from_distribution(host: SimulatedHost) -> None:
    if host.dials.download_fails:
        raise EndError(75, "download", "apt-get update failed: see above")
    if host.dials.packages_locked:
        raise EndError(75, "package-lock", "another program holds the package database")


def ensure_package(
    host: SimulatedHost,
    component: str,
    environment: Mapping[str, str],
    replacing: Callable[[], None] = lambda: None,
) -> str:
    """What was done: none, install, upgrade, downgrade, repair."""
    need(environment, "PACKAGE_VERSION", "PACKAGE_URL", "PACKAGE_SHA256", "PACKAGE_SIZE")
    if host.dials.packages_running:
        raise EndError(75, "package-running", "an earlier step's package manager still runs")
    action = _action(host, component, environment)
    if action == "none":
        return action
    replacing()
    _fetch(host, component, environment)
    wanted, name = environment["PACKAGE_VERSION"], database_name(host, component)
    if environment["PACKAGE_URL"].endswith(_ARCHIVES):
        host.change()
        host.installed_by_us.add(component)
        host.unpacked[component] = wanted
        return action
    if host.dials.version_wrong:
        raise EndError(65, "version", f"the file for {component} holds another version")
    if action == "install":
        host.installed_by_us.add(component)  # the record comes first
    if host.dials.packages_locked:
        raise EndError(75, "package-lock", "another program holds the package database")
    host.change()
    host.half_installed.pop(name, None)
    host.damaged.discard(name)
    host.packages[name] = _as_database_has_it(host, wanted)
    return action


def _action(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> str:
    """Nobody's version is replaced unasked."""
    wanted, name = environment["PACKAGE_VERSION"], database_name(host, component)
    have = host.half_installed.get(name) or _installed(host, component)
    if not have:
        _not_foreign(host, component, environment)
        return "install"
    if have == wanted or have.startswith((f"{wanted}.", f"{wanted}-")):
        return "repair" if name in host.half_installed or name in host.damaged else "none"
    action = "upgrade" if _by_version(have) < _by_version(wanted) else "downgrade"
    if environment.get(f"PACKAGE_{action.upper()}") != "yes":
        raise EndError(
            78, "other-version", f"{component} {have} is installed, the catalog says {wanted}"
        )
    if name in host.held:
        raise EndError(78, "held", f"{component} {have} is on hold in this host's database")
    return action


def _not_foreign(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> None:
    """A program that neither a package nor we have brought is somebody's own."""
    foreign = host.unpacked.get(component) == "" and component not in host.installed_by_us
    if foreign and environment.get("PACKAGE_UPGRADE") != "yes":
        raise EndError(78, "other-version", f"/usr/bin/{component} is of no package")


def _as_database_has_it(host: SimulatedHost, version: str) -> str:
    """With the platform's part, or the revision, that a catalog may leave out."""
    if host.os.family == "rpm":
        return f"{version}.el7"
    return version if "-" in version else f"{version}-1"


def _installed(host: SimulatedHost, component: str) -> str:
    found = host.packages.get(database_name(host, component), "")
    return found or host.unpacked.get(component, "")


def _fetch(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> None:
    urls = [environment["PACKAGE_URL"], *environment.get("PACKAGE_MIRRORS", "").split()]
    plain = environment.get("PACKAGE_ALLOW_HTTP") == "yes"
    _download(host, component, urls, environment, plain=plain)


def _download(
    host: SimulatedHost,
    name: str,
    urls: Sequence[str],
    environment: Mapping[str, str],
    *,
    plain: bool,
) -> None:
    """From any mirror: the dials hold for all of them. Without curl, every host has Python."""
    own = environment.get("PACKAGE_OWN", "")
    for url in urls:
        ours = bool(own) and url.startswith(own)
        if not url.startswith(("https://", "file:///")) and not (
            url.startswith("http://") and (plain or ours)
        ):
            raise EndError(78, "url", f"{url} is plain http: use https, or set allow_http")
    if host.dials.full:
        raise EndError(75, "space", f"there is no room for {name}")
    if host.dials.download_fails:
        raise EndError(75, "download", "the download failed: see the messages above")
    if host.dials.size_wrong:
        raise EndError(65, "size", f"{name} is not as long as the catalog says")
    if host.dials.checksum_wrong:
        raise EndError(65, "checksum", f"{name} does not have the SHA-256 of the catalog")
