"""The installation knowledge put together with one operator's settings: what actors ask for.

Pure but for `seal`, whose ciphertext differs each time by design.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from domain.agent import AgentRecord
from domain.devices import GIB, DeviceRules, DeviceVerdict, candidates
from domain.facts import Facts
from domain.job import Job, StepFaultError
from domain.joining import JoinSpec, SdsAddress
from domain.layout import Layout, layout_of
from domain.limits import Member, why_over
from domain.plan import CLAIM, KEEPER, Plan, PlannedStep, in_pool
from domain.stages import Stages
from domain.storage import StorageSnapshot
from install_steps import placing
from install_steps.catalog import (
    STEPS,
    Catalog,
    StepContext,
    StepTextError,
    plan_for,
    script_text,
    wanted_isolation,
)
from install_steps.environments import rexray_digest, rexray_points
from install_steps.extras import TIMEOUT_S, Extra
from install_steps.facts import SurveyError, parse_survey
from install_steps.layout_file import LayoutFile
from install_steps.overrides import Choices, Override, chosen
from install_steps.packages import platform_fault
from install_steps.sealing import SealError, seal, secret_tag
from protocol.mesos.calls import HealthCheck
from settings import Settings

HEALTH_INTERVAL_S: Final = 30.0
VOLUME_NAMES: Final = "/dev/disk/by-id/emc-vol-"


@attrs.define(kw_only=True)
class Assembly:
    """Callables give what changes while we run: the last snapshot, the leader, our own URL."""

    settings: Settings
    catalog: Catalog | None
    storage: Callable[[], StorageSnapshot | None]
    leader: Callable[[], str]  # host:port
    own_url: Callable[[], str]  # http://host:port, as agents reach it
    installation: Callable[[], bytes]
    extras: tuple[Extra, ...] = ()
    overrides: tuple[Override, ...] = ()
    layout_file: LayoutFile = attrs.field(factory=LayoutFile)
    members: Callable[[], Iterable[Member]] = tuple  # every agent, as the limits see it
    password: Callable[[], str] | None = None  # else that of the settings
    mirrored: frozenset[str] = frozenset()  # SHA-256 of the packages that we serve ourselves
    _texts: dict[str, str] = attrs.field(factory=dict, init=False)

    def plan_id(self) -> str:
        """A digest of what is rolled out: another catalog or layout is another rollout."""
        settings = self.settings
        wanted = (
            self.catalog, self.extras, self.overrides, self.layout_file, settings.components_sds,
            settings.components_sdc, settings.components_rexray, settings.components_dvdcli,
        )  # fmt: skip
        return hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]

    def stages(self) -> Stages:
        settings = self.settings
        return Stages(
            canary=settings.rollout_canary,
            share=settings.rollout_share,
            halt=settings.rollout_halt,
            parallel=settings.rollout_parallel,
            asks=settings.mode == "ask",
            plan=self.plan_id(),
        )

    # -- reading ------------------------------------------------------------------------------

    def parse(self, stdout: str) -> Facts:
        try:
            return parse_survey(stdout)
        except SurveyError as error:
            raise StepFaultError(str(error)) from error

    def layout(self, record: AgentRecord, facts: Facts | None = None) -> Layout:
        known = facts or record.facts
        choices = self.choices(record, known)
        return layout_of(
            record.attributes,
            domain=choices.protection_domain,
            pool=choices.storage_pool,
            rule=self.layout_file.rule_for(record.host, record.attributes, known),
            host=record.host,
        )

    def choices(self, record: AgentRecord, facts: Facts | None) -> Choices:
        """What the flags say, and where the operator wants it otherwise on that host."""
        settings = self.settings
        base = Choices(
            components={
                "sds": settings.components_sds,
                "sdc": settings.components_sdc,
                "rexray": settings.components_rexray,
                "dvdcli": settings.components_dvdcli,
            },
            kernel=settings.kernel,
            agent_unit=settings.agent_unit,
            devices=settings.devices,
            devices_min_size_gb=settings.devices_min_size_gb,
            protection_domain=settings.scaleio_protectiondomain,
            storage_pool=settings.scaleio_storagepool,
            skip=dict.fromkeys(settings.steps_skip, "-steps.skip"),
        )
        return chosen(
            base,
            self.overrides,
            host=record.host,
            attributes=record.attributes,
            facts=facts,
        )

    def plan(self, record: AgentRecord, facts: Facts) -> Plan:
        """What is left to do on this host, by its facts, its attributes and the cluster."""
        choices = self.choices(record, facts)
        layout = self.layout(record, facts)
        ours = self._ours(record)
        verdicts = [v for v in self._verdicts(facts, layout, choices) if not placing.is_in(v, ours)]
        takes = [v for v in verdicts if v.verdict.take and v.wish is not None]
        provides = bool(layout.provides) and bool(takes or ours or record.sds_id)
        context = self._context(record, facts)
        steps = plan_for(
            facts,
            provides,
            self.catalog,
            _components(choices),
            mdm_addresses=self._managers(),
            rexray_digest=rexray_digest(context),
            forgiven=frozenset({"isolator"} if record.undone == "forgiven" else ()),
            system_id=storage.system_id if (storage := self.storage()) is not None else "",
            points=rexray_points(context),
            extras=self.extras,
            skip=choices.skip,
        )
        if self.settings.limits == "on":
            me = placing.member(record, facts, layout, provides=provides)
            limits, storage = self.layout_file.limits, self.storage()
            why = placing.too_many(takes, ours, limits) or why_over(
                me, self.members(), storage, limits
            )
            steps = placing.kept_out(steps, why)
        unsure = placing.perhaps_ours(verdicts) if self.storage() is None else ""
        if unsure:
            steps += (PlannedStep(name=CLAIM, state="blocked", sentence=unsure),)
        return Plan(
            steps=steps,
            fault=platform_fault(facts)
            or _first(layout.faults)
            or ("" if unsure else placing.declared_fault(verdicts)),
            provides_storage=provides,
            devices=tuple(v.path for v in takes),
            device_pools=tuple(v.wish.pool for v in takes if v.wish is not None),
            device_levels=tuple(v.verdict.level for v in takes),
            verdicts=tuple((v.path, f"{v.verdict.rule}: {v.verdict.sentence}") for v in verdicts)
            + tuple((path, in_pool(pool)) for path, pool in ours.items()),
            overrides=choices.told,
        )

    def _verdicts(
        self, facts: Facts, layout: Layout, choices: Choices
    ) -> tuple[DeviceVerdict, ...]:
        rules = DeviceRules(
            mode=choices.devices,
            bytes_min=choices.devices_min_size_gb * GIB,
            overwrite=self.settings.devices_overwrite,
            allow_loop=self.settings.devices_allow_loop,
        )
        return candidates(facts, layout, rules)

    def _ours(self, record: AgentRecord) -> Mapping[str, str]:
        """Devices that are in a pool already, or passed every check: path -> pool."""
        found = dict(record.claimed)
        storage = self.storage()
        sds = storage.sds_at(record.address) if storage is not None else None
        if storage is not None and sds is not None:
            pools = {pool.id: pool.name for pool in storage.pools}
            for device in storage.devices:
                if device.sds_id == sds.id:
                    found.setdefault(device.path, pools.get(device.pool_id, ""))
        return found

    # -- doing --------------------------------------------------------------------------------

    def job(self, record: AgentRecord, step: str) -> Job:
        """The task of `step` on that host. Raises StepFaultError."""
        settings = self.settings
        facts = record.facts or _UNKNOWN
        context = self._context(record, facts)
        if step == "rexray":
            context = attrs.evolve(context, sealed_password=self._sealed(facts))
        try:
            if step in STEPS:
                environment = dict(STEPS[step].environment(context))
                command, timeout_s = self._text(step), STEPS[step].timeout_s
            else:
                environment = dict(self._told(record, context, step))
                command, timeout_s = self._extra(step).command(settings.steps_dir), TIMEOUT_S
            health = self._health() if step == KEEPER else None
        except StepTextError as error:
            raise StepFaultError(f"step {step}: {error}") from error
        environment["SCALEIO_HOST"] = record.host
        return Job(
            command=command,
            environment=environment,
            user=settings.user,
            cpus_milli=round(settings.executor_cpu_non * 1000),
            mem_milli=round(settings.executor_mem_non * 1000),
            completion_s=timeout_s or None,
            health=health,
        )

    def _extra(self, step: str) -> Extra:
        found = next((extra for extra in self.extras if extra.name == step), None)
        if found is None:
            raise StepTextError("there is no script of that name in -steps.extra any more")
        return found

    def _told(self, record: AgentRecord, context: StepContext, step: str) -> Mapping[str, str]:
        """What an operator's own step may want to know."""
        values = {
            "SCALEIO_ROLE": "sds" if record.sds_id or context.provides_storage else "sdc",
            "SCALEIO_PLATFORM": f"{context.facts.os_id}-{context.facts.os_version}",
            "SCALEIO_PROTECTION_DOMAIN": context.domain,
            "SCALEIO_STORAGE_POOL": context.pool,
            "SCALEIO_MDM_IPS": ",".join(context.mdm_addresses),
        }
        own = self.choices(record, record.facts).environment.get(step, {})
        return {**self._extra(step).told(own), **values}

    def _sealed(self, facts: Facts) -> str:
        if not facts.public_key:
            raise StepFaultError("the host has no key for sealed secrets yet: survey it again")
        try:
            return seal(facts.public_key, self._password(), digest=facts.oaep_digest)
        except SealError as error:
            raise StepFaultError(str(error)) from error

    def _password(self) -> str:
        return (self.password or self.settings.scaleio_password.reveal)()

    def _text(self, step: str) -> str:
        if step not in self._texts:
            directory: Path | None = self.settings.steps_dir
            self._texts[step] = script_text(step, directory)
        return self._texts[step]

    def _health(self) -> HealthCheck:
        return HealthCheck(
            command=self._text("keeper_health"),
            delay_s=0.0,
            interval_s=HEALTH_INTERVAL_S,
            grace_s=60.0,
        )

    def _context(self, record: AgentRecord, facts: Facts) -> StepContext:
        settings, storage = self.settings, self.storage()
        choices = self.choices(record, facts)
        volume = record.probe.partition(":")[2]
        system = storage.system_id if storage is not None else settings.scaleio_clusterid
        home = self.layout(record).consumes[0]
        permit = (record.reboot.permit if record.reboot is not None else "") or record.disrupt
        named = placing.device_names(record)
        return StepContext(
            facts=facts,
            catalog=self.catalog,
            kernel_mode=choices.kernel,
            mdm_addresses=self._managers(),
            gateway_endpoint=f"{gateway_base(settings.gateway_address)}/api",
            gateway_insecure=settings.scaleio_gateway_ca_file is None,
            gateway_user=settings.scaleio_user,
            secret_tag=secret_tag(self._password(), self.installation()),
            system_id=settings.scaleio_clusterid,
            system_name="" if settings.scaleio_clusterid else settings.scaleio_clustername,
            domain=home.domain,
            pool=home.pool,
            isolation_to=_isolation(record, facts),
            agent_unit=choices.agent_unit,
            restart_anyway=bool(record.restart_for),
            master_endpoint=self.leader(),
            devices=named["auto"],
            devices_declared=named["declared"],
            devices_overwrite=named["overwrite"],
            volume_path=f"{VOLUME_NAMES}{system}-{volume}" if volume else "",
            permit_url=f"{self.own_url()}/v1/permits/{permit}" if permit else "",
            provides_storage=bool(self._ours(record)),
            mirror=f"{self.own_url()}/packages" if self.mirrored else "",
            mirrored=self.mirrored,
            packages_proxy=settings.packages_proxy,
            packages_no_proxy=settings.packages_no_proxy,
            left_cluster=record.removal is not None and record.removal.stage == "uninstalling",
            watches_sdc=choices.keeps("sdc"),
            watches_rexray=choices.keeps("rexray"),
        )

    # -- the storage cluster --------------------------------------------------------------------

    def _managers(self) -> tuple[str, ...]:
        """Data addresses of the manager MDMs: the Gateway's word, the flags as fall-back."""
        storage = self.storage()
        if storage is not None and storage.manager_addresses:
            return storage.manager_addresses
        named = (
            self.settings.scaleio_preconfig_primary,
            self.settings.scaleio_preconfig_secondary,
        )
        return tuple(address for address in named if address)

    def join_spec(self, record: AgentRecord) -> JoinSpec:
        layout, ours = self.layout(record), self._ours(record)
        provides = layout.provides if ours else ()
        ignores = self.choices(record, record.facts).components["sdc"] == "ignore"
        gone = record.removal is not None and record.removal.gone
        # Its SDS was seen to leave: what has its address now is somebody else's.
        left = gone and record.removal is not None and record.removal.stage == "last"
        return JoinSpec(
            host=record.host,
            address=record.address,
            domain=provides[0].domain if provides else "",
            pools=tuple(dict.fromkeys(wish.pool for wish in provides)),
            fault_set=layout.fault_set,
            devices=ours,
            pool_specs=tuple(self.layout_file.pools.values()),
            addresses=tuple(
                SdsAddress(ip=ip or record.address, role=role) for ip, role in layout.addresses
            ),
            device_test=layout.device_test,
            sdc_name=layout.sdc_name,
            keeps_sds=left or self.choices(record, record.facts).components["sds"] == "ignore",
            keeps_sdc=ignores,
            sds_id=record.sds_id,
            runs_sds=_still_runs_sds(record),
            gone=gone,
            sdc_guid="" if ignores or record.facts is None else record.facts.sdc_guid,
        )

    def probe_pool(self, record: AgentRecord) -> str:
        return self.layout(record).consumes[0].pool


def _still_runs_sds(record: AgentRecord) -> bool:
    """Of one that is to leave, as long as nothing of it was removed."""
    asked = record.removal is not None and record.removal.stage == "asked"
    return asked and record.facts is not None and record.facts.services.get("sds", False)


def _components(choices: Choices) -> Mapping[str, str]:
    """By step, which is called isolator where the flag names its program."""
    modes = dict(choices.components)
    return {**modes, "isolator": modes.pop("dvdcli")}


def _isolation(record: AgentRecord, facts: Facts) -> tuple[str, ...]:
    """What the Mesos agent is to run with; what it had before us when we go."""
    if record.removal is not None:
        return record.isolation_before
    return wanted_isolation(facts.isolation)


_UNKNOWN: Final = Facts(machine_id="", boot_id="", os_id="", os_version="", kernel="")


def gateway_base(address: str) -> str:
    """`https://host[:port]` of what the operator wrote: host, host:port or URL."""
    return address.rstrip("/") if "://" in address else f"https://{address}"


def _first(faults: tuple[str, ...]) -> str:
    return faults[0] if faults else ""
