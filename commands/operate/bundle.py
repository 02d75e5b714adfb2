"""`support-bundle`: what somebody who helps wants to see, without secrets, in one archive."""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from commands.asking import AskError, complain
from commands.operate.link import Link, UnreachableError
from commands.operate.verbs import UNREACHABLE, common, link_of

PATHS: Final = {
    "status.json": "/v1/status",
    "agents.json": "/v1/agents",
    "conditions.json": "/v1/conditions",
    "events.json": "/v1/events?limit=10000",
    "settings.json": "/v1/settings",
    "rollout.json": "/v1/rollout",
    "why-rollout.json": "/v1/why/rollout",
    "plan.json": "/v1/plan",
    "storage.json": "/v1/storage",
    "capacity.json": "/v1/capacity",
    "offers.json": "/v1/offers",
    "devices.json": "/v1/devices",
    "actors.json": "/debug/actors",
    "tasks.txt": "/debug/tasks",
    "metrics.txt": "/metrics",
    "openapi.json": "/v1/openapi.json",
    "healthz.json": "/healthz",
    "readyz.json": "/readyz",
}
WHOLE_MAX: Final = 50  # agents that are in it with all that is known of them
TROUBLED: Final = ("failed", "lost", "held", "rebooting", "reboot_wanted", "draining")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.tar.gz", help="must not exist yet")
    common(parser)


def run(given: argparse.Namespace) -> int:
    try:
        link = link_of(given)
        link.read("/v1/status")  # nobody there: no archive
        count = write(link, given.file)
    except UnreachableError as error:
        complain("support-bundle", error)
        return UNREACHABLE
    except AskError as error:
        return complain("support-bundle", error)
    print(f"{given.file}: {count} files, without secrets; read MANIFEST.txt in it first")
    return 0


def write(link: Link, file: Path) -> int:
    """The number of files. Raises AskError."""
    try:
        raw = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise AskError(f"{file}: {error.strerror}: name a file that does not exist yet") from None
    manifest = ["What a ScaleIO framework scheduler showed. Secrets are *** everywhere.", ""]
    count = 0
    with os.fdopen(raw, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, path in _wanted(link):
            try:
                text = link.text(path)
            except AskError as error:
                manifest.append(f"{name}: not there: {error}")
                continue
            if link.token and link.token in text:
                manifest.append(f"{name}: left out: it holds the token that was used")
                continue
            _add(archive, name, text)
            manifest.append(f"{name}: {path}")
            count += 1
        _add(archive, "MANIFEST.txt", "\n".join(manifest) + "\n")
    return count + 1


def _wanted(link: Link) -> Iterator[tuple[str, str]]:
    yield from PATHS.items()
    try:
        told = link.read(f"/v1/agents?phase={','.join(TROUBLED)}&limit={WHOLE_MAX}")
    except AskError:
        return  # the list itself is named as missing
    for agent in told.get("agents", []):
        host = str(agent["host"])
        yield f"agents/{host.replace('/', '_')}.json", f"/v1/agents/{host}"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    body = text.encode()
    entry = tarfile.TarInfo(f"support/{name}")
    entry.size, entry.mode = len(body), 0o600
    archive.addfile(entry, io.BytesIO(body))


def recorded(file: Path) -> dict[str, object]:
    """A JSON object in that file: a report of `simulate`. Raises AskError."""
    try:
        told = json.loads(file.read_text(encoding="utf-8").strip().splitlines()[-1])
    except (OSError, UnicodeDecodeError) as error:
        raise AskError(f"{file}: cannot be read: {error}") from None
    except (ValueError, IndexError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise AskError(f"{file}: the JSON report of `simulate --report` is expected")
    return told
