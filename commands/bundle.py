"""`bundle`: a catalog and all its files as one file for sites without a way out.

    bundle build --catalog FILE --output BUNDLE [--dir FOLDER] [--proxy URL]
    bundle verify BUNDLE

Exit status: 0 done, 1 a file is missing or wrong, 2 bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.downloads import Downloads, download_client
from flags.kinds import PROXY
from install_steps.bundle import (
    CATALOG,
    MANIFEST,
    SUMS,
    Bundle,
    BundleError,
    Held,
    digest_of,
    open_bundle,
    write_bundle,
)
from install_steps.packages import Catalog, CatalogError, Package, load_catalog
from install_steps.shelf import Shelf, find_file

EXIT_WRONG: Final = 1
EXIT_BAD_INPUT: Final = 2


class _InputError(Exception):
    """One line for stderr."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", allow_abbrev=False, help="make a bundle of a catalog")
    build.add_argument("--catalog", required=True, type=Path, metavar="FILE")
    build.add_argument("--output", required=True, type=Path, metavar="BUNDLE")
    build.add_argument("--dir", type=Path, metavar="FOLDER", help="where some files are already")
    build.add_argument("--proxy", metavar="URL", help="default: what the environment says")
    verify = commands.add_parser("verify", allow_abbrev=False, help="check a bundle, every byte")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")


def run(options: argparse.Namespace) -> int:
    try:
        if options.command == "verify":
            return _verify(options.bundle)
        return _build(options)
    except (_InputError, BundleError) as error:
        print(f"scaleio-scheduler bundle: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


# -- build -----------------------------------------------------------------------------------------


def _build(options: argparse.Namespace) -> int:
    raw, catalog = _catalog(options.catalog)
    proxy = _proxy(options.proxy)
    output: Path = options.output
    if options.dir is not None and not options.dir.is_dir():
        raise _InputError(f"--dir: {options.dir}: is no folder")
    if not output.parent.is_dir():
        raise _InputError(f"--output: {output.parent}: is no folder")
    # Beside the bundle, and kept when something fails: the next try goes on from there.
    work = output.with_name(f"{output.name}.partial")
    try:
        work.mkdir(mode=0o700, exist_ok=True)
        with download_client(proxy) as client:
            clock = time.monotonic  # noqa: TID251 - bounds a download of this program's own
            downloads = Downloads(client=client, folder=work, say=_say, now=clock)
            held = _collect(catalog, options.dir, downloads)
        if len(held) < len(catalog.packages):
            return EXIT_WRONG
        size_bytes = _written(output, raw, held)
        _clear(work)
    except OSError as error:
        raise _InputError(f"{error.filename or output}: {error.strerror or error}") from None
    print(f"bundle: files={len({one.member for one in held})} bytes={size_bytes} output={output}")
    return 0


def _catalog(path: Path) -> tuple[bytes, Catalog]:
    try:
        raw = path.read_bytes()
        return raw, load_catalog(raw.decode("utf-8"), str(path))
    except OSError as error:
        raise _InputError(f"--catalog: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _InputError(f"--catalog: {path}: is no UTF-8 text") from None
    except CatalogError as error:
        raise _InputError(f"--catalog: {error}") from None


def _proxy(text: str | None) -> str | None:
    try:
        return PROXY.read(text) if text is not None else None
    except ValueError as error:
        raise _InputError(f"--proxy: {error}: {PROXY.expected} is expected") from None


def _collect(catalog: Catalog, folder: Path | None, downloads: Downloads) -> list[Held]:
    """One for each entry that there is a file for; a line for each other."""
    held: list[Held] = []
    shelf = Shelf({})
    for package in catalog.packages:
        path = _one(package, folder, downloads, shelf)
        if path is None:
            _say(f"{package.file} for {package.component} {package.version}: no mirror has it")
        else:
            held.append(Held(package.sha256, package.file, path, package.size_bytes))
    return held


def _one(package: Package, folder: Path | None, downloads: Downloads, shelf: Shelf) -> Path | None:
    if folder is not None:
        item, why = find_file(package, folder, shelf)
        if item is not None:
            return item.path
        _say(f"{folder}: {package.file}: {why}")
    return downloads.fetch(package)


def _written(output: Path, catalog: bytes, held: Sequence[Held]) -> int:
    """Whole or not at all. A file that changed since it was verified is found out here."""
    handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            write_bundle(target, catalog, held)
            target.flush()
            os.fsync(target.fileno())
        wrong = _wrong(open_bundle(temporary))
        if wrong:
            raise _InputError(f"{wrong[0]} changed while it was read: begin again")
        temporary.chmod(0o644)
        temporary.replace(output)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(output.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return output.stat().st_size


def _clear(work: Path) -> None:
    """Only what downloads have left; a folder with more in it stays."""
    for path in work.iterdir():
        if path.is_file():
            path.unlink()
    with contextlib.suppress(OSError):
        work.rmdir()


def _say(line: str) -> None:
    print(f"scaleio-scheduler bundle: {line}", file=sys.stderr)


# -- verify ----------------------------------------------------------------------------------------


def _verify(path: Path) -> int:
    bundle = open_bundle(path)
    wrong = set(_wrong(bundle))
    for name, member in bundle.members.items():
        if name not in {MANIFEST, SUMS}:
            word = "WRONG" if name in wrong else "ok"
            print(f"{word} {name} {member.size_bytes}")
    print(f"bundle: files={len(bundle.sums)} wrong={len(wrong)}")
    return EXIT_WRONG if wrong else 0


def _wrong(bundle: Bundle) -> list[str]:
    """Members whose bytes are not what manifest and checksums say."""
    sums = {**_listed(bundle), **bundle.sums}
    found = [] if CATALOG in sums else [CATALOG]
    for name, sha256 in sums.items():
        member = bundle.members.get(name)
        if member is None or digest_of(bundle.path, member.offset, member.size_bytes) != sha256:
            found.append(name)
    listed = _listed(bundle)
    found.extend(n for n, sha256 in bundle.sums.items() if listed.get(n) != sha256)
    return list(dict.fromkeys(found))


def _listed(bundle: Bundle) -> dict[str, str]:
    """What the file for `sha256sum -c` says."""
    member = bundle.members.get(SUMS)
    if member is None:
        raise BundleError(f"{bundle.path}: {SUMS} is missing")
    with bundle.path.open("rb") as file:
        file.seek(member.offset)
        text = file.read(member.size_bytes)
    lines = text.decode("ascii", "replace").splitlines()
    pairs = (line.partition("  ") for line in lines)
    return {name: sha256 for sha256, _, name in pairs}
