"""How the model of a step ends, and what several models ask first."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from simulation.host import SimulatedHost


@attrs.frozen(kw_only=True)
class Ended:
    code: int
    reason: str
    sentence: str = ""
    changed: bool = False
    extra: tuple[tuple[str, str | int], ...] = ()


class EndError(Exception):
    """A model ends early, as `finish` does in a script."""

    def __init__(self, code: int, reason: str, sentence: str, *, changed: bool = False) -> None:
        super().__init__(sentence)
        self.ended = Ended(code=code, reason=reason, sentence=sentence, changed=changed)


def need(environment: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not environment.get(name):
            raise EndError(
                78, "setting", f"variable {name} is missing: the scheduler has to give it"
            )


def known_platform(host: SimulatedHost) -> None:
    if not host.os.is_known:
        raise EndError(
            78, "platform",
            f"platform '{host.os.os_id}' is not supported: Debian, Ubuntu, CentOS and RHEL are",
        )  # fmt: skip


def can_arm(host: SimulatedHost) -> None:
    if host.os.init == "sysvinit" and "cron" not in host.services:
        raise EndError(78, "init", "this host has neither systemd nor upstart, and no cron runs")


def kernel_fits(kernel: str, environment: Mapping[str, str]) -> bool:
    patterns = environment.get("SUPPORTED_KERNELS", "").split()
    return not patterns or any(fnmatchcase(kernel, pattern) for pattern in patterns)


def room_for_state(host: SimulatedHost) -> None:
    """For those that have begun to change something when they find the folder full."""
    if host.dials.full == "state":
        raise EndError(75, "space", "the file system of the state folder is full", changed=True)
