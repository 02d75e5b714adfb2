"""Bundles: a catalog and all its files in one plain tar, made by one side and doubted by the other.

The same files make the same bytes. What is read is cut out by our own few lines, because a general
tar reader takes far more than we ever write: links, devices, paths upwards, sizes of 10^18.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import attrs
import msgspec

from install_steps.packages import (
    CATALOG_CHARACTERS_MAX,
    PACKAGE_BYTES_MAX,
    Catalog,
    CatalogError,
    load_catalog,
)

FORMAT: Final = "scaleio-framework-bundle"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
CATALOG: Final = "catalog.json"
SUMS: Final = "SHA256SUMS"  # for `sha256sum -c` where there is nothing else
MEMBERS_MAX: Final = 4096
TEXT_BYTES_MAX: Final = 4 * CATALOG_CHARACTERS_MAX
BLOCK: Final = 512
CHUNK: Final = 1024 * 1024
_NAME: Final = re.compile(
    rf"{re.escape(MANIFEST)}|{CATALOG}|{SUMS}"
    r"|packages/[0-9a-f]{64}/[A-Za-z0-9_][A-Za-z0-9._+~-]{0,99}"
)
_OCTAL: Final = re.compile(rb"[0-7]{1,11}[ \0]{0,11}")
_FILE_TYPE: Final = b"0"


class BundleError(Exception):
    """The bundle is not what it should be: one line with what and where."""


@attrs.frozen
class Held:
    """One file for the bundle: its checksum, its name, and where it is now."""

    sha256: str
    file: str
    path: Path
    size_bytes: int

    @property
    def member(self) -> str:
        return f"packages/{self.sha256}/{self.file}"


@attrs.frozen
class Member:
    name: str
    offset: int
    size_bytes: int


@attrs.frozen(kw_only=True)
class Bundle:
    """A bundle whose structure is right; its files' bytes are not yet looked at."""

    path: Path
    catalog: Catalog
    members: Mapping[str, Member]
    sums: Mapping[str, str]  # member -> the SHA-256 that it has to have


# -- writing ---------------------------------------------------------------------------------------


def write_bundle(target: IO[bytes], catalog: bytes, files: Sequence[Held]) -> None:
    """`catalog` as the operator wrote it; `files` are read from where they are."""
    held = sorted({one.member: one for one in files}.values(), key=lambda one: one.member)
    sums = {CATALOG: hashlib.sha256(catalog).hexdigest(), **{h.member: h.sha256 for h in held}}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "files": [{"name": h.member, "sha256": h.sha256, "size_bytes": h.size_bytes} for h in held],
    }
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        _add(tar, CATALOG, catalog)
        _add(tar, SUMS, "".join(f"{sha}  {name}\n" for name, sha in sums.items()).encode())
        for one in held:
            with one.path.open("rb") as content:
                tar.addfile(_info(one.member, one.size_bytes), content)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_info(name, len(content)), io.BytesIO(content))


