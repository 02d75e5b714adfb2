"""Every flag, variable and default: one table, from which also the help and the docs are made.

Stronger wins: flag, `SCALEIO_<FLAG>` variable, the original's variable, default.
"""

# ruff: noqa: RUF009 - the defaults are the table; the rows are frozen values

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs

from flags import kinds
from flags.address import address_towards, in_url
from flags.ensemble import is_ensemble, read_ensemble
from flags.flag import (
    Flag,
    Given,
    HelpRequestedError,
    SettingsError,
    given_values,
    help_of,
    markdown_of,
    quoted,
    row,
    unbuilt_row,
)
from flags.kinds import choice, whole
from flags.secret import (
    REEXECUTED,
    Redactor,
    Secret,
    UnreadableError,
    read_secret_file,
    reexec_without_secrets,
)
from flags.tokens import Token, read_tokens

__all__ = [
    "FLAGS",
    "HelpRequestedError",
    "Redactor",
    "Secret",
    "Settings",
    "SettingsError",
    "docs_table",
    "help_text",
    "parse",
    "reexec_without_secrets",
]

NO_SECRET: Final = Secret("")

AWS: Final = "growing pools by EBS volumes"
MDM: Final = "building MDM nodes; the -scaleio.preconfig flags name those of a running cluster"
PACKAGES: Final = "package addresses; they and their checksums come from -catalog"
REXRAY_USER: Final = "a Gateway user for REX-Ray alone"
ISOLATOR: Final = "isolator modules; Mesos' own docker/volume isolator is used"
EXECUTOR: Final = "custom executors; steps run as command tasks"
NO_STORE: Final = (
    "no longer a store: take auto, zk or sqlite; nothing has to be carried over, since every "
    "agent is surveyed again; `scaleio-scheduler store import FILE` takes over the hosts of a dump"
)
STORES: Final = choice(
    "auto", "zk", "sqlite", unbuilt=dict.fromkeys(("etcd", "consul", "boltdb"), NO_STORE)
)
LEVELS: Final = choice(
    "debug",
    "info",
    "warning",
    "error",
    "critical",
    same={"warn": "warning", "fatal": "critical", "panic": "critical"},
)


def _switch(name: str, meaning: str, *, was: str = "", unbuilt: str = "") -> bool:
    off = False
    generic = name == "debug"
    return row(name, off, kinds.SWITCH, meaning, was=was, generic=generic, unbuilt=unbuilt)


def _package(name: str, was: str) -> str:
    return unbuilt_row(name, "", kinds.TEXT, was, PACKAGES)


def _component(name: str) -> str:
    words = choice("manage", "adopt", "ignore")
    return row(name, "manage", words, "Install it, use what is there, or leave it alone.")


