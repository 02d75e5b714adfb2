"""Secrets that do not show themselves, and the text filter that hides what got out anyway."""

from __future__ import annotations

import base64
import errno
import hmac
import html
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

STARS: Final = "***"
SECRET_CHARACTERS_MIN: Final = 4  # hiding anything shorter would blot out ordinary words
SECRET_BYTES_MAX: Final = 4096  # fits any pipe's buffer, so writing one never blocks
REEXECUTED: Final = "SCALEIO_REEXECUTED"  # marks the second start; its value is no secret


class Secret:
    """A value that prints as stars. Not an attrs class: `attrs.asdict` would open it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        return self._value

    def matches(self, text: str) -> bool:
        """Equal, in a time that does not depend on where they differ."""
        return bool(self._value) and hmac.compare_digest(_bytes(self._value), _bytes(text))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            _bytes(self._value), _bytes(other._value)
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return STARS

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self


class Redactor:
    """Replaces known secrets in any text, also as JSON, HTML, URL, base64 or repr write them."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """Hide this one too, from now on."""
        value = secret.reveal()
        if len(value) < SECRET_CHARACTERS_MIN:
            return
        # The longest first: a form may hold another one.
        forms = {*self._forms, *_written(value)}
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, STARS)
        return text


def _written(value: str) -> set[str]:
    raw = _bytes(value)
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        quote(raw, safe=""),
        quote_plus(raw),
        repr(value)[1:-1],
        base64.b64encode(raw).decode(),
    }


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


ONCE_ONLY: Final = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")


class UnreadableError(Exception):
    """A file holds no secret for us; the text says why."""


def read_secret_file(path: str) -> str:
    """The only line of a small file. `/dev/fd/N` is read to its end and closed: once only."""
    inherited = re.fullmatch(r"/dev/fd/([0-9]{1,6})", path, re.ASCII)
    try:
        with open(int(inherited[1]) if inherited else path, "rb") as stream:  # noqa: PTH123 - a Path knows no descriptors
            content = stream.read(SECRET_BYTES_MAX + 1)
        text = content.decode("utf-8").strip("\r\n")
    except OSError as fault:
        raise UnreadableError(fault.strerror or type(fault).__name__) from None
    except ValueError:  # no UTF-8, or no possible path
        raise UnreadableError("is no text file") from None
    if not text or len(content) > SECRET_BYTES_MAX or not text.isprintable():
        raise UnreadableError(f"is not one line of text of 1 to {SECRET_BYTES_MAX} bytes")
    return text


class RenewedSecret:
    """A secret that is read again at each use: what is corrected in its file is taken up.

    Where the file is not where the first value came from, or can be read once only, that stays.
    """

    def __init__(self, path: str, first: Secret, redactor: Redactor) -> None:
        self._path = path if not path.startswith(ONCE_ONLY) and _holds(path, first) else ""
        self._last = first
        self._redactor = redactor

    def read(self) -> str:
        """Raises OSError."""
        if self._path:
            try:
                self._last = Secret(read_secret_file(self._path))
            except UnreadableError as fault:
                raise OSError(errno.EIO, str(fault)) from None
            self._redactor.add(self._last)
        return self._last.reveal()

    def last(self) -> str:
        """As it was read last, without looking."""
        return self._last.reveal()


def _holds(path: str, secret: Secret) -> bool:
    try:
        return bool(path) and secret.matches(read_secret_file(path))
    except UnreadableError:
        return False


def reexec_without_secrets(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    execute: Callable[[str, list[str], dict[str, str]], object] = os.execve,
) -> None:
    """Start this program again without `-scaleio.password=...` among its arguments.

    Returns if there is nothing to hide; otherwise the process is replaced.
    `argv` is `sys.argv[1:]`.
    """
    found = _without_password(argv)
    if found is None or not sys.executable:
        return
    kept, password = found
    if len(_bytes(password)) > SECRET_BYTES_MAX:
        return  # `parse` refuses it in one line
    # Anybody may read /proc/PID/cmdline, and /proc/PID/environ keeps what a process was started
    # with: a pipe that is drained once leaves the secret in this process' memory only.
    read_end, write_end = os.pipe()
    os.write(write_end, _bytes(password))
    os.close(write_end)
    os.set_inheritable(read_end, True)  # noqa: FBT003 - os gives it no name
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(argv)]
    arguments = [*program, *kept, f"-scaleio.password-file=/dev/fd/{read_end}"]
    execute(sys.executable, [sys.executable, *arguments], {**environ, REEXECUTED: "true"})


def _without_password(argv: Sequence[str]) -> tuple[list[str], str] | None:
    """The other arguments and the password; None where there is nothing (clear) to take out."""
    kept: list[str] = []
    password = ""
    rest = iter(argv)
    for token in rest:
        name, equals, value = token.removeprefix("-").removeprefix("-").partition("=")
        if not token.startswith("-") or name not in {"scaleio.password", "scaleio.password-file"}:
            kept.append(token)
        elif name == "scaleio.password-file":
            return None  # both are given: `parse` refuses that
        else:
            password = value if equals else next(rest, "")
    return (kept, password) if password else None
