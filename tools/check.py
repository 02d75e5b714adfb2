"""`make check`: lint, types, Trio's pitfalls, imports and shell scripts, each by its tool."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from install_steps.texts import source_text

ROOT: Final = Path(__file__).resolve().parent.parent
LEFT_OUT: Final = (".venv", "build", "dist", ".hypothesis", ".git")
SCRIPT_FOLDERS: Final = ("install_steps/scripts", "tests/steps_inert")
PLAIN_SCRIPTS: Final = ("tools/venv.sh", ".ci/run")

TRIO_RULES_OFF: Final = {
    "ASYNC127": "an unpaired open_nursery is what a test of the nursery itself needs",
    "ASYNC114": "what can be started is seen from its task_status, not from a list of names",
    "ASYNC128": "a function may hand its task_status on; Trio itself tells if nobody calls it",
    "ASYNC124": "an async function without await may be what an interface, or a fixture, asks for",
    "ASYNC900": "the two async generators are body streams, closed by the client that reads them",
    "ASYNC910": "not every path of an async function has to be a checkpoint",
    "ASYNC911": "as 910, for generators",
    "ASYNC912": "as 910, for timeouts",
    "ASYNC913": "as 910, for endless loops; the stall watchdog of the simulation finds those",
}

Result = tuple[str, str]  # ok, failed or missing; and what the tool said


def main() -> int:
    results = run_all()
    for name, (state, output) in results.items():
        if state != "ok":
            print(f"--- {name}: {state}\n{output.rstrip()}")
    print("check: " + " ".join(f"{name}={state}" for name, (state, _) in results.items()))
    return 1 if failures(results) else 0


def run_all() -> dict[str, Result]:
    """Every checker's result; the slow ones run beside each other."""
    workers = max(2, os.cpu_count() or 2)
    with ThreadPoolExecutor(workers) as pool:
        running = {name: pool.submit(checker) for name, checker in CHECKERS.items()}
        return {name: future.result() for name, future in running.items()}


def failures(results: dict[str, Result]) -> list[str]:
    """A tool that this machine lacks is a failure only under REQUIRE=all."""
    bad = {"failed", "missing"} if os.environ.get("REQUIRE") == "all" else {"failed"}
    return [name for name, (state, _) in results.items() if state in bad]


def _tool(*argv: str) -> Callable[[], Result]:
    return lambda: _run(sys.executable, "-m", *argv)


def _run(*argv: str, text: str | None = None) -> Result:
    done = subprocess.run(argv, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    return ("failed" if done.returncode else "ok"), done.stdout + done.stderr


def _trio() -> Result:
    """flake8-async on the files that know Trio, the largest first; it takes its time with each."""
    files = [path for path in _python_files() if _is_async(ROOT / path)]
    files.sort(key=lambda path: -(ROOT / path).stat().st_size)
    command = (sys.executable, "-m", "flake8_async", "--disable", ",".join(TRIO_RULES_OFF))
    halves = [half for half in (files[::2], files[1::2]) if half]
    with ThreadPoolExecutor(len(halves) or 1) as pool:
        results = list(pool.map(lambda half: _run(*command, *half), halves))
    state = "failed" if any(state == "failed" for state, _ in results) else "ok"
    return state, "".join(output for _, output in results)


def _python_files() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        if relative.parts[0] not in LEFT_OUT:
            yield str(relative)


def _is_async(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "async def" in text or "trio." in text


def _imports() -> Result:
    """The contracts of pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    return _run(sys.executable, "-c", code, "--no-cache", "--no-logo")


def _shell() -> Result:
    """Every step as it is sent: with the parts that it names."""
    if shutil.which("shellcheck") is None:
        return "missing", "shellcheck is missing: apt-get install shellcheck"
    said = []
    for folder in SCRIPT_FOLDERS:
        for script in sorted((ROOT / folder).glob("[!_]*.sh")):
            text = source_text(script.stem, ROOT / folder)
            state, output = _run("shellcheck", "-s", "sh", "-", text=text)
            said += [f"{script.relative_to(ROOT)}: {output}"] if state != "ok" else []
    for plain in PLAIN_SCRIPTS:
        state, output = _run("shellcheck", plain)
        said += [output] if state != "ok" else []
    return ("failed" if said else "ok"), "\n".join(said)


CHECKERS: Final[dict[str, Callable[[], Result]]] = {
    "types": _tool("mypy", "."),
    "trio": _trio,
    "lint": _tool("ruff", "check", "."),
    "format": _tool("ruff", "format", "--check", "."),
    "imports": _imports,
    "shell": _shell,
}


if __name__ == "__main__":
    sys.exit(main())
