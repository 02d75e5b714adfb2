"""The steps: what an agent needs, in which order, how we know it is done, what each is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final

import attrs

from domain.facts import Facts, Service
from domain.plan import PlannedStep
from install_steps.concerns import hindrance
from install_steps.environments import StepContext, environment_of
from install_steps.extras import TIMEOUT_S, Extra, beside
from install_steps.facts import family_of
from install_steps.packages import Catalog, CatalogError, Package, load_catalog, platform_fault
from install_steps.texts import STEP_CHARACTERS_MAX, StepTextError, script_text
from install_steps.versions import Change, change_of

__all__ = [
    "PLAN", "STEPS", "STEP_CHARACTERS_MAX", "Catalog", "CatalogError", "Package", "PlannedStep",
    "Step", "StepContext", "StepTextError", "Wants", "load_catalog", "plan_for", "script_text",
    "wanted_isolation",
]  # fmt: skip

MANAGE: Final = "manage"  # install and keep
ADOPT: Final = "adopt"  # use what is there, never install
IGNORE: Final = "ignore"  # not our matter at all


@attrs.frozen(kw_only=True)
class Wants:
    """What facts are compared with.

    `components` maps sds, sdc, rexray, isolator to manage, adopt or ignore; the rest is managed.
    """

    provides_storage: bool
    catalog: Catalog | None = None
    components: Mapping[str, str] = attrs.field(factory=dict)
    mdm_addresses: tuple[str, ...] | None = None  # None: not compared
    rexray_digest: str | None = None  # None: not compared
    system_id: str = ""  # of our storage cluster; "" unknown
    points: Mapping[str, str] = attrs.field(factory=dict)  # as Facts.rexray_points, of ours

    def mode(self, component: str) -> str:
        return self.components.get(component, MANAGE)

    def package(self, component: str, facts: Facts) -> Package | None:
        return self.catalog.package_for(component, facts) if self.catalog else None

    def change(self, component: str, facts: Facts) -> Change:
        """What becomes of its package; an adopted one stays as it is."""
        installed = facts.packages.get(component, "")
        if self.mode(_MODE_OF[component]) != MANAGE:
            return Change(kind="none" if installed else "refused")
        family = family_of(facts.os_id, facts.os_like)
        return change_of(self.package(component, facts), installed, family)


@attrs.frozen(kw_only=True)
class Step:
    """One script. `scope`: the roles that need it. `component` is whose mode decides over it."""

    name: str
    scope: frozenset[str] = frozenset({"sds", "sdc"})
    after: tuple[str, ...] = ()
    timeout_s: float  # max_completion_time of its task
    reboot_blocks_join: bool = False
    survey_after: bool = False  # it makes facts that later steps are told (the host's key)
    restarts_agent: bool = False
    component: str = ""
    satisfied: Callable[[Facts, Wants], bool] = lambda _facts, _wants: False

    def environment(self, context: StepContext) -> Mapping[str, str]:
        """What the script is told. Raises StepTextError when something it needs is not known."""
        return environment_of(self.name, context)


def wanted_isolation(effective: tuple[str, ...]) -> tuple[str, ...]:
    """The agent's own isolators, with what docker/volume needs: nothing of theirs is lost."""
    kept = ["filesystem/linux" if i == "filesystem/posix" else i for i in effective]
    return tuple(dict.fromkeys([*kept, "filesystem/linux", "docker/volume"]))


def _version_holds(component: str, facts: Facts, wants: Wants) -> bool:
    """Adopted, or without an entry in a catalog: whatever version is there."""
    ours = wants.mode(_MODE_OF[component]) == MANAGE and wants.package(component, facts) is not None
    if ours and component in facts.unfinished:
        return False
    return bool(facts.packages.get(component)) and wants.change(component, facts).kind == "none"


def _boot_starts(service: str, facts: Facts) -> bool:
    return facts.states.get(service, Service()).boot != "disabled"


