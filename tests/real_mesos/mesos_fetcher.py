"""Stand-in for `mesos-fetcher`: brings a task's URIs into its sandbox.

Reads the MESOS_FETCHER_INFO environment variable (JSON) that the agent sets.
Supports local paths, file://, http:// and https://, the `executable`, `extract`
and `output_file` options, and the agent's cache (a file is fetched into the
cache folder first and copied from there).
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import urllib.parse
import urllib.request

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")


def download(uri: str, target: pathlib.Path, frameworks_home: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if "://" in uri and not uri.startswith("file://"):
        with urllib.request.urlopen(uri) as response, target.open("wb") as out:
            shutil.copyfileobj(response, out)
        return
    shutil.copy(pathlib.Path(frameworks_home, uri.removeprefix("file://")), target)


def main() -> int:
    info = json.loads(os.environ["MESOS_FETCHER_INFO"])
    sandbox = pathlib.Path(info["sandbox_directory"])
    home = info.get("frameworks_home", "")
    for item in info.get("items", []):
        uri = item["uri"]
        value = uri["value"]
        name = (
            uri.get("output_file") or pathlib.PurePosixPath(urllib.parse.urlparse(value).path).name
        )
        target = sandbox / name
        print(f"Fetching {value} -> {target.name}", flush=True)
        cached = item.get("cache_filename")
        if item.get("action") in ("DOWNLOAD_AND_CACHE", "RETRIEVE_FROM_CACHE") and cached:
            source = pathlib.Path(info["cache_directory"]) / cached
            if item["action"] == "DOWNLOAD_AND_CACHE":
                download(value, source, home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        else:
            download(value, target, home)
        if uri.get("executable"):
            target.chmod(target.stat().st_mode | 0o111)
        elif uri.get("extract", True) and target.name.endswith(ARCHIVES):
            shutil.unpack_archive(target, sandbox)
        if os.geteuid() == 0 and info.get("user"):
            shutil.chown(target, user=info["user"])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, KeyError, ValueError) as error:
        print(f"fetch failed: {error}", file=sys.stderr)
        sys.exit(1)
