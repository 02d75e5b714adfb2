"""From the text of a survey to facts. Nothing is parsed on the host; everything is here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.facts import Facts, Receipt
from install_steps import agent_facts, host_facts
from install_steps.disk_facts import disks_of
from install_steps.frames import (
    ABSENT,
    TIMED_OUT,
    Frame,
    SurveyError,
    first_line,
    frames_of,
    json_object,
    sound,
)
from install_steps.sealing import result_of

__all__ = ["SurveyError", "family_of", "parse_survey"]

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MACHINE_ID: Final = re.compile(r"[0-9A-Za-z-]{8,64}")
_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----")
_OLD_OPENSSL: Final = re.compile(r"OpenSSL (?:0\.|1\.0\.[01])")
_SERVICES: Final = ("sds", "scini", "rexray")
_HALF: Final = frozenset({"half-installed", "unpacked", "half-configured"})  # dpkg's words
_COMPONENTS: Final[Mapping[str, str]] = {
    "emc-scaleio-sds": "sds",
    "emc-scaleio-sdc": "sdc",
    "rexray": "rexray",
    "dvdcli": "dvdcli",
}
_PREREQUISITES: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "deb": tuple(
        frozenset(names)
        for names in (("libaio1", "libaio1t64"), ("numactl",), ("openssl",), ("curl",))
    ),
    "rpm": tuple(
        frozenset(names)
        for names in (("libaio",), ("numactl",), ("openssl",), ("curl", "curl-minimal"))
    ),
}


def family_of(os_id: str, os_like: Iterable[str]) -> str:
    """`deb`, `rpm`, or "" for a platform that we do not know."""
    names = {os_id, *os_like}
    if names & {"debian", "ubuntu"}:
        return "deb"
    if names & {"rhel", "centos", "fedora"}:
        return "rpm"
    return ""


def parse_survey(text: str) -> Facts:
    """The facts of one survey. Raises SurveyError, and nothing else, whatever the text is."""
    frames = frames_of(text)
    _complete(text, frames)
    release = host_facts.release_of(frames)
    family = family_of(release.os_id, release.like)
    kernel, _, architecture = first_line(frames, "uname").partition(" ")
    machine_id = first_line(frames, "machine-id").lower()
    boot_id = first_line(frames, "boot-id").lower()
    for what, found in (("machine id", machine_id), ("boot id", boot_id)):
        if not _MACHINE_ID.fullmatch(found):
            raise SurveyError(f"the host tells no {what}: look at its /etc/machine-id and /proc")
    if not kernel:
        raise SurveyError("the host tells no kernel release: uname does not work there")
    init = _init(frames)
    installed = _installed(frames, family)
    receipts = _receipt_entries(frames)
    flags = agent_facts.agent_flags(frames)
    public_key = _public_key(frames)
    facts = Facts(
        machine_id=machine_id,
        boot_id=boot_id,
        os_id=release.os_id,
        os_version=release.version,
        os_like=release.like,
        kernel=kernel,
        architecture=architecture.strip() or "x86_64",
        init=init,
        packages=_packages(frames, installed, family),
        prerequisites=bool(public_key)
        and all(names & installed.keys() for names in _PREREQUISITES.get(family, (frozenset(),))),
        services={name: _active(frames, init, name) for name in _SERVICES},
        sdc_guid=_guid(frames),
        sdc_module=first_line(frames, "module") == "live",
        rexray_config=_rexray_config(frames, receipts),
        rexray_points=_rexray_points(frames),
        isolation=tuple(
            part for raw in flags.get("isolation", "").split(",") if (part := raw.strip())
        ),
        launcher=flags.get("launcher", ""),
        public_key=public_key,
        oaep_digest="sha1" if _OLD_OPENSSL.match(first_line(frames, "openssl")) else "sha256",
        disks=disks_of(frames, agent_resources=flags.get("resources", "")),
        receipts=tuple(_receipts(receipts, boot_id)),
        unfinished=_unfinished(frames, receipts),
        release=release.told_by,
        contained=agent_facts.contained(frames),
        agent=agent_facts.agent_of(frames, init),
    )
    return _with_host(facts, frames, family, installed)


def _with_host(
    facts: Facts, frames: Mapping[str, Frame], family: str, installed: Mapping[str, str]
) -> Facts:
    clock, uptime_s, took_s = host_facts.clock_of(frames)
    clusters = host_facts.clusters_of(frames)
    return attrs.evolve(
        facts,
        clock=clock,
        uptime_s=uptime_s,
        took_s=took_s,
        clock_synced=host_facts.clock_synced(frames),
        tools=host_facts.tools_of(installed),
        database=host_facts.database_of(frames, family, installed),
        states=host_facts.services_of(frames, facts.init),
        space=host_facts.spaces_of(frames),
        sdc_clusters=clusters,
        sdc_mdms=tuple(dict.fromkeys(a for cluster in clusters for a in cluster.addresses)),
        module_version=first_line(frames, "module-version"),
        module_file=first_line(frames, "module-file"),
    )


def _complete(text: str, frames: Mapping[str, Frame]) -> None:
    result = result_of(text)
    if result is None or result.get("frames") != len(frames):
        raise SurveyError("survey output is not complete: survey again")


def _init(frames: Mapping[str, Frame]) -> str:
    comm = first_line(frames, "init")
    if comm == "systemd":
        return "systemd"
    if comm != "init":
        return ""
    return "upstart" if "upstart" in sound(frames, "init-version") else "sysvinit"


def _installed(frames: Mapping[str, Frame], family: str) -> dict[str, str]:
    """Package name in lower case -> version; the query fails when it knows one of them not."""
    found: dict[str, str] = {}
    frame = frames.get(f"packages-{family}", ABSENT)
    for line in frame.text.splitlines() if frame.status < TIMED_OUT else ():
        match line.split():
            case [name, _, "ok", "installed", version] if family == "deb":
                found[name.lower()] = version
            case [name, version] if family == "rpm":
                found[name.lower()] = version
            case _:
                pass
    return found


def _packages(
    frames: Mapping[str, Frame], installed: Mapping[str, str], family: str
) -> dict[str, str]:
    cut_short = _brought(frames) if family == "rpm" else _cut_short(frames)
    packages = {
        component: installed[name] for name, component in _COMPONENTS.items() if name in installed
    }
    for tool in ("rexray", "dvdcli"):
        actual = first_line(frames, f"binary.{tool}").split()
        if tool in packages or not actual:
            continue
        unpacked = first_line(frames, f"unpacked.{tool}").split()
        if len(unpacked) == 2 and unpacked[1] == actual[0]:
            packages[tool] = unpacked[0]
        elif tool not in cut_short:
            packages[tool] = "unknown"
    return packages


def _cut_short(frames: Mapping[str, Frame]) -> set[str]:
    """Packages that dpkg has begun to install: their files are there, and nobody else's."""
    lines = (line.split() for line in frames.get("packages-deb", ABSENT).text.splitlines())
    return {words[0] for words in lines if len(words) > 3 and words[3] in _HALF}


