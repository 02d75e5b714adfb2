"""Without an id in the store: register, take over what the master knows of us, or ask."""

from __future__ import annotations

import pytest

from domain.identity import Adopt, Register, Wait, identify
from protocol.mesos.calls import FrameworkInfo
from protocol.mesos.operator import FrameworkSeen

INFO = FrameworkInfo(
    user="root",
    name="ScaleIO Framework",
    role="scaleio",
    hostname="s1",
    webui_url="",
    failover_timeout_s=600.0,
    principal="storage",
)


def seen(
    framework_id: str = "F1",
    *,
    name: str = "ScaleIO Framework",
    principal: str = "storage",
    roles: tuple[str, ...] = ("scaleio",),
    connected: bool = False,
    completed: bool = False,
    user: str = "root",
    checkpoint: bool = True,
) -> FrameworkSeen:
    return FrameworkSeen(
        framework_id=framework_id,
        name=name,
        principal=principal,
        roles=roles,
        active=connected,
        connected=connected,
        recovered=False,
        completed=completed,
        registered_s=None,
        user=user,
        checkpoint=checkpoint,
    )


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        seen(name="marathon"),
        seen(principal="somebody"),
        seen(principal=""),
        seen(roles=("*",)),
        seen(completed=True),
    ],
)
def test_frameworks_of_others_and_dead_ones_are_none_of_ours(
    other: FrameworkSeen, *, adopt: bool
) -> None:
    assert identify(INFO, [other], adopt=adopt) == Register()
    assert identify(INFO, [], adopt=adopt) == Register()


def test_ours_is_taken_over_only_if_the_operator_allows_it() -> None:
    ours = [seen(name="marathon"), seen("F7")]
    assert identify(INFO, ours, adopt=True) == Adopt("F7")
    refused = identify(INFO, ours, adopt=False)
    assert isinstance(refused, Wait)
    assert "F7" in refused.sentence
    assert "-mesos.adopt" in refused.sentence


def test_one_of_several_roles_is_enough_to_be_ours() -> None:
    assert identify(INFO, [seen("F7", roles=("x", "scaleio"))], adopt=True) == Adopt("F7")


@pytest.mark.parametrize("adopt", [True, False])
def test_a_live_scheduler_is_never_thrown_out(*, adopt: bool) -> None:
    found = identify(INFO, [seen("F7", connected=True), seen("F8")], adopt=adopt)
    assert isinstance(found, Wait)
    assert "another scheduler is active" in found.sentence


def test_of_several_none_is_picked_by_chance() -> None:
    found = identify(INFO, [seen("F7"), seen("F8")], adopt=True)
    assert isinstance(found, Wait)
    assert "F7, F8" in found.sentence


def test_what_can_never_be_changed_must_be_right() -> None:
    """Without checkpoints our own restart of a Mesos agent would kill our tasks."""
    for wrong in (seen("F7", user="nobody"), seen("F7", checkpoint=False)):
        found = identify(INFO, [wrong], adopt=True)
        assert isinstance(found, Wait)
        assert "F7" in found.sentence
        assert "/master/teardown" in found.sentence
