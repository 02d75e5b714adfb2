"""The table of metrics in docs/monitoring/index.md, made from what a scrape gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from actors.board import Board, GatewaySnapshot
from domain.storage import StorageSnapshot
from web.metrics import Metrics
from web.views import Times

BEGIN: Final = "| Metric | Type | Labels | Means |\n"
END: Final = "\n\n<!-- end of the metrics -->\n"


def table() -> str:
    seen = StorageSnapshot(taken_at=0.0, api_version=(4, 5), system_id="1")
    board = Board(gateway=GatewaySnapshot(storage=seen))
    times = Times(now=lambda: 0.0, wall=lambda: 0.0)
    metrics = Metrics(board, times, "1")
    metrics.request("agents", 200)
    rows = [
        f"| `{_named(family.name, family.type)}` | {family.type} "
        f"| {_labels(family.samples)} | {family.documentation} |"
        for family in text_string_to_metric_families(metrics.text())
        if family.name.startswith("scaleio_") and not family.name.endswith("_created")
    ]
    return BEGIN + "\n".join(["|---|---|---|---|", *rows])


def _named(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def _labels(samples: Iterable[object]) -> str:
    names = {name for sample in samples for name in getattr(sample, "labels", {})} - {"le"}
    return ", ".join(f"`{name}`" for name in sorted(names))