def _brought(frames: Mapping[str, Frame]) -> set[str]:
    """Packages by our own record, which is written before they are installed.

    rpm lays the files first and lists the package last: a run that was killed in between leaves a
    program of no package.
    """
    text = sound(frames, "brought")
    return {line.partition("\t")[0] for line in text.splitlines()}


def _unfinished(
    frames: Mapping[str, Frame], receipts: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    """A step that was killed late leaves all but what it does last, and its receipt comes last."""
    ours = {_COMPONENTS.get(name.lower(), "") for name in _brought(frames)}
    return tuple(name for name in ("sds", "sdc", "rexray") if name in ours - receipts.keys())


def _active(frames: Mapping[str, Frame], init: str, name: str) -> bool:
    frame = frames.get(f"service.{name}", ABSENT)
    match init:
        case "systemd":
            return frame.text.strip() == "active"
        case _:  # upstart's word, also where it could not be asked for its version
            return frame.status == 0 and "stop/waiting" not in frame.text


def _guid(frames: Mapping[str, Frame]) -> str:
    found = _GUID.search(sound(frames, "guid"))
    return found.group().upper() if found else ""


def _public_key(frames: Mapping[str, Frame]) -> str:
    found = _PEM.search(sound(frames, "public-key"))
    return found.group() + "\n" if found else ""


def _receipt_entries(frames: Mapping[str, Frame]) -> dict[str, dict[str, str]]:
    entries = json_object(sound(frames, "receipt")).get("entries")
    found: dict[str, dict[str, str]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            texts = {name: value for name, value in entry.items() if isinstance(value, str)}
            if {"step", "state"} <= texts.keys():
                found[texts["step"]] = texts
    return found


def _receipts(entries: Mapping[str, Mapping[str, str]], boot_id: str) -> Iterable[Receipt]:
    """What watched in an earlier boot is gone, and the host itself tells how it ended."""
    for step, entry in entries.items():
        state = entry["state"]
        if state not in {"open", "kept", "rolled-back"}:
            continue
        if state == "open" and entry.get("boot_id", "").lower() != boot_id:
            state = "kept"
        yield Receipt(step=step, state=state, digest=entry.get("digest", ""))


def _rexray_config(frames: Mapping[str, Frame], receipts: Mapping[str, Mapping[str, str]]) -> str:
    """The digest of the wish behind the file, if the file still is what our step wrote."""
    actual = first_line(frames, "rexray-config").split()
    entry = receipts.get("rexray", {})
    if not actual or entry.get("sha256") != actual[0]:
        return ""
    return entry.get("config", "")


def _rexray_points(frames: Mapping[str, Frame]) -> dict[str, str]:
    """Which cluster its file points to: keys in lower case, the endpoint as host or host:port."""
    found: dict[str, str] = {}
    for line in sound(frames, "rexray-points").splitlines():
        key, _, value = line.strip().partition(":")
        plain = value.strip().strip("\"'").strip()
        if plain:
            found.setdefault(key.lower(), plain.partition("://")[2].partition("/")[0] or plain)
    return found
