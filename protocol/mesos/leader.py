"""How masters announce themselves in ZooKeeper: node names, and MasterInfo as JSON (v0).

Each candidate has an ephemeral node `json.info_<10 digits>`; the lowest number leads. Masters
before 0.24 wrote `info_<10 digits>` with protobuf in it, and the registry's replicas stand in
the same folder: both say nothing to us.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from protocol.mesos.errors import RemoteMesosError

INFO_BYTES_MAX: Final = 65536  # a MasterInfo has less than 1 KB

_NODE: Final = re.compile(r"json\.info_([0-9]{10})", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?", re.ASCII)
_SHOWN: Final = 60


@attrs.frozen(kw_only=True)
class Announced:
    """Where a master says that it is. Of `ip` and `hostname` one may be empty, never both."""

    ip: str
    hostname: str
    port: int


def candidates(children: Iterable[str]) -> tuple[str, ...]:
    """The nodes of masters among all that are there, the leader's first."""
    return tuple(sorted(name for name in children if _NODE.fullmatch(name)))


def parse_master_info(data: bytes) -> Announced:
    """A node's content. Raises RemoteMesosError, which shows a part of it."""
    if len(data) > INFO_BYTES_MAX:
        raise RemoteMesosError(f"{len(data)} bytes are too many for a MasterInfo")
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RemoteMesosError(f"no JSON: {data[:_SHOWN]!r}") from error
    info = _object(raw)
    address = _object(info.get("address"))
    ip, port = _place(info, address)
    hostname = _hostname(address.get("hostname")) or _hostname(info.get("hostname"))
    if not port or not (ip or hostname):
        raise RemoteMesosError(f"no address with a port in it: {data[:_SHOWN]!r}")
    return Announced(ip=ip, hostname=hostname, port=port)


def bases(announced: Announced, *, scheme: str) -> tuple[str, ...]:
    """scheme://host:port by address and by name, the likelier one first.

    The address is what the master itself listens on or advertises, and needs no resolver; names
    are often known within the cluster only. A certificate, though, is made out to a name.
    """
    hosts = [announced.ip, announced.hostname]
    if scheme == "https":
        hosts.reverse()
    return tuple(
        f"{scheme}://{f'[{host}]' if ':' in host else host}:{announced.port}"
        for host in dict.fromkeys(filter(None, hosts))
    )


def _place(info: Mapping[str, object], address: Mapping[str, object]) -> tuple[str, int]:
    """Address and port from one source: `address`, `pid`, or the deprecated integer `ip`."""
    if port := _port(address.get("port")):
        return _ip(address.get("ip")), port
    host, _, number = _text(info.get("pid")).rpartition("@")[2].rpartition(":")
    if (port := _port(int(number) if re.fullmatch(r"[0-9]{1,5}", number) else 0)) and _ip(host):
        return _ip(host), port
    return _legacy_ip(info.get("ip")), _port(info.get("port"))


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _port(value: object) -> int:
    """0 for what is no port."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return number if 0 < number < 65536 else 0


def _ip(value: object) -> str:
    """Empty for what is no address that can be connected to."""
    try:
        ip = ipaddress.ip_address(_text(value).removeprefix("[").removesuffix("]"))
    except ValueError:
        return ""
    scoped = isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None
    return "" if ip.is_unspecified or ip.is_multicast or scoped else str(ip)


def _legacy_ip(value: object) -> str:
    """Four bytes in network order, read as an integer by the master's own (little-endian) host."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return _ip(".".join(map(str, number.to_bytes(4, "little")))) if 0 < number < 2**32 else ""


def _hostname(value: object) -> str:
    text = _text(value)
    return _ip(text) or (text if _NAME.fullmatch(text) and not _numbers(text) else "")


def _numbers(text: str) -> bool:
    """An address that is none, such as 0.0.0.0 or 300.1.2.3: no resolver is asked for it."""
    return re.fullmatch(r"[0-9.]+", text) is not None
