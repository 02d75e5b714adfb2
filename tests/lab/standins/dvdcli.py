"""`dvdcli`, a command line for Docker's volume drivers: what Mesos' own isolator calls."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PLUGINS: Final = Path("/run/docker/plugins")
CALL_S: Final = 150.0
VERBS: Final = ("create", "mount", "unmount", "remove", "path")
USAGE: Final = """dvdcli:
  A Docker Volume Driver CLI (a stand-in)

Usage:
  dvdcli create | mount | unmount | remove | path --volumedriver=DRIVER --volumename=NAME
         [--volumeopts=KEY=VALUE]...
  dvdcli version
"""


class DriverError(Exception):
    """The driver says no, or is not there."""


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=CALL_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(plugin: Path, verb: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Raises DriverError."""
    connection = Connection(plugin)
    try:
        connection.request("POST", f"/VolumeDriver.{verb}", json.dumps(body))
        reply = connection.getresponse()
        decoded = json.loads(reply.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DriverError(f"{plugin}: {error}") from None
    finally:
        connection.close()
    if not isinstance(decoded, dict):
        raise DriverError(f"{plugin}: no object was answered")
    if reply.status != 200 or decoded.get("Err"):
        raise DriverError(str(decoded.get("Err") or decoded.get("Error")))
    return decoded


def run(verb: str, options: Mapping[str, str], volume: Mapping[str, str]) -> str:
    """What is to be printed. As the real one, it names the volume to the driver first."""
    plugin = PLUGINS / f"{options['volumedriver']}.sock"
    name = {"Name": options["volumename"]}
    if verb != "remove":
        call(plugin, "Create", {**name, "Opts": dict(volume)})
    match verb:
        case "mount":
            return str(call(plugin, "Mount", name)["Mountpoint"])
        case "path":
            return str(call(plugin, "Path", name)["Mountpoint"])
        case "unmount" | "remove":
            call(plugin, verb.capitalize(), name)
    return ""


def parsed(words: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The options, and the volume's own. Raises ValueError."""
    options: dict[str, str] = {}
    volume: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            raise ValueError(f"unexpected word {word}")
        if name.lower() == "explicitcreate":
            continue
        if not equals:
            value = next(rest, "")
        if name == "volumeopts":
            key, _, inner = value.partition("=")
            volume[key] = inner
        elif name in ("volumedriver", "volumename"):
            options[name] = value
        else:
            raise ValueError(f"unknown flag: --{name}")
    for name in ("volumedriver", "volumename"):
        if not options.get(name):
            raise ValueError(f"--{name} is missing")
    return options, volume


def main(arguments: Sequence[str], version: str) -> int:
    match list(arguments):
        case [] | ["help" | "--help" | "-h"]:
            sys.stdout.write(USAGE)
            return 0
        case ["version" | "--version"]:
            sys.stdout.write(f"SemVer: {version}\n")
            return 0
        case [verb, *words] if verb in VERBS:
            try:
                options, volume = parsed(words)
                printed = run(verb, options, volume)
            except (DriverError, ValueError) as error:
                sys.stderr.write(f"level=error msg={json.dumps(str(error))}\n")
                return 1
            sys.stdout.write(f"{printed}\n" if printed else "")
            return 0
        case _:
            sys.stderr.write(USAGE)
            return 1
