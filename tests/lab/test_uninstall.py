"""Agents are taken out of use on booted hosts of both families: what we brought goes, after its
data, and nothing else. The tests go in the order of the story."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import attrs
import pytest

from tests.lab import evidence, manifest
from tests.lab.manifest import Manifest
from tests.lab.operating import order, token_flag
from tests.lab.packages import RPM
from tests.lab.site import EVACUATE_S, UNIT, HostPlan, Site
from tests.scheduler_process import LOOPBACK, ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

Json = dict[str, Any]

PLANS: Final = (HostPlan(), HostPlan(family=RPM, style=UNIT), HostPlan(style=UNIT))
PATIENCE_S: Final = 300.0
DATA: Final = "kept"


@attrs.frozen
class Story:
    """`before`: each host, before the product knew of it."""

    site: Site
    before: dict[str, Manifest]

    def now(self, name: str) -> Manifest:
        return manifest.take(self.site, self.site.hosts[name], self.family(name))

    def family(self, name: str) -> str:
        return PLANS[list(self.site.hosts).index(name)].family

    def uninstall(self, *words: str) -> str:
        """The command as its user calls it; what it said, when it ended well."""
        done = subprocess.run(
            [
                *(sys.executable, "cli.py", "uninstall", *words),
                *("--url", f"http://{LOOPBACK}:{self.site.scheduler.port}"),
                *("--token-file", str(self.site.folder.parent / "operator" / "token")),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        tail = self.site.scheduler.tail()
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{tail}"
        return done.stdout


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("uninstall")
    with Site(folder / "site", PLANS, more=(token_flag(folder / "operator"),)) as site:
        told = Story(site, {})
        told.before.update({name: told.now(name) for name in site.hosts})
        site.scheduler.start()
        site.scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        site.storage.add_volume(DATA, 64)
        yield told


def removals(story: Story, address: str) -> dict[str, Json]:
    """The last removal of each kind that concerns that address."""
    found = [one for one in story.site.storage.removals() if one.get("sds_ip") == address]
    return {one["kind"]: one for one in found}


def cluster(story: Story, address: str) -> list[Json]:
    """SDSs and SDCs that the storage cluster lists there."""
    state = story.site.storage.state()
    return [one for one in (*state["sds"], *state["sdcs"]) if one["ip"] == address]


def left_after_its_data(story: Story, name: str) -> None:
    """By the cluster's own notes: first the data, then the SDS, then the host's own step."""
    host = story.site.hosts[name]
    assert cluster(story, host.address) == []
    told = removals(story, host.address)
    leaving, device, gone = (told[k] for k in ("sds-leaving", "device-removed", "sds-removed"))
    assert gone["at"] - leaving["at"] >= EVACUATE_S, "its data took its time"
    assert leaving["at"] < device["at"] <= gone["at"]
    others = set(leaving["holding"]) - {host.address}
    assert len(others) >= 3, "the data had somewhere to go"
    assert others <= set(gone["holding"]), "and it is there still"
    runs = [run.began for run in evidence.step_runs(host) if run.step == "uninstall"]
    since = [began for began in runs if began > leaving["at"]]
    assert since, "it was uninstalled"
    assert min(since) > gone["at"], "nothing was touched on the host before"
    clients = [one["at"] for one in story.site.storage.removals() if one["kind"] == "sdc-removed"]
    assert any(at > gone["at"] for at in clients), "the SDC goes after the SDS"


def as_before(story: Story, name: str) -> None:
    found = manifest.differences(story.before[name], story.now(name))
    assert found == [], "\n".join((name, *found))


def test_one_agent_goes_and_its_host_is_as_it_was(story: Story) -> None:
    site = story.site
    first, *others = site.hosts
    storing = {name: story.now(name) for name in others}
    assert manifest.differences(story.before[first], story.now(first)), "there is much to undo"
    assert f"{first}: retired" in story.uninstall(first)
    left_after_its_data(story, first)
    as_before(story, first)
    assert not site.storage.state()["degraded"]
    assert site.storage.volume(DATA) is not None
    phases = site.scheduler.phases()
    assert phases == {first: "retired", **dict.fromkeys(others, "ready")}
    for name in others:
        assert manifest.differences(storing[name], story.now(name)) == [], "not touched"


def test_an_agent_that_was_removed_is_taken_up_again(story: Story) -> None:
    first = next(iter(story.site.hosts))
    order(story.site.scheduler, "resume", first)

    def ready() -> bool:
        return story.site.scheduler.phases()[first] == "ready"

    story.site.scheduler.wait("it is ready again", ready, PATIENCE_S)
    host = story.site.hosts[first]
    (sds,) = (one for one in cluster(story, host.address) if "devices" in one)
    assert sds["connected"]
    assert {"sds", "sdc", "rexray", "isolator"} <= evidence.receipts(host).keys()


def test_all_agents_go(story: Story) -> None:
    site = story.site
    story.uninstall("--all")
    assert site.scheduler.phases() == dict.fromkeys(site.hosts, "retired")
    for name in site.hosts:
        left_after_its_data(story, name)
        as_before(story, name)
    state = site.storage.state()
    assert {one["ip"] for one in state["sds"]} == {"10.0.1.1", "10.0.1.2", "10.0.1.3"}
    assert {one["ip"] for one in state["sdcs"]} == {"10.0.2.1", "10.0.2.2"}
    assert [one["name"] for one in state["volumes"]] == [DATA], "no probe volume is left"
