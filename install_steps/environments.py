"""What each step's script is told, as environment variables of its task. No secret in the clear."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from domain.facts import Facts
from install_steps.packages import Catalog, Package
from install_steps.texts import StepTextError

RESTART_DELAY_S: Final = 10  # for the end of its task to be stored and acknowledged
_PRINTABLE: Final = re.compile(r"[ !#-\[\]-_a-~]+")  # no double quote, backslash, backtick


@attrs.frozen(kw_only=True)
class StepContext:
    """Everything that any step may need to be told. What is not known stays at its default."""

    facts: Facts
    catalog: Catalog | None = None
    kernel_mode: str = "require"  # require, install
    mdm_addresses: tuple[str, ...] = ()
    gateway_endpoint: str = ""  # https://host[:port]/api, as the hosts reach it
    gateway_insecure: bool = False
    gateway_user: str = ""
    sealed_password: str = ""
    secret_tag: str = ""  # changes when the password does (sealing.secret_tag)
    system_id: str = ""
    system_name: str = ""
    domain: str = ""
    pool: str = ""
    thick: bool = False
    isolation_to: tuple[str, ...] = ()  # catalog.wanted_isolation of the facts
    checkpoint_dir: str = "/var/lib/mesos-docker-volume"
    restart_anyway: bool = False  # although the agent shows the wanted isolation
    agent_unit: str = ""  # "" : mesos-slave or mesos-agent, whichever runs
    master_endpoint: str = ""  # host:port of the leading master
    devices: tuple[str, ...] = ()  # taken by the rules of auto
    devices_declared: tuple[str, ...] = ()
    devices_overwrite: tuple[str, ...] = ()
    volume_path: str = ""  # /dev/disk/by-id/emc-vol-<system>-<volume>
    permit_url: str = ""
    permit_ca: str = ""  # PEM of the authority behind permit_url; "" for the host's own
    delay_s: int = 15  # of a reboot, for the end of its task to be stored and acknowledged
    provides_storage: bool = False
    left_cluster: bool = False  # neither its SDS nor its SDC is listed any more
    watches_sdc: bool = True
    watches_rexray: bool = True
    mirror: str = ""  # http://host:port/packages of the scheduler, as the hosts reach it
    mirrored: frozenset[str] = frozenset()  # SHA-256 of the files that it serves
    packages_proxy: str = ""
    packages_no_proxy: str = ""


def rexray_digest(context: StepContext) -> str:
    """Digest of everything that the configuration file is made of; the secret by its tag."""
    parts = [
        context.gateway_endpoint, context.gateway_insecure, context.gateway_user,
        context.secret_tag, context.system_id, context.system_name, context.domain, context.pool,
        context.thick,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def rexray_points(context: StepContext) -> Mapping[str, str]:
    """Which cluster our REX-Ray files point to, as Facts.rexray_points has it."""
    gateway = context.gateway_endpoint.partition("://")[2].partition("/")[0]
    points = {
        "systemid": context.system_id, "systemname": context.system_name, "endpoint": gateway
    }  # fmt: skip
    return {key: value for key, value in points.items() if value}


def environment_of(step: str, context: StepContext) -> Mapping[str, str]:
    """The variables of one step. Raises StepTextError when something it needs is not known."""
    build = _BUILDERS.get(step)
    if build is None:
        raise StepTextError(f"there is no step {step!r}")
    return {name: value for name, value in build(context).items() if value}


def _need(value: str, what: str) -> str:
    if not value:
        raise StepTextError(f"{what} is not known yet")
    if not _PRINTABLE.fullmatch(value):
        raise StepTextError(f"{what} has a character that cannot be passed to a host")
    return value


def _package(component: str, context: StepContext) -> dict[str, str]:
    facts, catalog = context.facts, context.catalog
    package: Package | None = catalog.package_for(component, facts) if catalog else None
    if package is None:
        raise StepTextError(
            f"no package for {component} on {facts.os_id} {facts.os_version} in the catalog"
        )
    urls = _addresses(package, context)
    return {
        "PACKAGE_URL": urls[0],
        "PACKAGE_MIRRORS": " ".join(urls[1:]),
        "PACKAGE_SHA256": package.sha256,
        "PACKAGE_SIZE": str(package.size_bytes),
        "PACKAGE_VERSION": package.version,
        "PACKAGE_MEMBER": package.member,
        "PACKAGE_ALLOW_HTTP": "yes" if package.allow_http else "",
        "PACKAGE_UPGRADE": "yes" if package.upgrade else "",
        "PACKAGE_DOWNGRADE": "yes" if package.downgrade else "",
        **_network(context),
    }


def _addresses(package: Package, context: StepContext) -> tuple[str, ...]:
    """Where the host may get the file; the scheduler's own copy first."""
    ours: tuple[str, ...] = ()
    if context.mirror and package.sha256 in context.mirrored:
        ours = (f"{context.mirror}/{package.sha256}/{package.file}",)
    urls = (*ours, *package.urls)
    if not urls:
        raise StepTextError(
            f"the catalog names no url for {package.file}, and the scheduler does not have it: "
            "put it into the folder given by -packages.dir"
        )
    return urls


def _network(context: StepContext) -> dict[str, str]:
    return {
        "PACKAGE_OWN": f"{context.mirror}/" if context.mirror else "",
        "PACKAGE_PROXY": context.packages_proxy,
        "PACKAGE_NO_PROXY": context.packages_no_proxy,
    }


def _sds(context: StepContext) -> dict[str, str]:
    """With the permit, if there is one, to restart an SDS that runs."""
    permit = _permit(context) if context.permit_url else {}
    return {**_package("sds", context), **permit}


