"""Gets and prepares the Mesos library: fetched once, built once, kept in a cache folder.

The Mesos code is the library inside the `mesos.scheduler` 1.11.0 egg. It is fetched through
the configured Python package index and kept in $REAL_MESOS_CACHE (default:
~/.cache/real-mesos).
"""

from __future__ import annotations

import hashlib
import html
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Final

from tests.real_mesos import elf_stubs

HERE: Final = Path(__file__).resolve().parent
EGG: Final = "mesos.scheduler-1.11.0-py2.7-linux-x86_64.egg"
EGG_SHA256: Final = "4940ebb70894ee004cf8a12b7b66b52a351be1070ec2a4e6f7dae4ec04f8cb61"
MEMBER: Final = "mesos/scheduler/_scheduler.so"
STUBBED: Final = [
    "libsvn_delta-1.so.1",
    "libsvn_subr-1.so.1",
    "libapr-1.so.0",
    "libcurl.so.4",
    "libssl.so.1.0.0",
    "libcrypto.so.1.0.0",
]
SCRIPTS: Final = {
    "mesos-executor": "mesos_executor.py",
    "mesos-default-executor": "mesos_executor.py",
    "mesos-fetcher": "mesos_fetcher.py",
}
_TOOLS: Final = {"g++": "g++", "readelf": "binutils"}  # program -> Debian package


def missing_needs() -> list[str]:
    """What this machine lacks to run real Mesos: sentences for people; empty when it can."""
    missing = []
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        missing.append(
            "Real Mesos runs on Linux on x86-64 only; "
            f"this is {platform.system()} on {platform.machine()}"
        )
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            missing.append(f"{tool} is missing: apt-get install {package}")
    return missing


def cache_dir() -> Path:
    chosen = os.environ.get("REAL_MESOS_CACHE")
    path = Path(chosen) if chosen else Path.home() / ".cache" / "real-mesos"
    path.mkdir(parents=True, exist_ok=True)
    return path


def interpreter() -> str:
    """The Python of the stand-ins; $REAL_MESOS_PYTHON where agents have another root folder."""
    return os.environ.get("REAL_MESOS_PYTHON") or sys.executable


def prepare() -> Path:
    """The folder with libmesos.so, the stub libraries and the compiled shim."""
    cache = cache_dir()
    parts = ["mesos_shim.cpp", "elf_stubs.py", *dict.fromkeys(SCRIPTS.values())]
    content = b"".join((HERE / part).read_bytes() for part in parts)
    key = hashlib.sha256(content + interpreter().encode()).hexdigest()[:12]
    ready = cache / f"runtime-{key}"
    if ready.exists():
        return ready
    egg = _fetch_egg(cache)
    work = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    try:
        _build(egg, work)
        _rename_unless_there(work, ready)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ready


def _build(egg: Path, work: Path) -> None:
    library = work / "libmesos.so"
    with zipfile.ZipFile(egg) as archive, archive.open(MEMBER) as inside, library.open("wb") as out:
        shutil.copyfileobj(inside, out)
    library.chmod(0o755)
    elf_stubs.build(library, STUBBED + elf_stubs.missing(["libsasl2.so.2"]), work)
    compiler = ["g++", "-std=c++17", "-O1", "-pthread"]
    linker = [
        "--no-as-needed",
        "--disable-new-dtags,-rpath,$ORIGIN",
        "--unresolved-symbols=ignore-in-shared-libs",
    ]
    command = [
        *compiler,
        *("-o", "mesos_shim", str(HERE / "mesos_shim.cpp"), "-L."),
        f"-Wl,{linker[0]}",
        "-l:libmesos.so",
        *(f"-Wl,{option}" for option in linker[1:]),
    ]
    subprocess.run(command, cwd=work, check=True)
    for name in ("mesos-master", "mesos-agent", "mesos-containerizer"):
        (work / name).hardlink_to(work / "mesos_shim")
    for name, script in SCRIPTS.items():
        (work / name).write_text(f"#!{interpreter()}\n{(HERE / script).read_text()}")
        (work / name).chmod(0o755)


def _rename_unless_there(work: Path, ready: Path) -> None:
    try:
        work.rename(ready)
    except OSError:
        if not ready.exists():  # otherwise somebody else was faster
            raise


def _fetch_egg(cache: Path) -> Path:
    target = cache / EGG
    if target.exists():
        return target
    context = ssl.create_default_context(
        cafile=os.environ.get("PIP_CERT") or _pip_config("global.cert")
    )
    url = _egg_url(context)
    partial = target.with_suffix(f".{os.getpid()}.part")
    with (
        urllib.request.urlopen(url, context=context, timeout=300) as response,
        partial.open("wb") as out,
    ):
        shutil.copyfileobj(response, out)
    digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    if digest != EGG_SHA256:
        partial.unlink()
        raise RuntimeError(f"{EGG} has the unexpected SHA-256 {digest}")
    partial.rename(target)
    return target


def _egg_url(context: ssl.SSLContext) -> str:
    index = os.environ.get("PIP_INDEX_URL") or _pip_config("global.index-url") or _default_index()
    page_url = index.rstrip("/") + "/mesos-scheduler/"
    with urllib.request.urlopen(page_url, context=context, timeout=60) as response:
        page, page_url = response.read().decode(), response.url
    for link in re.findall(r'href="([^"]+)"', page):
        url = urllib.parse.urljoin(page_url, html.unescape(link))
        if urllib.parse.urlparse(url).path.endswith("/" + EGG):
            return str(url)
    raise RuntimeError(f"{EGG} is not on the package index")


def _default_index() -> str:
    from pip._internal.models.index import PyPI  # pip's own default

    return str(PyPI.simple_url)


def _pip_config(key: str) -> str | None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", key],
        text=True,
        capture_output=True,
        check=False,
    )
    return done.stdout.strip() or None if done.returncode == 0 else None
