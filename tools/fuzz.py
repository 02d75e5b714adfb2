"""`make fuzz`: what a master may send, as bytes that coverage leads to, on every processor.

The same INPUTS and SEED give the same inputs again. Findings are kept in build/fuzz, each with
the command that shows it alone.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

import attrs

from tests.fuzz import seeds, targets
from tests.fuzz.worker import HEAD

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = Path("build/fuzz")
WORKERS: Final = 2  # a fixed number: the inputs must not depend on the machine
RESTARTS_MAX: Final = 5  # of a worker that an input has stopped
SHOWN_BYTES: Final = 160
SILENCE_S_MAX: Final = 60.0  # without one more input


@attrs.define
class Worker:
    folder: Path
    inputs: int
    seed: int
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    stopped: list[tuple[str, Path]] = attrs.field(factory=list)  # how it ended, on which input
    _seen: int = -1
    _seen_at: float = 0.0

    def prepare(self) -> None:
        corpus = self.folder / "corpus"
        corpus.mkdir(parents=True)
        for number, seed in enumerate(seeds.seeds()):
            (corpus / f"seed-{number:04d}").write_bytes(seed)

    def start(self) -> None:
        """With the same hash seed each time: the order of sets is part of a run."""
        command = [*_same_addresses(), sys.executable, "-m", "tests.fuzz.worker",
                   "--inputs", str(self.inputs), "--seed", str(self.seed + 1000 * self.starts),
                   "--folder", str(self.folder)]  # fmt: skip
        self.starts += 1
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )  # fmt: skip

    @property
    def count(self) -> int:
        """The calls of the target so far."""
        return self._state()[0]

    def _state(self) -> tuple[int, bytes]:
        path = self.folder / "state"
        if not path.exists():
            return 0, b""
        raw = path.read_bytes()
        count, length = HEAD.unpack(raw[: HEAD.size])
        return count, raw[HEAD.size :][:length]

    def _keep_stopped(self, status: int) -> None:
        path = self.folder / f"stopped-{len(self.stopped)}.bin"
        path.write_bytes(self._state()[1])
        self.stopped.append((f"the process ended with {status}", path))

    def done(self, now: float) -> bool:
        """True once there is nothing more to wait for; restarts what an input has stopped."""
        if self.process is None:
            return True
        if (count := self.count) != self._seen:
            self._seen, self._seen_at = count, now
        if self.process.poll() is None:
            if now - self._seen_at > SILENCE_S_MAX:
                self.process.send_signal(signal.SIGUSR1)  # it says in its log where it is
                time.sleep(0.5)
                self.process.kill()
            return False
        if self.process.returncode == 0 and count >= self.inputs:
            self.process = None
            return True
        self._keep_stopped(self.process.returncode)
        if self.starts <= RESTARTS_MAX and count < self.inputs:
            self.start()
            return False
        self.process = None
        return True


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="one saved input, and no more")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return replay(options.replay)
    shutil.rmtree(ROOT / FOLDER, ignore_errors=True)
    workers = [
        Worker(FOLDER / f"worker-{number}", share, WORKERS * options.seed + number)
        for number, share in enumerate(shares(options.inputs))
    ]
    began = time.monotonic()  # noqa: TID251 - a real wait
    try:
        work(workers)
    finally:
        for worker in workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
    seconds = time.monotonic() - began  # noqa: TID251 - a real wait
    found = findings(workers)
    for line in found:
        print(line)
    inputs = sum(worker.count for worker in workers)
    print(f"fuzz: inputs={inputs} seconds={seconds:.0f} findings={len(found)}")
    return 1 if found or inputs < options.inputs else 0


@functools.cache
def _same_addresses() -> tuple[str, ...]:
    """Guided choices follow addresses: without chance in them a run can be repeated."""
    command = ("setarch", "-R")
    if shutil.which(command[0]) is None:
        return ()
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else ()


def shares(inputs: int) -> list[int]:
    return [inputs // WORKERS + (number < inputs % WORKERS) for number in range(WORKERS)]


def work(workers: list[Worker]) -> None:
    os.chdir(ROOT)
    for worker in workers:
        worker.prepare()
        worker.start()
    while True:
        now = time.monotonic()  # noqa: TID251 - a real wait
        done = [worker.done(now) for worker in workers]
        if all(done):
            return
        time.sleep(0.5)


def findings(workers: list[Worker]) -> list[str]:
    """One line each; the same kind once, whichever worker had it."""
    lines: dict[tuple[str, str], str] = {}
    for worker in workers:
        listed = worker.folder / "findings.jsonl"
        for line in listed.read_text(encoding="utf-8").splitlines() if listed.exists() else ():
            entry: dict[str, Any] = json.loads(line)
            what = f"{entry['target']}: {entry['error']} at {entry['where']}: {entry['text']!r}"
            path = Path(entry["path"])
            lines.setdefault((entry["error"], entry["where"]), _line(what, path))
        for how, path in worker.stopped:
            lines[how, str(path)] = _line(f"{how} (see {worker.folder / 'log'})", path)
    return list(lines.values())


def _line(what: str, path: Path) -> str:
    data = path.read_bytes()
    more = "" if len(data) <= SHOWN_BYTES else f"... of {len(data)} bytes"
    again = f"python -m tools.fuzz --replay {path}"
    return f"finding: {what}; {data[:SHOWN_BYTES]!r}{more}; {again}"


def replay(path: Path) -> int:
    data = path.read_bytes()
    print(f"{targets.name_of(data)}: {len(data)} bytes, {data[:SHOWN_BYTES]!r}")
    with targets.Caught() as caught:
        targets.run(data)
    if caught.error is not None:
        traceback.print_exception(caught.error)
    found = int(caught.error is not None)
    print(f"fuzz: replayed=1 findings={found}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
