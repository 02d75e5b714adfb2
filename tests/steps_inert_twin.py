"""What the inert steps pretend, for the other side of a test."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

STEPS_DIR: Final = Path(__file__).parent / "steps_inert"
INERT_KERNEL: Final = "6.1.0-18-amd64"
INERT_OS: Final = ("debian", "12")
INERT_DISK_BYTES: Final = 214748364800
INERT_DISKS: Final = tuple(f"/dev/disk/by-id/ata-INERT_DISK{n}" for n in (1, 2, 3))


def inert_guid(hostname: str) -> str:
    """The SDC's GUID that the inert steps give for a host."""
    digits = hashlib.sha256(hostname.encode()).hexdigest()[:32].upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
