"""The operator's own steps, before and after ours: a folder of scripts with our exit codes.

A file is called `before-STEP-NAME.sh` or `after-STEP-NAME.sh`, STEP being one of ours; several of
one place go by name. It runs once on each host, and again when its text changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from domain.facts import Facts
from install_steps.texts import STEP_CHARACTERS_MAX, script_text

PLACES: Final = ("prerequisites", "sds", "sdc", "rexray", "isolator")
EXTRAS_MAX: Final = 50
TIMEOUT_S: Final = 1800.0
_NAME: Final = re.compile(rf"(before|after)-({'|'.join(PLACES)})-[a-z0-9][a-z0-9-]{{0,31}}")
_SCRIPT: Final = "#@script\n"  # the line of extra.sh that the operator's text takes the place of
_WRITABLE_BY_ALL: Final = 0o002


class ExtraError(Exception):
    """A script of the operator's cannot be used: one line with what, where, and what to do."""


@attrs.frozen(kw_only=True)
class Extra:
    """One script. `name` is also that of its step, of its receipt, and in its task's id."""

    name: str
    text: str
    digest: str

    @property
    def is_before(self) -> bool:
        return self.name.startswith("before-")

    @property
    def beside(self) -> str:
        return self.name.split("-")[1]

    def holds(self, facts: Facts) -> bool:
        """True if this very text has run on that host, and ended well."""
        return any(
            (r.step, r.state, r.digest) == (self.name, "kept", self.digest) for r in facts.receipts
        )

    def command(self, steps_dir: Path | None = None) -> str:
        """The step's text with the operator's in it."""
        mark = f"END_{self.digest[:16]}"
        here = f"cat >\"$EXTRA_FILE\" <<'{mark}'\n{self.text}{mark}\n"
        return script_text("extra", steps_dir).replace(_SCRIPT, here)

    def told(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """The environment of its task; `values` are the operator's, from the overrides."""
        return {**values, "EXTRA_NAME": self.name, "EXTRA_DIGEST": self.digest}


def load_extras(folder: Path | None, steps_dir: Path | None = None) -> tuple[Extra, ...]:
    """All scripts of that folder, by name. Raises ExtraError."""
    if folder is None:
        return ()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".sh")
    except OSError as error:
        raise ExtraError(f"{folder} (-steps.extra) cannot be read: {error.strerror}") from None
    if len(files) > EXTRAS_MAX:
        raise ExtraError(f"{folder} holds {len(files)} scripts: at most {EXTRAS_MAX} are expected")
    return tuple(_load(path, steps_dir) for path in files)


def _load(path: Path, steps_dir: Path | None) -> Extra:
    if not _NAME.fullmatch(path.stem):
        raise ExtraError(
            f"{path}: the name says no place: before-STEP-NAME.sh or after-STEP-NAME.sh is "
            f"expected, STEP being one of {', '.join(PLACES)}, NAME of a-z, 0-9 and -"
        )
    try:
        if path.stat().st_mode & _WRITABLE_BY_ALL:
            raise ExtraError(f"{path}: everybody may write it, and it runs as root: chmod o-w")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ExtraError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ExtraError(f"{path} is no UTF-8 text: a script is expected") from None
    if not text.strip() or "\0" in text:
        raise ExtraError(f"{path} is empty, or holds a NUL: a script is expected")
    text = text.removesuffix("\n") + "\n"  # as the host's here-document ends it
    extra = Extra(name=path.stem, text=text, digest=hashlib.sha256(text.encode()).hexdigest())
    if len(extra.command(steps_dir).encode()) > STEP_CHARACTERS_MAX:
        raise ExtraError(f"{path}: with ours it has more than {STEP_CHARACTERS_MAX} bytes: cut it")
    return extra


def beside(extras: Sequence[Extra], step: str, *, before: bool) -> tuple[Extra, ...]:
    """Those at one side of one of our steps."""
    return tuple(e for e in extras if e.beside == step and e.is_before is before)