# One flag is one row, wherever it fits.
# fmt: off
@attrs.frozen(kw_only=True)
class Settings:
    """The table. An attribute is its flag's name with `_` for `.` and `-`."""

    loglevel: str = row(
        "loglevel", "info", LEVELS, "Least severe log lines that are written.", was="LOG_LEVEL")
    log_format: str = row(
        "log.format", "json", choice("json", "text"), "One JSON object a line, or for people.")
    debug: bool = _switch("debug", "No host is rebooted: what needs it waits.", was="DEBUG")
    mode: str = row(
        "mode", "run", choice("run", "ask", "observe"),
        "Do the work; begin it on the operator's word; or survey everything and change nothing.")
    compat_env: bool = _switch(
        "compat.env", "Read also the original's variables USER, HOSTNAME, DEBUG and ROLE.")
    experimental: bool = _switch("experimental", "", was="EXPERIMENTAL", unbuilt=MDM)

    uri: tuple[str, ...] = row(
        "uri", ("http://127.0.0.1:5050",), kinds.MASTERS,
        "Mesos masters, any of which leads to the leader; or the ZooKeeper that names it.",
        was="MESOS_MASTER_HTTP",
        shown="127.0.0.1:5050")
    user: str = row(
        "user", "", kinds.USER, "User that runs the steps; must be able to install packages.",
        was="USER", shown="the user that runs the scheduler", generic=True)
    hostname: str = row(
        "hostname", "", kinds.HOST, "Host name announced to Mesos.", was="HOSTNAME",
        shown="this host's name", generic=True)
    role: str = row(
        "role", "scaleio", kinds.ROLE, "Role in Mesos, and the place in the store.",
        was="ROLE", generic=True)
    mesos_principal: str = row(
        "mesos.principal", "", kinds.PRINCIPAL, "Principal of this framework, as the master's "
        "credentials and ACLs name it.")
    mesos_secret_file: str = row(
        "mesos.secret-file", "", kinds.TEXT,
        "File with the principal's secret for HTTP basic authentication; read again after a 401.")
    mesos_ca_file: Path | None = row(
        "mesos.ca-file", None, kinds.FILE,
        "Certificates (PEM) that may sign those of masters and agents.",
        shown="those that the system trusts")
    mesos_cert_file: Path | None = row(
        "mesos.cert-file", None, kinds.FILE, "Our certificate (PEM) for masters that ask for one.")
    mesos_key_file: Path | None = row(
        "mesos.key-file", None, kinds.FILE, "Its private key (PEM).",
        shown="in the certificate's file")
    mesos_adopt: bool = _switch(
        "mesos.adopt", "Take over our own framework that the master still knows, if the store has "
        "lost its id.")
    mesos_failover_timeout: float = row(
        "mesos.failover-timeout", 1209600.0, kinds.SECONDS,
        "How long Mesos keeps our tasks while no scheduler is there (14 days).")
    mesos_before_reboot: str = row(
        "mesos.before-reboot", "none",
        choice("none", "deactivate"),
        "What Mesos is told before a host is rebooted.")
    mesos_poll_agents: float = row(
        "mesos.poll-agents", 60.0, kinds.SECONDS, "Pause between looks at the master's agents.")

    rest_address: str = row(
        "rest.address", "", kinds.HOST,
        "Address that the web server binds, and by which agents reach it.", was="REST_ADDRESS",
        shown="binds all, announces the one that faces the master")
    rest_port: int = row(
        "rest.port", 35000, kinds.FREE_PORT, "Port of the web server; 0 takes a free one.",
        was="REST_PORT")
    rest_token_file: Path | None = row(
        "rest.token-file", None, kinds.FILE,
        "File with the bearer tokens for changes by REST, one a line, each with a name before it "
        "if it has one; without it they are refused.")
    rest_viewer_token_file: Path | None = row(
        "rest.viewer-token-file", None, kinds.FILE,
        "File with tokens for looking; with it nothing is shown without one of either file.")
    rest_tls_port: int = row(
        "rest.tls-port", 0, kinds.FREE_PORT,
        "Port for people over TLS; -rest.port then serves only what hosts ask. 0: no TLS.")
    rest_tls_cert_file: Path | None = row(
        "rest.tls-cert-file", None, kinds.FILE,
        "Certificate (PEM, with its chain) of -rest.tls-port.")
    rest_tls_key_file: Path | None = row(
        "rest.tls-key-file", None, kinds.FILE, "Its key (PEM).")
    rest_changes_port: int = row(
        "rest.changes-port", 0, kinds.FREE_PORT,
        "Port that alone takes changes (with TLS, if there is a certificate). 0: the others do.")
    rest_changes_address: str = row(
        "rest.changes-address", "127.0.0.1", kinds.HOST, "Address that -rest.changes-port binds.")
    rest_rate: int = row(
        "rest.rate", 200, whole(0, 1_000_000),
        "Requests a second from one address; changes a tenth of it. 0: no bound.")

    executor_cpu_mdm: float = unbuilt_row(
        "executor.cpu.mdm", 1.5, kinds.CPUS, "EXECUTOR_MDM_CPU", MDM)
    executor_cpu_non: float = row(
        "executor.cpu.non", 0.5, kinds.CPUS, "Cpus of a step and of the keeper.",
        was="EXECUTOR_NON_CPU")
    executor_cpu_factor: float = unbuilt_row(
        "executor.cpu.factor", 1.0, kinds.FACTOR, "EXECUTOR_CPU_FACTOR", MDM)
    executor_mem_mdm: float = unbuilt_row(
        "executor.mem.mdm", 3072.0, kinds.MEGABYTES, "EXECUTOR_MDM_MEM", MDM)
    executor_mem_non: float = row(
        "executor.mem.non", 512.0, kinds.MEGABYTES, "Memory of a step and of the keeper, in MB.",
        was="EXECUTOR_NON_MEM")
    executor_mem_factor: float = unbuilt_row(
        "executor.mem.factor", 1.0, kinds.FACTOR, "EXECUTOR_MEMORY_FACTOR", MDM)
    executor_altpath: str = unbuilt_row(
        "executor.altpath", "", kinds.TEXT, "ALT_EXECUTOR_PATH", EXECUTOR)

    store_type: str = row(
        "store.type", "auto", STORES,
        "Where the state is kept; auto takes ZooKeeper where one is found.", was="STORE_TYPE")
    store_uri: str = row(
        "store.uri", "", kinds.TEXT,
        "host:port[,host:port...] of ZooKeeper, or the path of the SQLite file.", was="STORE_URI",
        hidden=True,
        shown="what /etc/mesos/zk names")
    store_rebuild: bool = _switch(
        "store.rebuild", "Where the SQLite file is damaged: keep it under another name, begin a "
        "new one, and take our own framework over (implies -mesos.adopt).")
    store_delete: bool = _switch(
        "store.delete", "Delete every record of ours, and end.", was="DELETE_STORE")
    store_dump: bool = _switch(
        "store.dump", "Print every record as JSON, without secrets, and end.", was="DUMP_STORE")
    store_add_key: str = row(
        "store.add.key", "", kinds.TEXT,
        "Store one record (with -store.add.value), and end: agents/HOST, or the absolute key.",
        was="STORE_ADD_KEY")
    store_add_value: str = row(
        "store.add.value", "", kinds.TEXT, "That record, as JSON; it is checked first.",
        was="STORE_ADD_VAL", hidden=True)
    store_del_key: str = row(
        "store.del.key", "", kinds.TEXT, "Delete one record, and end.", was="STORE_DEL_KEY")

    scaleio_clustername: str = row(
        "scaleio.clustername", "scaleio", kinds.NAME, "Name of the ScaleIO system.",
        was="CLUSTER_NAME")
    scaleio_clusterid: str = row(
        "scaleio.clusterid", "", kinds.SYSTEM_ID, "Its id; wins over the name.", was="CLUSTER_ID")
    scaleio_lbgateway: str = row(
        "scaleio.lbgateway", "", kinds.GATEWAY,
        "Load-balanced Gateway; used where no MDM is pre-configured.", was="LB_GATEWAY")
    scaleio_protectiondomain: str = row(
        "scaleio.protectiondomain", "default", kinds.NAME,
        "Protection domain of agents without attributes.", was="PROTECTION_DOMAIN")
    scaleio_storagepool: str = row(
        "scaleio.storagepool", "default", kinds.NAME, "Storage pool of agents without attributes.",
        was="STORAGE_POOL")
    scaleio_user: str = row("scaleio.user", "admin", kinds.USER, "Gateway user.")
    scaleio_password: Secret = row(
        "scaleio.password", NO_SECRET, kinds.SECRET,
        "Password of the Gateway user; better given in a file or a variable.", was="ADMIN_PASSWORD",
        shown="none: required")
    scaleio_password_file: str = row(
        "scaleio.password-file", "", kinds.TEXT, "File with the password of the Gateway user.")
    scaleio_gateway_ca_file: Path | None = row(
        "scaleio.gateway.ca-file", None, kinds.FILE,
        "Certificates (PEM) that may sign the Gateway's; without it the first one is pinned.")
    scaleio_gateway_fingerprint: tuple[str, ...] = row(
        "scaleio.gateway.fingerprint", (), kinds.FINGERPRINTS,
        "The Gateway's certificate, in place of the first one that it shows.")
    scaleio_gateway_maintenance: tuple[str, ...] = row(
        "scaleio.gateway.maintenance", (), kinds.VERBS,
        "The release's two REST actions by which an SDS enters and leaves maintenance mode; "
        "without them that order is refused.")
    scaleio_apiversion: str = row(
        "scaleio.apiversion", "2.0", kinds.API_VERSION, "REST version to begin with.",
        was="API_VERSION")
    scaleio_preconfig_primary: str = row(
        "scaleio.preconfig.primary", "", kinds.HOST, "Primary MDM; required.",
        was="PRIMARY_MDM_ADDRESS")
    scaleio_preconfig_secondary: str = row(
        "scaleio.preconfig.secondary", "", kinds.HOST, "Secondary MDM; required.",
        was="SECONDARY_MDM_ADDRESS")
    scaleio_preconfig_tiebreaker: str = row(
        "scaleio.preconfig.tiebreaker", "", kinds.HOST, "Tie-breaker MDM; required.",
        was="TIEBREAKER_MDM_ADDRESS")
    scaleio_preconfig_gateway: str = row(
        "scaleio.preconfig.gateway", "", kinds.GATEWAY,
        "Gateway of the cluster; of several, separated by commas, one that answers is used.",
        was="GATEWAY_ADDRESS", shown="the primary MDM")
    gateway_poll: float = row(
        "gateway.poll", 10.0, kinds.SECONDS, "Pause between looks at the Gateway.")

    scaleio_ubuntu14_mdm: str = _package("scaleio.ubuntu14.mdm", "DEB_MDM")
    scaleio_ubuntu14_sds: str = _package("scaleio.ubuntu14.sds", "DEB_SDS")
    scaleio_ubuntu14_sdc: str = _package("scaleio.ubuntu14.sdc", "DEB_SDC")
    scaleio_ubuntu14_lia: str = _package("scaleio.ubuntu14.lia", "DEB_LIA")
    scaleio_ubuntu14_gw: str = _package("scaleio.ubuntu14.gw", "DEB_GW")
    scaleio_rhel7_mdm: str = _package("scaleio.rhel7.mdm", "RPM_MDM")
    scaleio_rhel7_sds: str = _package("scaleio.rhel7.sds", "RPM_SDS")
    scaleio_rhel7_sdc: str = _package("scaleio.rhel7.sdc", "RPM_SDC")
    scaleio_rhel7_lia: str = _package("scaleio.rhel7.lia", "RPM_LIA")
    scaleio_rhel7_gw: str = _package("scaleio.rhel7.gw", "RPM_GW")
    scaleio_centos7_mdm: str = _package("scaleio.centos7.mdm", "RPM_MDM")
    scaleio_centos7_sds: str = _package("scaleio.centos7.sds", "RPM_SDS")
    scaleio_centos7_sdc: str = _package("scaleio.centos7.sdc", "RPM_SDC")
    scaleio_centos7_lia: str = _package("scaleio.centos7.lia", "RPM_LIA")
    scaleio_centos7_gw: str = _package("scaleio.centos7.gw", "RPM_GW")

    catalog: Path | None = row(
        "catalog", None, kinds.FILE,
        "Packages with addresses and checksums; without it only what is installed is used.")
    packages_dir: Path | None = row(
        "packages.dir", None, kinds.DIRECTORY,
        "Files of the catalog that hosts fetch from this scheduler first.")
    packages_bundle: Path | None = row(
        "packages.bundle", None, kinds.FILE,
        "One file with a catalog and all its packages, in place of -catalog and -packages.dir.")
    packages_proxy: str = row(
        "packages.proxy", "", kinds.PROXY, "Proxy by which hosts reach the catalog's mirrors.",
        shown="what the environment of the agents' tasks says")
    packages_no_proxy: str = row(
        "packages.no-proxy", "", kinds.NO_PROXY,
        "Hosts and domains that are reached without -packages.proxy.")
    components_sds: str = _component("components.sds")
    components_sdc: str = _component("components.sdc")
    components_rexray: str = _component("components.rexray")
    components_dvdcli: str = _component("components.dvdcli")
    steps_dir: Path | None = row(
        "steps.dir", None, kinds.DIRECTORY, "Where the step scripts are.", shown="in the release")
    steps_extra: Path | None = row(
        "steps.extra", None, kinds.DIRECTORY,
        "Scripts of yours that run beside ours: before-STEP-NAME.sh, after-STEP-NAME.sh.")
    steps_skip: tuple[str, ...] = row(
        "steps.skip", (), kinds.LIST, "Installation steps that are left out everywhere.")
    steps_overrides: Path | None = row(
        "steps.overrides", None, kinds.FILE,
        "Rules (JSON) for hosts that need other settings, by name, platform or attribute.")
    probe: str = row(
        "probe", "on", choice("on", "off"),
        "Make, map, see and delete one small volume on each new agent.")
    kernel: str = row(
        "kernel", "require", choice("require", "install"),
        "Where the SDC does not support the running kernel: refuse, or install one that it does.")
    agent_unit: str = row(
        "agent.unit", "", kinds.UNIT, "Service of the Mesos agent on the hosts.",
        shown="mesos-slave or mesos-agent, whichever runs")
    rexray_branch: str = unbuilt_row(
        "rexray.branch", "stable", kinds.TEXT, "REXRAY_BRANCH", PACKAGES)
    rexray_version: str = row(
        "rexray.version", "", kinds.TEXT, "", was="REXRAY_VERSION", shown="the catalog's",
        unbuilt=PACKAGES)
    rexray_username: str = unbuilt_row("rexray.username", "", kinds.TEXT, "", REXRAY_USER)
    rexray_password_file: str = unbuilt_row("rexray.password-file", "", kinds.TEXT, "", REXRAY_USER)
    isolator_binary: str = unbuilt_row(
        "isolator.binary", "", kinds.TEXT, "ISOLATOR_BINARY", ISOLATOR)

    devices: str = row(
        "devices", "auto", choice("auto", "declared"),
        "Take every disk that is provably empty, or only what attributes name.")
    devices_claim_delay: float = row(
        "devices.claim-delay", 60.0, kinds.SECONDS, "Pause between two surveys that must agree.")
    devices_min_size_gb: int = row(
        "devices.min-size-gb", 100, whole(1, 1000000, "GB"), "Smaller disks are not taken.")
    devices_overwrite: tuple[str, ...] = row(
        "devices.overwrite", (), kinds.LIST,
        "Named disks (/dev/disk/by-id/...) that may be taken although they bear a signature.")

    devices_allow_loop: bool = _switch(
        "devices.allow-loop", "Takes loop devices as disks too; for test labs only.")

    layout: Path | None = row(
        "layout", None, kinds.FILE,
        "Which nodes provide what, how pools are made, and the limits (JSON, docs/layout.md).")
    limits: str = row(
        "limits", "on", choice("on", "off"),
        "Agents wait that would exceed what the storage cluster can hold.")

    rollout_parallel: int = row(
        "rollout.parallel", 10, whole(1, 10000), "Agents that are worked on at a time.")
    rollout_reboots: int = row(
        "rollout.reboots", 1, whole(0, 100), "Hosts that may reboot at a time; 0: none.")
    rollout_canary: int = row(
        "rollout.canary", 1, whole(0, 10000),
        "Agents that go first where there are more than -rollout.parallel; 0: none.")
    rollout_share: int = row(
        "rollout.share", 25, whole(0, 100, "PERCENT"),
        "Percent of the agents that go next, before all the others; 0: none.")
    rollout_halt: int = row(
        "rollout.halt", 20, whole(0, 100, "PERCENT"),
        "Percent of the agents (at least three, or the canary) whose failure halts the rollout; "
        "0: never.")
    agents_retire_after: int = row(
        "agents.retire-after", 0, whole(0, 10**8, "SECONDS"),
        "An agent that Mesos and the storage cluster have lost for so long is retired, once its "
        "data is elsewhere; 0: never without an operator's word.")
    retry_attempts: int = row(
        "retry.attempts", 5, whole(1, 1000), "Tries of a step before its agent has failed.")
    health_capacity_high: int = row(
        "health.capacity-high", 80, kinds.PERCENT, "Used percent of a pool that warn.")
    health_capacity_critical: int = row(
        "health.capacity-critical", 90, kinds.PERCENT, "Used percent of a pool that alarm.")
    health_overallocation: int = row(
        "health.overallocation", 200, whole(100, 100000, "PERCENT"),
        "Percent of what a pool holds that its thin volumes may grow to before it warns.")

    notify_webhook: tuple[str, ...] = row(
        "notify.webhook", (), kinds.WEBHOOKS,
        "Addresses that are told of conditions, as JSON (docs/notifications.md).", masked=True)
    notify_alertmanager: tuple[str, ...] = row(
        "notify.alertmanager", (), kinds.ALERTMANAGERS,
        "Alertmanagers that are told of conditions: each one's address.", masked=True)
    notify_min_severity: str = row(
        "notify.min-severity", "warning", choice("info", "warning", "critical"),
        "Least severe conditions that are told.")
    notify_group_wait: int = row(
        "notify.group-wait", 10, whole(0, 3600, "SECONDS"),
        "What arises within so long is told together.")
    notify_repeat: int = row(
        "notify.repeat", 14400, whole(0, 10**7, "SECONDS"),
        "Pause between reminders of a critical condition that stands, to -notify.webhook; "
        "0: none.")
    notify_token_file: Path | None = row(
        "notify.token-file", None, kinds.FILE,
        "File with the bearer token for -notify.webhook; read for each message.")
    notify_ca_file: Path | None = row(
        "notify.ca-file", None, kinds.FILE,
        "Certificates (PEM) that may sign those of the receivers.",
        shown="those that the system trusts")

    aws_accesskey: Secret = unbuilt_row(
        "aws.accesskey", NO_SECRET, kinds.SECRET, "AWS_ACCESS_KEY", AWS)
    aws_secretkey: Secret = unbuilt_row(
        "aws.secretkey", NO_SECRET, kinds.SECRET, "AWS_SECRET_KEY", AWS)
    aws_threshold: int = unbuilt_row("aws.threshold", 90, kinds.PERCENT, "AWS_USED_THRESHOLD", AWS)
    aws_checkfull: int = unbuilt_row("aws.checkfull", 60, whole(1, 100000), "AWS_CHECKFULL", AWS)
    aws_growthsize: int = unbuilt_row(
        "aws.growthsize", 1024, whole(1, 16384), "AWS_GROWTH_SIZE", AWS)

    # Found out while parsing; no flags.
    rest_token: Secret = NO_SECRET  # the first one
    rest_tokens: tuple[Token, ...] = ()
    rest_viewer_tokens: tuple[Token, ...] = ()
    master_credentials: Secret = NO_SECRET  # user:password for the ensemble in -uri
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = attrs.field(factory=dict, eq=False)  # flag -> who gave its value

    @property
    def master_urls(self) -> tuple[str, ...]:
        """scheme://host:port of each; () where ZooKeeper names the leader."""
        return () if self.master_ensemble else self.uri

    @property
    def master_ensemble(self) -> str:
        """zk://host:port,host:port/path without credentials; "" where the masters are named."""
        return self.uri[0] if is_ensemble(self.uri[0]) else ""

    @property
    def master_scheme(self) -> str:
        """For masters that ZooKeeper names: it tells addresses, not whether they speak TLS."""
        return "https" if self.mesos_ca_file or self.mesos_cert_file else "http"

    @property
    def preconfigured(self) -> bool:
        return bool(self.scaleio_preconfig_primary)

    @property
    def gateway_address(self) -> str:
        """As the operator wrote it: host, host:port or URL; "" where none is known."""
        return self.gateway_addresses[0]

    @property
    def gateway_addresses(self) -> tuple[str, ...]:
        """At least one: "" where none is known."""
        named = self.scaleio_preconfig_gateway
        if not named and self.preconfigured:
            named = in_url(self.scaleio_preconfig_primary)
        return tuple((named or self.scaleio_lbgateway).split(","))

    @property
    def store_helper(self) -> str:
        """What is to be done with the store instead of a scheduler's work; "" as a rule.

        One in each run; the original's order decides.
        """
        asked = {
            "store.delete": self.store_delete,
            "store.dump": self.store_dump,
            "store.add.key": self.store_add_key or self.store_add_value,
            "store.del.key": self.store_del_key,
        }
        return next((name for name, value in asked.items() if value), "")

    @property
    def pillars(self) -> frozenset[str]:
        """Hosts of masters, Gateway and ZooKeeper, as far as the operator names them."""
        store = self.store_uri.rpartition("@")[2].removeprefix("zk://").partition("/")[0]
        named = [*self._seen_from_masters(), *self.gateway_addresses, *store.split(",")]
        parts = (urlsplit(one if "://" in one else f"//{one}") for one in named if one)
        return frozenset(part.hostname for part in parts if part.hostname)

    @property
    def reboots_at_a_time(self) -> int:
        return 0 if self.debug or self.mode == "observe" else self.rollout_reboots

    @property
    def rest_bind(self) -> str:
        return self.rest_address or ("::" if ":" in self.rest_advertised else "0.0.0.0")

    @cached_property
    def rest_advertised(self) -> str:
        """The host part of our URL, never empty. Looks up the master's name: not for the loop."""
        address = self.rest_address
        if not address or address in {"0.0.0.0", "::"}:
            address = address_towards(*self._seen_from_masters(), self.gateway_address)
        return in_url(address)

    def _seen_from_masters(self) -> tuple[str, ...]:
        """Addresses on the masters' side: the masters', or those of their ensemble."""
        text = self.master_ensemble
        return read_ensemble(text).servers if text else self.master_urls


