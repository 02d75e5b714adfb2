"""The text of a step: the common prelude, the parts that it names, and its own script."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

STEP_CHARACTERS_MAX: Final = 64 * 1024  # Linux takes 128 KiB as one argument of `sh -c`
_NAME: Final = re.compile(r"[a-z][a-z_-]{0,31}")
_PRELUDE: Final = "_lib"
_COMMENT: Final = re.compile(r"^[ \t]*# .*\n", re.MULTILINE)
_PARTS: Final = re.compile(r"^# parts: (.*)$", re.MULTILINE)  # a line of the step's own script


class StepTextError(Exception):
    """A step cannot be made into a task; the text says what is missing and where."""


def script_text(name: str, steps_dir: Path | None = None) -> str:
    """The command of step `name`, from the packaged scripts or from `steps_dir`. StepTextError.

    Comments stay here: each launch carries the text, and a host has no use for them.
    """
    text = _COMMENT.sub("", source_text(name, steps_dir))
    if len(text.encode()) > STEP_CHARACTERS_MAX:
        raise StepTextError(f"step {name} has more than {STEP_CHARACTERS_MAX} bytes")
    return text


def source_text(name: str, steps_dir: Path | None = None) -> str:
    """The same with its comments, for those who check it. Raises StepTextError."""
    if not _NAME.fullmatch(name):
        raise StepTextError(f"there is no step {name!r}")
    own = _read(name, steps_dir)
    named = _PARTS.search(own)
    parts = (_PRELUDE, *(named.group(1).split() if named else ()))
    return "\n".join([*(_read(part, steps_dir) for part in parts), own])


def _read(name: str, steps_dir: Path | None) -> str:
    file = f"{name}.sh"
    where = steps_dir if steps_dir is not None else resources.files("install_steps") / "scripts"
    try:
        return (where / file).read_text(encoding="utf-8")
    except OSError as error:
        place = f"{steps_dir}/{file} (-steps.dir)" if steps_dir is not None else f"packaged {file}"
        reason = error.strerror or type(error).__name__
        raise StepTextError(f"step script {place} cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise StepTextError(f"step script {file} is no UTF-8 text") from None
