"""`make bench`: every benchmark, `benchmarks/latest.json`, and the figures that are promised.

python -m benchmarks [NAME...]      only these of gateway_poll page_views offers scale starts
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import structlog

from benchmarks import gateway_poll, offers, page_views, scale, starts, stores

LATEST: Final = Path(__file__).parent / "latest.json"
NAMES: Final = ("gateway_poll", "page_views", "offers", "scale", "starts")


def main(arguments: list[str]) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    unknown = [name for name in arguments if name not in NAMES]
    if unknown:
        print(f"benchmarks: {unknown[0]!r} is none of {', '.join(NAMES)}", file=sys.stderr)
        return 2
    chosen = arguments or list(NAMES)
    found = _before() if arguments else {}
    found |= {"python": platform.python_version(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="scaleio-benchmarks-") as folder:
        for name in chosen:
            print(f"bench: {name} ...", file=sys.stderr, flush=True)
            found[name] = _measured(name, Path(folder))
    found["ratios"] = _ratios(found)
    LATEST.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name in chosen:
        _tell(name, found[name])
    print("bench:", *(f"{name}={value}" for name, value in found["ratios"].items()))
    return 0


def _before() -> dict[str, Any]:
    """What an earlier run has found, where only a part is run now."""
    try:
        found: dict[str, Any] = json.loads(LATEST.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _measured(name: str, folder: Path) -> dict[str, Any]:
    match name:
        case "gateway_poll":
            return gateway_poll.run()
        case "page_views":
            return page_views.run()
        case "offers":
            return offers.run(folder, stores.templates())
        case "scale":
            return scale.run(folder, stores.templates())
        case _:
            return starts.run(folder)


def _ratios(found: dict[str, Any]) -> dict[str, float]:
    """Ours against others', from one run each: above 1 is ours ahead."""
    ratios = {
        f"offers_{size}_vs_{name}": ratio
        for size, row in found.get("offers", {}).items()
        for name, ratio in row["ratios"].items()
    }
    if "gateway_poll" in found:
        ratios["gateway_poll_cpu_growth"] = found["gateway_poll"]["cpu_growth"]
        ratios["gateway_poll_bytes_growth"] = found["gateway_poll"]["bytes_growth"]
    return ratios


def _tell(name: str, found: dict[str, Any]) -> None:
    """Each figure, or row of figures, in a line of its own."""
    for key, value in found.items():
        rows = value if isinstance(value, list) else [value]
        for row in rows:
            print(f"{name}.{key}:", _flat(row))


def _flat(value: object) -> str:
    if isinstance(value, dict):
        if "median" in value:
            return f"{value['median']} ({value['least']} to {value['most']})"
        return "  ".join(f"{key}={_flat(inner)}" for key, inner in value.items())
    return str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
