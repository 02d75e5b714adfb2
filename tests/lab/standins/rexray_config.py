"""REX-Ray's config.yml, as far as it is written for ScaleIO: nested keys, and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PATH: Final = Path("/etc/rexray/config.yml")
DRV_CFG: Final = "/opt/emc/scaleio/sdc/bin/drv_cfg"
MOUNT: Final = "libstorage.integration.volume.operations.mount"
UNMOUNT: Final = "libstorage.integration.volume.operations.unmount"


class ConfigError(Exception):
    """REX-Ray cannot start with this; the text says what is wrong, never a secret."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A socket that Docker, or dvdcli, finds the driver by."""

    name: str
    socket: Path
    ignore_used_count: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    endpoint: str
    user: str
    password: str = field(repr=False)
    system_id: str
    system_name: str
    domain: str
    pool: str
    insecure: bool
    thin_or_thick: str
    preempt: bool
    drv_cfg: str
    modules: tuple[Module, ...]


def flat(text: str) -> dict[str, str]:
    """Dotted keys to values. Raises ConfigError for what the subset does not have."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []  # indentation and key of what is open
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        indentation = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= indentation:
            above.pop()
        key, colon, value = stripped.partition(":")
        if not colon or (value and not value.startswith(" ")) or line.startswith("\t"):
            raise ConfigError(f"line {number} is no 'key: value'")
        dotted = ".".join([*(name for _, name in above), key])
        if value.strip():
            found[dotted] = _scalar(value.strip(), number)
        else:
            above.append((indentation, key))
    return found


def _scalar(value: str, number: int) -> str:
    if not value.startswith("'"):
        return value
    inner = value[1:-1]
    if len(value) < 2 or not value.endswith("'") or "'" in inner.replace("''", ""):
        raise ConfigError(f"line {number} has a quote that does not end")
    return inner.replace("''", "'")


def load(path: Path = PATH) -> Config:
    """Raises ConfigError."""
    try:
        values = flat(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if values.get("libstorage.service") != "scaleio":
        raise ConfigError("libstorage.service is not scaleio: no other driver is here")
    return Config(
        endpoint=_needed(values, "scaleio.endpoint"),
        user=_needed(values, "scaleio.userName", "scaleio.userID"),
        password=_needed(values, "scaleio.password"),
        system_id=values.get("scaleio.systemID", ""),
        system_name=_needed(values, "scaleio.systemName", "scaleio.systemID"),
        domain=_needed(values, "scaleio.protectionDomainID", "scaleio.protectionDomainName"),
        pool=_needed(values, "scaleio.storagePoolID", "scaleio.storagePoolName"),
        insecure=_flag(values, "scaleio.insecure"),
        thin_or_thick=values.get("scaleio.thinOrThick", "ThinProvisioned"),
        preempt=_flag(values, f"{MOUNT}.preempt"),
        drv_cfg=values.get("scaleio.drvCfg", DRV_CFG),
        modules=_modules(values),
    )


def _needed(values: Mapping[str, str], *keys: str) -> str:
    for key in keys:
        if values.get(key):
            return values[key]
    raise ConfigError(f"{' or '.join(keys)} is missing")


def _flag(values: Mapping[str, str], key: str) -> bool:
    return values.get(key, "false").lower() == "true"


def _modules(values: Mapping[str, str]) -> tuple[Module, ...]:
    found = []
    for key, host in values.items():
        match key.split("."):
            case ["rexray", "modules", name, "host"] if host.startswith("unix://"):
                own = f"rexray.modules.{name}.{UNMOUNT}.ignoreUsedCount"
                ignored = _flag(values, own) or _flag(values, f"{UNMOUNT}.ignoreUsedCount")
                socket = Path(host.removeprefix("unix://"))
                found.append(Module(name=name, socket=socket, ignore_used_count=ignored))
            case ["rexray", "modules", name, "host"]:
                raise ConfigError(f"module {name}: host is no unix:// address")
    if not found:  # what the real one does without any
        found.append(Module(name="default-docker", socket=Path("/run/docker/plugins/rexray.sock")))
    return tuple(found)
