"""The Mesos agent in a survey: what it is told, from where, and by whom it was started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from domain.facts import MesosAgent
from install_steps.frames import ABSENT, Frame, json_object, sound, whole

VALUE_CHARACTERS_MAX: Final = 4096
# Never those that may hold a secret itself (docker_config, executor_environment_variables,
# parameters of modules): facts are stored and shown.
LOOKED_AT: Final = (
    "work_dir", "runtime_dir", "isolation", "launcher", "image_providers", "attributes",
    "resources", "ip", "port", "hostname", "http_command_executor", "modules_dir",
    "docker_volume_checkpoint_dir", "authenticate_http_readonly", "authenticate_http_readwrite",
    "systemd_enable_support", "switch_user",
)  # fmt: skip
FILES_ONLY: Final = ("credential", "http_credentials")  # shown where they name a file
_CONTAINER: Final = re.compile(r"docker|kubepods|libpod|containerd|/lxc|/crio|machine-rkt")
_UNIT: Final = re.compile(r"cgroup=(?:\d+:name=systemd|0:):(?:/.*)?/([^/]+)\.service")
_SOURCE_FOLDERS: Final = ("/etc/mesos-slave/", "/etc/mesos-agent/")


@attrs.frozen(kw_only=True)
class _Process:
    pid: str = ""
    root: str = ""
    flags: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    cgroups: tuple[str, ...] = ()


def agent_of(frames: Mapping[str, Frame], init: str) -> MesosAgent:
    flags = agent_flags(frames)
    agents = _agents(frames)
    chosen = agents[0] if agents else None
    start, unit = _started_by(frames, chosen, init) if chosen else ("", "")
    version = json_object(sound(frames, "agent-version")).get("version")
    return MesosAgent(
        version=version[:64] if isinstance(version, str) else "",
        start=start,
        unit=unit,
        processes=len(agents),
        flags=_shown(flags),
        sources=_sources(frames, chosen) if chosen else {},
        modules=_modules(flags.get("modules", "")),
    )


def agent_flags(frames: Mapping[str, Frame]) -> dict[str, str]:
    """The agent's flags; Mesos gives them as texts. Empty when they cannot be read."""
    flags = json_object(sound(frames, "agent-flags")).get("flags")
    if not isinstance(flags, dict):
        return {}
    return {name: value for name, value in flags.items() if isinstance(value, str)}


def contained(frames: Mapping[str, Frame]) -> str:
    """Whether tasks do not see the host's own root, or every agent here lives in a container."""
    init, own = _process(frames, "init"), _process(frames, "self")
    if init is None or own is None or not own.root:
        return ""
    if init.root != own.root:  # where it cannot even be looked at, too
        return "yes"
    agents = _agents(frames)
    return "yes" if agents and all(_in_container(frames, agent) for agent in agents) else "no"


def _agents(frames: Mapping[str, Frame]) -> list[_Process]:
    """Those on the host itself first."""
    found = [
        process
        for name in frames
        if name.startswith("process.agent")
        and (process := _process(frames, name.removeprefix("process."))) is not None
    ]
    return sorted(found, key=lambda process: _in_container(frames, process))


def _process(frames: Mapping[str, Frame], name: str) -> _Process | None:
    lines = whole(frames, f"process.{name}")
    if lines is None:
        return None
    pairs = [line.partition("=")[::2] for line in lines]
    single = dict(pairs)
    return _Process(
        pid=single.get("pid", ""),
        root=single.get("root", ""),
        flags=frozenset(value.removeprefix("no-") for key, value in pairs if key == "flag"),
        variables=frozenset(value for key, value in pairs if key == "variable"),
        cgroups=tuple(line for line in lines if line.startswith("cgroup=")),
    )


def _in_container(frames: Mapping[str, Frame], agent: _Process) -> bool:
    """Where process 1 bears the same marks, the host is one itself, and the agent is at home."""
    init = _process(frames, "init")
    if init is None:
        return False
    if agent.root and init.root and agent.root != init.root:
        return True
    marks = {mark for line in agent.cgroups for mark in _CONTAINER.findall(line)}
    return not marks <= {mark for line in init.cgroups for mark in _CONTAINER.findall(line)}


def _started_by(frames: Mapping[str, Frame], agent: _Process, init: str) -> tuple[str, str]:
    if _in_container(frames, agent):
        return "container", ""
    for line in agent.cgroups if init == "systemd" else ():
        unit = _UNIT.fullmatch(line)
        if unit and not unit.group(1).startswith("user@"):
            return "systemd", unit.group(1)
    for name in ("mesos-slave", "mesos-agent") if init in {"upstart", "sysvinit"} else ():
        frame = frames.get(f"service.{name}", ABSENT)
        if re.search(rf"start/running, process {agent.pid}\b", frame.text):
            return "upstart", name
        if frame.status == 0 and "stop/waiting" not in frame.text:
            return "sysvinit", name
    return "hand", ""


def _shown(flags: Mapping[str, str]) -> dict[str, str]:
    shown = {name: flags[name][:VALUE_CHARACTERS_MAX] for name in LOOKED_AT if name in flags}
    for name in FILES_ONLY:
        if flags.get(name, "").removeprefix("file://").startswith("/"):
            shown[name] = flags[name][:VALUE_CHARACTERS_MAX]
    return shown


def _modules(text: str) -> tuple[str, ...]:
    """Names alone: parameters of modules may be secrets."""
    libraries = json_object(text).get("libraries")
    names: list[str] = []
    for library in libraries if isinstance(libraries, list) else ():
        modules = library.get("modules") if isinstance(library, dict) else None
        for module in modules if isinstance(modules, list) else ():
            name = module.get("name") if isinstance(module, dict) else None
            if isinstance(name, str):
                names.append(name[:128])
    return tuple(names)


def _sources(frames: Mapping[str, Frame], agent: _Process) -> dict[str, str]:
    """Flag -> the file or place that sets it, as far as the usual packages' rules tell."""
    files = whole(frames, "agent-files") or ()
    found: dict[str, str] = {}
    for flag in LOOKED_AT:
        variable = f"MESOS_{flag.upper()}"
        if flag in agent.flags:
            names = (f"{folder}{mark}{flag}" for folder in _SOURCE_FOLDERS for mark in ("", "?"))
            found[flag] = next((name for name in names if name in files), "command line")
        elif variable in agent.variables:
            named = (line.split()[0] for line in files if line.split()[1:] == [variable])
            found[flag] = next(named, "environment")
    return found