# fmt: on


FLAGS: Final[tuple[Flag, ...]] = tuple(
    field.metadata["flag"] for field in attrs.fields(Settings) if "flag" in field.metadata
)
_BY_NAME: Final = {flag.name: flag for flag in FLAGS}


def parse(argv: Sequence[str], environ: Mapping[str, str], *, for_store: bool = False) -> Settings:
    """The settings, or SettingsError; HelpRequestedError where `-help` is among the arguments.

    `for_store`: only the store is opened, as with its helpers, so MDMs and password may be absent.
    """
    given = given_values(argv, environ, _BY_NAME, compat="compat.env")
    values = {one.flag.attribute: one.value() for one in given.values()}
    found: dict[str, object] = {
        "user": _current_user(),
        "hostname": socket.gethostname(),
        **{attribute: value for attribute, value in values.items() if value != ""},
        "scaleio_password": NO_SECRET,
        **_masters(values.get("uri")),
        **_tokens(given),
        "warnings": _warnings(given, environ),
        "sources": {one.flag.name: one.source for one in given.values()},
    }
    make: Callable[..., Settings] = Settings  # each kind vouches for its attribute's type
    settings = make(**found)
    if not for_store and not settings.store_helper:
        settings = attrs.evolve(settings, scaleio_password=_password(given))
        _check(settings)
    return settings


