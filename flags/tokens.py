"""Bearer tokens in a file: one a line, each with a name before it if it has one.

    ann 5f1c...     an operator's own: orders are kept under that name
    0b77...         one without a name

Several lines are how a token is changed: add the new one, tell those who use it, take the old one
out. The file is looked at again whenever it has changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from flags.secret import ONCE_ONLY, Redactor, Secret, UnreadableError

TOKEN_CHARACTERS_MIN: Final = 16  # a bearer token that can be guessed opens every change
FILE_BYTES_MAX: Final = 64 * 1024
LOOK_EVERY_S: Final = 1.0
_LINE: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9_.@-]{0,31})\s+)?([\x21-\x7e]+)", re.ASCII)


@attrs.frozen
class Token:
    name: str
    secret: Secret


def read_tokens(path: str, *, default_name: str) -> tuple[Token, ...]:
    """Raises UnreadableError, which tells no token."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except OSError as fault:
        raise UnreadableError(fault.strerror or type(fault).__name__) from None
    except ValueError:
        raise UnreadableError("is no text file") from None
    if len(content) > FILE_BYTES_MAX:
        raise UnreadableError(f"is longer than {FILE_BYTES_MAX} bytes")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UnreadableError(f"line {number} is not TOKEN or NAME TOKEN")
        if len(match[2]) < TOKEN_CHARACTERS_MIN:
            raise UnreadableError(
                f"line {number} holds a token of less than {TOKEN_CHARACTERS_MIN} characters"
            )
        found.append(Token(match[1] or default_name, Secret(match[2])))
    if not found:
        raise UnreadableError("holds no token")
    return tuple(found)


@attrs.define
class TokenFile:
    """The tokens of a file as it is now; the last good ones where it cannot be read any more.

    `first`: as they were read at the start; all there are, without a path.
    """

    path: str
    default_name: str
    first: tuple[Token, ...]
    redactor: Redactor
    clock: Callable[[], float]
    fault: str = ""  # why the file is not what counts now
    _known: tuple[Token, ...] = attrs.field(init=False)
    _mark: tuple[int, ...] = attrs.field(default=(), init=False)
    _looked_at: float = attrs.field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._known = self.first
        self.path = "" if self.path.startswith(ONCE_ONLY) else self.path
        for token in self.first:
            self.redactor.add(token.secret)

    def who(self, given: str) -> str:
        """The name of that token; "" for none of ours. Every one is compared, whichever fits."""
        self._look()
        names = [token.name for token in self._known if token.secret.matches(given)]
        return names[0] if names else ""

    def __bool__(self) -> bool:
        return bool(self._known)

    def _look(self) -> None:
        """At the file's mark, once a second at most; at the file itself only if that is another."""
        now = self.clock()
        if not self.path or now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        try:
            seen = os.stat(self.path)  # noqa: PTH116 - of a small local file
            mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            if mark == self._mark:
                return
            self._known = read_tokens(self.path, default_name=self.default_name)
        except (OSError, UnreadableError) as fault:
            self.fault = str(fault)
            return
        self.fault, self._mark = "", mark
        for token in self._known:
            self.redactor.add(token.secret)
