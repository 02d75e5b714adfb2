"""What a look before the first start has seen: right, wrong or unknown, with the cure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from domain.storage import StorageSnapshot

RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
CLOCK_S_MAX: Final = 60.0
CERTIFICATE_S_MIN: Final = 14 * 86400.0


@attrs.frozen(kw_only=True)
class Line:
    """`cure`: what to do about it; empty where it is right."""

    area: str
    subject: str
    verdict: str
    seen: str
    cure: str = ""


def right(area: str, subject: str, seen: str) -> Line:
    return Line(area=area, subject=subject, verdict=RIGHT, seen=seen)


def wrong(area: str, subject: str, seen: str, cure: str) -> Line:
    return Line(area=area, subject=subject, verdict=WRONG, seen=seen, cure=cure)


def unknown(area: str, subject: str, seen: str, cure: str) -> Line:
    return Line(area=area, subject=subject, verdict=UNKNOWN, seen=seen, cure=cure)


@attrs.frozen(kw_only=True)
class Wanted:
    """What the flags say of the storage cluster."""

    system_id: str = ""
    system_name: str = ""
    domain: str = ""
    pool: str = ""


def gateway(seen: StorageSnapshot, wanted: Wanted, unix: float) -> Iterator[Line]:
    """A good look at the storage cluster against what the flags expect of it."""
    version = ".".join(map(str, seen.api_version))
    yield right("gateway", "login", f"logged in at {seen.gateway_url}, API {version}")
    expected = {
        "id": (wanted.system_id, seen.system_id),
        "name": (wanted.system_name, seen.system_name),
    }
    for what, (asked, there) in expected.items():
        if asked and asked.lower() != there.lower():
            yield wrong(
                "gateway", f"system {what}", f"it is {there or 'not told'}, not {asked}",
                "correct the flag, or the Gateway's address",
            )  # fmt: skip
    if not any(asked for asked, _ in expected.values()):
        yield right("gateway", "system", f"{seen.system_name or seen.system_id}")
    if seen.mdm_normal:
        yield right("gateway", "MDM cluster", seen.mdm_detail or "normal")
    else:
        cure = "bring the missing MDM back: no host is rebooted meanwhile"
        yield wrong("gateway", "MDM cluster", f"not normal ({seen.mdm_detail})", cure)
    yield from _places(seen, wanted)
    if not seen.data_is_whole:
        cure = "wait until the rebuild is over: no host is rebooted meanwhile"
        yield wrong("gateway", "data", "is degraded, failed, or being rebuilt", cure)
    if seen.certificate_ends and seen.certificate_ends - unix < CERTIFICATE_S_MIN:
        days = (seen.certificate_ends - unix) / 86400
        yield wrong("gateway", "certificate", f"ends in {days:.0f} days", "renew it")


def _places(seen: StorageSnapshot, wanted: Wanted) -> Iterator[Line]:
    domains = {domain.name: domain.id for domain in seen.domains}
    if wanted.domain in domains:
        yield right("gateway", "protection domain", wanted.domain)
    else:
        cure = "nothing, if it is to be made; else correct -scaleio.protectiondomain"
        there = ", ".join(sorted(domains)) or "none"
        yield unknown("gateway", "protection domain", f"no {wanted.domain}, but {there}", cure)
    pools = {pool.name for pool in seen.pools if pool.domain_id == domains.get(wanted.domain)}
    if wanted.pool in pools:
        yield right("gateway", "storage pool", wanted.pool)
    else:
        cure = "nothing, if it is to be made; else correct -scaleio.storagepool"
        there = ", ".join(sorted(pools)) or "none"
        yield unknown("gateway", "storage pool", f"no {wanted.pool}, but {there}", cure)


def clock(whose: str, their_unix: float | None, unix: float) -> Line:
    """Ours against the clock of somebody who told it with the answer."""
    if their_unix is None:
        return unknown("clock", whose, "does not tell its time", "compare the clocks by hand")
    apart = unix - their_unix
    if abs(apart) <= CLOCK_S_MAX:
        return right("clock", whose, f"{abs(apart):.0f} s apart at most")
    ahead = "ahead of" if apart > 0 else "behind"
    return wrong("clock", whose, f"ours is {abs(apart):.0f} s {ahead} it", "start NTP on both")


def roles(role: str, flags: Mapping[str, str]) -> Line:
    """The master's -roles is a whitelist (deprecated, and still there in 1.x)."""
    named = tuple(filter(None, flags.get("roles", "").split(",")))
    if not named or role in (*named, "*"):
        return right("master", "role", role)
    return wrong(
        "master", "role", f"the master takes only {', '.join(named)}",
        f"start the masters with {role} in --roles, or take another -role",
    )  # fmt: skip


def master_version(text: str) -> Line:
    parts = text.split(".")
    if len(parts) >= 2 and parts[0].isdigit() and int(parts[0]) >= 1:
        return right("master", "version", text)
    return wrong("master", "version", text or "not told", "Mesos 1.0 or newer is needed")


def counts(lines: Iterable[Line]) -> dict[str, int]:
    found = {RIGHT: 0, WRONG: 0, UNKNOWN: 0}
    for line in lines:
        found[line.verdict] += 1
    return found
