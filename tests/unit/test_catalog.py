"""The operator's catalog is checked to the letter, and the plan says what is left and why."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from domain.facts import Facts, Receipt
from install_steps.catalog import (
    PLAN,
    STEP_CHARACTERS_MAX,
    STEPS,
    Catalog,
    CatalogError,
    PlannedStep,
    StepContext,
    StepTextError,
    load_catalog,
    plan_for,
    script_text,
    wanted_isolation,
)
from install_steps.environments import rexray_digest
from tests.unit.catalog_cases import DVDCLI, REXRAY, SDC, SHA, entry, text
from tests.unit.changes import changed

EXAMPLE = Path(__file__).parents[2] / "docs" / "catalog-example.json"
CATALOG = load_catalog(text(entry(), SDC, REXRAY, DVDCLI), "catalog.json")

BARE = Facts(
    machine_id="m1",
    boot_id="b1",
    os_id="debian",
    os_version="12",
    kernel="6.1.0-18-amd64",
    isolation=("filesystem/posix", "posix/cpu"),
    launcher="linux",
)
DONE = attrs.evolve(
    BARE,
    prerequisites=True,
    public_key="pem",
    packages={
        "sds": "2.0-10000.2072", "sdc": "2.0-10000.2072", "rexray": "0.11.4-1", "dvdcli": "0.1.0",
    },
    services={"sds": True, "scini": True, "rexray": True},
    sdc_guid="G",
    sdc_mdms=("10.0.0.1", "10.0.0.2"),
    sdc_module=True,
    rexray_config="d1",
    isolation=("filesystem/linux", "posix/cpu", "docker/volume"),
)  # fmt: skip


def plan(
    facts: Facts,
    *,
    storage: bool = True,
    catalog: Catalog | None = CATALOG,
    components: dict[str, str] | None = None,
    mdms: tuple[str, ...] | None = ("10.0.0.2", "10.0.0.1"),
    digest: str | None = "d1",
    forgiven: frozenset[str] = frozenset(),
) -> dict[str, PlannedStep]:
    steps = plan_for(
        facts, provides_storage=storage, catalog=catalog, components=components or {},
        mdm_addresses=mdms, rexray_digest=digest, forgiven=forgiven,
    )  # fmt: skip
    return {step.name: step for step in steps}


def states(facts: Facts, catalog: Catalog | None = CATALOG) -> list[str]:
    return [step.state for step in plan(facts, catalog=catalog).values()]


# ---------------------------------------------------------------- catalog


def test_the_documented_example_is_a_catalog_for_both_platforms() -> None:
    catalog = load_catalog(EXAMPLE.read_text(encoding="utf-8"), "example")
    for os_id, os_version in (("ubuntu", "14.04"), ("centos", "7"), ("rhel", "7.9")):
        facts = attrs.evolve(BARE, os_id=os_id, os_version=os_version)
        for component in ("sds", "sdc", "rexray", "dvdcli"):
            package = catalog.package_for(component, facts)
            assert package is not None
            assert ".example.invalid/" in package.url
    assert catalog.package_for("sds", BARE) is None


def test_the_most_exact_platform_wins_and_prefixes_are_whole_parts() -> None:
    catalog = load_catalog(
        text(
            entry(version="1", platforms=[{"os_id": "centos"}]),
            entry(version="7", platforms=[{"os_id": "centos", "os_version": "7"}]),
        ),
        "c",
    )
    found = {}
    for version in ("7", "7.9", "71", "8"):
        package = catalog.package_for("sds", attrs.evolve(BARE, os_id="centos", os_version=version))
        assert package is not None
        found[version] = package.version
    assert found == {"7": "7", "7.9": "7", "71": "1", "8": "1"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is a list"),
        ('{"packages": []}', "version is missing: 1 is expected"),
        ('{"version": 2}', "version is 2"),
        ('{"version": 1, "package": []}', "unknown member 'package'"),
        ('{"version": 1, "packages": {}}', "a list is expected"),
        (text("x"), "packages[0]: is a str"),
        (text(entry(sha256="abc")), "sha256 is 'abc': the file's SHA-256"),
        (text(entry(sha256=SHA.upper())), "64 lower-case hex digits is expected"),
        (text(entry(sha256=None)), "sha256 is missing"),
        (text(entry(size_bytes=None)), "size_bytes is missing"),
        (text(entry(size_bytes=0)), "size_bytes is 0"),
        (text(entry(size_bytes=True)), "size_bytes is True"),
        (text(entry(size_bytes="10")), "size_bytes is '10'"),
        (text(entry(url="ftp://h/a.deb")), "an https URL"),
        (text(entry(url="http://h/a.deb")), "an https URL"),
        (text(entry(url="https:///a.deb")), "a URL with a host"),
        (text(entry(url="https://[x/a.deb")), "a URL"),
        (text(entry(url="https://u:p@h/a.deb")), "url holds credentials"),
        (text(entry(url="https://h/a b.deb")), "a URL without blanks"),
        (text(entry(url="https://h/a.tar.gz")), "a file that ends in .deb, .rpm"),
        (text(entry(url="https://h/a.zip", component="rexray")), ".tar.gz"),
        (text(entry(component="mdm")), "component is 'mdm': one of sds, sdc"),
        (text(entry(platforms=[])), "platforms is []"),
        (text(entry(platforms=[{"os_id": "beos"}])), "packages[0].platforms[0]: os_id is 'beos'"),
        (text(entry(platforms=[{"os_id": "debian", "version": "1"}])), "unknown member 'version'"),
        (text(entry(kernels=["x"])), "kernels belongs to component sdc only"),
        (text(entry(component="sdc")), "kernel releases that this SDC supports is expected"),
        (text(entry(component="sdc", kernels=["a b"])), "as uname -r prints them"),
        (text(entry(allow_http="yes")), "true or false is expected"),
        (text(entry(colour="red")), "unknown member 'colour'"),
        (text(entry(), entry()), "packages[1]: sds for debian 12 stands twice"),
        (text(entry(platforms=[{"os_id": "debian"}] * 2)), "stands twice"),
    ],
)
def test_a_wrong_catalog_is_refused_in_one_line_with_place_and_expectation(
    document: str, said: str
) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(document, "/etc/catalog.json")
    line = str(refused.value)
    assert said in line
    assert line.startswith("/etc/catalog.json:")
    assert "\n" not in line


def test_plain_http_needs_the_operators_word() -> None:
    catalog = load_catalog(text(entry(url="http://h/a.deb", allow_http=True)), "c")
    assert catalog.packages[0].allow_http
    environment = STEPS["sds"].environment(StepContext(facts=BARE, catalog=catalog))
    assert environment["PACKAGE_ALLOW_HTTP"] == "yes"


# ---------------------------------------------------------------- plan


def test_a_bare_host_needs_every_step_in_order() -> None:
    assert list(plan(BARE)) == ["prerequisites", "sds", "sdc", "rexray", "isolator"]
    assert states(BARE) == ["wanted"] * 5


def test_a_node_without_storage_gets_no_sds() -> None:
    assert list(plan(BARE, storage=False)) == ["prerequisites", "sdc", "rexray", "isolator"]


def test_what_holds_is_not_done_again() -> None:
    assert states(DONE) == ["satisfied"] * 5


def test_every_predecessor_stands_before_its_step() -> None:
    names = [step.name for step in PLAN]
    for place, step in enumerate(PLAN):
        assert set(step.after) <= set(names[:place])


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"prerequisites": False}, "prerequisites"),
        ({"public_key": ""}, "prerequisites"),
        ({"services": {"sds": False, "scini": True, "rexray": True}}, "sds"),
        ({"sdc_guid": ""}, "sdc"),
        ({"sdc_mdms": ("10.0.0.1",)}, "sdc"),
        ({"services": {"sds": True, "scini": True}}, "rexray"),
        ({"rexray_config": "d0"}, "rexray"),
        ({"isolation": ("filesystem/linux",)}, "isolator"),
    ],
)
def test_one_thing_amiss_makes_its_step_wanted_again(change: dict[str, object], step: str) -> None:
    wanted = [s.name for s in plan(changed(DONE, change)).values() if s.state == "wanted"]
    assert wanted == [step]


def test_a_kernel_that_the_sdc_has_no_module_for_is_a_matter_of_the_prerequisites() -> None:
    other = attrs.evolve(DONE, kernel="6.1.0-99-amd64", sdc_module=False)
    assert plan(other)["prerequisites"].state == "wanted"
    assert plan(other, components={"sdc": "ignore"})["prerequisites"].state == "satisfied"


def test_a_missing_entry_blocks_with_what_to_add_and_where() -> None:
    some = load_catalog(text(SDC), "packages.json")
    steps = plan(BARE, catalog=some)
    assert steps["sds"].state == "blocked"
    assert "no package for sds on debian 12 in the catalog; add [" in steps["sds"].sentence
    assert "-catalog (packages.json)" in steps["sds"].sentence
    assert "no package for dvdcli on debian 12" in steps["isolator"].sentence


def test_without_a_catalog_nothing_is_touched_and_what_is_installed_is_used() -> None:
    assert states(BARE, catalog=None) == ["blocked"] * 5
    assert "there is no catalog" in plan(BARE, catalog=None)["prerequisites"].sentence
    assert states(DONE, catalog=None) == ["satisfied"] * 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"os_id": "alpine", "os_version": "3.20"}, "platform alpine 3.20 is not supported"),
        ({"os_id": "", "os_version": ""}, "platform unknown is not supported"),
        ({"architecture": "aarch64"}, "architecture aarch64 is not supported"),
        ({"init": ""}, "no init system"),
    ],
)
def test_a_platform_that_we_do_not_know_gets_one_clear_sentence(
    change: dict[str, object], said: str
) -> None:
    steps = plan(changed(BARE, change))
    assert {step.state for step in steps.values()} == {"blocked"}
    assert {said in step.sentence for step in steps.values()} == {True}


def test_another_version_is_left_to_the_vendors_tools() -> None:
    old = attrs.evolve(DONE, packages={**DONE.packages, "sds": "2.0-5014.0"})
    step = plan(old)["sds"]
    assert step.state == "blocked"
    assert "sds 2.0-5014.0 is installed, the catalog says 2.0-10000.2072" in step.sentence
    assert plan(old, components={"sds": "adopt"})["sds"].state == "satisfied"


def test_an_rpms_platform_suffix_is_no_other_version() -> None:
    suffixed = attrs.evolve(DONE, packages={**DONE.packages, "sds": "2.0-10000.2072.el7"})
    assert plan(suffixed)["sds"].state == "satisfied"


def test_adopted_components_are_never_installed_and_ignored_ones_never_asked_for() -> None:
    adopted = plan(BARE, components={"sdc": "adopt"})["sdc"]
    assert (adopted.state, "set to adopt" in adopted.sentence) == ("blocked", True)
    assert plan(BARE, components={"rexray": "ignore"})["rexray"].state == "ignored"


def test_an_adopted_sdc_keeps_its_managers() -> None:
    others = attrs.evolve(DONE, sdc_mdms=("192.0.2.1",))
    assert plan(others, components={"sdc": "adopt"})["sdc"].state == "satisfied"


def test_the_sdc_waits_for_the_managers_addresses() -> None:
    step = plan(BARE, mdms=())["sdc"]
    assert (step.state, "Gateway" in step.sentence) == ("blocked", True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"launcher": "posix"}, "launcher is posix"),
        ({"isolation": ()}, "/flags could not be read"),
        (
            {"receipts": (Receipt(step="agent-restart", state="rolled-back"),)},
            "was rolled back",
        ),
    ],
)
def test_the_isolator_waits_where_it_would_keep_the_agent_from_starting(
    change: dict[str, object], said: str
) -> None:
    step = plan(changed(BARE, change))["isolator"]
    assert (step.state, said in step.sentence) == ("blocked", True)


def test_an_operator_may_order_a_rolled_back_step_again() -> None:
    undone = attrs.evolve(BARE, receipts=(Receipt(step="agent-restart", state="rolled-back"),))
    assert plan(undone, forgiven=frozenset({"isolator"}))["isolator"].state == "wanted"


def test_the_agents_own_isolators_are_kept() -> None:
    assert wanted_isolation(("filesystem/posix", "cgroups/mem", "network/cni")) == (
        "filesystem/linux", "cgroups/mem", "network/cni", "docker/volume",
    )  # fmt: skip
    assert wanted_isolation(("posix/cpu",)) == ("posix/cpu", "filesystem/linux", "docker/volume")
    whole = ("filesystem/linux", "docker/volume")
    assert wanted_isolation(whole) == whole


# ---------------------------------------------------------------- environments and texts

CONTEXT = StepContext(
    facts=DONE,
    catalog=CATALOG,
    mdm_addresses=("10.0.0.1", "10.0.0.2"),
    gateway_endpoint="https://gw.test/api",
    gateway_user="admin",
    sealed_password="c2VhbGVk",  # ciphertext
    secret_tag="t1",  # no secret
    system_name="scaleio",
    domain="default",
    pool="default",
    isolation_to=("filesystem/linux", "docker/volume"),
    master_endpoint="10.0.0.9:5050",
    devices=("/dev/disk/by-id/ata-1", "/dev/disk/by-id/ata-2"),
    volume_path="/dev/disk/by-id/emc-vol-1-2",
    permit_url="http://10.0.0.9:35000/permits/0123",
    provides_storage=True,
)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_has_an_environment_of_plain_texts(name: str) -> None:
    environment = STEPS[name].environment(CONTEXT)
    assert all(value and value.isprintable() for value in environment.values())


def test_the_sdc_is_told_all_managers_and_its_kernels() -> None:
    environment = STEPS["sdc"].environment(CONTEXT)
    assert environment["MDM_IP"] == "10.0.0.1,10.0.0.2"
    assert environment["SUPPORTED_KERNELS"] == "6.1.0-18-amd64"
    assert environment["PACKAGE_SHA256"] == SHA


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("sdc", {"mdm_addresses": ()}, "manager MDMs"),
        ("sds", {"catalog": None}, "no package for sds"),
        ("rexray", {"sealed_password": ""}, "sealed password"),
        ("rexray", {"system_name": ""}, "id or name"),
        ("rexray", {"pool": 'a"b'}, "character"),
        ("claim", {"devices": ()}, "no device"),
        ("claim", {"devices": ("/dev/a b",)}, "blank"),
        ("probe", {"volume_path": ""}, "volume"),
        ("reboot", {"permit_url": ""}, "permit"),
    ],
)
def test_a_step_is_not_made_without_what_it_needs(
    name: str, change: dict[str, object], said: str
) -> None:
    with pytest.raises(StepTextError, match=said):
        STEPS[name].environment(changed(CONTEXT, change))


def test_the_digest_of_rexrays_file_follows_all_that_it_is_made_of() -> None:
    changes: list[dict[str, object]] = [
        {}, {"secret_tag": "t2"}, {"pool": "p2"}, {"gateway_insecure": True}, {"thick": True},
        {"system_id": "1"}, {"gateway_endpoint": "https://other/api"},
    ]  # fmt: skip
    digests = {rexray_digest(changed(CONTEXT, change)) for change in changes}
    assert len(digests) == len(changes)
    sealed_again = attrs.evolve(CONTEXT, sealed_password="b3RoZXI=")  # ciphertext
    assert rexray_digest(sealed_again) == rexray_digest(CONTEXT)


@pytest.mark.parametrize("name", [*sorted(STEPS), "keeper_health"])
def test_every_step_has_a_text_that_fits_into_one_command(name: str) -> None:
    assert 0 < len(script_text(name).encode()) <= STEP_CHARACTERS_MAX


def test_a_missing_script_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "_lib.sh").write_text("# prelude\n", encoding="utf-8")
    with pytest.raises(StepTextError, match=r"sds\.sh \(-steps\.dir\) cannot be read"):
        script_text("sds", tmp_path)
    with pytest.raises(StepTextError, match=r"packaged nothing\.sh cannot be read"):
        script_text("nothing")
    for name in ("../sds", "_lib", ""):
        with pytest.raises(StepTextError, match="there is no step"):
            script_text(name)
    with pytest.raises(StepTextError, match="there is no step"):
        attrs.evolve(STEPS["sds"], name="nothing").environment(CONTEXT)


def test_a_script_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_lib.sh").write_text("#" * STEP_CHARACTERS_MAX, encoding="utf-8")
    (tmp_path / "sds.sh").write_text("#", encoding="utf-8")
    with pytest.raises(StepTextError, match="more than"):
        script_text("sds", tmp_path)
