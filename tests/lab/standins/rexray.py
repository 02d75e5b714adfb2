"""`rexray`, the volume driver: its command line, and the service behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import init_script, rexray_config
from .rexray_gateway import Gateway, GatewayError, Storage
from .rexray_plugin import Server
from .rexray_volumes import VolumeError, Volumes

BINARY: Final = "/usr/bin/rexray"
UNIT: Final = Path("/etc/systemd/system/rexray.service")
ENVIRONMENT: Final = Path("/etc/rexray/rexray.env")
PID: Final = Path("/run/rexray/rexray.pid")

# As the real one writes it: nothing but docker.service wants it at boot.
UNIT_TEXT: Final = f"""[Unit]
Description=rexray
Wants=scini.service
Before=docker.service
After=scini.service

[Service]
EnvironmentFile={ENVIRONMENT}
ExecStart={BINARY} start
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process

[Install]
WantedBy=docker.service
"""
USAGE: Final = """REX-Ray:
  A guest-based storage introspection tool that enables local visibility and
  management from cloud and storage platforms. (a stand-in)

Usage:
  rexray version | install | uninstall | start | status | stop
  rexray service start | stop | restart | status
"""


def install() -> int:
    ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    ENVIRONMENT.touch()
    status = _install_unit() if init_script.SYSTEMD.is_dir() else _install_script()
    if status == 0:
        sys.stdout.write("REX-Ray is now installed.\n")
    return status


def _install_unit() -> int:
    UNIT.write_text(UNIT_TEXT, encoding="utf-8")
    subprocess.run(["systemctl", "daemon-reload"], check=False)
    return subprocess.run(["systemctl", "enable", "-q", UNIT.name], check=False).returncode


def _install_script() -> int:
    """The real one knows no upstart jobs: it uses a script there, too."""
    return init_script.install("rexray", f"{BINARY} start")


def uninstall() -> int:
    if not init_script.SYSTEMD.is_dir():
        return init_script.uninstall("rexray")
    subprocess.run(["systemctl", "disable", "--now", "-q", UNIT.name], check=False)
    UNIT.unlink(missing_ok=True)
    return 0


def tell_version(version: str) -> int:
    sys.stdout.write(
        f"REX-Ray\n-------\nBinary: {BINARY}\nFlavor: client+agent+controller\n"
        f"SemVer: {version}\nOsArch: Linux-x86_64\n"
    )
    return 0


def running_pid() -> int:
    """0 when it does not run."""
    try:
        pid = int(PID.read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid


def status() -> int:
    pid = running_pid()
    sys.stdout.write(f"REX-Ray is running at PID {pid}\n" if pid else "REX-Ray is stopped\n")
    return 0


def service(verb: str) -> int:
    if verb == "status":
        return status()
    command = ["systemctl", verb, UNIT.name]
    if not init_script.SYSTEMD.is_dir():
        command = ["service", "rexray", verb]
    return subprocess.run(command, check=False).returncode


def start(version: str) -> int:
    """The service, until a signal ends it."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        config = rexray_config.load()
        _log("info", f"REX-Ray {version}, Gateway {config.endpoint}")
        storage = Storage(Gateway(config), config)
        volumes = Volumes(storage, config)
        servers = [Server(volumes, module) for module in config.modules]
        PID.parent.mkdir(parents=True, exist_ok=True)
        PID.write_text(f"{os.getpid()}\n", encoding="ascii")
    except (rexray_config.ConfigError, GatewayError, VolumeError, OSError) as error:
        _log("error", f"service startup failed: {error}")
        return 1
    for server in servers:
        server.start()
    _log("info", f"sockets: {', '.join(str(module.socket) for module in config.modules)}")
    signal.sigwait(ends)
    for module in config.modules:
        module.socket.unlink(missing_ok=True)
    PID.unlink(missing_ok=True)
    return 0


def main(arguments: Sequence[str], version: str) -> int:
    match list(arguments):
        case ["version" | "--version"]:
            return tell_version(version)
        case ["install"]:
            return install()
        case ["uninstall", *_]:
            return uninstall()
        case ["start", *_]:
            return start(version)
        case ["service", ("start" | "stop" | "restart" | "status") as verb]:
            return service(verb)
        case ["status"]:
            return status()
        case ["stop"]:
            return service("stop")
        case [] | ["help" | "--help" | "-h"]:
            sys.stdout.write(USAGE)
            return 0
        case _:
            sys.stderr.write(USAGE)
            return 1


def _log(level: str, text: str) -> None:
    sys.stderr.write(f'level={level} msg="{text}"\n')
    sys.stderr.flush()