def _kernel_holds(facts: Facts, wants: Wants) -> bool:
    """A module that is loaded fits; the one of another version may not."""
    package = wants.package("sdc", facts) if wants.mode("sdc") == MANAGE else None
    replaced = wants.change("sdc", facts).replaces
    if package is None or (facts.sdc_module and not replaced):
        return True
    return any(fnmatchcase(facts.kernel, pattern) for pattern in package.kernels)


def _prerequisites(facts: Facts, wants: Wants) -> bool:
    return facts.prerequisites and bool(facts.public_key) and _kernel_holds(facts, wants)


def _sds(facts: Facts, wants: Wants) -> bool:
    if not (_version_holds("sds", facts, wants) and facts.services.get("sds", False)):
        return False
    return wants.mode("sds") == ADOPT or _boot_starts("sds", facts)


def _sdc(facts: Facts, wants: Wants) -> bool:
    if not (_version_holds("sdc", facts, wants) and facts.sdc_module and facts.sdc_guid):
        return False
    if wants.mode("sdc") == ADOPT:
        return not _other_cluster(facts, wants)
    # An open receipt: the loaded module is not that of the installed package.
    waits = any(r.step == "sdc" and r.state == "open" for r in facts.receipts)
    if waits or not _boot_starts("scini", facts):
        return False
    if not wants.mdm_addresses:
        return True
    return frozenset(facts.sdc_mdms) == frozenset(wants.mdm_addresses)


def _rexray(facts: Facts, wants: Wants) -> bool:
    if not (_version_holds("rexray", facts, wants) and facts.services.get("rexray", False)):
        return False
    if wants.mode("rexray") == ADOPT:
        return not _other_config(facts, wants)
    if wants.rexray_digest is None:
        return True
    return facts.rexray_config == wants.rexray_digest


def _isolator(facts: Facts, wants: Wants) -> bool:
    return _version_holds("dvdcli", facts, wants) and "docker/volume" in facts.isolation


_MODE_OF: Final[Mapping[str, str]] = {
    "sds": "sds", "sdc": "sdc", "rexray": "rexray", "dvdcli": "isolator"
}  # fmt: skip
_PACKAGE_OF: Final[Mapping[str, str]] = {
    "sds": "sds", "sdc": "sdc", "rexray": "rexray", "isolator": "dvdcli"
}  # fmt: skip

PLAN: Final[tuple[Step, ...]] = (
    Step(
        name="prerequisites",
        timeout_s=1800.0,  # a kernel and its packages over a slow line
        reboot_blocks_join=True,
        survey_after=True,
        satisfied=_prerequisites,
    ),
    Step(
        name="sds",
        scope=frozenset({"sds"}),
        after=("prerequisites",),
        timeout_s=1800.0,
        component="sds",
        satisfied=_sds,
    ),
    Step(
        name="sdc",
        after=("prerequisites",),
        timeout_s=1800.0,
        reboot_blocks_join=True,
        component="sdc",
        satisfied=_sdc,
    ),
    Step(
        name="rexray",
        after=("prerequisites", "sdc"),
        timeout_s=1800.0,
        component="rexray",
        satisfied=_rexray,
    ),
    Step(
        name="isolator",
        after=("prerequisites", "rexray"),
        timeout_s=1800.0,
        restarts_agent=True,
        component="isolator",
        satisfied=_isolator,
    ),
)
STEPS: Final[Mapping[str, Step]] = {
    step.name: step
    for step in (
        *PLAN,
        Step(name="survey", timeout_s=1200.0),  # reads 33 MiB and 256 samples of each empty disk
        Step(name="claim", scope=frozenset({"sds"}), timeout_s=900.0),
        Step(name="probe", timeout_s=180.0),
        Step(name="agent-restart", timeout_s=120.0),
        Step(name="reboot", timeout_s=120.0),
        Step(name="uninstall", timeout_s=1800.0),  # a package manager that waits for its lock
        Step(name="keeper", timeout_s=0.0),  # 0: runs until it is killed
    )
}


