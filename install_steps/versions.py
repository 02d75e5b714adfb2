"""Which of two package versions is newer, in the order of the host's own package manager.

The plan says with it beforehand what a step will do; the step asks the package manager itself.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

import attrs

from install_steps.packages import Package, same_version

__all__ = ["Change", "change_of", "compare", "deb_order", "rpm_order"]

UNKNOWN: Final = "unknown"  # a program that is of no package, and not as we left it

_DEB_PAIR: Final = re.compile(r"([^0-9]*)([0-9]*)")
_RPM_PART: Final = re.compile(r"~|[0-9]+|[A-Za-z]+")


@attrs.frozen(kw_only=True)
class Change:
    """What a step would do to a component's package.

    `kind`: none, install, upgrade, downgrade; refused, with the sentence that says why.
    """

    kind: str = "none"
    sentence: str = ""

    @property
    def replaces(self) -> bool:
        return self.kind in {"upgrade", "downgrade"}


def change_of(package: Package | None, installed: str, family: str) -> Change:
    """By the catalog's entry and the installed version; "" for none. No entry wants nothing."""
    if package is None:
        return Change()
    if not installed:
        return Change(kind="install")
    if same_version(installed, package.version):
        return Change()
    name, wanted = package.component, package.version
    if installed == UNKNOWN:
        if package.upgrade:
            return Change(
                kind="upgrade", sentence=f"upgrade {name} from an unknown version to {wanted}"
            )
        return Change(
            kind="refused",
            sentence=f"/usr/bin/{name} is of no package and not as we left it, so its version is "
            f'unknown: remove it, or say "upgrade": true in the catalog\'s entry {name} {wanted}',
        )
    order = compare(family, installed, wanted)
    if order == 0:
        return Change()
    kind = "upgrade" if order < 0 else "downgrade"
    if package.upgrade if kind == "upgrade" else package.downgrade:
        return Change(kind=kind, sentence=f"{kind} {name} {installed} -> {wanted}")
    return Change(
        kind="refused",
        sentence=f'{name} {installed} is installed, the catalog says {wanted}: say "{kind}": true '
        f"in that entry to have it replaced, correct its version, or set the component to adopt",
    )


def compare(family: str, first: str, second: str) -> int:
    """-1 when `first` is older, 1 when it is newer, 0 when they are equal. `family`: deb, rpm."""
    return rpm_order(first, second) if family == "rpm" else deb_order(first, second)


# ---------------------------------------------------------------- dpkg: deb-version(7)


def deb_order(first: str, second: str) -> int:
    """Epoch, upstream version, revision, each in runs of other characters and of digits."""
    one, other = _deb_parts(first), _deb_parts(second)
    if one[0] != other[0]:
        return -1 if one[0] < other[0] else 1
    return _deb_part_order(one[1], other[1]) or _deb_part_order(one[2], other[2])


def _deb_parts(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (int(epoch) if epoch.isdigit() else 0, *((upstream, revision) if dash else (rest, "")))


def _deb_part_order(first: str, second: str) -> int:
    pairs = zip_longest(_DEB_PAIR.findall(first), _DEB_PAIR.findall(second), fillvalue=("", ""))
    for (text, digits), (other_text, other_digits) in pairs:
        one = (_deb_weights(text), int(digits or 0))
        other = (_deb_weights(other_text), int(other_digits or 0))
        if one != other:
            return -1 if one < other else 1
    return 0


def _deb_weights(text: str) -> list[int]:
    """A tilde is older than the end, the end older than letters, letters older than the rest."""
    ranked = [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text]
    return [*ranked, 0]


# ---------------------------------------------------------------- rpm: rpmvercmp


def rpm_order(first: str, second: str) -> int:
    """VERSION-RELEASE; where one of them has no release, the versions alone decide."""
    one, _, release = first.partition("-")
    other, _, other_release = second.partition("-")
    found = _rpm_part_order(one, other)
    return found or (_rpm_part_order(release, other_release) if release and other_release else 0)


def _rpm_part_order(first: str, second: str) -> int:
    """Alternating runs of digits and letters; whatever separates them does not count."""
    for one, other in zip_longest(_RPM_PART.findall(first), _RPM_PART.findall(second)):
        found = _rpm_run_order(one, other)
        if found:
            return found
    return 0


def _rpm_run_order(one: str | None, other: str | None) -> int:
    """A tilde is older than the end, the end older than letters, letters older than digits."""
    ranks = [0 if r == "~" else 1 if r is None else 3 if r.isdigit() else 2 for r in (one, other)]
    if one is None or other is None or ranks[0] != ranks[1]:
        return _sign(ranks[0], ranks[1])
    if one.isdigit():
        return _sign(int(one), int(other))
    return 0 if one == other else -1 if one < other else 1


def _sign(one: int, other: int) -> int:
    return (one > other) - (one < other)
