"""One flag: its row in the table, where its value was given, how it is shown.

Go's syntax: one or two dashes, `-name=value` or `-name value`, switches without a value, the
last one wins. argparse is not used here: it takes `-rest.por 1` for `-rest.port` in spite of
`allow_abbrev=False`, refuses values that begin with a dash, and ends the process by itself.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import attrs

from flags.kinds import SWITCH, Kind, RefusedError
from flags.secret import STARS, Secret

T = TypeVar("T")
SHOWN_CHARACTERS_MAX: Final = 80


class SettingsError(Exception):
    """One line: which flag or variable, its value, what is expected. The process ends with 2."""

    exit_code: Final = 2


class HelpRequestedError(SettingsError):
    """`-help` was among the arguments: print the help and end with 0."""


@attrs.frozen(kw_only=True)
class Flag:
    """One row of the table."""

    name: str
    kind: Kind[object]
    default: object
    meaning: str  # "" where it is not built
    variable: str = ""  # the original's
    default_text: str = ""  # where the default is found out at start
    generic: bool = False  # the original's variable is read only with -compat.env
    unbuilt: str = ""  # why any other value than the default is refused
    masked: bool = False  # the text may be a secret, whole or in part: it is never shown

    @property
    def attribute(self) -> str:
        return self.name.replace(".", "_").replace("-", "_")

    @property
    def own_variable(self) -> str:
        return f"SCALEIO_{self.attribute.upper()}"

    @property
    def shown_default(self) -> str:
        match self.default:
            case _ if self.default_text:
                return self.default_text
            case bool(switch):
                return str(switch).lower()
            case "" | None | () | Secret():
                return "none"
            case float(number):
                return f"{number:g}" if number < 1e6 else f"{number:.0f}"
            case tuple(parts):
                return ",".join(map(str, parts))
            case other:
                return str(other)

    @property
    def shown_variables(self) -> str:
        note = " (with -compat.env)" if self.generic else ""
        return ", ".join(filter(None, (self.own_variable, self.variable and self.variable + note)))

    @property
    def explained(self) -> str:
        return f"Not built: {self.unbuilt}." if self.unbuilt else self.meaning


def row(
    name: str,
    default: T,
    kind: Kind[T],
    meaning: str,
    *,
    was: str = "",
    shown: str = "",
    generic: bool = False,
    unbuilt: str = "",
    hidden: bool = False,
    masked: bool = False,
) -> T:
    """A row of the table. `was`: the original's variable; `shown`: the default in words.

    `hidden`: not in a repr, since the text may hold a password; `masked`: nor in a refusal.
    """
    entry = Flag(
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        variable=was,
        default_text=shown,
        generic=generic,
        unbuilt=unbuilt,
        masked=masked,
    )
    field: T = attrs.field(default=default, metadata={"flag": entry}, repr=not (hidden or masked))
    return field


def unbuilt_row(name: str, default: T, kind: Kind[T], was: str, why: str) -> T:
    """A row whose flag is known and refused; `why` says what is not built."""
    return row(name, default, kind, "", was=was, unbuilt=why)


@attrs.frozen(kw_only=True)
class Given:
    """A text that somebody gave for a flag, and where."""

    flag: Flag
    text: str
    source: str  # "-rest.port" or "variable REST_PORT"
    rank: int  # 0 on the command line, 1 our variable, 2 the original's

    def value(self) -> object:
        """The typed value, or SettingsError."""
        try:
            value = self.flag.kind.read(self.text)
        except RefusedError as fault:
            raise SettingsError(f"{self._shown()}: {fault}") from None
        except ValueError:
            raise SettingsError(f"{self._shown()} is not {self.flag.kind.expected}") from None
        if self.flag.unbuilt and value != self.flag.default:
            raise SettingsError(f"{self.source}: not built: {self.flag.unbuilt}")
        return value

    def _shown(self) -> str:
        if isinstance(self.flag.default, Secret) or self.flag.masked:
            return f"{self.source}: {STARS}"
        return f"{self.source}: {quoted(without_credentials(self.text))}"


def without_credentials(text: str) -> str:
    """Addresses may hold USER:PASSWORD@; wrong ones are shown too, so the guess is generous."""
    return re.sub(r"^(?:([A-Za-z]+://)|(?=.*:)).*@", rf"\1{STARS}@", text, flags=re.DOTALL)


def quoted(text: str) -> str:
    """On one line, printable, and not without end."""
    return ascii(text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "...")


def from_arguments(argv: Sequence[str], flags: Mapping[str, Flag]) -> dict[str, Given]:
    """What the command line gives, by flag name. Values of unknown flags are never repeated."""
    given: dict[str, Given] = {}
    before = "at the beginning"
    rest = iter(argv)
    for token in rest:
        dashed = token.removeprefix("-").removeprefix("-")
        if not token.startswith("-") or not dashed:
            raise SettingsError(f"unexpected argument {before}: flags look like -name=value")
        name, equals, text = dashed.partition("=")
        if name in {"h", "help"}:
            raise HelpRequestedError("help was asked for")
        if name not in flags:
            raise SettingsError(f"-{quoted(name)[1:-1]}: no such flag{_nearest(name, flags)}")
        if not equals:
            value = "true" if flags[name].kind is SWITCH else next(rest, None)
            if value is None:
                raise SettingsError(f"-{name}: needs a value: {flags[name].kind.expected}")
            text = value
        before = f"after -{name}"
        given[name] = Given(flag=flags[name], text=text, source=f"-{name}", rank=0)
    return given


def _nearest(name: str, flags: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:SHOWN_CHARACTERS_MAX], flags, n=1)
    return f"; did you mean -{near[0]}?" if near else "; see -help"


def given_values(
    argv: Sequence[str], environ: Mapping[str, str], flags: Mapping[str, Flag], *, compat: str
) -> dict[str, Given]:
    """The strongest text given for each flag; `compat` is the switch for generic variables."""
    given = from_arguments(argv, flags)
    switch = given.get(compat) or _from_variable(flags[compat], environ, generic=False)
    generic = switch is not None and switch.value() is True
    for flag in flags.values():
        if flag.name not in given and (found := _from_variable(flag, environ, generic=generic)):
            given[flag.name] = found
    return given


def _from_variable(flag: Flag, environ: Mapping[str, str], *, generic: bool) -> Given | None:
    """What the environment gives; an empty variable gives nothing."""
    names = [(1, flag.own_variable)]
    if flag.variable and (generic or not flag.generic):
        names.append((2, flag.variable))
    for rank, name in names:
        if text := environ.get(name, ""):
            return Given(flag=flag, text=text, source=f"variable {name}", rank=rank)
    return None


def help_of(flags: Iterable[Flag], width: int) -> str:
    """Every flag with its variables, default and meaning, for a terminal of this width."""
    width = max(40, width)
    lines: list[str] = []
    for flag in flags:
        value = f"={flag.kind.placeholder}" if flag.kind.placeholder else ""
        lines.append(f"  -{flag.name}{value}")
        facts = f"[default {flag.shown_default}; {flag.shown_variables}]"
        lines += textwrap.wrap(
            f"{flag.explained} {facts}",
            width,
            initial_indent=" " * 8,
            subsequent_indent=" " * 8,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines) + "\n"


def markdown_of(flags: Iterable[Flag]) -> str:
    """The same as a table for the documentation."""
    rows = ["| Flag | Variables | Default | Meaning |", "|---|---|---|---|"]
    for flag in flags:
        cells = (f"`{flag.name}`", flag.shown_variables, f"`{flag.shown_default}`", flag.explained)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"
