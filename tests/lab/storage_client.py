"""The storage side as a test uses it: a process of its own, with questions and commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

Json = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
END_S: Final = 10.0


class Storage:
    """As a context manager: it runs. `log` is what it said of its troubles.

    `volumes` is where the data of the volumes is kept: every host needs that folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mdms: Sequence[str],
        password_file: Path,
        volumes: Path,
        listen: str = "127.0.0.1:0",
        user: str = "admin",
        api: str = "2.5",
        more: Sequence[str] = (),
    ) -> None:
        self.log = folder / "storage.log"
        self.volumes = volumes
        self._command = [
            sys.executable, "-m", "tests.lab.storage", "--listen", listen, "--mdm", *mdms,
            "--password-file", str(password_file), "--volumes", str(volumes), "--user", user,
            "--api", api, *more,
        ]  # fmt: skip

    url: str
    system_id: str
    certificate: str  # PEM
    mdms: tuple[str, ...]
    _process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            ready = self._read()
        except RuntimeError:
            self._end()
            raise
        self.url, self.system_id = ready["url"], ready["system_id"]
        self.certificate, self.mdms = ready["certificate"], tuple(ready["mdm"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def state(self) -> Json:
        """`sdcs`, `sds`, `volumes` and `degraded`, as they are now."""
        return self._ask("state")

    def sdc(self, address: str) -> Json | None:
        """The SDC that reported from there last, as in `state`."""
        found = [sdc for sdc in self.state()["sdcs"] if sdc["ip"] == address]
        return found[-1] if found else None

    def volume(self, name: str) -> Json | None:
        return next((v for v in self.state()["volumes"] if v["name"] == name), None)

    def removals(self) -> list[Json]:
        """Each with `at` (unix time), `kind`, `holding` (SDSs that have devices) and its facts."""
        found: list[Json] = self._ask("removals")["removals"]
        return found

    def add_volume(self, name: str, size_gb: int) -> None:
        """Thick, and mapped nowhere: data that has to be kept."""
        self._ask(f"volume {name} {size_gb}")

    def sds(self, address: str, *, up: bool) -> None:
        """On paper. A host's own SDS is shown as it is, as soon as it goes or comes back."""
        self._ask(f"sds {address} {'up' if up else 'down'}")

    def mdm(self, address: str, *, up: bool) -> None:
        """On paper: its port stays open."""
        self._ask(f"mdm {address} {'up' if up else 'down'}")

    def _ask(self, line: str) -> Json:
        _pipe(self._process.stdin).write(f"{line}\n")
        _pipe(self._process.stdin).flush()
        answer = self._read()
        if not answer["ok"]:
            raise ValueError(answer["error"])
        return answer

    def _read(self) -> Json:
        line = _pipe(self._process.stdout).readline()
        if not line:
            text = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the storage side has ended: {text}")
        decoded: Json = json.loads(line)
        return decoded

    def _end(self) -> None:
        with self._process as process:
            _pipe(process.stdin).close()
            try:
                process.wait(END_S)
            finally:
                process.kill()  # nothing, if it has ended


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
