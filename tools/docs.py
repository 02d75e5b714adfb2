"""`make docs`: renew what in docs/ is made from the code. The rest of each file stays as it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from domain.agent import NEXT, Phase, Signal
from domain.conditions import KINDS
from install_steps.catalog import PLAN
from settings import docs_table
from tools import docs_metrics

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
FLAGS_BEGIN: Final = "| Flag | Variables | Default | Meaning |\n"
PHASES_BEGIN: Final = "```mermaid\nstateDiagram-v2\n"
PHASES_END: Final = "\n\n<!-- end of what `make docs` writes -->\n"
CONDITIONS_BEGIN: Final = "| Condition | Severity | Means | Delay | Over after | What to do |\n"
CONDITIONS_END: Final = "\n\n<!-- end of the conditions -->\n"
LIFE_BEGIN: Final = "| Phase | Leads to |\n"
LIFE_END: Final = "\n\n<!-- end of the phases -->\n"
STEPS_BEGIN: Final = "| Step | For | At most |\n"
STEPS_END: Final = "\n\n<!-- end of the steps -->\n"
ASIDE: Final = (Signal.DOUBT, Signal.GONE, Signal.BROKEN, Signal.HOLD, Signal.DRAIN)


def main() -> int:
    changed = [name for name, text in renewed().items() if _write(DOCS / name, text)]
    print(f"docs: files={len(renewed())} changed={','.join(changed) or 'none'}")
    return 0


def renewed() -> dict[str, str]:
    """File name -> the content that it should have."""
    flags = (DOCS / "flags.md").read_text(encoding="utf-8")
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    storage = (DOCS / "storage.md").read_text(encoding="utf-8")
    return {
        "flags.md": _replaced(flags, FLAGS_BEGIN, "\n\n", docs_table().strip("\n")),
        "operations.md": _replaced(operations, PHASES_BEGIN, PHASES_END, phases()),
        "how-it-works.md": _replaced(
            _replaced(
                (DOCS / "how-it-works.md").read_text(encoding="utf-8"),
                LIFE_BEGIN,
                LIFE_END,
                life(),
            ),
            STEPS_BEGIN,
            STEPS_END,
            steps(),
        ),
        "troubleshooting.md": _replaced(
            (DOCS / "troubleshooting.md").read_text(encoding="utf-8"),
            CONDITIONS_BEGIN,
            CONDITIONS_END,
            conditions(),
        ),
        "monitoring/index.md": _replaced(
            (DOCS / "monitoring" / "index.md").read_text(encoding="utf-8"),
            docs_metrics.BEGIN,
            docs_metrics.END,
            docs_metrics.table(),
        ),
        "storage.md": _replaced(storage, CONDITIONS_BEGIN, CONDITIONS_END, conditions()),
    }


def phases() -> str:
    """The phases and what leads from one to the next, from the table that the product runs on.

    What leads to the same phase from many stands in a table below the picture.
    """
    lines = [PHASES_BEGIN.rstrip("\n"), f"    [*] --> {Phase.SEEN.value}"]
    for phase, row in NEXT.items():
        lines += [
            f"    {phase.value} --> {after.value}: {signal.value}"
            for signal, after in row.items()
            if signal not in ASIDE and after is not phase
        ]
    lines += [f"    {Phase.RETIRED.value} --> [*]", "```", ""]
    lines += ["| Signal | Leads to | From |", "|---|---|---|"]
    for signal in ASIDE:
        starts = [phase for phase, row in NEXT.items() if row.get(signal, phase) is not phase]
        (target,) = {NEXT[phase][signal] for phase in starts}
        lines.append(f"| {signal.value} | {target.value} | {_named(starts)} |")
    return "\n".join(lines)


def life() -> str:
    """Where each phase can go, and by what."""
    rows = []
    for phase, row in NEXT.items():
        ways: dict[str, list[str]] = {}
        for signal, after in row.items():
            if after is not phase:
                ways.setdefault(after.value, []).append(signal.value)
        told = "; ".join(f"{after} ({', '.join(by)})" for after, by in ways.items())
        rows.append(f"| {phase.value} | {told} |")
    return LIFE_BEGIN + "\n".join(["|---|---|", *rows])


def steps() -> str:
    """The installation's steps in their order, with the time that each may take."""
    rows = [
        f"| `{step.name}` | {', '.join(sorted(step.scope)) or 'every agent'} "
        f"| {step.timeout_s / 60:g} min |"
        for step in PLAN
    ]
    return STEPS_BEGIN + "\n".join(["|---|---|---|", *rows])


def conditions() -> str:
    """Every kind of condition, from the table that the product judges by."""
    rows = [
        f"| `{kind.name}` | {kind.severity} | {kind.meaning} | {_seconds(kind.raise_s)} "
        f"| {_seconds(kind.clear_s)} | {kind.cure} |"
        for kind in KINDS.values()
    ]
    return CONDITIONS_BEGIN + "\n".join(["|---|---|---|---|---|---|", *rows])


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds else "at once"


def _named(starts: list[Phase]) -> str:
    return ", ".join(phase.value for phase in starts)


def _replaced(text: str, begin: str, end: str, part: str) -> str:
    """`text` with what stands from `begin` up to `end` exchanged."""
    start = text.index(begin)
    stop = text.find(end, start)
    return text[:start] + part + (text[stop:] if stop >= 0 else "\n")


def _write(path: Path, text: str) -> bool:
    if path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
