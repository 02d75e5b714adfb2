"""The inert steps speak as the real ones do, remember per agent, and touch their sandbox only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from domain.devices import DeviceRules, candidates
from domain.facts import Facts
from domain.layout import layout_of
from install_steps.catalog import STEPS, load_catalog, plan_for, script_text
from install_steps.environments import StepContext, rexray_digest
from install_steps.facts import parse_survey
from install_steps.sealing import result_of, seal
from tests.steps_inert_twin import INERT_DISKS, INERT_KERNEL, INERT_OS, STEPS_DIR, inert_guid
from tests.unit.catalog_cases import DVDCLI, REXRAY, SDC, entry, text

CATALOG = load_catalog(text(entry(), SDC, REXRAY, DVDCLI), "c")
MDMS = ("10.0.0.1", "10.0.0.2")


class Agent:
    """Sandboxes of one framework on one agent, as Mesos lays them out."""

    def __init__(self, work_dir: Path, hostname: str) -> None:
        self.executors = work_dir / "slaves" / "S1" / "frameworks" / "F1" / "executors"
        self.hostname = hostname
        self.tasks = 0

    def run(
        self, step: str, environment: Mapping[str, str] | None = None
    ) -> tuple[subprocess.CompletedProcess[str], Path]:
        self.tasks += 1
        sandbox = self.executors / f"{step}.{self.tasks}" / "runs" / "C1"
        sandbox.mkdir(parents=True)
        told = {
            "PATH": os.environ["PATH"],
            "MESOS_SANDBOX": str(sandbox),
            "SCALEIO_HOST": self.hostname,
            **(environment or {}),
        }
        done = subprocess.run(
            ["sh", "-c", script_text(step, STEPS_DIR)],
            cwd=sandbox, env=told, text=True, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        return done, sandbox

    def survey(self) -> Facts:
        done, _ = self.run("survey")
        assert (done.returncode, done.stderr) == (0, "")
        return parse_survey(done.stdout)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path, "agent0.test")


def context(facts: Facts) -> StepContext:
    sealed = seal(facts.public_key, "p4ssw0rd") if facts.public_key else ""
    return StepContext(
        facts=facts,
        catalog=CATALOG,
        mdm_addresses=MDMS,
        gateway_endpoint="https://gw/api",
        gateway_user="admin",
        sealed_password=sealed,
        system_name="scaleio",
        domain="default",
        pool="default",
        isolation_to=("filesystem/linux", "posix/cpu", "docker/volume"),
        master_endpoint="127.0.0.1:5050",
        devices=INERT_DISKS,
        volume_path="/dev/disk/by-id/emc-vol-1-2",
        permit_url="http://127.0.0.1:1/permit",
    )


def test_a_bare_agent_is_a_debian_host_with_nothing_of_ours(agent: Agent) -> None:
    facts = agent.survey()
    assert (facts.os_id, facts.os_version, facts.kernel) == (*INERT_OS, INERT_KERNEL)
    assert (facts.packages, facts.public_key, facts.launcher) == ({}, "", "linux")
    again = attrs.evolve(agent.survey(), clock=facts.clock, took_s=facts.took_s)
    assert facts == again, "whatever the time is"


def test_the_whole_plan_runs_and_the_survey_sees_it_done(agent: Agent) -> None:
    for name in ("prerequisites", "sds", "sdc", "rexray", "isolator"):
        facts = agent.survey()
        done, _ = agent.run(name, STEPS[name].environment(context(facts)))
        assert (done.returncode, done.stderr) == (0, "")
        result = result_of(done.stdout)
        assert result is not None
        assert (result["step"], result["changed"], result["reason"]) == (name, True, "holds")
    after = agent.survey()
    plan = plan_for(
        after,
        provides_storage=True,
        catalog=CATALOG,
        components={},
        mdm_addresses=MDMS,
        rexray_digest=rexray_digest(context(after)),
    )
    assert {step.name: step.state for step in plan} == dict.fromkeys(
        ("prerequisites", "sds", "sdc", "rexray", "isolator"), "satisfied"
    )
    assert after.sdc_guid == inert_guid(agent.hostname)
    assert after.services == {"sds": True, "scini": True, "rexray": True}


def test_a_step_that_is_run_again_changes_nothing(agent: Agent) -> None:
    environment = STEPS["sds"].environment(context(agent.survey()))
    changed = []
    for _ in range(2):
        result = result_of(agent.run("sds", environment)[0].stdout)
        assert result is not None
        changed.append(result["changed"])
    assert changed == [True, False]


def test_a_later_managers_list_replaces_the_earlier_one(agent: Agent) -> None:
    for order, addresses in enumerate(("10.0.0.1", "10.0.0.1,10.0.0.9")):
        _, sandbox = agent.run("sdc", {"PACKAGE_VERSION": "1", "MDM_IP": addresses})
        os.utime(sandbox / "done-sdc", (1000 + order, 1000 + order))
    assert agent.survey().sdc_mdms == ("10.0.0.1", "10.0.0.9")


@pytest.mark.parametrize("name", ["claim", "probe", "reboot", "agent-restart"])
def test_passing_steps_end_well(agent: Agent, name: str) -> None:
    done, _ = agent.run(name, STEPS[name].environment(context(agent.survey())))
    result = result_of(done.stdout)
    assert result is not None
    assert (done.returncode, result["step"]) == (0, name)


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"survey", "prerequisites", "keeper"}))
def test_a_missing_setting_ends_with_78(agent: Agent, name: str) -> None:
    done, _ = agent.run(name)
    assert done.returncode == 78
    result = result_of(done.stdout)
    assert result is not None
    assert result["reason"] == "setting"


def test_the_health_check_fails_when_the_sandbox_says_sick(agent: Agent) -> None:
    assert agent.run("keeper_health")[0].returncode == 0
    sick = agent.executors / f"keeper_health.{agent.tasks + 1}" / "runs" / "C1"
    sick.mkdir(parents=True)
    (sick / "sick").touch()
    done = subprocess.run(
        ["sh", "-c", script_text("keeper_health", STEPS_DIR)],
        cwd=sick, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("hostname", "disks"),
    [
        ("agent0.test", 3),
        ("agent2.test", 3),
        ("agent2", 3),
        ("agent3.test", 0),
        ("agent10.test", 0),
    ],
)
def test_the_first_three_agents_have_empty_disks(tmp_path: Path, hostname: str, disks: int) -> None:
    facts = Agent(tmp_path, hostname).survey()
    layout = layout_of({}, domain="default", pool="default")
    taken = [v.path for v in candidates(facts, layout, DeviceRules()) if v.verdict.take]
    assert taken == list(INERT_DISKS[:disks])


def test_two_agents_are_two_machines(tmp_path: Path) -> None:
    one, other = (Agent(tmp_path / name, name).survey() for name in ("agent0.test", "agent1.test"))
    assert one.machine_id != other.machine_id
    assert one.boot_id != other.boot_id


def test_nothing_outside_of_the_sandbox_is_written(agent: Agent) -> None:
    for name in sorted(STEPS.keys() - {"keeper"}):
        agent.run(name, STEPS[name].environment(context(parse_survey(survey_with_key(agent)))))
    written = {path.name for path in agent.executors.rglob("*") if path.is_file()}
    assert all(name.startswith("done-") for name in written)


def survey_with_key(agent: Agent) -> str:
    agent.run("prerequisites")
    return agent.run("survey")[0].stdout


def test_both_sets_of_steps_have_the_same_names() -> None:
    packaged = Path(__file__).parents[2] / "install_steps" / "scripts"
    names = {path.name for path in packaged.glob("[!_]*.sh")}
    assert names == {path.name for path in STEPS_DIR.glob("[!_]*.sh")}
    assert names == {f"{name}.sh" for name in (*STEPS, "keeper_health", "extra")}