def help_text(width: int = 100) -> str:
    """What `-help` prints."""
    return help_of(FLAGS, width)


def docs_table() -> str:
    """The table of `docs/flags.md`."""
    return markdown_of(FLAGS)


def _masters(uri: object) -> dict[str, object]:
    """The ensemble's credentials apart from its address, so that this can be shown."""
    match uri:
        case (str(text),) if is_ensemble(text):
            ensemble = read_ensemble(text)
            return {"uri": (str(ensemble),), "master_credentials": Secret(ensemble.credentials)}
        case _:
            return {}


def _password(given: Mapping[str, Given]) -> Secret:
    direct, file = given.get("scaleio.password"), given.get("scaleio.password-file")
    if direct and file and direct.rank == file.rank:
        raise SettingsError(f"{direct.source} and {file.source}: give one of them")
    if file and not (direct and direct.rank < file.rank):
        direct = attrs.evolve(file, flag=_BY_NAME["scaleio.password"], text=_content(file))
    password = direct.value() if direct else NO_SECRET
    if not isinstance(password, Secret) or not password:
        raise SettingsError(
            "-scaleio.password-file: required: a file with the Gateway's password "
            "(or the variable SCALEIO_SCALEIO_PASSWORD with the password)"
        )
    return password


def _tokens(given: Mapping[str, Given]) -> dict[str, object]:
    operators = _tokens_in(given.get("rest.token-file"), "operator")
    return {
        "rest_token": operators[0].secret if operators else NO_SECRET,
        "rest_tokens": operators,
        "rest_viewer_tokens": _tokens_in(given.get("rest.viewer-token-file"), "viewer"),
    }


