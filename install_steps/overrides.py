"""What the operator wants otherwise on some hosts: by name, platform or Mesos attribute.

A JSON file (-steps.overrides) of rules; each that fits a host changes what the flags say, in the
order of the file, so a later rule wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
import msgspec
from msgspec import Meta, Struct

from domain.facts import Facts
from domain.plan import is_own
from install_steps.packages import Platform

OVERRIDES_CHARACTERS_MAX: Final = 1024 * 1024
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_OURS: Final = re.compile(r"(EXTRA|SCALEIO|PACKAGE|MESOS)_.*")

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,31}$")]  # of a ScaleIO object
Component = Literal["sds", "sdc", "rexray", "dvdcli"]
Mode = Literal["manage", "adopt", "ignore"]
Value = Annotated[str, Meta(pattern=r"^[\x20-\x7e]*$", max_length=1024)]


class OverridesError(Exception):
    """The file is wrong: one line with what, where, and what is expected."""


class Match(Struct, forbid_unknown_fields=True, frozen=True):
    """All that is given must fit. `host` and attribute values are patterns with `*` and `?`."""

    host: str = ""
    os_id: str = ""
    os_version: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)

    def fits(self, host: str, attributes: Mapping[str, str], facts: Facts | None) -> bool:
        if self.host and not fnmatchcase(host, self.host):
            return False
        if self.os_id or self.os_version:
            if facts is None:
                return False
            platform = Platform(os_id=self.os_id or facts.os_id, os_version=self.os_version)
            if not platform.fits(facts):
                return False
        return all(
            name in attributes and fnmatchcase(attributes[name], wanted)
            for name, wanted in self.attributes.items()
        )


class Change(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """What is otherwise. None, or empty: as the flags and the rules before say."""

    skip: tuple[str, ...] = ()
    components: dict[Component, Mode] = msgspec.field(default_factory=dict)
    kernel: Literal["require", "install"] | None = None
    agent_unit: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")] | None = None
    devices: Literal["auto", "declared"] | None = None
    devices_min_size_gb: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    protection_domain: Name | None = None
    storage_pool: Name | None = None
    environment: dict[str, dict[str, Value]] = msgspec.field(default_factory=dict)


class Override(Struct, forbid_unknown_fields=True, frozen=True):
    match: Match
    set: Change
    comment: Annotated[str, Meta(max_length=200)] = ""


class _File(Struct, forbid_unknown_fields=True, frozen=True):
    version: Literal[1]
    overrides: Annotated[tuple[Override, ...], Meta(max_length=1000)]


@attrs.frozen(kw_only=True)
class Choices:
    """What holds on one host. `told`: the overrides that had a say, for people."""

    components: Mapping[str, str]
    kernel: str
    agent_unit: str
    devices: str
    devices_min_size_gb: int
    protection_domain: str
    storage_pool: str
    skip: Mapping[str, str] = attrs.field(factory=dict)  # step -> who says so
    environment: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)  # of extra steps
    told: tuple[str, ...] = ()

    def keeps(self, component: str) -> bool:
        """True if its service has to run there."""
        return self.components[component] != "ignore" and component not in self.skip


def load_overrides(path: Path | None, steps: frozenset[str]) -> tuple[Override, ...]:
    """The rules of that file. `steps`: what may be skipped. Raises OverridesError."""
    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OverridesError(f"{path} (-steps.overrides) cannot be read: {error}") from None
    return read_overrides(text, str(path), steps)


def read_overrides(text: str, source: str, steps: frozenset[str]) -> tuple[Override, ...]:
    if len(text) > OVERRIDES_CHARACTERS_MAX:
        raise OverridesError(
            f"{source}: {len(text)} characters, at most {OVERRIDES_CHARACTERS_MAX}"
        )
    try:
        rules = msgspec.json.decode(text, type=_File).overrides
    except (msgspec.DecodeError, RecursionError) as error:
        raise OverridesError(f"{source}: {error}") from None
    for number, rule in enumerate(rules):
        fault = _fault(rule.set, steps)
        if fault:
            raise OverridesError(f"{source}: overrides[{number}].set: {fault}")
    return rules


def _fault(change: Change, steps: frozenset[str]) -> str:
    for step in (*change.skip, *change.environment):
        if step not in steps:
            return f"there is no step {step[:64]!r}: one of {', '.join(sorted(steps))} is expected"
    for step, values in change.environment.items():
        if not is_own(step):
            return f"environment of {step}: only steps of the operator's own take variables"
        for name in values:
            if not _VARIABLE.fullmatch(name) or _OURS.fullmatch(name):
                return (
                    f"environment of {step}: variable {name[:64]!r}: A-Z, 0-9 and _ are expected, "
                    "and none of the prefixes EXTRA_, SCALEIO_, PACKAGE_, MESOS_"
                )
    return ""


def chosen(
    base: Choices,
    overrides: tuple[Override, ...],
    *,
    host: str,
    attributes: Mapping[str, str],
    facts: Facts | None,
) -> Choices:
    """The flags' choices, changed by each rule that fits the host."""
    choices = base
    for number, rule in enumerate(overrides):
        if rule.match.fits(host, attributes, facts):
            choices = _changed(choices, rule, f"override {number + 1}")
    return choices


def _changed(choices: Choices, rule: Override, name: str) -> Choices:
    change = rule.set
    simple = {
        field: value
        for field in (
            "kernel", "agent_unit", "devices", "devices_min_size_gb", "protection_domain",
            "storage_pool",
        )
        if (value := getattr(change, field)) is not None
    }  # fmt: skip
    said = f"{name} ({rule.comment})" if rule.comment else name
    environment = {step: dict(values) for step, values in choices.environment.items()}
    for step, values in change.environment.items():
        environment[step] = {**environment.get(step, {}), **values}
    # Anybody may read what is told.
    shown = {step: dict.fromkeys(values, "...") for step, values in change.environment.items()}
    words = msgspec.json.encode(msgspec.structs.replace(change, environment=shown)).decode()
    return attrs.evolve(
        choices,
        **simple,
        components={**choices.components, **{str(c): str(m) for c, m in change.components.items()}},
        skip={**choices.skip, **dict.fromkeys(change.skip, said)},
        environment=environment,
        told=(*choices.told, f"{said}: {words}"),
    )
