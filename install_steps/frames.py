"""The frames of a survey: raw output of commands on a host, one by one.

    @begin NAME
    <base64 lines>
    @end NAME STATUS

Other lines are none of ours: old Mesos executors write their own words into the same file.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Mapping
from typing import Final

import attrs
import msgspec

SURVEY_CHARACTERS_MAX: Final = 16 * 1024 * 1024  # a host with 100 disks needs about 0.5 MiB
FRAMES_MAX: Final = 8192
TIMED_OUT: Final = 124  # this and more: killed, or never run; not the command's own word
_NAME: Final = re.compile(r"[a-z0-9.-]{1,64}")
_BASE64_LINE: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class SurveyError(Exception):
    """The survey's output cannot be used; the text is one sentence for people."""


@attrs.frozen(kw_only=True)
class Frame:
    """`status` is the command's exit status: 127 where the command does not exist."""

    text: str = ""
    status: int = 127


ABSENT: Final = Frame()


def frames_of(text: str) -> Mapping[str, Frame]:
    """All frames by name, in the order of the text. Raises SurveyError."""
    if len(text) > SURVEY_CHARACTERS_MAX:
        raise SurveyError(f"survey output has {len(text)} characters: too long to be one")
    frames: dict[str, Frame] = {}
    name, held = "", list[str]()
    for line in text.split("\n"):
        words = line.split()
        match words:
            case ["@begin", begun] if _NAME.fullmatch(begun):
                if name:
                    raise SurveyError(f"survey output is cut off in frame {name}: survey again")
                name, held = begun, []
            case ["@end", ended, status] if name:
                if ended != name or ended in frames or len(frames) >= FRAMES_MAX:
                    raise SurveyError(f"survey output is damaged at frame {name}: survey again")
                frames[name] = Frame(text=_decoded(name, held), status=number(status, 255))
                name = ""
            case [word] if name and _BASE64_LINE.fullmatch(word):
                held.append(word)
            case _:
                pass
    if name:
        raise SurveyError(f"survey output is cut off in frame {name}: survey again")
    return frames


def sound(frames: Mapping[str, Frame], name: str) -> str:
    """The text of the frame, if its command said that all went well."""
    frame = frames.get(name, ABSENT)
    return frame.text if frame.status == 0 else ""


def first_line(frames: Mapping[str, Frame], name: str) -> str:
    return sound(frames, name).strip().partition("\n")[0].strip()


def whole(frames: Mapping[str, Frame], name: str) -> tuple[str, ...] | None:
    """The lines of a frame that ends with a line `.`; None when it is not all there."""
    *lines, last, rest = ["", "", *sound(frames, name).split("\n")]
    return tuple(lines[2:]) if last == "." and not rest else None


def json_object(text: str) -> Mapping[str, object]:
    """Empty where the text is no JSON object."""
    try:
        decoded: object = msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def assignments(text: str) -> dict[str, str]:
    """NAME=VALUE lines as os-release has them: values may be quoted as in a shell."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        found[name] = " ".join(words)
    return found


def number(text: str, otherwise: int = 0) -> int:
    """A plain decimal number; anything else is `otherwise`."""
    stripped = text.strip()
    if stripped.isascii() and stripped.isdigit() and len(stripped) < 20:
        return int(stripped)
    return otherwise


def _decoded(name: str, lines: list[str]) -> str:
    try:
        return base64.b64decode("".join(lines), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise SurveyError(f"survey output is damaged in frame {name}: survey again") from None
