"""`check` against the fakes on real sockets: right, wrong in each place, and nothing changed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog

import cli
from domain import preflight
from domain.storage import DomainState, PoolState, StorageSnapshot
from tests.scheduler_process import ROOT, free_ports, wait_for


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command sets the log up for its process, which is ours here."""
    yield
    structlog.reset_defaults()


PASSWORD = "Quite-Another-Pass-7"


@attrs.define
class Site:
    folder: Path
    master: int
    gateway: int
    free: int

    def flags(self, **changed: str) -> list[str]:
        given = {
            "uri": f"127.0.0.1:{self.master}",
            "scaleio.preconfig.primary": "10.0.0.1",
            "scaleio.preconfig.secondary": "10.0.0.2",
            "scaleio.preconfig.tiebreaker": "10.0.0.3",
            "scaleio.preconfig.gateway": f"http://127.0.0.1:{self.gateway}",
            "scaleio.password-file": str(self.folder / "password"),
            "store.type": "sqlite",
            "store.uri": str(self.folder / "state" / "scaleio.sqlite"),
            "rest.address": "127.0.0.1",
            "rest.port": str(self.free),
        }
        given |= {name.replace("__", "-").replace("_", "."): text for name, text in changed.items()}
        return [f"-{name}={text}" for name, text in given.items()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("check")
    secret = folder / "password"
    secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
    secret.chmod(0o600)
    port = free_ports(3)
    found = Site(folder, master=port, gateway=port + 1, free=port + 2)
    commands = (
        ["simulate-master", "--listen", f"127.0.0.1:{port}", "--agents", "3"],
        ["simulate-gateway", "--listen", f"127.0.0.1:{port + 1}", "--api", "3.6", "--plain",
         "--user", "admin", "--password-file", str(secret)],
    )  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "cli.py", *command], cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]  # fmt: skip
    try:
        for one in (found.master, found.gateway):
            wait_for(f"port {one}", lambda port=one: _answers(port))  # type: ignore[misc]
        yield found
    finally:
        for process in running:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = cli.main(["check", "--output", "json", *arguments])
    told = capsys.readouterr()
    assert PASSWORD not in told.out + told.err
    return status, json.loads(told.out)


def verdicts(told: dict[str, Any], verdict: str) -> set[tuple[str, str]]:
    return {(one["area"], one["subject"]) for one in told["lines"] if one["verdict"] == verdict}


def test_a_site_that_is_right_is_told_so_and_left_as_it_was(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = check(capsys, *site.flags())
    assert (status, told["wrong"]) == (0, 0)
    assert {
        ("master", "role"), ("master", "credentials"), ("gateway", "login"),
        ("gateway", "MDM cluster"), ("gateway", "storage pool"), ("clock", "Gateway"),
        ("ports", f"-rest.port={site.free}"), ("store", "choice"),
    } <= verdicts(told, "right")  # fmt: skip
    assert not (site.folder / "state").exists()


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"uri": "127.0.0.1:1"}, ("master", "any")),
        ({"scaleio_clusterid": "0123456789abcdef"}, ("gateway", "system id")),
        ({"scaleio_preconfig_gateway": "http://127.0.0.1:1"}, ("gateway", "http://127.0.0.1:1")),
        ({"store_uri": "/dev/null/x.sqlite"}, ("store", "/dev/null/x.sqlite")),
    ],
)
def test_each_thing_that_is_wrong_is_named_with_its_cure(
    site: Site,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    wrong: tuple[str, str],
) -> None:
    status, told = check(capsys, *site.flags(**changed))
    assert status == 1
    assert wrong in verdicts(told, "wrong")
    assert all(one["cure"] for one in told["lines"] if one["verdict"] != "right")


def test_a_wrong_password_in_an_open_file_a_taken_port_and_a_broken_store(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    other, store = site.folder / "other", site.folder / "broken.sqlite"
    other.write_text("Not-The-Password-1\n", encoding="utf-8")
    other.chmod(0o644)
    store.write_bytes(b"this is no database" * 99)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, told = check(
            capsys,
            *site.flags(
                scaleio_password__file=str(other), rest_port=str(port), store_uri=str(store)
            ),
        )
    assert status == 1
    assert verdicts(told, "wrong") >= {
        ("files", f"-scaleio.password-file={other}"),
        ("gateway", f"http://127.0.0.1:{site.gateway}"),
        ("ports", f"-rest.port={port}"),
        ("store", str(store)),
    }
    assert store.read_bytes().startswith(b"this is no database")


def test_packages_are_asked_for_by_size(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = json.loads((ROOT / "docs" / "catalog-example.json").read_text(encoding="utf-8"))
    text = json.dumps(catalog).replace("https://packages.example.invalid", "https://127.0.0.1:1")
    file = site.folder / "catalog.json"
    file.write_text(text, encoding="utf-8")
    status, told = check(capsys, *site.flags(catalog=str(file)))
    assert status == 1
    assert any(one["area"] == "packages" and one["verdict"] == "wrong" for one in told["lines"])


def test_strictly_what_is_unknown_counts(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", *site.flags()]) == 0
    assert "? unknown" in capsys.readouterr().out
    assert cli.main(["check", "--strict", *site.flags()]) == 1


def test_bad_flags_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "-rest.por=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# --- judging ----------------------------------------------------------------------------


SEEN = StorageSnapshot(
    taken_at=0.0, api_version=(3, 6), system_id="aa", system_name="one", mdm_normal=True,
    domains=(DomainState(id="d", name="default"),),
    pools=(PoolState(id="p", name="default", domain_id="d"),),
)  # fmt: skip
WANTED = preflight.Wanted(system_id="AA", system_name="one", domain="default", pool="default")


def judged(seen: StorageSnapshot, wanted: preflight.Wanted = WANTED) -> dict[str, str]:
    return {line.subject: line.verdict for line in preflight.gateway(seen, wanted, 0.0)}


def test_a_storage_cluster_is_judged_by_what_the_flags_expect() -> None:
    assert set(judged(SEEN).values()) == {"right"}
    assert judged(attrs.evolve(SEEN, mdm_normal=False))["MDM cluster"] == "wrong"
    moving = attrs.evolve(SEEN.pools[0], moving=True)
    assert judged(attrs.evolve(SEEN, pools=(moving,)))["data"] == "wrong"
    assert judged(SEEN, attrs.evolve(WANTED, system_name="two"))["system name"] == "wrong"
    assert judged(SEEN, attrs.evolve(WANTED, domain="x"))["protection domain"] == "unknown"
    assert judged(attrs.evolve(SEEN, pools=()))["storage pool"] == "unknown"
    assert judged(attrs.evolve(SEEN, certificate_ends=86400.0))["certificate"] == "wrong"


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [(None, "unknown"), (1000.0, "right"), (900.0, "wrong"), (1100.0, "wrong")],
)
def test_clocks_may_be_a_minute_apart(theirs: float | None, verdict: str) -> None:
    assert preflight.clock("master", theirs, 1000.0).verdict == verdict


@pytest.mark.parametrize(
    ("roles", "verdict"), [("", "right"), ("a,b", "wrong"), ("a,scaleio", "right"), ("*", "wrong")]
)
def test_a_masters_whitelist_of_roles_is_read(roles: str, verdict: str) -> None:
    assert preflight.roles("scaleio", {"roles": roles}).verdict == verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.11.0", "right"), ("0.28.2", "wrong"), ("", "wrong"), ("x.y", "wrong")],
)
def test_masters_before_1_0_have_no_v1_api(version: str, verdict: str) -> None:
    assert preflight.master_version(version).verdict == verdict
