"""Where a store is: reading `-store.uri`, /etc/mesos/zk and the master's `zk` flag. No I/O."""

from __future__ import annotations

import re
from typing import Final

import attrs

DEFAULT_PORT: Final = 2181  # ZooKeeper's own

EXPECTED: Final = "expected zk://HOST:PORT,HOST:PORT/PATH, or HOST:PORT,HOST:PORT, or a file's path"
_EXPECTED_ENSEMBLE: Final = "expected zk://HOST:PORT,HOST:PORT/PATH"

_HOST: Final = re.compile(
    r"(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]+))?"
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class StoreChoiceError(ValueError):
    """The settings name no store that we can use; one line for the operator."""


class StoreUriError(StoreChoiceError):
    """An address that cannot be read: says what, where it was found, and what was expected."""


class StoreTypeError(StoreChoiceError):
    """A kind of store that is not built."""


@attrs.frozen(kw_only=True)
class Ensemble:
    """A ZooKeeper ensemble, the path below which our nodes stand, and who we are there."""

    servers: tuple[str, ...]  # HOST:PORT each
    chroot: str = ""  # "" or /a/b, without a slash at the end
    credentials: str = attrs.field(default="", repr=False)  # user:password, or ""

    def __str__(self) -> str:
        """For people: without the credentials."""
        return f"zk://{','.join(self.servers)}{self.chroot}"


def parse_ensemble(text: str, *, source: str) -> Ensemble:
    """`zk://[user:password@]h1:2181,h2:2181/path`, the scheme may be absent.

    `source` tells people where the text was found. Raises StoreUriError, which never shows
    the credentials.
    """
    rest = text.strip()
    if rest.lower().startswith("zk://"):
        rest = rest[len("zk://") :]
    elif scheme := _SCHEME.match(rest):
        raise StoreUriError(f"{source}: unknown scheme {scheme[0]!r}: {_EXPECTED_ENSEMBLE}")
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if "@" in path or (credentials and not re.fullmatch(r"[^:]+:.+", credentials)):
        # Nothing of the text is shown: part of it may be a password.
        raise StoreUriError(f"{source}: before the one @ stands USER:PASSWORD, without a slash")
    servers = tuple(_server(host, source) for host in hosts.split(","))
    return Ensemble(servers=servers, chroot=_chroot(path, source), credentials=credentials)


def _server(text: str, source: str) -> str:
    found = _HOST.fullmatch(text.strip())
    if found is None:
        raise StoreUriError(f"{source}: {text!r} is no HOST:PORT: {_EXPECTED_ENSEMBLE}")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise StoreUriError(f"{source}: {text!r} has no port between 1 and 65535")
    return f"{found['host']}:{port}"


def _chroot(path: str, source: str) -> str:
    names = path.rstrip("/").split("/") if path.rstrip("/") else []
    for name in names:
        if name in ("", ".", "..") or not name.isprintable():
            raise StoreUriError(
                f"{source}: path {'/' + path!r} is no ZooKeeper path: expected /NAME/NAME"
            )
    return "".join(f"/{name}" for name in names)


def looks_like_ensemble(text: str) -> bool:
    """`zk://...`, or a list of HOST:PORT; anything else may be a file's path."""
    if text.lower().startswith("zk://"):
        return True
    hosts = text.partition("/")[0].rpartition("@")[2].split(",")
    found = [_HOST.fullmatch(host.strip()) for host in hosts]
    return all(host is not None and host["port"] is not None for host in found)


def looks_like_path(text: str) -> bool:
    """A path with a folder in it, or a name that ends as database files do."""
    return text.startswith(("/", "./", "../", "~/")) or text.endswith((".db", ".sqlite"))
