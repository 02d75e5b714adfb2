"""From the text of a survey to facts. Nothing is parsed on the host; everything is here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from domain.facts import Facts, Receipt
from install_steps.disk_facts import disks_of
from install_steps.frames import ABSENT, Frame, SurveyError, frames_of
from install_steps.sealing import result_of

__all__ = ["SurveyError", "family_of", "parse_survey"]

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MDM: Final = re.compile(r"\[\d+\]-([0-9A-Fa-f.:]+)")
_MACHINE_ID: Final = re.compile(r"[0-9A-Za-z-]{8,64}")
_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----")
_OLD_OPENSSL: Final = re.compile(r"OpenSSL (?:0\.|1\.0\.[01])")
_SERVICES: Final = ("sds", "scini", "rexray")
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
    "rpm": tuple(frozenset((name,)) for name in ("libaio", "numactl", "openssl", "curl")),
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
    release = _assignments(_first(frames, "os-release").text)
    os_like = tuple(release.get("ID_LIKE", "").lower().split())
    os_id = release.get("ID", "").lower()
    family = family_of(os_id, os_like)
    kernel, _, architecture = _line(frames, "uname").partition(" ")
    machine_id, boot_id = _line(frames, "machine-id").lower(), _line(frames, "boot-id").lower()
    for what, found in (("machine id", machine_id), ("boot id", boot_id)):
        if not _MACHINE_ID.fullmatch(found):
            raise SurveyError(f"the host tells no {what}: look at its /etc/machine-id and /proc")
    if not kernel:
        raise SurveyError("the host tells no kernel release: uname does not work there")
    init = _init(frames)
    installed = _installed(frames, family)
    receipts = _receipt_entries(frames)
    flags = _agent_flags(frames)
    public_key = _public_key(frames)
    return Facts(
        machine_id=machine_id,
        boot_id=boot_id,
        os_id=os_id,
        os_version=release.get("VERSION_ID", ""),
        os_like=os_like,
        kernel=kernel,
        architecture=architecture.strip() or "x86_64",
        init=init,
        packages=_packages(frames, installed),
        prerequisites=bool(public_key)
        and all(names & installed.keys() for names in _PREREQUISITES.get(family, (frozenset(),))),
        services={name: _active(frames, init, name) for name in _SERVICES},
        sdc_guid=_guid(frames),
        sdc_mdms=_mdms(frames),
        sdc_module=_line(frames, "module") == "live",
        rexray_config=_rexray_config(frames, receipts),
        isolation=tuple(
            part for raw in flags.get("isolation", "").split(",") if (part := raw.strip())
        ),
        launcher=flags.get("launcher", ""),
        public_key=public_key,
        oaep_digest="sha1" if _OLD_OPENSSL.match(_line(frames, "openssl")) else "sha256",
        disks=disks_of(frames, agent_resources=flags.get("resources", "")),
        receipts=tuple(_receipts(receipts, boot_id)),
    )


def _complete(text: str, frames: Mapping[str, Frame]) -> None:
    result = result_of(text)
    if result is None or result.get("frames") != len(frames):
        raise SurveyError("survey output is not complete: survey again")


def _first(frames: Mapping[str, Frame], name: str) -> Frame:
    """The frame, with its text only if the command said that all went well."""
    frame = frames.get(name, ABSENT)
    return frame if frame.status == 0 else attrs.evolve(frame, text="")


def _line(frames: Mapping[str, Frame], name: str) -> str:
    return _first(frames, name).text.strip().partition("\n")[0].strip()


def _assignments(text: str) -> dict[str, str]:
    """NAME=VALUE lines as os-release has them: values may be quoted as in a shell."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        found[name] = " ".join(words)
    return found


def _init(frames: Mapping[str, Frame]) -> str:
    comm = _line(frames, "init")
    if comm == "systemd":
        return "systemd"
    if comm != "init":
        return ""
    return "upstart" if "upstart" in _first(frames, "init-version").text else "sysvinit"


def _installed(frames: Mapping[str, Frame], family: str) -> dict[str, str]:
    """Package name in lower case -> version; the query fails when it knows one of them not."""
    found: dict[str, str] = {}
    for line in frames.get(f"packages-{family}", ABSENT).text.splitlines():
        match line.split():
            case [name, _, "ok", "installed", version] if family == "deb":
                found[name.lower()] = version
            case [name, version] if family == "rpm":
                found[name.lower()] = version
            case _:
                pass
    return found


def _packages(frames: Mapping[str, Frame], installed: Mapping[str, str]) -> dict[str, str]:
    packages = {
        component: installed[name] for name, component in _COMPONENTS.items() if name in installed
    }
    for tool in ("rexray", "dvdcli"):
        actual = _line(frames, f"binary.{tool}").split()
        if tool in packages or not actual:
            continue
        unpacked = _line(frames, f"unpacked.{tool}").split()
        ours = len(unpacked) == 2 and unpacked[1] == actual[0]
        packages[tool] = unpacked[0] if ours else "unknown"
    return packages


def _active(frames: Mapping[str, Frame], init: str, name: str) -> bool:
    frame = frames.get(f"service.{name}", ABSENT)
    match init:
        case "systemd":
            return frame.text.strip() == "active"
        case "upstart":
            return frame.status == 0 and "stop/waiting" not in frame.text
        case _:
            return frame.status == 0


def _guid(frames: Mapping[str, Frame]) -> str:
    found = _GUID.search(_first(frames, "guid").text)
    return found.group().upper() if found else ""


def _mdms(frames: Mapping[str, Frame]) -> tuple[str, ...]:
    """What the driver uses; where it is not up, what stands in its file."""
    found = _MDM.findall(_first(frames, "mdms").text)
    if not found:
        for line in _first(frames, "drv-cfg-file").text.splitlines():
            words = line.replace(",", " ").split()
            if words[:1] == ["mdm"]:
                found += words[1:]
    return tuple(dict.fromkeys(found))


def _public_key(frames: Mapping[str, Frame]) -> str:
    found = _PEM.search(_first(frames, "public-key").text)
    return found.group() + "\n" if found else ""


def _agent_flags(frames: Mapping[str, Frame]) -> dict[str, str]:
    """The agent's flags; Mesos gives them as texts. Empty when they cannot be read."""
    decoded = _json(_first(frames, "agent-flags").text)
    flags = decoded.get("flags") if isinstance(decoded, dict) else None
    if not isinstance(flags, dict):
        return {}
    return {name: value for name, value in flags.items() if isinstance(value, str)}


def _receipt_entries(frames: Mapping[str, Frame]) -> dict[str, dict[str, str]]:
    decoded = _json(_first(frames, "receipt").text)
    entries = decoded.get("entries") if isinstance(decoded, dict) else None
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
        yield Receipt(step=step, state=state)


def _rexray_config(frames: Mapping[str, Frame], receipts: Mapping[str, Mapping[str, str]]) -> str:
    """The digest of the wish behind the file, if the file still is what our step wrote."""
    actual = _line(frames, "rexray-config").split()
    entry = receipts.get("rexray", {})
    if not actual or entry.get("sha256") != actual[0]:
        return ""
    return entry.get("config", "")


def _json(text: str) -> object:
    if not text:
        return None
    try:
        decoded: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return decoded
