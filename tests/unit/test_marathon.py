"""marathon.json starts one scheduler, with flags that exist, and lets it end in peace."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import settings
from adapters.store_choice import DEFAULT_FOLDER
from commands.inputs import read_catalog
from supervisor import EDGE_PATIENCE_S, JOURNAL_PATIENCE_S
from tools.zipapp import TARGET, VERSION


@pytest.fixture
def definition(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((repository / "marathon.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def sandbox(tmp_path: Path, repository: Path) -> Path:
    """What the definition fetches and mounts."""
    catalog = (repository / "docs/catalog-example.json").read_text(encoding="utf-8")
    (tmp_path / "catalog.json").write_text(catalog, encoding="utf-8")
    for secret in ("gateway-password", "rest-token"):
        (tmp_path / secret).write_text("correct-horse-battery-staple\n", encoding="utf-8")
    return tmp_path


def _command(definition: dict[str, Any], sandbox: Path) -> list[str]:
    """The words of the command, as the shell of the container sees them."""
    found = {"MESOS_SANDBOX": str(sandbox), "PORT0": "31007"}
    text = re.sub(r"\$(\w+)", lambda match: found[match[1]], definition["cmd"])
    return shlex.split(text)


def test_its_command_line_is_accepted_by_the_scheduler(
    definition: dict[str, Any], sandbox: Path
) -> None:
    words = _command(definition, sandbox)
    mounted = definition["container"]["volumes"][0]["containerPath"]
    environ = {
        name: value.replace(mounted, str(sandbox)) for name, value in definition["env"].items()
    }
    start = words.index(str(sandbox / TARGET.name)) + 1
    parsed = settings.parse(words[start:], environ)
    assert words[:start] == ["exec", f"python{VERSION}", str(sandbox / TARGET.name)]
    assert parsed.rest_port == 31007
    assert parsed.master_urls == ("http://leader.mesos:5050",)
    assert parsed.warnings == ()
    assert parsed.scaleio_password.reveal() == "correct-horse-battery-staple"
    assert parsed.rest_token
    assert read_catalog(parsed.catalog) is not None


def test_each_file_that_the_command_uses_is_fetched_or_mounted(definition: dict[str, Any]) -> None:
    fetched = {os.path.basename(entry["uri"]) for entry in definition["fetch"]}  # noqa: PTH119 - a URL
    assert set(re.findall(r"\$MESOS_SANDBOX/([\w.-]+)", definition["cmd"])) == fetched
    secrets, state = definition["container"]["volumes"]
    assert secrets["mode"] == "RO"
    assert all(value.startswith(secrets["containerPath"]) for value in definition["env"].values())
    assert (state["containerPath"], state["mode"]) == (str(DEFAULT_FOLDER), "RW")


def test_there_is_never_a_second_scheduler_beside_the_first(definition: dict[str, Any]) -> None:
    assert definition["instances"] == 1
    assert definition["upgradeStrategy"] == {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}


def test_it_is_healthy_while_it_answers_on_the_port_that_marathon_gave(
    definition: dict[str, Any],
) -> None:
    (check,) = definition["healthChecks"]
    assert (check["protocol"], check["path"], check["portIndex"]) == ("MESOS_HTTP", "/healthz", 0)
    assert len(definition["portDefinitions"]) == 1
    assert definition["container"]["docker"]["network"] == "HOST"


def test_it_has_the_time_to_stop_gracefully(definition: dict[str, Any]) -> None:
    assert definition["taskKillGracePeriodSeconds"] > EDGE_PATIENCE_S + JOURNAL_PATIENCE_S
    assert definition["cmd"].startswith("exec "), "the signal reaches Python, not a shell"


def test_no_secret_stands_in_it(repository: Path) -> None:
    text = (repository / "marathon.json").read_text(encoding="utf-8")
    assert "-scaleio.password=" not in text
    assert not re.search(r'"[A-Z_]*(?:PASSWORD|TOKEN|SECRET|KEY)"', text)


def test_it_names_no_field_that_marathon_1_4_does_not_know(definition: dict[str, Any]) -> None:
    """1.5 and later still take the network where 1.4 wants it; 1.4 knows no `networks`."""
    assert definition.keys() <= {
        "id", "cmd", "instances", "cpus", "mem", "disk", "container", "fetch", "env",
        "portDefinitions", "requirePorts", "healthChecks", "upgradeStrategy",
        "taskKillGracePeriodSeconds", "backoffSeconds", "backoffFactor", "maxLaunchDelaySeconds",
        "labels",
    }  # fmt: skip
