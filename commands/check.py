"""`check`: before the first start, what is right or wrong outside, and what to do about it.

Its flags are the scheduler's. It reads only: nothing is subscribed, stored, or changed.
Status: 0 nothing is wrong, 1 something is (with --strict: or unknown), 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import attrs
import trio

from actors.ports import CredentialsError
from commands import logs
from commands.asking import columns
from commands.check_probes import PATIENCE_S, Probe, Probes
from commands.inputs import Inputs, read_inputs
from commands.opening import BadInputError
from domain import preflight
from domain.preflight import RIGHT, UNKNOWN, WRONG, Line
from flags.ensemble import EnsembleError
from settings import (
    HelpRequestedError,
    Redactor,
    Settings,
    SettingsError,
    help_text,
    parse,
    reexec_without_secrets,
)

MARKS: Final = {RIGHT: "✓ right", WRONG: "✕ wrong", UNKNOWN: "? unknown"}
ORDER: Final = {WRONG: 0, UNKNOWN: 1, RIGHT: 2}
USAGE: Final = """scaleio-scheduler check [--output table|json] [--strict] FLAGS

Looks whether the scheduler could work with these flags, which are its own. Nothing is changed.
Status: 0 nothing is wrong, 1 something is wrong (--strict: or unknown), 2 bad input.
"""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    own, rest = _parted(arguments)
    reexec_without_secrets(rest, environ)
    try:
        settings = parse(rest, environ)
        inputs = read_inputs(settings)
    except HelpRequestedError:
        print(USAGE + help_text())
        return 0
    except (SettingsError, BadInputError) as error:
        print(f"scaleio-scheduler check: {error}", file=sys.stderr)
        return 2
    redactor = Redactor([settings.scaleio_password, settings.rest_token])
    logs.configure(level="critical", style="text", redactor=redactor)
    _ = settings.rest_advertised  # may ask the resolver: before the loop
    lines = trio.run(look, settings, inputs, redactor)
    lines.sort(key=lambda line: (ORDER[line.verdict], line.area))
    print(redactor(_json(lines) if own.output == "json" else table(lines)))
    counts = preflight.counts(lines)
    bad = counts[WRONG] + own.strict * counts[UNKNOWN]
    return 1 if bad else 0


def _parted(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What is ours, and the scheduler's flags: these have one dash or two, and no spaces."""
    parser = argparse.ArgumentParser(prog="check", add_help=False, allow_abbrev=False)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    parser.add_argument("--strict", action="store_true")
    ours = [one for one in arguments if one.partition("=")[0] in ("--output", "--strict")]
    rest = [one for one in arguments if one not in ours]
    for place, one in enumerate(rest):  # `--output json`
        if "--output" in ours and one in ("table", "json"):
            ours.insert(ours.index("--output") + 1, rest.pop(place))
            break
    return parser.parse_args(ours), rest


async def look(settings: Settings, inputs: Inputs, redactor: Redactor) -> list[Line]:
    """All probes at once; one that fails or hangs takes no other with it."""
    found: list[Line] = []
    chance = random.SystemRandom()
    async with AsyncExitStack() as stack:
        probes = Probes(
            settings=settings,
            inputs=inputs,
            redactor=redactor,
            chance=chance,
            tell=found.append,
            stack=stack,
        )
        async with trio.open_nursery() as nursery:
            for area, probe in probes.all().items():
                nursery.start_soon(_patiently, area, probe, found)
    return found


async def _patiently(area: str, probe: Probe, found: list[Line]) -> None:
    with trio.move_on_after(PATIENCE_S) as patience:
        try:
            await probe()
        except (OSError, CredentialsError, BadInputError, EnsembleError) as error:
            found.append(preflight.wrong(area, "look", str(error), "correct what it names"))
    if patience.cancelled_caught:
        cure = "see whether anything between here and there drops packets"
        found.append(preflight.unknown(area, "look", f"no end within {PATIENCE_S:g} s", cure))


def table(lines: Sequence[Line]) -> str:
    counts = preflight.counts(lines)
    rows = [
        (
            MARKS[line.verdict],
            line.area,
            line.subject,
            line.seen,
            f"-> {line.cure}" if line.cure else "",
        )
        for line in lines
    ]
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{columns(rows)}\n{told}"


def _json(lines: Sequence[Line]) -> str:
    return json.dumps({"lines": [attrs.asdict(line) for line in lines], **preflight.counts(lines)})