def plan_for(
    facts: Facts,
    provides_storage: bool,  # noqa: FBT001  # reads as a sentence with the roles' names
    catalog: Catalog | None,
    components: Mapping[str, str],
    *,
    mdm_addresses: tuple[str, ...] | None = None,
    rexray_digest: str | None = None,
    forgiven: frozenset[str] = frozenset(),
    extras: tuple[Extra, ...] = (),
    skip: Mapping[str, str] | None = None,
    system_id: str = "",
    points: Mapping[str, str] | None = None,
) -> tuple[PlannedStep, ...]:
    """What is left to do on one host, in order.

    `forgiven` names steps that the operator ordered again although they were rolled back,
    `skip` those that are left out, with who says so; `extras` are the operator's own.
    """
    wants = Wants(
        provides_storage=provides_storage,
        catalog=catalog,
        components=components,
        mdm_addresses=mdm_addresses,
        rexray_digest=rexray_digest,
        system_id=system_id,
        points=points or {},
    )
    role = "sds" if provides_storage else "sdc"
    planned: list[PlannedStep] = []
    for step in PLAN:
        if role in step.scope:
            before, after = (beside(extras, step.name, before=first) for first in (True, False))
            planned += [_planned_extra(extra, facts) for extra in before]
            planned.append(_planned(step, facts, wants, forgiven))
            planned += [_planned_extra(extra, facts) for extra in after]
    return tuple(_skipped(one, skip or {}) for one in planned)


def _planned_extra(extra: Extra, facts: Facts) -> PlannedStep:
    """Its reboot comes first, and its facts are looked at anew: nobody knows what it changes."""
    blocked = platform_fault(facts)
    if extra.holds(facts):
        state, blocked = "satisfied", ""
    else:
        state = "blocked" if blocked else "wanted"
    return PlannedStep(
        name=extra.name,
        state=state,
        sentence=blocked,
        timeout_s=TIMEOUT_S,
        reboot_blocks_join=True,
        survey_after=True,
    )


def _skipped(step: PlannedStep, skip: Mapping[str, str]) -> PlannedStep:
    if step.name not in skip:
        return step
    return PlannedStep(name=step.name, state="ignored", sentence=f"left out by {skip[step.name]}")


def _planned(step: Step, facts: Facts, wants: Wants, forgiven: frozenset[str]) -> PlannedStep:
    state, sentence = _state(step, facts, wants, forgiven)
    return PlannedStep(
        name=step.name,
        state=state,
        sentence=sentence,
        timeout_s=step.timeout_s,
        reboot_blocks_join=step.reboot_blocks_join,
        survey_after=step.survey_after,
        restarts_agent=step.restarts_agent,
        # Also where the version holds: only the step itself sees damage that it has to mend.
        disrupts=state == "wanted" and step.name == "sds" and facts.services.get("sds", False),
    )


def _state(step: Step, facts: Facts, wants: Wants, forgiven: frozenset[str]) -> tuple[str, str]:
    mode = wants.mode(step.component)
    if mode == IGNORE and step.component:
        return "ignored", f"component {step.component} is set to ignore"
    if step.satisfied(facts, wants):
        return "satisfied", ""
    if mode == ADOPT and step.component:
        other = _others_own(step, facts, wants)
        return "blocked", other or (
            f"component {step.component} is set to adopt, but it is not installed and running: "
            "set it up on the host, or set the component to manage"
        )
    package = wants.package(_PACKAGE_OF.get(step.name, ""), facts)
    blocked = (
        platform_fault(facts)
        or _blocked(step, facts, wants, forgiven)
        or hindrance(step.name, facts, package.size_bytes if package else 0)
    )
    if blocked:
        return "blocked", blocked
    component = _PACKAGE_OF.get(step.name)
    return "wanted", wants.change(component, facts).sentence if component else ""


def _blocked(step: Step, facts: Facts, wants: Wants, forgiven: frozenset[str]) -> str:
    match step.name:
        case "prerequisites":
            # No host is touched that could not be finished: the kernels stand in sdc's entry.
            managed = wants.mode("sdc") == MANAGE and "sdc" not in facts.packages
            return _missing_entry("sdc", facts, wants) if managed else ""
        case "sdc" if wants.mdm_addresses is not None and not wants.mdm_addresses:
            return (
                "the addresses of the manager MDMs are not known: the Gateway must answer, "
                "or set -scaleio.preconfig.primary and its two companions"
            )
        case "sdc" if other := _other_cluster(facts, wants):
            return other
        case "isolator" if fault := _isolator_fault(facts, forgiven):
            return fault
        case _:
            pass
    component = _PACKAGE_OF[step.name]
    refused = wants.change(component, facts)
    return _missing_entry(component, facts, wants) or (
        refused.sentence if refused.kind == "refused" else ""
    )


