"""Devices and SDSs that differ from their peers, by what the storage cluster measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Final

from domain.conditions import Finding, finding
from domain.storage import DeviceState, SdsState, StorageSnapshot

PEERS_MIN: Final = 5  # fewer have no usual value
SLOW_TIMES: Final = 4.0  # the median of its pool
SLOW_US: Final = 20_000  # faster than that is not slow, whatever the others are
BUSY_TIMES: Final = 4.0  # the median of its protection domain
BUSY_KBPS: Final = 50 * 1024
STAYS: Final = 0.75  # of a limit: what is called so stays so until it falls below


def found(storage: StorageSnapshot, before: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """`before`: (name, subject) of what was found in the last look."""
    names = {sds.id: sds.name for sds in storage.sds}
    slow: dict[str, list[DeviceState]] = {}
    for device in _slow_devices(storage, names, before):
        slow.setdefault(device.sds_id, []).append(device)
    for sds_id, devices in slow.items():
        yield from _told(storage, sds_id, names.get(sds_id, sds_id), devices)
    yield from _busy(storage.sds, before)


def _slow_devices(
    storage: StorageSnapshot, names: Mapping[str, str], before: frozenset[tuple[str, str]]
) -> Iterator[DeviceState]:
    pools: dict[str, list[DeviceState]] = {}
    for device in storage.devices:
        if latency_us(device):
            pools.setdefault(device.pool_id, []).append(device)
    for devices in pools.values():
        if len(devices) < PEERS_MIN:
            continue
        limit_us = max(SLOW_US, SLOW_TIMES * median(map(latency_us, devices)))
        for device in devices:
            name = names.get(device.sds_id, device.sds_id)
            was = {("device-slow", _subject(device, name)), ("sds-slow", name)} & before
            if latency_us(device) >= limit_us * (STAYS if was else 1.0):
                yield device


def _told(
    storage: StorageSnapshot, sds_id: str, name: str, slow: list[DeviceState]
) -> Iterator[Finding]:
    """One word for the SDS where it is not the disks that are slow."""
    all_of_it = storage.devices_of(sds_id)
    if len(slow) > 1 and len(slow) * 2 > len(all_of_it):
        worst = max(map(latency_us, slow))
        text = f"SDS {name}: {len(slow)} of {len(all_of_it)} devices are slow, up to {_ms(worst)}"
        yield finding("sds-slow", name, text, objects=(d.path for d in slow))
        return
    for device in slow:
        subject = _subject(device, name)
        text = (
            f"device {subject}: a read takes {_ms(device.read_us)}, a write "
            f"{_ms(device.write_us)}, {SLOW_TIMES:g} times and more what is usual in its pool"
        )
        yield finding("device-slow", subject, text)


def _busy(all_sds: Iterable[SdsState], before: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    domains: dict[str, list[SdsState]] = {}
    for sds in all_sds:
        domains.setdefault(sds.domain_id, []).append(sds)
    for members in domains.values():
        if len(members) < PEERS_MIN:
            continue
        usual = median(map(traffic_kbps, members))
        limit = max(BUSY_KBPS, BUSY_TIMES * usual)
        for sds in members:
            is_known = ("sds-traffic", sds.name) in before
            if traffic_kbps(sds) >= limit * (STAYS if is_known else 1.0):
                text = (
                    f"SDS {sds.name} carries {traffic_kbps(sds) >> 10} MB/s, "
                    f"half of its peers less than {round(usual) >> 10} MB/s"
                )
                yield finding("sds-traffic", sds.name, text)


def latency_us(device: DeviceState) -> int:
    """The worse of both; 0: idle, or not told."""
    return max(device.read_us, device.write_us)


def traffic_kbps(sds: SdsState) -> int:
    return sds.read_kbps + sds.write_kbps


def _subject(device: DeviceState, sds_name: str) -> str:
    return f"{device.path} of {sds_name}"


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms"
