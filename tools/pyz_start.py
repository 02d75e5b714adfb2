"""The first module that the archive runs: say plainly where it can't run, then start the product.

It is copied into the root of `dist/scaleio-scheduler.pyz` and knows nothing but the standard
library. The Python version was compared before it is read.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

BUILT_FOR: Final = "built_for.json"


class Machine(NamedTuple):
    """What compiled libraries depend on."""

    soabi: str  # such as cpython-311-x86_64-linux-gnu
    glibc: tuple[int, ...]  # () where there is none


def main() -> None:
    built = built_for(sys.argv[0])
    if complaint := complaint_about(this_machine(), built):
        sys.exit(f"{Path(sys.argv[0]).name}: {complaint}")
    os.environ.setdefault("SHIV_ROOT", cache_folder(os.environ))
    from _bootstrap import bootstrap  # type: ignore[import-not-found]  # is in the archive only

    bootstrap()


def built_for(archive: str) -> Machine:
    with zipfile.ZipFile(archive) as opened:
        content = json.loads(opened.read(BUILT_FOR))
    return Machine(soabi=content["soabi"], glibc=tuple(content["glibc"]))


def this_machine() -> Machine:
    return Machine(soabi=str(sysconfig.get_config_var("SOABI") or "unknown"), glibc=_glibc())


def _glibc() -> tuple[int, ...]:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return ()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return numbers if name == "glibc" else ()


def complaint_about(here: Machine, built: Machine) -> str:
    """What hinders the archive from running here, with the cure; "" if nothing does."""
    if here.soabi != built.soabi:
        return (
            f"was built for {built.soabi}, this Python is {here.soabi}: "
            "build it here with `make zipapp`, or use the Docker image python:3.11"
        )
    if here.glibc and here.glibc < built.glibc:
        wanted, found = (".".join(map(str, version)) for version in (built.glibc, here.glibc))
        return (
            f"needs glibc {wanted} or newer, this system has {found}: "
            "use the Docker image python:3.11"
        )
    return ""


def _home() -> str:
    """Of the user, by the system's word; a container's user need not have one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def cache_folder(environ: Mapping[str, str]) -> str:
    """Where the archive is unpacked once: the task's sandbox, the home folder, or a new folder."""
    for place in (environ.get("MESOS_SANDBOX"), environ.get("HOME"), _home()):
        if place and os.access(place, os.W_OK | os.X_OK):
            return str(Path(place) / ".shiv")
    return tempfile.mkdtemp(prefix="scaleio-scheduler-")
