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
from collections.abc import Mapping
from typing import Final

import attrs

SURVEY_CHARACTERS_MAX: Final = 16 * 1024 * 1024  # a host with 100 disks needs about 0.5 MiB
FRAMES_MAX: Final = 8192
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