def _info(name: str, size_bytes: int) -> tarfile.TarInfo:
    """Owner, mode and time always the same, so that the bytes depend on the content alone."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size_bytes, 0o644, 0
    return info


# -- reading ---------------------------------------------------------------------------------------


def open_bundle(path: Path) -> Bundle:
    """Raises BundleError. Reads headers, manifest and catalog, and no package."""
    try:
        with path.open("rb") as file:
            members = {one.name: one for one in _members(file, path)}
            manifest = _text(file, members, MANIFEST, path)
            catalog_text = _text(file, members, CATALOG, path)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}") from None
    sums = _sums(manifest, members, path)
    try:
        catalog = load_catalog(catalog_text.decode("utf-8"), f"{path}: {CATALOG}")
    except UnicodeDecodeError:
        raise BundleError(f"{path}: {CATALOG}: is no UTF-8 text") from None
    except CatalogError as error:
        raise BundleError(str(error)) from None
    named = {f"packages/{p.sha256}/{p.file}": p for p in catalog.packages}
    for name, package in named.items():
        if name not in sums or members[name].size_bytes != package.size_bytes:
            raise BundleError(f"{path}: the catalog's {name} is not there in its size")
    for name in sums:
        if name not in named:
            raise BundleError(f"{path}: {name} is nothing that the catalog names")
    return Bundle(path=path, catalog=catalog, members=members, sums=sums)


def _members(file: IO[bytes], path: Path) -> list[Member]:
    """Every header up to the end; any doubt ends it."""
    whole = os.fstat(file.fileno()).st_size
    found: list[Member] = []
    seen: set[str] = set()
    at = 0
    while True:
        file.seek(at)
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            _check_end(file, at, whole, path)
            return found
        member = _member(header, at, f"{path}: the member at byte {at}")
        if member.name in seen:
            raise BundleError(f"{path}: {member.name} is there twice")
        at = member.offset + -(-member.size_bytes // BLOCK) * BLOCK
        if at > whole:
            raise BundleError(f"{path}: {member.name} is longer than the bundle itself")
        if len(found) == MEMBERS_MAX:
            raise BundleError(f"{path}: more than {MEMBERS_MAX} members")
        seen.add(member.name)
        found.append(member)


def _check_end(file: IO[bytes], at: int, whole: int, path: Path) -> None:
    """Two empty blocks, and what fills the last record."""
    rest = whole - at
    file.seek(at)
    if not 2 * BLOCK <= rest <= 2 * BLOCK + tarfile.RECORDSIZE or file.read(rest).strip(b"\0"):
        raise BundleError(f"{path}: is no bundle, or was cut off: its end is not there")


def _member(header: bytes, at: int, where: str) -> Member:
    if len(header) != BLOCK or header[257:265] != b"ustar\x0000":
        raise BundleError(f"{where}: is no header of a plain tar")
    summed = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if _number(header[148:156], where) != summed:
        raise BundleError(f"{where}: its header is damaged")
    if header[156:157] != _FILE_TYPE:
        raise BundleError(f"{where}: is no plain file")
    name = _string(header[345:500], header[:100], where)
    if not _NAME.fullmatch(name):
        raise BundleError(f"{where}: its name is none of a bundle's: {name[:80]!r}")
    size_bytes = _number(header[124:136], where)
    if size_bytes > PACKAGE_BYTES_MAX:
        raise BundleError(f"{where}: has {size_bytes} bytes, at most {PACKAGE_BYTES_MAX}")
    return Member(name=name, offset=at + BLOCK, size_bytes=size_bytes)


def _number(field: bytes, where: str) -> int:
    """Octal only: larger numbers than it holds are not ours."""
    text = field.rstrip(b" \0")
    if not _OCTAL.fullmatch(text):
        raise BundleError(f"{where}: has a number that is not octal")
    return int(text, 8)


def _string(prefix: bytes, name: bytes, where: str) -> str:
    parts = [part.partition(b"\0")[0] for part in (prefix, name)]
    try:
        return "/".join(part.decode("ascii") for part in parts if part)
    except UnicodeDecodeError:
        raise BundleError(f"{where}: its name is no ASCII") from None


def _text(file: IO[bytes], members: Mapping[str, Member], name: str, path: Path) -> bytes:
    member = members.get(name)
    if member is None:
        raise BundleError(f"{path}: {name} is missing")
    if member.size_bytes > TEXT_BYTES_MAX:
        raise BundleError(f"{path}: {name} has more than {TEXT_BYTES_MAX} bytes")
    file.seek(member.offset)
    return file.read(member.size_bytes)


@attrs.frozen
class _Entry:
    name: str
    sha256: str
    size_bytes: int


@attrs.frozen
class _Manifest:
    format: str
    version: int
    files: list[_Entry]


def _sums(raw: bytes, members: Mapping[str, Member], path: Path) -> Mapping[str, str]:
    """Members and manifest name the same files, each by its own checksum."""
    try:
        manifest = msgspec.json.decode(raw, type=_Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {MANIFEST}: {error}") from None
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise BundleError(
            f"{path}: is {manifest.format[:40]!r} version {manifest.version}: "
            f"{FORMAT} version {VERSION} is expected"
        )
    sums: dict[str, str] = {}
    for entry in manifest.files:
        member = members.get(entry.name)
        if member is None or member.size_bytes != entry.size_bytes or entry.name in sums:
            raise BundleError(f"{path}: {MANIFEST}: {entry.name[:120]} is not there as it says")
        if entry.name.split("/")[1:2] != [entry.sha256]:
            raise BundleError(f"{path}: {MANIFEST}: {entry.name[:120]} has another SHA-256")
        sums[entry.name] = entry.sha256
    strangers = members.keys() - sums.keys() - {MANIFEST, CATALOG, SUMS}
    if strangers:
        raise BundleError(f"{path}: {min(strangers)} is not in the manifest")
    return sums


def digest_of(path: Path, offset: int, size_bytes: int) -> str:
    """SHA-256 of that part of a file; of less where the file ends before."""
    hashed = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while size_bytes > 0 and (chunk := file.read(min(CHUNK, size_bytes))):
            hashed.update(chunk)
            size_bytes -= len(chunk)
    return hashed.hexdigest()