def _tokens_in(file: Given | None, default_name: str) -> tuple[Token, ...]:
    if not file or not file.text:
        return ()
    try:
        return read_tokens(file.text, default_name=default_name)
    except UnreadableError as fault:
        raise SettingsError(f"{file.source}: {quoted(file.text)}: {fault}") from None


def _content(file: Given) -> str:
    try:
        return read_secret_file(file.text)
    except UnreadableError as fault:
        raise SettingsError(f"{file.source}: {quoted(file.text)}: {fault}") from None


def _check(settings: Settings) -> None:
    """What the flags must agree on."""
    mdms = {
        "primary": settings.scaleio_preconfig_primary,
        "secondary": settings.scaleio_preconfig_secondary,
        "tiebreaker": settings.scaleio_preconfig_tiebreaker,
    }
    missing = [f"-scaleio.preconfig.{name}" for name, host in mdms.items() if not host]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)}: required: the MDMs of a running ScaleIO cluster "
            "(building a whole cluster is not built)"
        )
    if len(set(mdms.values())) < len(mdms):
        raise SettingsError("-scaleio.preconfig.*: primary, secondary, tiebreaker must differ")
    if settings.mesos_secret_file and not settings.mesos_principal:
        raise SettingsError("-mesos.secret-file: whose secret? give -mesos.principal, too")
    if settings.master_scheme == "https" and any(u.startswith("http:") for u in settings.uri):
        raise SettingsError("-uri: -mesos.ca-file and -mesos.cert-file are for https://host:port")
    if settings.mesos_key_file and not settings.mesos_cert_file:
        raise SettingsError("-mesos.key-file: the key of what? give -mesos.cert-file, too")
    if settings.packages_bundle and (settings.catalog or settings.packages_dir):
        raise SettingsError(
            "-packages.bundle: it brings its own catalog and files: leave out -catalog and "
            "-packages.dir"
        )
    if settings.packages_dir and not settings.catalog:
        raise SettingsError("-packages.dir: which files? give their -catalog, too")
    if settings.packages_no_proxy and not settings.packages_proxy:
        raise SettingsError("-packages.no-proxy: without what? give -packages.proxy, too")
    if settings.scaleio_gateway_fingerprint and settings.scaleio_gateway_ca_file:
        raise SettingsError(
            "-scaleio.gateway.fingerprint: -scaleio.gateway.ca-file says already who is trusted: "
            "give one of them"
        )
    if settings.notify_token_file and not settings.notify_webhook:
        raise SettingsError("-notify.token-file: a token for whom? give -notify.webhook, too")
    if str(settings.notify_token_file).startswith("/dev/fd/"):
        raise SettingsError("-notify.token-file: it is read again and again: name a file")
    if settings.notify_ca_file and not settings.notify_webhook + settings.notify_alertmanager:
        raise SettingsError(
            "-notify.ca-file: whose certificates? give -notify.webhook or -notify.alertmanager, too"
        )
    _check_doors(settings)
    if settings.health_capacity_high >= settings.health_capacity_critical:
        raise SettingsError(
            f"-health.capacity-high: {settings.health_capacity_high} is not less than "
            f"-health.capacity-critical ({settings.health_capacity_critical})"
        )


