"""`make bench`: every benchmark, `benchmarks/latest.json`, and one line of their ratios."""

from __future__ import annotations

import json
import logging
import platform
import sys
from pathlib import Path

import structlog

from benchmarks import gateway_poll, page_views


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    polled = gateway_poll.run()
    viewed = page_views.run()
    found = {
        "python": platform.python_version(),
        "gateway_poll": polled,
        "page_views": viewed,
    }
    folder = Path(__file__).parent
    (folder / "latest.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for row in polled["rows"]:
        print("  ".join(f"{key}={value}" for key, value in row.items()))
    for row in viewed["views"]:
        print("  ".join(f"{key}={value}" for key, value in row.items()))
    for name in ("stream", "stream_with_one_stalled"):
        print(f"{name}:", *(f"{key}={value}" for key, value in viewed[name].items()))
    print(
        f"bench: gateway_poll.cpu_growth={polled['cpu_growth']} "
        f"gateway_poll.bytes_growth={polled['bytes_growth']}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
