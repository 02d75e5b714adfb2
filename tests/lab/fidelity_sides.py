"""The two sides of step fidelity: a booted host, made anew for each situation, and a model."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs

from domain.facts import Facts
from install_steps.catalog import wanted_isolation
from install_steps.environments import StepContext, environment_of
from install_steps.facts import parse_survey
from install_steps.packages import load_catalog
from install_steps.sealing import seal, secret_tag
from install_steps.texts import script_text
from simulation.host import DEBIAN_12, SimulatedHost
from simulation.host_disks import SimulatedDisk
from tests.lab import tree
from tests.lab.host import DiskPlan, Host, remove_folder
from tests.lab.site import AGENT_PORT, HostPlan, Site
from tests.lab.situations.bases import BASES
from tests.lab.situations.table import DISK, NODE, SECOND, VOLUME, Situation
from tests.real_mesos import get_json
from tests.scheduler_process import PASSWORD, wait_for
from tests.unit.changes import changed

FIRST: Final = 10  # the last number of the first bench's address
SANDBOX: Final = "/sandbox"  # in the host
MIB: Final = 1024**2
SIZES: Final = {NODE: 4096 * MIB, SECOND: 16 * MIB}
NEVER_S: Final = 3600  # what is armed does not go off while it is looked at
KERNEL: Final = os.uname().release


@attrs.frozen(kw_only=True)
class Ended:
    """How a step ended, and the text of a survey after it."""

    code: int
    stdout: str
    stderr: str
    survey: str
    key_before: str  # the public key before the step


class Bench:
    """As a context manager: one host, and a model of it. It belongs to the thread that made it."""

    def __init__(self, site: Site, number: int = 0) -> None:
        self._site = site
        self._catalog = load_catalog(
            (site.folder / "catalog.json").read_text(), "the lab's catalog"
        )
        self._folder = site.folder / f"bench{number}"
        self._name = f"fidelity{number}.lab"
        self._address = f"{site.network}.{FIRST + number}"
        self._agent = f"{self._address}:{AGENT_PORT}"
        self._host = self._made_host()
        self._saved: dict[str, Path] = {}
        self._facts: dict[str, Facts] = {}  # base -> what a survey told there

    def _made_host(self) -> Host:
        site = self._site
        shared = (site.cluster.runtime, site.cluster.work_dir, site.volumes)
        return Host(
            name=self._name,
            address=self._address,
            folder=self._folder / "host",
            tree=tree.prepare(),
            disks=(
                DiskPlan(name="xvdf", by_id="scsi-lab-xvdf", size_bytes=SIZES[NODE]),
                DiskPlan(name="xvdg", by_id="", size_bytes=SIZES[SECOND]),
            ),
            binds=tuple(map(str, shared)),
            files={
                "/etc/scaleio-lab.conf": f"ADDRESS={self._address}\nVOLUMES={site.volumes}\n",
                "/etc/hosts": f"127.0.0.1 localhost\n{self._address} {self._name}\n",
                **site._agent_files(self._name, self._address, HostPlan()),
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.stop()
        remove_folder(self._folder)

    # -- what the product tells a host --------------------------------------------------------

    def environment(self, step: str, facts: Facts, wish: Mapping[str, object]) -> dict[str, str]:
        sealed = ""
        if facts.public_key:
            sealed = seal(facts.public_key, PASSWORD, digest=facts.oaep_digest)
        context = StepContext(
            facts=facts,
            catalog=self._catalog,
            mdm_addresses=self._site.mdms,
            gateway_endpoint=f"{self._site.storage.url}/api",
            gateway_insecure=True,
            gateway_user="admin",
            sealed_password=sealed,
            secret_tag=secret_tag(PASSWORD, b"installation"),
            system_id=self._site.storage.system_id,
            domain="default",
            pool="default",
            isolation_to=wanted_isolation(facts.isolation),
            master_endpoint=self._site.cluster.addresses["master0"],
            devices=(DISK,),
            volume_path=VOLUME,
            permit_url="http://127.0.0.1:9/v1/permits/none" if step == "reboot" else "",
            delay_s=NEVER_S,
            provides_storage=True,
        )
        return dict(environment_of(step, changed(context, wish)))

    def _told(self, situation: Situation, facts: Facts) -> dict[str, str]:
        wish = {name: self._wish(value) for name, value in situation.wish.items()}
        told = self.environment(situation.step, facts, wish)
        told |= situation.environment
        return {name: self._filled(value) for name, value in told.items() if value}

    def _filled(self, text: str) -> str:
        known = {
            "server": self._site.files.url,
            "sandbox": SANDBOX,
            "agent": self._agent,
            "network": self._site.network,
            "system": self._site.storage.system_id,
        }
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _wish(self, wish: object) -> object:
        """The same for what is not a text alone."""
        match wish:
            case str():
                return self._filled(wish)
            case tuple():
                return tuple(map(self._wish, wish))
            case _:
                return wish

    # -- the real side ------------------------------------------------------------------------

    def real(self, situation: Situation) -> Ended:
        facts = self._boot(situation.base)
        for step in situation.before:
            facts = self._real_step(step, facts)
        self._host.sh(self._filled(situation.real))
        told = self._told(situation, facts)
        done = self._run(situation.step, told, situation.inside)
        own = situation.step == "survey" and done[0] == 0
        survey = done if own else self._run("survey", {}, ())
        self._host.sh(f"blockdev --setrw {NODE}")  # the kernel keeps it for the next user
        return Ended(
            code=done[0],
            stdout=done[1],
            stderr=done[2],
            survey=survey[1],
            key_before=facts.public_key,
        )

    def _boot(self, base: str) -> Facts:
        """The facts of the base, whose host is up now."""
        if base not in self._saved:
            self._make(base)
        self._host.reset(self._saved[base])
        self._start(base)
        return self._facts[base]

    def _make(self, base: str) -> None:
        plan = BASES[base]
        if plan.after:
            facts = self._boot(plan.after)
            for step in plan.steps:
                facts = self._real_step(step, facts)
            self._host.sh(plan.real)
        else:
            self._host.reset()
            self._start("")
        saved = self._folder / f"saved-{base}"
        self._host.save(saved)
        self._saved[base] = saved
        self._host.reset(saved)
        self._start(base)
        self._facts[base] = self._survey()

    def _start(self, base: str) -> None:
        self._host.start()
        self._host.wait_booted()
        self._host.sh(f"rm -rf {SANDBOX}; mkdir {SANDBOX}; chmod 0777 {SANDBOX}")
        self._host.sh(f"blockdev --setrw {NODE}; blockdev --setrw {SECOND}")
        plan = BASES[base or "bare"]
        if plan.has_agent:
            wait_for("the agent answers", self._agent_answers)
        wait_for(f"{base} is ready", lambda: self._holds(plan.ready))

    def _holds(self, condition: str) -> bool:
        return self._host.run("sh", "-c", condition, check=False).returncode == 0

    def _agent_answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(get_json(f"http://{self._agent}/flags"))
        return False

    def _real_step(self, step: str, facts: Facts) -> Facts:
        code, _, said = self._run(step, self.environment(step, facts, {}), ())
        if code not in {0, 21}:
            raise RuntimeError(f"{step} ended with {code} on the way to a base: {said[-2000:]}")
        return self._survey()

    def _survey(self) -> Facts:
        return parse_survey(self._run("survey", {}, ())[1])

    def _run(
        self, step: str, told: Mapping[str, str], inside: tuple[str, ...]
    ) -> tuple[int, str, str]:
        """As Mesos' command executor does it."""
        done = self._host.run(
            *inside, *("sh", "-c", script_text(step)),
            check=False,
            environment={
                **told,
                "MESOS_SANDBOX": SANDBOX,
                "MESOS_AGENT_ENDPOINT": self._agent,
                "MESOS_EXECUTOR_ID": f"{self._name}.{step}.1.00000000",
            },
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    # -- the model ----------------------------------------------------------------------------

    def model(self, situation: Situation) -> Ended:
        host = self._model_of(situation.base)
        for step in situation.before:
            self._model_step(host, step)
        facts = _model_survey(host)
        told = self._told(situation, facts)
        situation.model(host)
        outcome = host.begin(situation.step, told).finish()
        own = situation.step == "survey" and outcome.exit_code == 0
        if not own:
            host.os = attrs.evolve(host.os, init="systemd")
        host.dials.no_init = host.dials.not_root = False  # the survey is begun as usual
        return Ended(
            code=outcome.exit_code,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            survey=host.begin("survey", {}).finish().stdout,
            key_before=facts.public_key,
        )

    def _model_of(self, base: str) -> SimulatedHost:
        plan = BASES[base]
        if not plan.after:
            return _bare_model()
        host = self._model_of(plan.after)
        for step in plan.steps:
            self._model_step(host, step)
        plan.model(host)
        host.reboot()
        return host

    def _model_step(self, host: SimulatedHost, step: str) -> None:
        told = self.environment(step, _model_survey(host), {})
        outcome = host.begin(step, told).finish()
        if outcome.exit_code not in {0, 21}:
            raise RuntimeError(f"the model of {step} ended with {outcome.stderr}")


def _model_survey(host: SimulatedHost) -> Facts:
    return parse_survey(host.begin("survey", {}).finish().stdout)


def _bare_model() -> SimulatedHost:
    """What the bare tree is: no agent runs there."""
    host = SimulatedHost(
        hostname="fidelity.lab",
        address="127.0.0.1",
        rng=random.Random(1),  # noqa: S311  # a simulation's chance
        os=attrs.evolve(DEBIAN_12, kernel=KERNEL),
        disks=[
            SimulatedDisk(
                name="loop0", node=NODE, size_bytes=SIZES[NODE], transport="", serial="lab-xvdf"
            ),
            SimulatedDisk(name="loop1", node=SECOND, size_bytes=SIZES[SECOND], transport=""),
        ],
    )
    host.dials.agent_down = True
    return host
