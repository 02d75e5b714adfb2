"""Catalog entries for a Debian 12 host, one change at a time."""

from __future__ import annotations

import json

SHA = "0123456789abcdef" * 4


def entry(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "component": "sds",
        "version": "2.0-10000.2072",
        "platforms": [{"os_id": "debian", "os_version": "12"}],
        "url": "https://packages.example.invalid/sds.deb",
        "sha256": SHA,
        "size_bytes": 10,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def text(*entries: object) -> str:
    return json.dumps({"version": 1, "packages": list(entries)})


SDC = entry(
    component="sdc", url="https://packages.example.invalid/sdc.deb", kernels=["6.1.0-18-amd64"]
)
REXRAY = entry(
    component="rexray", version="0.11.4-1", url="https://packages.example.invalid/rexray.tar.gz"
)
DVDCLI = entry(
    component="dvdcli", version="0.1.0", url="https://packages.example.invalid/dvdcli.tar.gz"
)
