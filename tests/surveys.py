"""Samples of raw outputs (tests/data/surveys) made into the text that a survey prints.

A sample holds the frames of one host, each behind a line `=== NAME STATUS`, in the commands' own
words. Where it comes from stands in INDEX.md beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from simulation.host_survey import frame, result_line

FOLDER: Final = Path(__file__).parent / "data" / "surveys"
PLATFORMS: Final = tuple(sorted(path.parent.name for path in FOLDER.glob("*/outputs.txt")))

Outputs = Mapping[str, tuple[str, int]]  # frame -> output and exit status


def outputs(platform: str) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    text = (FOLDER / platform / "outputs.txt").read_text(encoding="utf-8")
    for part in f"\n{text}".split("\n=== ")[1:]:
        head, _, body = part.partition("\n")
        name, _, status = head.partition(" ")
        found[name] = (f"{body}\n" if body and not body.endswith("\n") else body, int(status))
    return found


def assembled(frames: Outputs) -> str:
    """The survey of these frames, whole."""
    text = "".join(frame(name, body, status) for name, (body, status) in frames.items())
    end = result_line("survey", changed=False, reason="surveyed", extra={"frames": len(frames)})
    return text + end
