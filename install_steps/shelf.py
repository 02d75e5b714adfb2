"""The scheduler's own copies of the catalog's files: in a folder, or inside a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from install_steps.bundle import Bundle, digest_of
from install_steps.packages import Catalog, Package

Stamp = tuple[int, int, int, int]  # device, inode, size, time of change
_GONE: Final[Stamp] = (0, 0, 0, -1)


@attrs.frozen(kw_only=True)
class Item:
    """One file: those bytes of `path`."""

    sha256: str
    file: str
    path: Path
    offset: int
    size_bytes: int


@attrs.define
class Shelf:
    """Files by SHA-256. What has changed on the disk is hashed again before it is given away."""

    items: Mapping[str, Item]
    _seen: dict[str, Stamp] = attrs.field(factory=dict, init=False)

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(self.items)

    def is_known_good(self, item: Item) -> bool:
        """Right, and unchanged since it was hashed: quick."""
        stamp = stamp_of(item.path)
        return stamp != _GONE and self._seen.get(item.sha256) == stamp

    def is_right(self, item: Item) -> bool:
        """By its bytes, where it is not known: reads the file."""
        try:
            stamp = stamp_of(item.path)
            if self._seen.get(item.sha256) == stamp:
                return True
            right = digest_of(item.path, item.offset, item.size_bytes) == item.sha256
        except OSError:
            return False
        if right:
            self._seen[item.sha256] = stamp
        return right


def stamp_of(path: Path) -> Stamp:
    """What changes when the file does; that of no file where there is none."""
    try:
        found = path.stat()
    except OSError:
        return _GONE
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def shelf_of_folder(catalog: Catalog, folder: Path) -> tuple[Shelf, tuple[str, ...]]:
    """FOLDER/<sha256>/<file> or FOLDER/<file>; and a line for each file that is not there."""
    items: dict[str, Item] = {}
    lines: list[str] = []
    shelf = Shelf(items)
    for package in _once(catalog.packages):
        item, why = find_file(package, folder, shelf)
        if item is None:
            called = f"{package.component} {package.name}".strip()
            lines.append(f"{folder}: no {package.file} for {called} {package.version}: {why}")
        else:
            items[package.sha256] = item
    return shelf, tuple(lines)


def find_file(package: Package, folder: Path, shelf: Shelf) -> tuple[Item | None, str]:
    """The package's file in that folder, or why there is none."""
    why = "there is no such file"
    for path in (folder / package.sha256 / package.file, folder / package.file):
        if not path.is_file():
            continue
        size_bytes = path.stat().st_size
        if size_bytes != package.size_bytes:
            why = f"it has {size_bytes} bytes, the catalog says {package.size_bytes}"
            continue
        item = Item(
            sha256=package.sha256, file=package.file, path=path, offset=0, size_bytes=size_bytes
        )
        if shelf.is_right(item):
            return item, ""
        readable = os.access(path, os.R_OK)
        why = "its SHA-256 is not the catalog's" if readable else "it cannot be read"
    return None, why


def shelf_of_bundle(bundle: Bundle) -> tuple[Shelf, tuple[str, ...]]:
    """All its files, served from where they are in it; and a line for each that is damaged."""
    items = {
        sha256: Item(
            sha256=sha256,
            file=name.rpartition("/")[2],
            path=bundle.path,
            offset=bundle.members[name].offset,
            size_bytes=bundle.members[name].size_bytes,
        )
        for name, sha256 in bundle.sums.items()
    }
    shelf = Shelf(items)
    wrong = [f"{bundle.path}: {i.file} is damaged" for i in items.values() if not shelf.is_right(i)]
    return shelf, tuple(wrong)


def _once(packages: Iterable[Package]) -> tuple[Package, ...]:
    """One for each file: platforms may share it."""
    return tuple({package.sha256: package for package in packages}.values())
