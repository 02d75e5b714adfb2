"""The data of the lab's volumes: one sparse file each, which the hosts have in common."""

from __future__ import annotations

import os
from pathlib import Path

import attrs


@attrs.frozen
class Volumes:
    folder: Path

    def create(self, volume_id: str, size_bytes: int) -> None:
        path = self.folder / volume_id
        with path.open("xb") as file:
            file.truncate(size_bytes)
        path.chmod(0o600)

    def remove(self, volume_id: str) -> None:
        (self.folder / volume_id).unlink(missing_ok=True)

    def fence(self, volume_id: str) -> None:
        """Who had the volume until now keeps a dead copy: what it still writes changes nothing.

        The host that lost it may be alive, with unwritten pages. A real SDS refuses these; here
        the file's name goes to a new file with the same data.
        """
        path = self.folder / volume_id
        temporary = path.with_name(f".{volume_id}.new")
        with path.open("rb") as old, temporary.open("wb") as new:
            copy_sparse(old.fileno(), new.fileno())
        temporary.chmod(0o600)
        temporary.replace(path)


def copy_sparse(old: int, new: int) -> None:
    """What is a hole in the one is a hole in the other."""
    end = os.fstat(old).st_size
    os.truncate(new, end)
    at = 0
    while at < end:
        try:
            first = os.lseek(old, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        at = os.lseek(old, first, os.SEEK_HOLE)
        while first < at:
            copied = os.copy_file_range(old, new, at - first, first, first)
            if not copied:
                return
            first += copied
