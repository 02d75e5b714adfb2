"""Packages of a simulated host: those of its distribution, and those of the operator's catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    missing = [name for name in TOOLS[host.os.family] if name not in host.packages]
    if missing:
        _from_distribution(host)
    for name in missing:
        host.change()
        host.packages[name] = "1.0"
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
        raise EndError(78, "kernel-order", f"a newer kernel than {exact} would be booted")
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


def _from_distribution(host: SimulatedHost) -> None:
    if host.dials.download_fails:
        raise EndError(75, "download", "apt-get update failed: see above")
    if host.dials.packages_locked:
        raise EndError(75, "package-lock", "another program holds the package database")


def ensure_package(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> None:
    need(environment, "PACKAGE_VERSION", "PACKAGE_URL", "PACKAGE_SHA256", "PACKAGE_SIZE")
    wanted, have = environment["PACKAGE_VERSION"], _installed(host, component)
    if have:
        if have != wanted and not have.startswith((f"{wanted}.", f"{wanted}-")):
            raise EndError(
                78, "other-version", f"{component} {have} is installed, the catalog says {wanted}"
            )
        return
    _fetch(host, component, environment)
    if environment["PACKAGE_URL"].endswith(_ARCHIVES):
        host.change()
        host.unpacked[component] = wanted
        return
    if host.dials.packages_locked:
        raise EndError(75, "package-lock", "another program holds the package database")
    host.change()
    name = database_name(host, component)
    host.packages[name] = _as_database_has_it(host, wanted)


def _as_database_has_it(host: SimulatedHost, version: str) -> str:
    """With the platform's part, or the revision, that a catalog may leave out."""
    if host.os.family == "rpm":
        return f"{version}.el7"
    return version if "-" in version else f"{version}-1"


def _installed(host: SimulatedHost, component: str) -> str:
    found = host.packages.get(database_name(host, component), "")
    return found or host.unpacked.get(component, "")


def _fetch(host: SimulatedHost, component: str, environment: Mapping[str, str]) -> None:
    url = environment["PACKAGE_URL"]
    if url.startswith("http://") and environment.get("PACKAGE_ALLOW_HTTP") != "yes":
        raise EndError(78, "url", "the catalog's URL is plain http: use https, or set allow_http")
    if "curl" not in host.packages:
        raise EndError(78, "curl", "curl is missing: the prerequisites step brings it")
    if host.dials.download_fails or host.dials.full == "sandbox":
        raise EndError(75, "download", "the download failed: see curl's message above")
    if host.dials.size_wrong:
        raise EndError(65, "size", f"{component} is not as long as the catalog says")
    if host.dials.checksum_wrong:
        raise EndError(65, "checksum", f"{component} does not have the SHA-256 of the catalog")
