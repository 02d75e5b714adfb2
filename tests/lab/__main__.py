"""The lab by hand: `start` boots hosts with real Mesos agents and returns, `stop` ends them.

    python -m tests.lab start --hosts 3 [--run]     as root; --run starts the scheduler, too
    python -m tests.lab stop

Only what `start` has started is ended, also when other labs run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from tests.lab import tree, tree_rpm
from tests.lab.packages import FAMILIES
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import ROOT, wait_for

HOSTS_MAX: Final = 32
START_S: Final = 300.0
STOP_S: Final = 60.0


def main() -> int:
    options = _parser().parse_args()
    folder: Path = options.folder or tree.cache_dir() / "by-hand"
    match options.command:
        case "prepare":
            print(tree.prepare(), tree_rpm.prepare().root)
            return 0
        case "start":
            return _start(folder, options.hosts, run=options.run)
        case "serve":
            return _serve(folder, options.hosts, run=options.run)
        case _:
            return _stop(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the lab lives")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="make the root file system of hosts, if there is none")
    for name in ("start", "serve"):
        command = commands.add_parser(name, help="serve stays in the foreground")
        command.add_argument("--hosts", type=int, default=3, choices=range(1, HOSTS_MAX + 1))
        command.add_argument("--run", action="store_true", help="start the scheduler, too")
    commands.add_parser("stop")
    return parser


def _start(folder: Path, hosts: int, *, run: bool) -> int:
    missing = tree.missing_needs()
    if missing:
        print("; ".join(missing), file=sys.stderr)
        return 1
    if _living(folder):
        print(f"a lab runs already in {folder}: stop it first", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.lab", "--folder", str(folder), "serve"]
    command += ["--hosts", str(hosts), *(["--run"] if run else [])]
    with (folder / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip

    def is_up() -> bool:
        if process.poll() is not None:
            raise RuntimeError((folder / "lab.log").read_text()[-2000:])
        return (folder / "lab.json").exists()

    wait_for("the lab is up", is_up, START_S)
    print((folder / "lab.json").read_text())
    return 0


def _serve(folder: Path, hosts: int, *, run: bool) -> int:
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    (folder / "lab.pid").write_text(json.dumps([os.getpid(), _born(os.getpid())]))
    plans = [HostPlan(family=FAMILIES[number % 2]) for number in range(hosts)]
    with Site(folder / "site", plans) as site:
        if run:
            site.scheduler.start()
            site.scheduler.wait_subscribed()
        partial = folder / "lab.new"
        partial.write_text(json.dumps(_described(site), indent=1))
        partial.rename(folder / "lab.json")
        over.wait()
    return 0


def _described(site: Site) -> dict[str, Any]:
    scheduler = site.scheduler
    return {
        "master": site.cluster.url,
        "gateway": site.storage.url,
        "hosts": {
            name: {"agent": site.agent_url(name), "enter": f"nsenter -a -t {host.leader} /bin/bash"}
            for name, host in site.hosts.items()
        },
        "page": f"http://127.0.0.1:{scheduler.port}/" if scheduler.process is not None else "",
        "scheduler": ["cli.py", *scheduler.flags],
    }


def _stop(folder: Path) -> int:
    pid = _living(folder)
    if not pid:
        print(f"no lab runs in {folder}", file=sys.stderr)
        return 1
    os.kill(pid, signal.SIGTERM)
    wait_for("the lab is down", lambda: not _living(folder), STOP_S)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _living(folder: Path) -> int:
    """Process id of the lab that was started there, 0 for none: a number alone may be another's."""
    try:
        pid, born = json.loads((folder / "lab.pid").read_text())
    except (OSError, ValueError):
        return 0
    return int(pid) if _born(pid) == born else 0


def _born(pid: int) -> int:
    """When the process began, in clock ticks after the machine's boot; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    state, *fields = stat.rpartition(")")[2].split()
    return 0 if state == "Z" else int(fields[18])


if __name__ == "__main__":
    sys.exit(main())
