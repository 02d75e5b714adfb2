"""Which of our addresses others can reach."""

from __future__ import annotations

import ipaddress
import socket
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
