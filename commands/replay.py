"""`simulate --replay FILE`: the run of a report once more, from what the report says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec

from simulation.scripts import ScriptError, parse, render
from simulation.storms import WeatherError, weather


class ReplayError(Exception):
    """That file is no report: one line with what is expected."""


@attrs.frozen(kw_only=True)
class Recorded:
    """Everything that decides a run. `script`: exact faults in place of a storm's."""

    agents: int
    seed: int
    faults: str = "none"
    plant: str = ""
    storage: int = 5
    uninstall: str = ""
    script: str | None = None
    hours: float = 0.0
    upgrade: bool = False
    mdms_on_agents: bool = False
    limits: str = "on"


def recorded(options: Any) -> dict[str, object]:
    """`options` of commands.simulate, for the report."""
    fields = [field.name for field in attrs.fields(Recorded) if field.name != "script"]
    told: dict[str, object] = {name: getattr(options, name) for name in fields}
    script = None if options.script is None else render(options.script)
    return {**told, "script": script}


def read(file: Path) -> dict[str, Any]:
    """Arguments for `Options`. Raises ReplayError."""
    try:
        lines = file.read_text(encoding="utf-8").strip().splitlines()
        report = json.loads(lines[-1])
        found = msgspec.convert(report["options"], Recorded)
        hosts = [f"agent{number}.sim" for number in range(found.agents)]
        script = None if found.script is None else parse(found.script, hosts)
        weather(found.faults)
    except OSError as error:
        raise ReplayError(f"{file}: cannot be read: {error.strerror}") from None
    except (
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        msgspec.ValidationError,
        ScriptError,
        WeatherError,
    ) as error:
        raise ReplayError(
            f"{file}: {error}: the report of a `simulate` run is expected (--report FILE)"
        ) from None
    return {**attrs.asdict(found), "script": script}
