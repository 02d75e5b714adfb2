"""Run a real Apache Mesos 1.11.0 cluster on the loopback interface.

    python -m tests.real_mesos.real_mesos start --agents 3 --port 5050 --work-dir DIR

prints one line of JSON when the cluster is ready and runs until SIGTERM or SIGINT. Every
master and every agent is a process of its own. Lines on standard input control the running
cluster (see README.md).
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading

from tests.real_mesos.cluster import Cluster
from tests.real_mesos.library import prepare


def _pairs(values: list[str]) -> dict[str, str]:
    return dict(value.split("=", 1) for value in values)


def _control(cluster: Cluster) -> None:
    """start NAME | kill NAME | term NAME | elect NAME | elect | status."""
    for line in sys.stdin:
        try:
            _carry_out(cluster, line.split())
            print(json.dumps(cluster.describe()), flush=True)
        except (KeyError, ValueError, RuntimeError) as error:
            print(json.dumps({"error": str(error)}), flush=True)


def _carry_out(cluster: Cluster, words: list[str]) -> None:
    match words:
        case ["start", name]:
            cluster.start(name)
        case ["kill", name]:
            cluster.kill(name)
        case ["term", name]:
            cluster.kill(name, signal.SIGTERM)
        case ["elect", *names]:
            cluster.elect(names[0] if names else None)
        case ["status"]:
            pass
        case _:
            raise ValueError(f"unknown command {' '.join(words)!r}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A real Mesos cluster on the loopback interface.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="fetch and build what is needed, then stop")
    start = commands.add_parser("start", help="run a cluster until SIGTERM")
    start.add_argument("--agents", type=int, default=1)
    start.add_argument("--masters", type=int, default=1, help="1 or 3 (a common replicated log)")
    start.add_argument(
        "--port", type=int, default=0, help="first master's port; the others follow (0: free ones)"
    )
    start.add_argument("--work-dir", help="default: a new temporary folder, removed at the end")
    start.add_argument("--master-flag", action="append", default=[], metavar="NAME=VALUE")
    start.add_argument("--agent-flag", action="append", default=[], metavar="NAME=VALUE")
    start.add_argument(
        "--own-addresses", action="store_true", help="agent N listens on 127.0.0.(N+2)"
    )
    return parser


def main() -> int:
    options = _parser().parse_args()
    if options.command == "prepare":
        print(prepare())
        return 0
    work_dir = options.work_dir or tempfile.mkdtemp(prefix="real-mesos-")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Cluster(
            work_dir,
            options.agents,
            options.masters,
            options.port,
            _pairs(options.master_flag),
            _pairs(options.agent_flag),
            own_addresses=options.own_addresses,
        ) as cluster:
            print(json.dumps(cluster.describe()), flush=True)
            threading.Thread(target=_control, args=(cluster,), daemon=True).start()
            stop.wait()
    finally:
        if not options.work_dir:
            shutil.rmtree(work_dir, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
