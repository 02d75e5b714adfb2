"""Causes that last for a while and go away: a full disk, a held lock, a bad download."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import attrs

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.interrupts_files import STATE
from tests.lab.packages import POLL_S
from tests.scheduler_process import wait_for

T = TypeVar("T")

TRIES: Final = 2  # of the step, before the cause goes away
PATIENCE_S: Final = 400.0
HOLDER: Final = "lab-holder"
_HOLD: Final = """
import fcntl, pathlib, signal, sys
files = [open(path, "a") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
pathlib.Path("/run/lab-holder").write_text("held")
signal.pause()
"""
_SMALL: Final = """
mkdir -p "$1"
cp -a "$1" /run/lab-copy
mount -t tmpfs -o "size=$2,mode=$(stat -c %a "$1")" tmpfs "$1"
cp -a /run/lab-copy/. "$1"
rm -rf /run/lab-copy
"""
_FILL: Final = 'cat /dev/zero >"$1/.lab-filler" 2>/dev/null || :'
_FREE: Final = 'rm -f "$1/.lab-filler"; mount -o remount,size="$2" "$1"'
PLENTY: Final = "2g"


@attrs.frozen(kw_only=True)
class Cause:
    """`step` can't do its work from `begin` to `end`. `after`: the step whose receipt begins it;
    without it the cause is there before the host's first step."""

    name: str
    step: str
    begin: Callable[[Host], None]
    end: Callable[[Host], None]
    after: str = ""
    tries: int = TRIES


def live_through(host: Host, cause: Cause, check: Callable[[], None]) -> list[evidence.StepRun]:
    """The cause begins, spoils the step as often as it should, and goes away; the spoilt runs.

    `check` raises when there is no sense in waiting any longer.
    """
    if cause.after:
        receipt = host.folder / f"upper{STATE}/receipt.d/{cause.after}.json"
        _wait(f"{cause.after} has ended on {host.name}", receipt.exists, check)
        cause.begin(host)
    what = f"{cause.name} has spoilt {cause.step} on {host.name}"
    spoilt = _wait(what, lambda: _spoilt(host, cause), check)
    cause.end(host)
    return spoilt


def _wait(what: str, look: Callable[[], T], check: Callable[[], None]) -> T:
    def checked() -> T:
        check()
        return look()

    return wait_for(what, checked, PATIENCE_S)


def _spoilt(host: Host, cause: Cause) -> list[evidence.StepRun]:
    runs = [run for run in evidence.step_runs(host) if run.step == cause.step]
    found = [run for run in runs if run.status not in (None, *evidence.HELD)]
    return found if len(found) >= cause.tries else []


# -- disks -----------------------------------------------------------------------------------------


def make_small(host: Host, place: str, size: str) -> None:
    """From now on that folder is a file system of its own; what was in it stays in it."""
    host.run("sh", "-euc", _SMALL, "small", place, size)


def full(place: str, step: str, *, size: str, after: str = "") -> Cause:
    """A file system with room for nothing more."""

    def begin(host: Host) -> None:
        make_small(host, place, size)
        host.run("sh", "-euc", _FILL, "fill", place)

    def end(host: Host) -> None:
        host.run("sh", "-euc", _FREE, "free", place, PLENTY)

    return Cause(name=f"full disk at {place}", step=step, begin=begin, end=end, after=after)


# -- locks -----------------------------------------------------------------------------------------

DPKG_LOCKS: Final = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
LISTS_LOCK: Final = "/var/lib/apt/lists/lock"


def locked(step: str, *paths: str, tries: int = TRIES, after: str = "") -> Cause:
    """Another program has locked these files, in the way that dpkg and apt do."""

    def begin(host: Host) -> None:
        host.run("rm", "-f", f"/run/{HOLDER}")
        program = ("/usr/bin/python3", "-c", _HOLD, *paths)
        host.run("systemd-run", "--quiet", "--collect", f"--unit={HOLDER}", *program)
        held = ("test", "-s", f"/run/{HOLDER}")
        wait_for("the lock is held", lambda: host.run(*held, check=False).returncode == 0)

    def end(host: Host) -> None:
        host.run("systemctl", "stop", HOLDER)

    name = f"lock of {' and '.join(paths)}"
    return Cause(name=name, step=step, begin=begin, end=end, tries=tries, after=after)


# -- downloads -------------------------------------------------------------------------------------

SDS_FILE: Final = "EMC-ScaleIO-sds-2.0-10000.2072.Debian.12.x86_64.deb"
SDC_FILE: Final = "EMC-ScaleIO-sdc-2.0-10000.2072.Debian.12.x86_64.deb"
REXRAY_FILE: Final = "rexray_0.11.4-1_amd64.deb"
DVDCLI_FILE: Final = "dvdcli-Linux-x86_64-0.1.0.tar.gz"
CUT: Final = "cut"  # half of the file, then the end of the connection
STALL: Final = "stall"  # half of the file, and then nothing more
GONE: Final = "gone"  # no answer
BROKEN: Final = "broken"  # an error of the server's own


class PackageServer:
    """Hands out a folder's files; `faults`: name of a file -> what is wrong with it for now."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, str] = {}
        self.spoilt: Counter[str] = Counter()
        self.healed = threading.Event()
        kind = type("Handler", (_Handler,), {"owner": self})
        handler = functools.partial(kind, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[PackageServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.healed.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    owner: PackageServer

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        fault = self.owner.faults.get(name)
        if fault is None:
            super().do_GET()
            return
        self.owner.spoilt[name] += 1
        self.close_connection = True
        if fault == BROKEN:
            self.send_error(503)
        elif fault in (CUT, STALL):
            self._send_half(name)
            if fault == STALL:
                self.owner.healed.wait(PATIENCE_S)

    def _send_half(self, name: str) -> None:
        content = (Path(self.directory) / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing: a test that wants to know asks for the counts."""


def bad_download(
    server: PackageServer, file: str, step: str, fault: str, *, tries: int = TRIES
) -> Cause:
    """For all hosts that ask for this file."""

    def begin(_host: Host) -> None:
        server.faults[file] = fault

    def end(_host: Host) -> None:
        del server.faults[file]
        server.healed.set()

    name = f"{fault} download of {file}"
    return Cause(name=name, step=step, begin=begin, end=end, tries=tries)
