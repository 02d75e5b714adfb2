"""What really happened, by those to whom it happened: hosts' own logs, files and processes.

Nothing of this comes from the scheduler.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import hashlib
import http.client
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import attrs

from tests.lab.host import Host

Json = dict[str, Any]

INSTALLATION: Final = ("prerequisites", "sds", "sdc", "rexray", "isolator")
HELD: Final = frozenset({0, 20, 21})
# What a host writes by itself, and what Mesos keeps of tasks.
OWN_LIFE: Final = re.compile(
    r"/(var/lib/mesos|var/log|var/lib/systemd|var/cache|run|tmp|mesos-cgroup)(/|$)"
    r"|/etc/(\.updated|machine-id|resolv.conf|mtab)$|/var/\.updated$"
)
_BEGAN: Final = re.compile(r"step (\S+) began: task (\S+)")
_ENDED: Final = re.compile(r"step (\S+) ended: status (\d+), changed (true|false), (\S+)")
LOOK_EVERY_S: Final = 0.1
WORKING_FILES: Final = "*/upper/var/lib/mesos/slaves/*/frameworks/*/executors/*/runs/*/step.*/*"
PIECE_BYTES: Final = 1 << 22


@attrs.frozen(kw_only=True)
class StepRun:
    """One step that held the host's lock. `status` None: it was killed. Times in unix seconds."""

    step: str
    task_id: str
    boot_id: str
    began: float
    ended: float
    status: int | None
    changed: bool
    reason: str


@attrs.frozen(kw_only=True)
class Boot:
    boot_id: str
    first: float
    last: float


def step_runs(host: Host) -> list[StepRun]:
    """All of them, in the order of the host's own log. Raises AssertionError when two overlap."""
    runs: list[StepRun] = []
    open_one: StepRun | None = None
    for entry in _journal(host, "-t", "scaleio-framework"):
        at, text = int(entry["__REALTIME_TIMESTAMP"]) / 1e6, str(entry["MESSAGE"])
        if began := _BEGAN.match(text):
            if open_one is not None:  # killed: the lock went with it
                runs.append(open_one)
            open_one = StepRun(
                step=began[1],
                task_id=began[2],
                boot_id=entry["_BOOT_ID"],
                began=at,
                ended=at,
                status=None,
                changed=False,
                reason="",
            )
        elif ended := _ENDED.match(text):
            assert open_one is not None, f"{host.name}: {text}, but it had not begun"
            assert open_one.step == ended[1], f"{host.name}: {text} within {open_one}"
            runs.append(
                attrs.evolve(
                    open_one,
                    ended=at,
                    status=int(ended[2]),
                    changed=ended[3] == "true",
                    reason=ended[4],
                )
            )
            open_one = None
    return runs + ([open_one] if open_one is not None else [])


def boots(host: Host) -> list[Boot]:
    """By what was logged in each, oldest first."""
    found: dict[str, list[float]] = {}
    for entry in _journal(host, "--output-fields=_BOOT_ID"):
        found.setdefault(entry["_BOOT_ID"], []).append(int(entry["__REALTIME_TIMESTAMP"]) / 1e6)
    return [Boot(boot_id=boot, first=min(at), last=max(at)) for boot, at in found.items()]


def _journal(host: Host, *options: str) -> Iterator[Json]:
    done = host.run("journalctl", "--quiet", "--no-pager", "--output=json", *options)
    for line in done.stdout.splitlines():
        entry: Json = json.loads(line)
        if isinstance(entry.get("MESSAGE", ""), str):
            yield entry


def receipts(host: Host) -> dict[str, Json]:
    """Step -> what its receipt on the host says."""
    text = host.sh("cat /var/lib/scaleio-framework/receipt.json")
    return {entry["step"]: entry for entry in json.loads(text)["entries"]}


# -- files ----------------------------------------------------------------------------------------


def files_below(top: Path) -> Iterator[Path]:
    """All but folders; those that go meanwhile are passed over."""
    for folder, _, names in os.walk(top):
        yield from (Path(folder, name) for name in names)


def written(host: Host) -> dict[str, str]:
    """Path in the host -> digest, for all that differs from the bare tree, the host's own aside."""
    top = host.folder / "upper"
    found = {}
    for path in files_below(top):
        inside = f"/{path.relative_to(top)}"
        if not OWN_LIFE.match(inside) and not path.is_dir():
            found[inside] = _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "special"


# -- secrets --------------------------------------------------------------------------------------


