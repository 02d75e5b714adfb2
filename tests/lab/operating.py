"""What an operator does: orders by REST, and steps of his own."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.scheduler_process import LOOPBACK, ROOT, Scheduler

Json = dict[str, Any]

ANSWER_S: Final = 60.0  # an order is not repeated, and the machine may be busy
TOKEN: Final = "operators-token-of-the-lab"
STEPS: Final = ROOT / "install_steps" / "scripts"


def token_flag(folder: Path) -> str:
    """The flag that lets `order` in. The file is written here."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return f"-rest.token-file={file}"


def order(scheduler: Scheduler, command: str, host: str) -> Json:
    """The answer. Raises AssertionError when it is refused."""
    with contextlib.closing(
        http.client.HTTPConnection(LOOPBACK, scheduler.port, ANSWER_S)
    ) as asking:
        path = f"/v1/agents/{host}/{command}"
        asking.request("POST", path, headers={"Authorization": f"Bearer {TOKEN}"})
        reply = asking.getresponse()
        content = reply.read()
        assert reply.status < 300, (command, host, content)
    decoded: Json = json.loads(content)
    return decoded


def steps_flag(folder: Path, changes: Mapping[str, tuple[str, str]]) -> str:
    """The flag for a copy of the product's steps. `changes`: script -> text there, text instead."""
    shutil.copytree(STEPS, folder)
    for name, (there, instead) in changes.items():
        script = folder / name
        text = script.read_text()
        assert text.count(there) == 1, f"{name} has {text.count(there)} times {there!r}"
        script.write_text(text.replace(there, instead))
    return f"-steps.dir={folder}"
