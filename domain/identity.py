"""Who we are to the master when the store knows no framework id: a stranger, or known to it.

A framework of ours that the master still keeps has tasks on agents. Registering anew beside it
would put a second step on an agent where one runs. Facts: GET_FRAMEWORKS of v1 master.proto.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from protocol.mesos.calls import FrameworkInfo
from protocol.mesos.operator import FrameworkSeen


@attrs.frozen
class Register:
    """The master knows none of ours: register anew."""


@attrs.frozen
class Adopt:
    """Take this one over."""

    framework_id: str


@attrs.frozen
class Wait:
    """An operator has to decide; why, and what to do."""

    sentence: str


Identity = Register | Adopt | Wait


def identify(info: FrameworkInfo, known: Iterable[FrameworkSeen], *, adopt: bool) -> Identity:
    """What to do, by the frameworks that the master keeps. Ours: same name, principal and role."""
    ours = [
        one
        for one in known
        if not one.completed
        and one.name == info.name
        and one.principal == info.principal
        and info.role in one.roles
    ]
    ids = ", ".join(sorted(one.framework_id for one in ours))
    if not ours:
        return Register()
    if any(one.connected for one in ours):
        return Wait(
            f"another scheduler is active as framework {ids}, with our name, role and principal: "
            "stop it, or give this one another -role"
        )
    if not adopt:
        return Wait(
            f"the store knows no framework id, but the master keeps framework {ids} of our name, "
            "role and principal, whose tasks may still run: start with -mesos.adopt to take it "
            "over, or end it (POST /master/teardown with frameworkId=...)"
        )
    if any(one.user != info.user or not one.checkpoint for one in ours):
        return Wait(
            f"-mesos.adopt: framework {ids} has our name, role and principal, but another user "
            f"than {info.user!r}, or no checkpoints; neither can be changed: end it "
            "(POST /master/teardown with frameworkId=...), or start with its -user"
        )
    if len(ours) > 1:
        return Wait(
            f"-mesos.adopt: the master keeps several frameworks of our name, role and principal "
            f"({ids}): end all but one (POST /master/teardown with frameworkId=...)"
        )
    return Adopt(ours[0].framework_id)