def _permit(context: StepContext) -> dict[str, str]:
    return {
        "PERMIT_URL": _need(context.permit_url, "the permit's URL"),
        "PERMIT_CA": base64.b64encode(context.permit_ca.encode()).decode(),
    }


def _kernels(context: StepContext) -> str:
    package = context.catalog.package_for("sdc", context.facts) if context.catalog else None
    return " ".join(package.kernels) if package else ""


def _prerequisites(context: StepContext) -> dict[str, str]:
    return {
        "KERNEL_MODE": context.kernel_mode,
        "SUPPORTED_KERNELS": _kernels(context),
        **_dependencies(context),
    }


def _dependencies(context: StepContext) -> dict[str, str]:
    """One line each: name, SHA-256, size, whether plain http will do, addresses.

    What nobody has is left to the distribution's own archive.
    """
    packages = context.catalog.dependencies_for(context.facts) if context.catalog else ()
    lines: list[str] = []
    for package in packages:
        if not (package.urls or package.sha256 in context.mirrored):
            continue
        plain = "yes" if package.allow_http else "no"
        told = (package.name, package.sha256, str(package.size_bytes), plain)
        lines.append(" ".join((*told, *_addresses(package, context))))
    if not lines:
        return {}
    numbered = {f"DEPENDENCY_{n}": line for n, line in enumerate(lines, start=1)}
    return {"DEPENDENCIES": str(len(lines)), **numbered, **_network(context)}


def _sdc(context: StepContext) -> dict[str, str]:
    return {
        **_package("sdc", context),
        "SUPPORTED_KERNELS": _kernels(context),
        "MDM_IP": _need(",".join(context.mdm_addresses), "the manager MDMs' address list"),
    }


def _rexray(context: StepContext) -> dict[str, str]:
    if not (context.system_id or context.system_name):
        raise StepTextError("the ScaleIO system's id or name is not known yet")
    return {
        **_package("rexray", context),
        "GATEWAY_ENDPOINT": _need(context.gateway_endpoint, "the Gateway's address"),
        "GATEWAY_INSECURE": "true" if context.gateway_insecure else "false",
        "GATEWAY_USER": _need(context.gateway_user, "the Gateway's user name"),
        "SEALED_PASSWORD": _need(context.sealed_password, "the sealed password"),
        "SEALED_DIGEST": context.facts.oaep_digest,
        "CONFIG_DIGEST": rexray_digest(context),
        "SYSTEM_ID": context.system_id,
        "SYSTEM_NAME": context.system_name,
        "PROTECTION_DOMAIN": _need(context.domain, "the protection domain's name"),
        "STORAGE_POOL": _need(context.pool, "the storage pool's name"),
        "THIN_OR_THICK": "ThickProvisioned" if context.thick else "ThinProvisioned",
    }


def _isolator(context: StepContext) -> dict[str, str]:
    return {
        **_package("dvdcli", context),
        "ISOLATION_FROM": _need(",".join(context.facts.isolation), "the agent's isolation"),
        "ISOLATION_TO": _need(",".join(context.isolation_to), "the wanted isolation"),
        "CHECKPOINT_DIR": _need(context.checkpoint_dir, "the volume checkpoint folder"),
        "MASTER_ENDPOINT": context.master_endpoint,
        "AGENT_UNIT": context.agent_unit,
    }


def _agent_restart(context: StepContext) -> dict[str, str]:
    return {
        "ISOLATION_TO": _need(",".join(context.isolation_to), "the wanted isolation"),
        "MASTER_ENDPOINT": _need(context.master_endpoint, "the leading master's address"),
        "AGENT_UNIT": context.agent_unit,
        "DELAY_S": str(RESTART_DELAY_S),
        "RESTART_ANYWAY": "yes" if context.restart_anyway else "",
    }


def _claim(context: StepContext) -> dict[str, str]:
    groups = {
        "DEVICES": context.devices,
        "DEVICES_DECLARED": context.devices_declared,
        "DEVICES_OVERWRITE": context.devices_overwrite,
    }
    for path in (path for paths in groups.values() for path in paths):
        if " " in _need(path, "a device path"):
            raise StepTextError(f"device path {path!r} holds a blank")
    if not any(groups.values()):
        raise StepTextError("no device is named")
    return {name: " ".join(paths) for name, paths in groups.items()}


def _probe(context: StepContext) -> dict[str, str]:
    return {"VOLUME_PATH": _need(context.volume_path, "the probe volume's path")}


def _reboot(context: StepContext) -> dict[str, str]:
    return {**_permit(context), "DELAY_S": str(context.delay_s)}


def _uninstall(context: StepContext) -> dict[str, str]:
    return {
        "LEFT_CLUSTER": "yes" if context.left_cluster else "",
        "ISOLATION_TO": ",".join(context.isolation_to),
        "CHECKPOINT_DIR": context.checkpoint_dir,
    }


def _keeper(context: StepContext) -> dict[str, str]:
    return {
        "PROVIDES_SDS": "yes" if context.provides_storage else "no",
        "WATCH_SDC": "yes" if context.watches_sdc else "no",
        "WATCH_REXRAY": "yes" if context.watches_rexray else "no",
    }


_BUILDERS: Final[Mapping[str, Callable[[StepContext], dict[str, str]]]] = {
    "survey": lambda _context: {},
    "prerequisites": _prerequisites,
    "sds": _sds,
    "sdc": _sdc,
    "rexray": _rexray,
    "isolator": _isolator,
    "agent-restart": _agent_restart,
    "claim": _claim,
    "probe": _probe,
    "reboot": _reboot,
    "uninstall": _uninstall,
    "keeper": _keeper,
    "keeper_health": _keeper,
}
