"""`make zipapp`: the product and its locked libraries in one file that Marathon fetches."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tools import pyz_start

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "dist" / "scaleio-scheduler.pyz"
VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
SHEBANG: Final = f"/usr/bin/env python{VERSION}"
GLIBC_MAX: Final = (2, 28)  # of wheels: RHEL 8, Debian 10 and everything newer

# Any Python reads this far, and no further than it can.
MAIN: Final = f"""\
import sys

if sys.version_info[:2] != ({VERSION.replace(".", ", ")}):
    sys.exit(
        "scaleio-scheduler.pyz needs Python {VERSION}, this is %d.%d: "
        "run it with python{VERSION}, or use the Docker image python:{VERSION}"
        % sys.version_info[:2]
    )

from pyz_start import main

main()
"""


def main() -> int:
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zipapp-") as folder:
        site, raw = Path(folder) / "site", Path(folder) / "raw.pyz"
        try:
            _fill(site, Path(folder))
            _pack(site, raw)
        except subprocess.CalledProcessError as error:
            print(f"zipapp: built=no (`{error.cmd[2]}` ended with {error.returncode})")
            return 1
        _finish(raw, _glibc_needed(site))
    size, digest = TARGET.stat().st_size, hashlib.sha256(TARGET.read_bytes()).hexdigest()
    print(f"zipapp: file={TARGET.relative_to(ROOT)} bytes={size} python={VERSION} sha256={digest}")
    return 0


def _fill(site: Path, scratch: Path) -> None:
    """The locked libraries, then the product itself; nothing that was not locked is fetched."""
    _pip("--require-hashes", "--requirement", str(ROOT / "requirements/run.txt"),
         "--target", str(site), *_platforms())  # fmt: skip
    source = scratch / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "dist", "build", "tests"))
    _pip("--no-deps", "--no-index", "--no-build-isolation", "--target", str(site), str(source))


def _platforms() -> list[str]:
    """Wheels for an older glibc than this machine's, so that the archive runs on more of them."""
    if platform.system() != "Linux" or not pyz_start.this_machine().glibc:
        return []
    machine = platform.machine()
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MAX[1], 16, -1)]
    names.append(f"manylinux2014_{machine}")
    return ["--only-binary=:all:", "--implementation=cp", f"--python-version={VERSION}",
            *(f"--platform={name}" for name in names)]  # fmt: skip


def _pip(*argv: str) -> None:
    command = ("pip", "--disable-pip-version-check", "install", "-qq", "--no-compile")
    subprocess.run([sys.executable, "-m", *command, *argv], check=True)


def _pack(site: Path, raw: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "shiv", "--site-packages", str(site), "--output-file", str(raw),
         "--entry-point", "cli:main", "--python", SHEBANG, "--compressed", "--reproducible"],
        check=True,
    )  # fmt: skip


def _glibc_needed(site: Path) -> tuple[int, ...]:
    """The newest C library that one of the wheels asks for, at its most modest."""
    needed: tuple[int, ...] = ()
    for wheel in site.glob("*.dist-info/WHEEL"):
        text = wheel.read_text(encoding="utf-8").replace("manylinux2014", "manylinux_2_17")
        tags = re.findall(r"^Tag:.*-manylinux_(\d+)_(\d+)_", text, re.MULTILINE)
        if tags:
            needed = max(needed, min((int(major), int(minor)) for major, minor in tags))
    return needed


def _finish(raw: Path, glibc: tuple[int, ...]) -> None:
    """The same archive, but with our own first lines."""
    extra = {
        "__main__.py": MAIN,
        "pyz_start.py": Path(pyz_start.__file__).read_text(encoding="utf-8"),
        pyz_start.BUILT_FOR: json.dumps(
            {"soabi": sysconfig.get_config_var("SOABI"), "glibc": glibc}
        ),
    }
    part = TARGET.with_suffix(".part")
    with zipfile.ZipFile(raw) as old, part.open("wb") as file:
        file.write(f"#!{SHEBANG}\n".encode())
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                if entry.filename not in extra:
                    new.writestr(entry, old.read(entry))
            for name, text in extra.items():
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                new.writestr(info, text)
    part.chmod(part.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    part.replace(TARGET)


if __name__ == "__main__":
    sys.exit(main())