def _check_doors(settings: Settings) -> None:
    pair = (settings.rest_tls_cert_file, settings.rest_tls_key_file)
    if (pair[0] is None) != (pair[1] is None):
        raise SettingsError("-rest.tls-cert-file, -rest.tls-key-file: give both, or none")
    if settings.rest_tls_port and pair[0] is None:
        raise SettingsError("-rest.tls-port: whose certificate? give -rest.tls-cert-file, too")
    if pair[0] is not None and not settings.rest_tls_port and not settings.rest_changes_port:
        raise SettingsError("-rest.tls-cert-file: for what? give -rest.tls-port, too")
    ports = [
        p for p in (settings.rest_port, settings.rest_tls_port, settings.rest_changes_port) if p
    ]
    if len(set(ports)) < len(ports):
        raise SettingsError("-rest.port, -rest.tls-port, -rest.changes-port: they must differ")
    if settings.rest_changes_port and settings.rest_token_file is None:
        raise SettingsError("-rest.changes-port: whose changes? give -rest.token-file, too")


def _warnings(given: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    password = given.get("scaleio.password")
    if (password and password.rank == 0) or environ.get(REEXECUTED):
        found.append(
            "-scaleio.password: a password on the command line stands in Marathon, in shell "
            "histories and for a moment in ps; use -scaleio.password-file"
        )
    masters = given.get("uri")
    if masters and masters.rank == 0 and "@" in masters.text:
        found.append(
            "-uri: a password on the command line stands in ps and in shell histories; give the "
            "address in the variable SCALEIO_URI"
        )
    known = {flag.own_variable for flag in FLAGS} | {REEXECUTED}
    found += [
        f"variable {quoted(name)[1:-1]}: there is no such flag; it is ignored"
        for name in sorted(environ)
        if name.startswith("SCALEIO_") and name not in known
    ]
    return tuple(found)


def _current_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        return "root"
