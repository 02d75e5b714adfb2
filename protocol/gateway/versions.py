"""What differs between ScaleIO 2.0 and PowerFlex 4.x, as far as this client can notice."""

from __future__ import annotations

import re
from typing import Final

ApiVersion = tuple[int, int]

BEARER_SINCE: Final[ApiVersion] = (4, 0)
POOL_MEDIA_TYPE_SINCE: Final[ApiVersion] = (3, 5)
ALERTS_SINCE: Final[ApiVersion] = (2, 0)
MDM_CLUSTER_SINCE: Final[ApiVersion] = (2, 0)

JOINT_STATISTICS_SINCE: Final[ApiVersion] = (2, 5)  # several types in one request

_Sets = tuple[tuple[ApiVersion, tuple[str, ...]], ...]

# One unknown property fails a whole statistics query with 400, so each set holds only what
# that release and all later ones are known to have.
_POOL_STATISTICS: Final[_Sets] = (
    (
        (0, 0),
        (
            "capacityLimitInKb",
            "maxCapacityInKb",
            "capacityInUseInKb",
            "spareCapacityInKb",
            "capacityAvailableForVolumeAllocationInKb",
            "degradedHealthyCapacityInKb",
            "degradedFailedCapacityInKb",
            "failedCapacityInKb",
            "movingCapacityInKb",
            "thinCapacityAllocatedInKm",
            "userDataReadBwc",
            "userDataWriteBwc",
        ),
    ),
    (
        (2, 5),
        (
            "pendingFwdRebuildCapacityInKb",
            "pendingBckRebuildCapacityInKb",
            "pendingNormRebuildCapacityInKb",
            "pendingRebalanceCapacityInKb",
        ),
    ),
)

_SDS_STATISTICS: Final[_Sets] = (((0, 0), ("totalReadBwc", "totalWriteBwc")),)
_DEVICE_STATISTICS: Final[_Sets] = (
    ((0, 0), ("avgReadLatencyInMicrosec", "avgWriteLatencyInMicrosec", "fixedReadErrorCount")),
)

_VERSION: Final = re.compile(r"(\d{1,6})\.(\d{1,6})", re.ASCII)


def parse_version(text: str) -> ApiVersion | None:
    """The first two numbers of `2.5` or `3.6.0.1`, whatever stands around; None without."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else None


def version_text(version: ApiVersion) -> str:
    return f"{version[0]}.{version[1]}"


def pool_statistics(version: ApiVersion) -> tuple[str, ...]:
    return _known_to(version, _POOL_STATISTICS)


def pool_essentials(version: ApiVersion) -> tuple[str, ...]:
    """What tells whether data is whole, and how full a pool is: in every release."""
    ornaments = {"thinCapacityAllocatedInKm", "userDataReadBwc", "userDataWriteBwc"}
    return tuple(name for name in pool_statistics(version) if name not in ornaments)


def sds_statistics(version: ApiVersion) -> tuple[str, ...]:
    return _known_to(version, _SDS_STATISTICS)


def device_statistics(version: ApiVersion) -> tuple[str, ...]:
    return _known_to(version, _DEVICE_STATISTICS)


def _known_to(version: ApiVersion, sets: _Sets) -> tuple[str, ...]:
    return tuple(name for since, names in sets if version >= since for name in names)
