"""One fuzzing process: libFuzzer's guidance over the instrumented protocol, inputs counted.

`python -m tests.fuzz.worker --inputs N --seed S --folder F`; `tools.fuzz` starts it. In F are
`corpus/` (read and extended), `state` (the calls of the target so far, and the input of the last
one) and `findings.jsonl` with one line per kind of finding, its input beside it.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib
import json
import mmap
import os
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

import attrs

INPUT_BYTES_MAX: Final = 4096
INPUT_S_MAX: Final = 2.0  # of processor time for one input; most take less than a millisecond
MEMORY_MB_MAX: Final = 1024
KINDS_MAX: Final = 50  # kinds of findings that are kept
HEAD: Final = struct.Struct("<QI")  # of `state`: inputs, bytes of the last one


@attrs.define
class Worker:
    """`targets` and `mutation` are the modules, `fuzzer` is atheris: all come in instrumented."""

    targets: Any
    mutation: Any
    fuzzer: Any
    inputs: int
    folder: Path
    _count: int = 0
    _state: Any = None
    _kinds: set[tuple[str, str]] = attrs.field(factory=set)

    def open_state(self) -> None:
        """A started-again worker goes on counting. The file outlives any end of the process."""
        path = self.folder / "state"
        if not path.exists():
            path.write_bytes(bytes(HEAD.size + INPUT_BYTES_MAX))
        with path.open("r+b") as handle:
            self._state = mmap.mmap(handle.fileno(), HEAD.size + INPUT_BYTES_MAX)
        self._count, _ = HEAD.unpack(self._state[: HEAD.size])

    def one(self, data: bytes) -> None:
        """Runs and counts one input; after the last one the process ends."""
        self._count += 1
        self._state[: HEAD.size + len(data)] = HEAD.pack(self._count, len(data)) + data
        began = time.process_time()
        with self.targets.Caught() as caught:
            self.targets.run(data)
            spent = time.process_time() - began
            self.targets.demand(spent < INPUT_S_MAX, f"{spent:.1f} s for {len(data)} bytes")
        if caught.error is not None:
            self._keep(data, caught.error)
        if self._count >= self.inputs:
            sys.stdout.flush()
            os._exit(0)  # libFuzzer would go on

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next(one for one in reversed(frames) if one.name not in ("demand", "one_line"))
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        kind = (type(error).__name__, where)
        if kind in self._kinds or len(self._kinds) >= KINDS_MAX:
            return
        self._kinds.add(kind)
        path = self.folder / f"finding-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        path.write_bytes(data)
        entry = {
            "target": self.targets.name_of(data),
            "error": type(error).__name__,
            "text": str(error)[:200],
            "where": where,
            "path": str(path),
        }
        with (self.folder / "findings.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")

    def mutate(self, data: bytes, bytes_max: int, seed: int) -> bytes:
        """By structure and by bytes in turn: the one keeps the shape, the other breaks it."""
        changed: bytes | None = None
        with self.targets.Caught() as caught:  # libFuzzer hangs where a mutation raises
            changed = self.mutation.mutated(data, bytes_max, seed) if seed % 2 else None
        if caught.error is not None:
            self._keep(data, caught.error)
        if changed is None:
            changed = bytes(self.fuzzer.Mutate(data, bytes_max))
        return changed


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    fuzzer: Any = importlib.import_module("atheris")  # there for `make fuzz` only
    with fuzzer.instrument_imports(include=["protocol"]):
        targets = importlib.import_module("tests.fuzz.targets")
        mutation = importlib.import_module("tests.fuzz.mutation")
    worker = Worker(targets, mutation, fuzzer, options.inputs, options.folder)
    worker.open_state()
    faulthandler.register(signal.SIGUSR1)  # where it is, should it hang
    argv = [
        sys.argv[0],
        f"-seed={options.seed}",
        f"-max_len={INPUT_BYTES_MAX}",
        "-timeout=1000000",  # its alarm ends a Python process; time is measured above instead
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={options.folder}/stopped-",
        "-reload=0",  # looking at the folder again each second would make runs differ
        str(options.folder / "corpus"),
    ]
    fuzzer.Setup(argv, worker.one, custom_mutator=worker.mutate)
    fuzzer.Fuzz()


if __name__ == "__main__":
    main()
