"""Which of our addresses others can reach."""

from __future__ import annotations

import ipaddress
import socket
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def address_towards(*urls: str) -> str:
    """Our address as seen from the first of these that is elsewhere; nothing is sent."""
    hosts = [urlsplit(url if "://" in url else f"//{url}").hostname or "" for url in urls]
    # The documentation networks stand for "anywhere": the default route decides.
    for host in (*hosts, "192.0.2.1", "2001:db8::1"):
        try:
            family, kind, _, _, where = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as probe:
                probe.connect(where)
                ours = ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0])
        except (OSError, ValueError):
            continue
        if not (ours.is_loopback or ours.is_link_local or ours.is_unspecified):
            return str(ours)
    return "127.0.0.1"


def own_addresses(*names: str) -> frozenset[str]:
    """Every address of this host: what the kernel calls local, and what the names resolve to.

    Loopback is left out: every host has it. A name that does not resolve adds nothing.
    """
    found = {*_kernel_v4(), *_kernel_v6()}
    for name in names:
        try:
            found |= {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(name, 9)}
        except (OSError, UnicodeError):
            continue
    return frozenset(a for a in found if not ipaddress.ip_address(a).is_loopback)


def _kernel_v4() -> list[str]:
    """/proc/net/fib_trie: an address stands on the line before `/32 host LOCAL`."""
    lines = _lines("/proc/net/fib_trie")
    return [one.split()[-1] for one, after in pairwise(lines) if "/32 host LOCAL" in after]


def _kernel_v6() -> list[str]:
    """/proc/net/if_inet6: 32 digits first on each line."""
    found = [line.split()[0] for line in _lines("/proc/net/if_inet6") if line.split()]
    return [str(ipaddress.IPv6Address(int(digits, 16))) for digits in found]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
