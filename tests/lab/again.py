"""A step run once more on a host, as the product itself would order it, but not through Mesos."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

import attrs

from domain import records
from domain.agent import AgentRecord
from domain.facts import Facts
from install_steps.assembly import Assembly
from install_steps.catalog import load_catalog
from install_steps.facts import parse_survey
from install_steps.texts import script_text
from settings import parse
from tests.lab.host import Host
from tests.lab.site import AGENT_PORT, Json, Site

SANDBOX = "/tmp/again"  # noqa: S108 - in the host, which is the lab's own


@attrs.frozen(kw_only=True)
class Ended:
    """`result`: the step's @result line. `stderr`: what it said to people."""

    status: int
    result: Json
    stdout: str
    stderr: str


def run_step(host: Host, step: str, environment: dict[str, str]) -> Ended:
    host.run("mkdir", "-p", SANDBOX)
    done = host.run(
        *("sh", "-c", script_text(step)),
        check=False,
        environment={
            **environment,
            "MESOS_SANDBOX": SANDBOX,
            "MESOS_AGENT_ENDPOINT": f"{host.address}:{AGENT_PORT}",
            "MESOS_EXECUTOR_ID": f"{host.name}.{step}.again",
        },
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("@result ")]
    result: Json = json.loads(lines[-1].removeprefix("@result ")) if lines else {}
    return Ended(status=done.returncode, result=result, stdout=done.stdout, stderr=done.stderr)


def survey(host: Host) -> Facts:
    return parse_survey(run_step(host, "survey", {}).stdout)


def environment_of(site: Site, host: Host, step: str) -> dict[str, str]:
    """What the product tells that step on this host now."""
    catalog = site.folder / "catalog.json"
    assembly = Assembly(
        settings=parse(site.flags(), {}),
        catalog=load_catalog(catalog.read_text(), str(catalog)),
        storage=lambda: None,
        leader=lambda: site.cluster.addresses["master0"],
        own_url=lambda: "",
        installation=lambda: _installation(site),
    )
    record = AgentRecord(host=host.name, agent_id="", address=host.address, facts=survey(host))
    return dict(assembly.job(record, step).environment)


def _installation(site: Site) -> bytes:
    with tempfile.TemporaryDirectory() as copy:  # the scheduler holds the original
        for file in site.folder.glob("state.sqlite*"):
            shutil.copy(file, copy)
        with contextlib.closing(sqlite3.connect(Path(copy) / "state.sqlite")) as connection:
            found = connection.execute(
                "SELECT value FROM records WHERE key = ?", (records.INSTALLATION_KEY,)
            ).fetchone()
    known = records.decode(found[0], records.InstallationRecord, key=records.INSTALLATION_KEY)
    return known.key.encode()
