"""pymesos, the peer that offers are measured against, in an environment of its own.

Its dependency http-parser 0.9.0 ships C code of an old Cython, which Python 3.11 refuses: it is
generated anew from the package's own source. A compiler and Python's headers are needed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT

FOLDER: Final = ROOT / "build" / "peers"
TOOLS: Final = ("cython<3", "setuptools", "wheel")
PARSER: Final = "http-parser==0.9.0"

DECLINE_ALL: Final = """
import sys
from pymesos import MesosSchedulerDriver, Scheduler

class DeclineAll(Scheduler):
    def resourceOffers(self, driver, offers):
        driver.declineOffer([offer["id"] for offer in offers], {"refuse_seconds": 5})

framework = {
    "user": "root", "name": "peer", "hostname": "peer", "roles": ["scaleio"],
    "capabilities": [{"type": "MULTI_ROLE"}],
}
MesosSchedulerDriver(DeclineAll(), framework, sys.argv[1], use_addict=False).run()
"""
"""A whole event in one call: the fastest that it can."""


class PeerMissingError(Exception):
    """Why there is no pymesos here."""


def python() -> str:
    """The interpreter that has pymesos; made where it is missing. Raises PeerMissingError."""
    found = FOLDER / "bin" / "python"
    if _works(found):
        return str(found)
    try:
        venv.create(FOLDER, with_pip=True, clear=True)
        _pip("install", *TOOLS)
        _pip("download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", PARSER)
        [source] = FOLDER.glob("http*parser-*.tar.gz")
        with tarfile.open(source) as archive:
            archive.extractall(FOLDER, filter="data")
        [folder] = [one for one in FOLDER.glob("http*parser-*") if one.is_dir()]
        (folder / "http_parser" / "parser.c").unlink()
        _run(str(FOLDER / "bin" / "cython"), "http_parser/parser.pyx", folder=folder)
        _pip("install", "--no-build-isolation", ".", folder=folder)
        _pip("install", "pymesos")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise PeerMissingError(f"pymesos can't be installed here: {error}") from error
    if not _works(found):
        raise PeerMissingError("pymesos is installed, and can't be imported")
    return str(found)


def _works(interpreter: Path) -> bool:
    if not interpreter.exists():
        return False
    return subprocess.run([interpreter, "-c", "import pymesos"], check=False).returncode == 0


def _pip(*arguments: str, folder: Path = FOLDER) -> None:
    _run(str(FOLDER / "bin" / "python"), "-m", "pip", "-q", *arguments, folder=folder)


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
