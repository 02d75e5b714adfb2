"""`zk://[user:password@]h1:2181,h2:2181/path`, as -uri, -store.uri and Mesos itself write it."""

from __future__ import annotations

import re
from typing import Final

import attrs

DEFAULT_PORT: Final = 2181  # ZooKeeper's own
EXPECTED_ENSEMBLE: Final = "expected zk://HOST:PORT,HOST:PORT/PATH"

_HOST: Final = re.compile(
    r"(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,9}))?"
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class EnsembleError(ValueError):
    """What is wrong with the address, without its credentials; where it stood is not said."""


@attrs.frozen(kw_only=True)
class Ensemble:
    """A ZooKeeper ensemble, the path below which our nodes stand, and who we are there."""

    servers: tuple[str, ...]  # HOST:PORT each
    chroot: str = ""  # "" or /a/b, without a slash at the end
    credentials: str = attrs.field(default="", repr=False)  # user:password, or ""

    def __str__(self) -> str:
        """For people: without the credentials."""
        return f"zk://{','.join(self.servers)}{self.chroot}"

    @property
    def password(self) -> str:
        return self.credentials.partition(":")[2]


def is_ensemble(text: str) -> bool:
    return text.lower().startswith("zk://")


def read_ensemble(text: str) -> Ensemble:
    """The scheme may be absent. Raises EnsembleError, which never shows the credentials."""
    rest = text.strip()
    if is_ensemble(rest):
        rest = rest[len("zk://") :]
    elif scheme := _SCHEME.match(rest):
        raise EnsembleError(f"unknown scheme {scheme[0]!r}: {EXPECTED_ENSEMBLE}")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if "@" in path or (credentials and not re.fullmatch(r"[^:]+:.+", credentials)):
        # Nothing of the text is shown: part of it may be a password.
        raise EnsembleError("before the one @ stands USER:PASSWORD, without a slash")
    servers = tuple(_server(host) for host in hosts.split(","))
    return Ensemble(servers=servers, chroot=_chroot(path), credentials=credentials)


def _server(text: str) -> str:
    found = _HOST.fullmatch(text.strip())
    if found is None:
        raise EnsembleError(f"{text!r} is no HOST:PORT: {EXPECTED_ENSEMBLE}")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise EnsembleError(f"{text!r} has no port between 1 and 65535")
    return f"{found['host']}:{port}"


def _chroot(path: str) -> str:
    names = path.rstrip("/").split("/") if path.rstrip("/") else []
    for name in names:
        if name in ("", ".", "..") or not name.isprintable():
            raise EnsembleError(f"path {'/' + path!r} is no ZooKeeper path: expected /NAME/NAME")
    return "".join(f"/{name}" for name in names)


def looks_like_ensemble(text: str) -> bool:
    """`zk://...`, or a list of HOST:PORT; anything else may be a file's path."""
    if is_ensemble(text):
        return True
    hosts = text.partition("/")[0].rpartition("@")[2].split(",")
    found = [_HOST.fullmatch(host.strip()) for host in hosts]
    return all(host is not None and host["port"] is not None for host in found)