def spellings(secret: str) -> tuple[bytes, ...]:
    raw = secret.encode()
    coded = base64.b64encode(raw)
    return (raw, coded.rstrip(b"=")[:-1], raw.hex().encode())


def files_with(secret: str, *folders: Path) -> list[Path]:
    """Every file below these folders that holds it, in any of its spellings."""
    found = []
    for folder in folders:
        for path in files_below(folder):
            if path.is_symlink() or not path.is_file():
                continue
            with contextlib.suppress(OSError):  # it went away meanwhile
                if _holds(path, spellings(secret)):
                    found.append(path)
    return found


def _holds(path: Path, words: tuple[bytes, ...]) -> bool:
    """Read in pieces that overlap, and without the holes: a disk's image is mostly one."""
    overlap = max(map(len, words))
    with path.open("rb") as file:
        for start, end in _extents(file.fileno()):
            file.seek(start)
            rest = b""
            while piece := file.read(min(PIECE_BYTES, end - file.tell())):
                if any(word in rest + piece for word in words):
                    return True
                rest = piece[-overlap:]
    return False


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where the file has data: first byte, and the one behind the last."""
    end = 0
    with contextlib.suppress(OSError):  # ENXIO: there is none behind `end`
        while True:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield start, end


MASTER_CALLS: Final = ("GET_STATE", "GET_TASKS", "GET_FRAMEWORKS", "GET_AGENTS", "GET_EXECUTORS")
MASTER_PAGES: Final = ("/state", "/tasks", "/frameworks", "/slaves", "/state-summary")
AGENT_CALLS: Final = ("GET_STATE", "GET_EXECUTORS", "GET_CONTAINERS", "GET_TASKS", "GET_FLAGS")
AGENT_PAGES: Final = ("/state", "/containers", "/flags", "/monitor/statistics")


def mesos_answers(master: str, agents: Iterable[str]) -> dict[str, bytes]:
    """Everything that master and agents (HOST:PORT each) tell anybody who asks."""
    found = {}
    for address in (master, *agents):
        is_master = address == master
        for page in MASTER_PAGES if is_master else AGENT_PAGES:
            found[f"{address}{page}"] = _asked(address, "GET", page, "")
        for call in MASTER_CALLS if is_master else AGENT_CALLS:
            body = json.dumps({"type": call})
            found[f"{address} {call}"] = _asked(address, "POST", "/api/v1", body)
    return found


def _asked(address: str, method: str, path: str, body: str) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=10)
    kind = {"Content-Type": "application/json", "Accept": "application/json"}
    connection.request(method, path, body, kind)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    assert reply.status == 200, (address, path, body, content)
    return content


def found_inside(host: Host, secret: str) -> list[str]:
    """Files of the host's run-time folders that hold it, and its journal."""
    words = "".join(f"{word.decode()}\n" for word in spellings(secret))
    search = "cat >/dev/shm/words; grep -rlsF -f /dev/shm/words /run /tmp /var/tmp || :"
    files = host.run("sh", "-c", search, stdin=words).stdout.splitlines()
    journal = host.run("journalctl", "--quiet", "--no-pager", "--output=export").stdout
    return files + [word.decode() for word in spellings(secret) if word.decode() in journal]


class ProcessWatch:
    """Looks at the arguments and environments of all processes, the hosts' included, and at the
    working files of running steps, many times a second, as long as its block lasts.

    `hosts` is the folder of all hosts; Mesos shows what lies in a sandbox to anybody who asks.
    """

    def __init__(self, secret: str, hosts: Path) -> None:
        self._hosts = hosts
        self._words = spellings(secret)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: set[str] = set()  # programs looked at
        self.files: set[str] = set()  # names of working files looked at
        self.hits: set[str] = set()
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._look()
            self._look_at_files()
            self.looks += 1

    def _look_at_files(self) -> None:
        # A path's own ends where a folder has just gone.
        working = glob.iglob(WORKING_FILES, root_dir=self._hosts, include_hidden=True)  # noqa: PTH207
        for found in working:
            path = self._hosts / found
            with contextlib.suppress(OSError):  # the step has ended
                content = path.read_bytes()
                self.files.add(path.name)
                if any(word in content for word in self._words):
                    self.hits.add(f"{path}")

    def _look(self) -> None:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it has ended
                name = (entry / "comm").read_text().strip()
                self.seen.add(name)
                for what in ("cmdline", "environ"):
                    content = (entry / what).read_bytes()
                    if any(word in content for word in self._words):
                        self.hits.add(f"{what} of {name}")
