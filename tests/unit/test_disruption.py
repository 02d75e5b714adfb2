"""A running SDS is replaced only with the gate's permission, as a host is rebooted."""

from __future__ import annotations

from domain import effects, inbox
from domain.agent import Phase
from domain.rollout import Limits, Rebooting, View, may_begin
from domain.storage import SdsState, StorageSnapshot
from tests.unit.agent_story import Story


def upgrading() -> Story:
    """An agent whose plan has come to the SDS that is to be replaced."""
    story = Story(disrupts=("sds",))
    story.until(lambda now: now.did(effects.AskReboot))
    return story


def asked(story: Story) -> effects.AskReboot:
    return next(one for one in story.log if isinstance(one, effects.AskReboot))


def frees(story: Story) -> list[effects.FreeReboot]:
    return [one for one in story.log if isinstance(one, effects.FreeReboot)]


def test_nothing_is_launched_before_the_permission() -> None:
    story = upgrading()
    assert not asked(story).boots
    assert "sds" not in story.launched()
    assert story.record.reason == "waits for the permission to replace its SDS, which restarts it"
    assert not story.record.slot, "others may work while it waits"


def test_with_the_permission_it_goes_on_and_holds_its_place_until_the_storage_is_whole() -> None:
    story = upgrading()
    story.tell(inbox.RebootGranted(permit="p1"))
    assert story.record.disrupt == "p1"
    story.until_running("sds")
    assert not frees(story)
    story.until_phase(Phase.READY)
    assert story.record.disrupt == ""
    assert frees(story) == [effects.FreeReboot()]
    assert "reboot" not in story.launched()


def test_a_restarted_scheduler_still_has_the_permission() -> None:
    story = upgrading()
    story.tell(inbox.RebootGranted(permit="p1"))
    story.process_restarts()
    story.until_running("sds")
    assert story.record.disrupt == "p1"


def test_a_permission_that_comes_when_nothing_is_to_be_replaced_goes_back() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(inbox.RebootGranted(permit="p1"))
    assert story.record.disrupt == ""
    assert frees(story) == [effects.FreeReboot()]


def test_an_agent_that_is_held_gives_its_place_to_others() -> None:
    story = upgrading()
    story.tell(inbox.RebootGranted(permit="p1"))
    story.tell(inbox.Command(name="hold"))
    assert story.phase is Phase.HELD
    assert story.record.disrupt == ""
    assert effects.FreeReboot() in frees(story)


def test_an_sds_is_not_replaced_beside_a_reboot_or_another_unhealthy_sds() -> None:
    def sds(number: int, *, good: bool = True) -> SdsState:
        return SdsState(
            id=f"s{number}", name=f"sds{number}", domain_id="d", addresses=(f"10.0.0.{number}",),
            good=good,
        )  # fmt: skip

    def view(*units: SdsState, rebooting: dict[str, Rebooting] | None = None) -> View:
        storage = StorageSnapshot(
            taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True, sds=units
        )
        return View(
            now=1.0, subscribed=True, storage=storage, rebooting=rebooting or {},
            wanting=frozenset(), phases={},
        )  # fmt: skip

    mine = Rebooting(host="a1", address="10.0.0.1", provides_storage=True, permit="p", boots=False)
    other = Rebooting(host="a2", address="10.0.0.2", provides_storage=True, permit="q")
    none = Limits(reboots=0)  # no host may reboot: that says nothing of an SDS
    assert may_begin(mine, view(sds(1), sds(2)), none) == ""
    assert "sds2" in may_begin(mine, view(sds(1), sds(2, good=False)), none)
    assert "a2" in may_begin(mine, view(sds(1), sds(2), rebooting={"a2": other}), none)
    assert "a1" in may_begin(other, view(sds(1), sds(2), rebooting={"a1": mine}), Limits())


def test_a_step_that_is_to_be_tried_later_asks_anew_and_lets_others_go_meanwhile() -> None:
    story = upgrading()
    story.tell(inbox.RebootGranted(permit="p1"))
    story.until_running("sds")
    story.ends(75, stderr="no mirror answers\n")
    assert story.record.disrupt == ""
    assert frees(story) == [effects.FreeReboot()]
    asks = sum(isinstance(one, effects.AskReboot) for one in story.log)
    story.until(lambda now: now.running == "sds")
    assert sum(isinstance(one, effects.AskReboot) for one in story.log) == asks + 1


def test_a_hold_waits_for_the_end_of_a_replacement_that_is_under_way() -> None:
    story = upgrading()
    story.tell(inbox.RebootGranted(permit="p1"))
    story.until_running("sds")
    story.tell(inbox.Command(name="hold"))
    assert story.phase is Phase.HELD
    assert frees(story) == [], "its SDS may go down at any moment"
    story.ends(0)
    assert frees(story) == [effects.FreeReboot()]
