"""What both sides agreed on when they last met: a digest of each script's real transcript.

So a change of the simulation is noticed at once, also where no real Mesos can run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PATH: Final = Path(__file__).with_name("agreed.json")


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def read() -> dict[str, str]:
    """By the names of scripts."""
    found: dict[str, str] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def write(digests: dict[str, str]) -> None:
    PATH.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", encoding="utf-8")
