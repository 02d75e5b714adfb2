"""The operator's catalog is checked to the letter, and the plan says what is left and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from domain.facts import Cluster, Facts, Receipt, Service
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
        (text(entry(url="https://h/a.zip")), "a file that ends in .deb, .rpm, .tar, .tar.gz"),
        (text(entry(url="https://h/a.tar", component="rexray")), ".deb, .rpm, .tar.gz"),
        (text(entry(url=None, urls=[])), "urls is []: a list of 1 to 16 URLs"),
        (text(entry(urls="https://h/a.deb")), "urls is 'https://h/a.deb': a list"),
        (text(entry(urls=["https://h/a.deb", "http://h/a.deb"])), "urls[1] is 'http://h/a.deb'"),
        (text(entry(urls=["https://h/a.deb"] * 17)), "a list of 1 to 16 URLs"),
        (text(entry(urls=[None])), "urls[0] is missing"),
        (text(entry(url="file://h/a.deb")), "file:// and an absolute path"),
        (text(entry(url="file:///a/../b.deb")), "file:// and an absolute path"),
        (text(entry(url="file:///a%20b.deb")), "file:// and an absolute path"),
        (text(entry(url=None)), "url is missing"),
        (text(entry(url=None, file="../a.deb")), "the file's name, without a folder"),
        (text(entry(file="a.zip")), "a file that ends in"),
        (text(entry(member="a.siob")), "member belongs to the archives of sds and sdc"),
        (text(entry(url="https://h/a.tar", member="../a.siob")), "the path of the package"),
        (text(entry(url="https://h/a.tar", member="/a.siob")), "the path of the package"),
        (text(entry(upgrade="yes")), "upgrade is 'yes': true or false is expected"),
        (text(entry(downgrade=1)), "downgrade is 1: true or false is expected"),
        (text(entry(name="sds")), "name belongs to component dependency only"),
        (text(entry(component="dependency")), "name is missing: the name that the package"),
        (text(entry(component="dependency", name="a b")), "name is 'a b'"),
        (
            text(entry(component="dependency", name="numactl", url="https://h/a.tar.gz")),
            "a file that ends in .deb, .rpm is expected",
        ),
        (
            text(*[entry(component="dependency", name="numactl")] * 2),
            "packages[1]: dependency numactl for debian 12 stands twice",
        ),
        (
            text(*[entry(component="dependency", name=f"d{n}") for n in range(65)]),
            "packages[64]: more than 64 dependencies for debian 12",
        ),
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


def told(component: str, *entries: object, **changes: object) -> Mapping[str, str]:
    catalog = load_catalog(text(*entries), "c")
    context = changed(StepContext(facts=BARE, catalog=catalog), changes)
    return STEPS[component].environment(context)


def test_mirrors_are_told_in_their_order_each_once() -> None:
    one, two = "https://one.example.invalid/sds.deb", "https://two.example.invalid/b.deb"
    environment = told("sds", entry(url=one, urls=[two, one]))
    assert environment["PACKAGE_URL"] == one
    assert environment["PACKAGE_MIRRORS"] == two
    assert told("sds", entry(url=None, urls=[two]))["PACKAGE_URL"] == two
    assert "PACKAGE_MIRRORS" not in told("sds", entry())


def test_the_schedulers_own_copy_comes_first() -> None:
    mirror = "http://10.0.0.9:35000/packages"
    ours = f"{mirror}/{SHA}/sds.deb"
    environment = told("sds", entry(), mirror=mirror, mirrored=frozenset({SHA}))
    assert environment["PACKAGE_URL"] == ours
    assert environment["PACKAGE_MIRRORS"] == "https://packages.example.invalid/sds.deb"
    assert environment["PACKAGE_OWN"] == f"{mirror}/"
    assert "PACKAGE_ALLOW_HTTP" not in environment
    only = entry(url=None, file="sds.deb")
    assert told("sds", only, mirror=mirror, mirrored=frozenset({SHA}))["PACKAGE_URL"] == ours
    with pytest.raises(StepTextError, match=r"no url for sds\.deb"):
        told("sds", only)


def test_what_may_be_replaced_and_taken_out_is_told() -> None:
    environment = told(
        "sds", entry(url="https://h/a.tar", member="in/a.siob", upgrade=True, downgrade=True)
    )
    assert environment["PACKAGE_MEMBER"] == "in/a.siob"
    assert (environment["PACKAGE_UPGRADE"], environment["PACKAGE_DOWNGRADE"]) == ("yes", "yes")
    assert not {"PACKAGE_UPGRADE", "PACKAGE_DOWNGRADE"} & told("sds", entry()).keys()


def test_a_proxy_is_told_to_every_step_that_downloads() -> None:
    changes = {"packages_proxy": "http://proxy:3128", "packages_no_proxy": "corp.example"}
    for step in ("sds", "prerequisites"):
        numactl = entry(component="dependency", name="numactl")
        environment = told(step, entry(), numactl, **changes)
        assert environment["PACKAGE_PROXY"] == "http://proxy:3128"
        assert environment["PACKAGE_NO_PROXY"] == "corp.example"


def test_dependencies_are_told_to_the_prerequisites() -> None:
    every = [{"os_id": "debian"}]
    numactl = entry(
        component="dependency", name="numactl", platforms=every, url="https://h/old.deb"
    )
    exact = entry(component="dependency", name="numactl", url="https://h/numactl.deb")
    nowhere = entry(component="dependency", name="curl", url=None, file="curl.deb")
    other = entry(component="dependency", name="libaio", platforms=[{"os_id": "centos"}])
    environment = told("prerequisites", numactl, exact, nowhere, other)
    assert environment["DEPENDENCIES"] == "1"
    assert environment["DEPENDENCY_1"] == f"numactl {SHA} 10 no https://h/numactl.deb"
    assert "DEPENDENCIES" not in told("prerequisites", entry())


def test_a_files_plain_name_is_the_end_of_its_first_url() -> None:
    for url, file in (
        ("https://h/d/sds.deb?version=1", "sds.deb"),
        ("https://h/a%2Fb.deb", "a_b.deb"),
        ("https://h/-sds.deb", "_sds.deb"),
        (f"https://h/{'x' * 200}.deb", f"{'x' * 96}.deb"),
        ("file:///srv/sds.deb", "sds.deb"),
    ):
        assert load_catalog(text(entry(url=url)), "c").packages[0].file == file


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


def test_an_adopted_sdc_keeps_its_managers_and_has_to_be_of_our_cluster() -> None:
    adopt = {"sdc": "adopt"}
    partly = attrs.evolve(DONE, sdc_mdms=("10.0.0.1", "192.0.2.1"))
    assert plan(partly, components=adopt)["sdc"].state == "satisfied"
    others = attrs.evolve(DONE, sdc_mdms=("192.0.2.1",))
    for components in ({}, adopt):
        step = plan(others, components=components)["sdc"]
        assert (step.state, "serves 192.0.2.1, and our managers" in step.sentence) == (
            "blocked", True,
        )  # fmt: skip
    unknown = plan(DONE, components=adopt, mdms=())["sdc"]
    assert (unknown.state, "nobody can tell whose SDC" in unknown.sentence) == ("blocked", True)


def test_an_sdc_of_our_system_is_ours_by_whatever_addresses() -> None:
    system = "0000000000000001"
    ours = attrs.evolve(DONE, sdc_mdms=("192.0.2.1",), sdc_clusters=(Cluster(system_id=system),))
    steps = plan_for(
        ours, provides_storage=False, catalog=CATALOG, components={"sdc": "adopt"},
        mdm_addresses=("10.0.0.1",), rexray_digest="d1", system_id=system,
    )  # fmt: skip
    assert {step.name: step.state for step in steps}["sdc"] == "satisfied"


@pytest.mark.parametrize(
    ("theirs", "state"),
    [
        ({"systemname": "Scaleio", "endpoint": "other"}, "satisfied"),
        ({"endpoint": "gw.test:443"}, "satisfied"),
        ({"systemid": "1f"}, "blocked"),
        ({"systemname": "theirs", "endpoint": "gw.test:443"}, "blocked"),
        ({}, "blocked"),
    ],
)
def test_an_adopted_rexray_has_to_point_to_our_cluster(theirs: dict[str, str], state: str) -> None:
    ours = {"systemid": "2f", "systemname": "scaleio", "endpoint": "gw.test:443"}
    steps = plan_for(
        attrs.evolve(DONE, rexray_points=theirs, rexray_config=""), provides_storage=False,
        catalog=CATALOG, components={"rexray": "adopt"}, mdm_addresses=None, points=ours,
    )  # fmt: skip
    step = {step.name: step for step in steps}["rexray"]
    assert step.state == state
    assert ("which is not our cluster" in step.sentence) is (state == "blocked")


# ---------------------------------------------------------------- versions


def _told(facts: Facts, **changes: object) -> PlannedStep:
    catalog = load_catalog(text(entry(**changes), SDC, REXRAY, DVDCLI), "c")
    return plan(facts, catalog=catalog)["sds"]


def _with_sds(version: str, *, runs: bool = True) -> Facts:
    return attrs.evolve(
        DONE,
        packages={**DONE.packages, "sds": version},
        services={**DONE.services, "sds": runs},
    )


def test_an_older_version_is_replaced_when_the_catalog_says_so() -> None:
    old = _with_sds("2.0-7536")
    refused = _told(old)
    assert (refused.state, '"upgrade": true' in refused.sentence) == ("blocked", True)
    step = _told(old, upgrade=True)
    assert (step.state, step.sentence, step.disrupts) == (
        "wanted", "upgrade sds 2.0-7536 -> 2.0-10000.2072", True,
    )  # fmt: skip
    assert not _told(_with_sds("2.0-7536", runs=False), upgrade=True).disrupts
    assert not _told(BARE, upgrade=True).disrupts
    half = attrs.evolve(DONE, packages={})  # its installation was cut short, and it runs
    assert _told(half).disrupts
    assert not _told(DONE).disrupts


def test_a_newer_version_is_never_replaced_unless_told() -> None:
    new = _with_sds("2.5-0.254")
    for permitted in ({}, {"upgrade": True}):
        step = _told(new, **permitted)
        assert (step.state, '"downgrade": true' in step.sentence) == ("blocked", True)
    step = _told(new, downgrade=True)
    assert (step.state, step.sentence, step.disrupts) == (
        "wanted", "downgrade sds 2.5-0.254 -> 2.0-10000.2072", True,
    )  # fmt: skip


def test_a_program_of_an_unknown_version_is_somebodys_own() -> None:
    unknown = attrs.evolve(DONE, packages={**DONE.packages, "rexray": "unknown"})
    step = plan(unknown)["rexray"]
    assert (step.state, "/usr/bin/rexray is of no package" in step.sentence) == ("blocked", True)


def test_the_kernel_has_to_fit_the_version_that_is_coming() -> None:
    entries = (entry(), {**SDC, "version": "2.5-0.254", "upgrade": True}, REXRAY, DVDCLI)
    facts = attrs.evolve(DONE, kernel="6.1.0-99-amd64")
    assert plan(facts)["prerequisites"].state == "satisfied"
    steps = plan(facts, catalog=load_catalog(text(*entries), "c"))
    assert (steps["prerequisites"].state, steps["sdc"].state) == ("wanted", "wanted")


def test_an_sdc_whose_module_is_an_older_one_is_not_done() -> None:
    waits = attrs.evolve(DONE, receipts=(Receipt(step="sdc", state="open"),))
    assert plan(waits)["sdc"].state == "wanted"


@pytest.mark.parametrize("component", ["sds", "sdc", "rexray"])
def test_a_step_of_ours_that_left_no_receipt_is_not_done(component: str) -> None:
    """It was killed when all that a survey sees was there already, and something was not."""
    cut = attrs.evolve(DONE, unfinished=(component,))
    assert plan(cut)[component].state == "wanted"
    assert (
        plan(cut, components={component: "adopt"})[component].state
        == plan(DONE, components={component: "adopt"})[component].state
    )
    assert plan(cut, catalog=None)[component].state == "satisfied", (
        "nothing is there to end it with"
    )


def test_a_service_that_no_boot_starts_is_not_done() -> None:
    for service, step in (("sds", "sds"), ("scini", "sdc")):
        off = attrs.evolve(DONE, states={service: Service(state="active", boot="disabled")})
        assert plan(off)[step].state == "wanted"


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
    (tmp_path / "_lib.sh").write_text(":" * STEP_CHARACTERS_MAX, encoding="utf-8")
    (tmp_path / "sds.sh").write_text("#", encoding="utf-8")
    with pytest.raises(StepTextError, match="more than"):
        script_text("sds", tmp_path)
