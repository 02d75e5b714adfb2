"""`drv_cfg.txt`, the SDC's own memory: an `ini_guid` line, and a `mdm` line for each cluster."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

PATH: Final = Path("/bin/emc/scaleio/drv_cfg.txt")

Addresses = tuple[str, ...]


class ConfigError(Exception):
    """What was asked for does not fit the managers that are there."""


@dataclass(frozen=True, kw_only=True)
class SdcConfig:
    guid: str = ""
    clusters: tuple[Addresses, ...] = ()

    def adding(self, addresses: Addresses) -> SdcConfig:
        """Another cluster. Raises ConfigError."""
        for cluster in self.clusters:
            if set(cluster) & set(addresses):
                raise ConfigError(f"MDM {','.join(addresses)} is already known")
        return replace(self, clusters=(*self.clusters, addresses))

    def changing(self, address: str, addresses: Addresses) -> SdcConfig:
        """New addresses for the cluster that has `address`. Raises ConfigError."""
        if not any(address in cluster for cluster in self.clusters):
            raise ConfigError(f"MDM {address} is not known")
        changed = (addresses if address in cluster else cluster for cluster in self.clusters)
        return replace(self, clusters=tuple(changed))


def addresses_in(text: str) -> Addresses:
    return tuple(dict.fromkeys(part for part in text.split(",") if part))


def read(path: Path = PATH) -> SdcConfig:
    """An absent file is an empty configuration."""
    guid, clusters = "", []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        match line.split():
            case ["ini_guid", value]:
                guid = value.upper()
            case ["mdm", *values]:
                clusters.append(addresses_in(",".join(values)))
    return SdcConfig(guid=guid, clusters=tuple(clusters))


def write(config: SdcConfig, path: Path = PATH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"ini_guid {config.guid}"]
    lines += [f"mdm {','.join(cluster)}" for cluster in config.clusters]
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def installed(mdm_ip: str, path: Path = PATH) -> SdcConfig:
    """What the package's installation leaves: a GUID that stays, and the managers it was told."""
    config = read(path)
    if not config.guid:
        guid = str(uuid.UUID(bytes=os.urandom(16), version=4)).upper()
        config = replace(config, guid=guid)
    if mdm_ip and not config.clusters:
        config = replace(config, clusters=(addresses_in(mdm_ip),))
    write(config, path)
    return config
