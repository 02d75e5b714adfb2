"""The host models end as the real scripts do. What each row says was seen in a booted host.

`tests/lab/fidelity.py` compares them with booted hosts; here the models stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from install_steps.sealing import result_of
from simulation.host import DEBIAN_12, OsImage, SimulatedHost, StepOutcome
from simulation.host_agent_steps import FLAG_FILE
from simulation.host_image import HostDials
from tests.unit.test_simulated_host import environment, installed, make, survey

PLAIN = "http://files.example.invalid/sds.deb"

Prepare = Callable[[SimulatedHost], object]
INSTALL = {"KERNEL_MODE": "install", "SUPPORTED_KERNELS": "3.10.0-* 99.0-lab"}


def ended(outcome: StepOutcome) -> tuple[int, str]:
    result = result_of(outcome.stdout)
    assert result is not None
    return outcome.exit_code, str(result["reason"])


def told(host: SimulatedHost, step: str, more: Mapping[str, str]) -> tuple[int, str]:
    return ended(host.begin(step, {**environment(host, step), **more}).finish())


def prepared() -> SimulatedHost:
    host = make()
    assert told(host, "prerequisites", {})[0] == 0
    return host


def as_it_is(_host: SimulatedHost) -> None:
    """Nothing is done to it."""


def put(host: SimulatedHost, **values: object) -> None:
    for name, value in values.items():
        assert hasattr(host, name)
        setattr(host, name, value)


def turn(host: SimulatedHost, **values: object) -> None:
    for name, value in values.items():
        assert hasattr(host.dials, name)
        setattr(host.dials, name, value)


@pytest.mark.parametrize(
    ("prepare", "more", "expected"),
    [
        (as_it_is, {}, (0, "holds")),
        (as_it_is, {"SUPPORTED_KERNELS": "3.10.0-*"}, (78, "kernel")),
        (as_it_is, {**INSTALL, "KERNEL_MODE": "maybe"}, (78, "setting")),
        (as_it_is, {**INSTALL, "SUPPORTED_KERNELS": "3.*"}, (78, "kernel-pattern")),
        (lambda h: h.kernels.add("100.1-lab"), INSTALL, (78, "kernel-order")),
        (lambda h: h.kernels.add("98.10-lab"), INSTALL, (20, "reboot")),
        (
            lambda h: put(h, kernels={"99.0-lab"}, kernel_installed_in="another"),
            INSTALL,
            (78, "kernel-not-booted"),
        ),
        (
            lambda h: put(h, kernels={"99.0-lab"}, kernel_installed_in=h.boot_id),
            INSTALL,
            (20, "reboot"),
        ),
        (lambda h: put(h, key_damaged=True), {}, (78, "key")),
        (lambda h: turn(h, packages_locked=True), {}, (75, "package-lock")),
        (lambda h: turn(h, download_fails=True), {}, (75, "download")),
        (lambda h: turn(h, not_root=True), {}, (78, "not-root")),
        (lambda h: turn(h, full="state"), {}, (75, "space")),
    ],
)
def test_prerequisites(
    prepare: Prepare, more: Mapping[str, str], expected: tuple[int, str]
) -> None:
    host = make()
    prepare(host)
    assert ended(host.begin("prerequisites", more).finish()) == expected


@pytest.mark.parametrize(
    ("prepare", "more", "expected"),
    [
        (lambda h: turn(h, size_wrong=True), {}, (65, "size")),
        (lambda h: turn(h, full="sandbox"), {}, (75, "space")),
        (lambda h: turn(h, packages_locked=True), {}, (75, "package-lock")),
        (lambda h: h.packages.pop("curl"), {}, (0, "holds")),
        (as_it_is, {"PACKAGE_URL": PLAIN}, (78, "url")),
        (as_it_is, {"PACKAGE_MIRRORS": PLAIN}, (78, "url")),
        (as_it_is, {"PACKAGE_URL": PLAIN, "PACKAGE_OWN": "http://other/"}, (78, "url")),
        (as_it_is, {"PACKAGE_URL": PLAIN, "PACKAGE_OWN": "http://files."}, (0, "holds")),
        (as_it_is, {"PACKAGE_URL": "file:///srv/sds.deb"}, (0, "holds")),
        (lambda h: turn(h, full="state"), {}, (75, "space")),
    ],
)
def test_a_package_of_the_catalog(
    prepare: Prepare, more: Mapping[str, str], expected: tuple[int, str]
) -> None:
    host = prepared()
    prepare(host)
    assert told(host, "sds", more) == expected


def test_dependencies_of_the_catalog_come_before_the_distributions_archive() -> None:
    line = f"{'0' * 64} 10 no https://files.example.invalid/x.deb"
    names = ("libaio1", "numactl", "openssl", "curl", "ca-certificates")
    told = {f"DEPENDENCY_{n}": f"{name} {line}" for n, name in enumerate(names, start=1)}
    host = make()
    host.dials.download_fails = True
    told["DEPENDENCIES"] = "5"
    assert ended(host.begin("prerequisites", told).finish()) == (75, "download")
    host.dials = HostDials(packages_locked=True)
    assert ended(host.begin("prerequisites", told).finish()) == (75, "package-lock")
    host.dials = HostDials()
    assert ended(host.begin("prerequisites", told).finish()) == (0, "holds")
    assert set(names) <= host.packages.keys()


@pytest.mark.parametrize("step", ["prerequisites", "sds", "sdc", "rexray", "isolator"])
def test_an_unknown_platform_is_refused(step: str) -> None:
    host = prepared()
    variables = environment(host, step)
    host.os = OsImage(os_id="gentoo", version="", family="deb", kernel=DEBIAN_12.kernel)
    assert ended(host.begin(step, variables).finish()) == (78, "platform")


@pytest.mark.parametrize(
    ("step", "prepare", "more", "expected"),
    [
        ("rexray", lambda h: turn(h, socket_missing=True), {}, (1, "socket")),
        ("sdc", lambda h: put(h, foreign_mdm_ips=("10.9.9.9",)), {}, (78, "several-clusters")),
        ("sdc", lambda h: put(h, mdm_ips=()), {}, (0, "holds")),
        ("sdc", lambda h: put(h, module_loaded=False), {}, (0, "holds")),
        ("probe", lambda h: put(h, sees_volume=lambda _: True), {}, (0, "seen")),
        ("probe", as_it_is, {"VOLUME_PATH": "/dev/sdb"}, (78, "setting")),
        ("reboot", as_it_is, {"PERMIT_URL": "ftp://10.0.0.9/permit"}, (78, "setting")),
        ("reboot", lambda h: h.packages.pop("curl"), {}, (78, "curl")),
        ("reboot", lambda h: turn(h, full="state"), {}, (75, "space")),
        ("isolator", lambda h: put(h, launcher="posix"), {}, (78, "launcher")),
        ("isolator", lambda h: put(h, agent_style="fixed"), {}, (78, "agent-style")),
        ("isolator", lambda h: h.files.update({FLAG_FILE: "x"}), {}, (78, "edited")),
        ("isolator", as_it_is, {"AGENT_UNIT": "other"}, (78, "agent-unit")),
        ("isolator", lambda h: turn(h, agent_down=True), {}, (78, "flags")),
        ("isolator", lambda h: put(h, isolation=("posix/cpu",)), {}, (75, "flags-changed")),
        ("agent-restart", lambda h: turn(h, agent_down=True), {}, (78, "agent-unit")),
        ("agent-restart", lambda h: put(h, next_isolation=()), {}, (78, "no-way-back")),
        ("agent-restart", lambda h: turn(h, full="state"), {}, (75, "space")),
        ("keeper_health", as_it_is, {}, (0, "healthy")),
        ("keeper_health", lambda h: h.services.discard("rexray"), {}, (1, "rexray")),
        ("keeper_health", lambda h: put(h, module_loaded=False), {}, (1, "module")),
    ],
)
def test_on_a_whole_host(
    step: str, prepare: Prepare, more: Mapping[str, str], expected: tuple[int, str]
) -> None:
    host = installed()
    name = "keeper" if step == "keeper_health" else step
    variables = {**environment(host, name), **more}
    prepare(host)
    assert ended(host.begin(step, variables).finish()) == expected


def test_a_volume_may_appear_and_not_be_readable() -> None:
    host = installed()
    host.sees_volume = lambda _path: True
    turn(host, volume_unreadable=True)
    assert told(host, "probe", {}) == (1, "not-readable")


@pytest.mark.parametrize("step", ["reboot", "agent-restart"])
def test_nothing_is_armed_under_an_old_init_system(step: str) -> None:
    host = installed(OsImage(os_id="debian", version="12", family="deb", kernel="6.1.0-18-amd64"))
    variables = environment(host, step)
    host.os = OsImage(
        os_id="debian", version="7", family="deb", kernel=host.kernel, init="sysvinit"
    )
    assert ended(host.begin(step, variables).finish()) == (78, "init")
    assert survey(host).init == "sysvinit"


@pytest.mark.parametrize("step", ["reboot", "agent-restart"])
def test_arming_is_a_change_each_time(step: str) -> None:
    host = installed()
    for _ in range(2):
        result = result_of(host.begin(step, environment(host, step)).finish().stdout)
        assert result is not None
        assert (result["changed"], result["reason"]) == (True, "armed")
        host.armed_restart = False  # its watcher died


def test_what_came_in_an_archive_is_known_by_our_record_only() -> None:
    host = prepared()
    archive = {"PACKAGE_URL": "https://files.example.invalid/dvdcli-0.1.0.tar.gz"}
    assert told(host, "isolator", archive) == (21, "agent-restart")
    assert (survey(host).packages["dvdcli"], host.packages.get("dvdcli")) == ("0.1.0", None)
    host.unpacked["dvdcli"] = ""
    assert survey(host).packages["dvdcli"] == "unknown"


def test_a_lost_public_key_is_told_again() -> None:
    host = prepared()
    key, host.key_told = host.public_key, False
    assert survey(host).public_key == ""
    result = result_of(host.begin("prerequisites", {}).finish().stdout)
    assert result is not None
    assert (result["changed"], survey(host).public_key) == (True, key)


def test_a_file_of_ours_that_lost_its_receipt_is_written_again() -> None:
    host = installed()
    del host.receipts["rexray"]
    result = result_of(host.begin("rexray", environment(host, "rexray")).finish().stdout)
    assert result is not None
    assert (result["changed"], result["reason"]) == (True, "holds")


def test_an_agents_own_disk_is_known() -> None:
    host = prepared()
    host.agent_resources = '[{"name":"disk","disk":{"source":{"path":{"root":"/dev/sda"}}}}]'
    assert [disk.mesos for disk in survey(host).disks] == [True]


# ---------------------------------------------------------------- versions and damage

SDS = "emc-scaleio-sds"
UPGRADE = {"PACKAGE_UPGRADE": "yes"}
PERMIT = {"PERMIT_URL": "http://127.0.0.1:9/v1/permits/p"}


def _older(host: SimulatedHost) -> None:
    host.packages[SDS] = host.packages["emc-scaleio-sdc"] = "2.0-7536"


def _older_and(change: Prepare) -> Prepare:
    def prepare(host: SimulatedHost) -> None:
        _older(host)
        change(host)

    return prepare


@pytest.mark.parametrize(
    ("step", "prepare", "more", "expected"),
    [
        ("sds", _older, {}, (78, "other-version")),
        ("sds", _older, UPGRADE, (75, "no-permit")),
        ("sds", _older, {**UPGRADE, **PERMIT}, (0, "holds")),
        ("sds", _older_and(lambda h: h.services.discard("sds")), UPGRADE, (0, "holds")),
        ("sds", _older_and(lambda h: h.held.add(SDS)), {**UPGRADE, **PERMIT}, (78, "held")),
        ("sds", lambda h: h.packages.update({SDS: "3.5-1"}), UPGRADE, (78, "other-version")),
        (
            "sds",
            lambda h: h.packages.update({SDS: "3.5-1"}),
            {"PACKAGE_DOWNGRADE": "yes", **PERMIT},
            (0, "holds"),
        ),
        ("sds", lambda h: h.damaged.add(SDS), {}, (75, "no-permit")),
        ("sds", lambda h: h.damaged.add(SDS), PERMIT, (0, "holds")),
        ("sds", lambda h: h.masked.add("sds"), {}, (78, "masked")),
        ("sds", lambda h: turn(h, packages_running=True), {}, (75, "package-running")),
        ("sdc", _older, UPGRADE, (0, "holds")),
        ("sdc", _older_and(lambda h: put(h, module_in_use=True)), UPGRADE, (20, "reboot")),
        ("sdc", lambda h: put(h, mdm_ips=("10.9.9.9",)), UPGRADE, (78, "other-cluster")),
        ("rexray", lambda h: h.packages.update(rexray="0.9.0-1"), UPGRADE, (0, "holds")),
    ],
)
def test_what_may_become_of_an_installed_version(
    step: str, prepare: Prepare, more: Mapping[str, str], expected: tuple[int, str]
) -> None:
    host = installed()
    variables = {**environment(host, step), **more}
    prepare(host)
    before = dict(host.packages)
    assert ended(host.begin(step, variables).finish()) == expected
    assert expected[0] in {0, 20} or host.packages == before
    if expected == (0, "holds"):
        again = result_of(host.begin(step, variables).finish().stdout)
        assert again is not None
        assert (again["changed"], again["reason"]) == (False, "holds")


def test_an_old_module_waits_for_the_reboot_or_for_the_last_volume() -> None:
    host = installed()
    variables = {**environment(host, "sdc"), **UPGRADE}
    _older(host)
    host.module_in_use = True
    for _ in range(2):
        assert ended(host.begin("sdc", variables).finish()) == (20, "reboot")
        assert survey(host).receipts[0].state in {"open", "kept"}
    receipts = {receipt.step: receipt.state for receipt in survey(host).receipts}
    assert receipts["sdc"] == "open"
    host.reboot()
    receipts = {receipt.step: receipt.state for receipt in survey(host).receipts}
    assert receipts["sdc"] == "kept"
    assert ended(host.begin("sdc", variables).finish()) == (0, "holds")


CONFIG = "/etc/rexray/config.yml"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", (0, "holds")),
        ("scaleio:\n  systemName: scaleio\n  endpoint: https://other/api\n", (0, "holds")),
        ("scaleio:\n  endpoint: https://gw/api\n", (0, "holds")),
        ("scaleio:\n  systemName: other\n  endpoint: https://gw/api\n", (78, "other-config")),
        ("scaleio:\n  endpoint: https://other/api\n", (78, "other-config")),
        ("ebs:\n  region: here\n", (78, "other-config")),
    ],
)
def test_rexrays_file_of_somebody_else_is_left_alone_when_it_points_elsewhere(
    content: str, expected: tuple[int, str]
) -> None:
    host = installed()
    host.files[CONFIG] = content
    assert told(host, "rexray", {}) == expected
    assert (host.files[CONFIG] == content) is (expected[0] == 78)
