"""What Prometheus gets: parsed by its library, named by its conventions, with closed labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.board import Board
from domain.agent import Run
from install_steps.catalog import STEPS
from tests.unit.test_web import app_of, client_of, full_board, get, some_agent
from web import metrics

UNITS = ("_seconds", "_bytes", "_total", "_info")
COUNTED = {  # gauges of things, whose name is the thing
    "scaleio_agents", "scaleio_steps", "scaleio_reboots_avoided", "scaleio_failed_agents",
    "scaleio_rollout_state", "scaleio_rollout_agents", "scaleio_conditions", "scaleio_condition",
    "scaleio_store_up", "scaleio_receivers", "scaleio_master_link", "scaleio_gateway_up",
    "scaleio_objects", "scaleio_mdm_normal", "scaleio_mailbox_depth", "scaleio_mailbox_peak",
}  # fmt: skip
MONITORING = Path("docs") / "monitoring"


async def families(board: Board) -> dict[str, Any]:
    async with client_of(app_of(board)) as client:
        await client.get("/metrics")  # which counts as a request in the next one
        text = (await client.get("/metrics")).text
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize("board", [Board(), full_board()], ids=["empty", "full"])
async def test_every_metric_has_a_type_a_help_and_a_name_that_tells_its_unit(board: Board) -> None:
    for name, family in (await families(board)).items():
        assert family.documentation, name
        assert family.type in ("gauge", "counter", "histogram"), name
        ours = name.startswith("scaleio_") and not name.endswith("_created")
        if ours and family.type != "counter":
            assert name.endswith(UNITS) or name in COUNTED, name


async def test_labels_do_not_grow_with_the_cluster() -> None:
    def series(found: dict[str, Any]) -> int:
        return sum(len(f.samples) for name, f in found.items() if name.startswith("scaleio_"))

    few = Board(agents={"a": some_agent("a")})
    many = Board(agents={f"a{n}": some_agent(f"a{n}", "failed") for n in range(500)})
    assert series(await families(few)) == series(await families(many))
    text = (await get(full_board(), "/metrics")).text
    assert not re.search(r"agent1|10\.0\.0\.|sds_10", text)


async def test_a_failed_agent_is_counted_under_its_last_step() -> None:
    run = Run(step="sdc", task_id="a.sdc.1.x", outcome="failed")
    strange = attrs.evolve(run, step="before-sdc")
    board = Board(agents={
        "a": attrs.evolve(some_agent("a", "failed"), runs=(run,)),
        "b": attrs.evolve(some_agent("b", "failed"), runs=(strange,)),
    })  # fmt: skip
    samples = (await families(board))["scaleio_failed_agents"].samples
    counts = {sample.labels["step"]: sample.value for sample in samples}
    assert (counts["sdc"], counts["other"], sum(counts.values())) == (1, 1, 2)


def test_every_step_of_the_catalog_has_its_word() -> None:
    assert {step.name for step in STEPS.values()} - {"keeper"} <= set(metrics.STEPS)


async def test_rules_and_dashboard_use_only_metrics_that_there_are(repository: Path) -> None:
    known = set()
    for name, family in (await families(full_board())).items():
        known |= {name, *(sample.name for sample in family.samples)}
    dashboard = json.loads((repository / MONITORING / "dashboard.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (repository / MONITORING / "alerts.yml").read_text("utf-8")
    asked += re.findall(r"expr: '(.*)'", rules)
    used = {name for one in asked for name in re.findall(r"\b(?:scaleio|process)_\w+", one)}
    assert used - known == set()
    assert len(used) > 15


def test_the_dashboard_can_be_imported(repository: Path) -> None:
    dashboard = json.loads((repository / MONITORING / "dashboard.json").read_text("utf-8"))
    (source,) = dashboard["__inputs"]
    assert (source["name"], source["pluginId"]) == ("DS_PROMETHEUS", "prometheus")
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