def _others_own(step: Step, facts: Facts, wants: Wants) -> str:
    """Why what is there cannot be adopted, although it runs."""
    if step.name == "sdc" and facts.sdc_guid:
        return _other_cluster(facts, wants)
    if step.name == "rexray" and facts.services.get("rexray", False):
        return _other_config(facts, wants)
    return ""


def _other_config(facts: Facts, wants: Wants) -> str:
    """Why REX-Ray's file is not of our cluster: its system's id, else name, else the Gateway."""
    if not wants.points:
        return ""
    theirs = facts.rexray_points
    for key in ("systemid", "systemname", "endpoint"):
        if theirs.get(key) and wants.points.get(key):
            if theirs[key].lower() == wants.points[key].lower():
                return ""
            break
    said = " ".join(f"{key} {value}" for key, value in theirs.items()) or "no ScaleIO system"
    return (
        f"REX-Ray's file on this host points to {said}, which is not our cluster: nothing was "
        "changed; correct /etc/rexray/config.yml, or set component rexray to ignore"
    )


def _other_cluster(facts: Facts, wants: Wants) -> str:
    """Why an SDC that is there is not ours; "" where it is, or knows no cluster yet."""
    systems = {cluster.system_id for cluster in facts.sdc_clusters if cluster.system_id}
    if wants.mdm_addresses is None or (wants.system_id and wants.system_id in systems):
        return ""
    adopts = wants.mode("sdc") == ADOPT
    if not wants.mdm_addresses:
        return (
            "the addresses of our manager MDMs are not known, so nobody can tell whose SDC this "
            "is: the Gateway must answer, or set -scaleio.preconfig.primary and its companions"
            if adopts
            else ""
        )
    if not set(facts.sdc_mdms).isdisjoint(wants.mdm_addresses):
        return ""
    if not facts.sdc_mdms and not adopts:
        return ""
    return (
        f"the SDC of this host serves {', '.join(facts.sdc_mdms) or 'no MDM'}, and our managers "
        f"are {', '.join(wants.mdm_addresses)}: nothing was changed; set its managers by hand "
        "with drv_cfg, or set component sdc to ignore"
    )


def _missing_entry(component: str, facts: Facts, wants: Wants) -> str:
    if wants.package(component, facts) is not None:
        return ""
    platform = f"{facts.os_id} {facts.os_version}".strip()
    entry = (
        f'{{"component": "{component}", "platforms": '
        f'[{{"os_id": "{facts.os_id}", "os_version": "{facts.os_version}"}}], ...}}'
    )
    if wants.catalog is None:
        return (
            f"no package for {component} on {platform}, because there is no catalog; "
            f"name a file with -catalog that holds [{entry}]"
        )
    return (
        f"no package for {component} on {platform} in the catalog; "
        f"add [{entry}] to the file given by -catalog ({wants.catalog.source})"
    )


def _isolator_fault(facts: Facts, forgiven: frozenset[str]) -> str:
    if not facts.isolation:
        return (
            "the agent's /flags could not be read on the host, so its isolation is not known: "
            "open the endpoint to local requests, or set component isolator to ignore"
        )
    if facts.launcher != "linux":
        return (
            f"the agent's launcher is {facts.launcher or 'unknown'}, and docker/volume needs "
            "linux: start the agent with --launcher=linux, or set component isolator to ignore"
        )
    undone = any(r.step == "agent-restart" and r.state == "rolled-back" for r in facts.receipts)
    if undone and "isolator" not in forgiven:
        return (
            "the agent did not come back with the new isolation and was rolled back: look at its "
            "log on the host, then order the step again"
        )
    return ""
