"""The operator's package catalog: which file brings which component to which platform.

Nothing here has a default: the vendors' download sites are gone, and the packages are not free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs
import msgspec

from domain.facts import Facts
from install_steps.facts import family_of

CATALOG_CHARACTERS_MAX: Final = 4 * 1024 * 1024
PACKAGE_BYTES_MAX: Final = 4 * 1024**3
COMPONENTS: Final = ("sds", "sdc", "rexray", "dvdcli")
PLATFORMS: Final = ("debian", "ubuntu", "centos", "rhel", "rocky", "almalinux", "ol")
SUPPORTED: Final = "Debian, Ubuntu, CentOS, RHEL and their rebuilds on x86_64 are supported"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:+~_-]{0,63}")
_KERNEL: Final = re.compile(r"[A-Za-z0-9._+*-]{1,128}")
_URL: Final = re.compile(r"[A-Za-z0-9._:/?#@!$&()*+,;=%~-]{1,2048}")
_ENDINGS: Final = (".deb", ".rpm", ".tar.gz", ".tgz")
_TOP: Final = frozenset({"version", "comment", "packages"})
_ENTRY: Final = frozenset(
    {
        "component", "version", "platforms", "url", "sha256", "size_bytes", "kernels",
        "allow_http", "comment",
    }
)  # fmt: skip


class CatalogError(Exception):
    """The catalog is wrong: one line with what, where, and what is expected."""


@attrs.frozen(kw_only=True)
class Platform:
    """`os_version` is a prefix by whole parts: 7 fits 7 and 7.9, not 71; "" fits every version."""

    os_id: str
    os_version: str = ""

    def fits(self, facts: Facts) -> bool:
        if self.os_id != facts.os_id:
            return False
        version = self.os_version
        return not version or f"{facts.os_version}.".startswith(f"{version}.")


@attrs.frozen(kw_only=True)
class Package:
    """One verified file. `kernels`: those that this SDC has a module for; patterns with `*`."""

    component: str
    version: str
    platforms: tuple[Platform, ...]
    url: str
    sha256: str
    size_bytes: int
    kernels: tuple[str, ...] = ()
    allow_http: bool = False


@attrs.frozen(kw_only=True)
class Catalog:
    source: str
    packages: tuple[Package, ...] = ()

    def package_for(self, component: str, facts: Facts) -> Package | None:
        """The entry with the most exact platform."""
        fitting = [
            (len(platform.os_version), package)
            for package in self.packages
            if package.component == component
            for platform in package.platforms
            if platform.fits(facts)
        ]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def same_version(installed: str, wanted: str) -> bool:
    """Equal, or with the platform's part behind the build number (2.0-10000.2072.el7)."""
    return installed == wanted or installed.startswith((f"{wanted}.", f"{wanted}-"))


def load_catalog(text: str, source: str) -> Catalog:
    """The catalog in a JSON text; `source` names it in errors. Raises CatalogError."""
    if len(text) > CATALOG_CHARACTERS_MAX:
        raise CatalogError(f"{source}: {len(text)} characters, at most {CATALOG_CHARACTERS_MAX}")
    try:
        decoded: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CatalogError(f"{source}: is no JSON ({error}): a JSON object is expected") from None
    top = _Reader(where=source, values=_object(decoded, source))
    top.only(_TOP)
    if top.values.get("version") != 1:
        raise CatalogError(f"{source}: version is {top.shown('version')}: 1 is expected")
    packages = tuple(
        _package(_Reader(where=(place := f"{source}: packages[{n}]"), values=_object(e, place)))
        for n, e in enumerate(top.items("packages"))
    )
    _no_duplicates(packages, source)
    return Catalog(source=source, packages=packages)


@attrs.frozen(kw_only=True)
class _Reader:
    """Members of one JSON object, with the place for errors."""

    where: str
    values: Mapping[str, object]

    def fault(self, name: str, expected: str) -> CatalogError:
        return CatalogError(f"{self.where}: {name} is {self.shown(name)}: {expected} is expected")

    def shown(self, name: str) -> str:
        if name not in self.values:
            return "missing"
        return repr(self.values[name])[:80]

    def only(self, known: frozenset[str]) -> None:
        for name in self.values:
            if name not in known:
                raise CatalogError(
                    f"{self.where}: unknown member {name[:40]!r}: one of "
                    f"{', '.join(sorted(known))} is expected"
                )

    def text(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.fault(name, expected)
        return value

    def choice(self, name: str, choices: Iterable[str]) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or value not in choices:
            raise self.fault(name, f"one of {', '.join(choices)}")
        return value

    def items(self, name: str) -> list[object]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.fault(name, "a list")
        return value


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise CatalogError(f"{where}: is a {type(value).__name__}: a JSON object is expected")
    return value


def _package(reader: _Reader) -> Package:
    reader.only(_ENTRY)
    component = reader.choice("component", COMPONENTS)
    allow_http = reader.values.get("allow_http", False)
    if not isinstance(allow_http, bool):
        raise reader.fault("allow_http", "true or false")
    size = reader.values.get("size_bytes")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= PACKAGE_BYTES_MAX:
        raise reader.fault("size_bytes", f"the file's size, 1 to {PACKAGE_BYTES_MAX},")
    return Package(
        component=component,
        version=reader.text("version", _VERSION, "the version that the package database shows"),
        platforms=_platforms(reader),
        url=_url(reader, component, allow_http=allow_http),
        sha256=reader.text("sha256", _SHA256, "the file's SHA-256 as 64 lower-case hex digits"),
        size_bytes=size,
        kernels=_kernels(reader, component),
        allow_http=allow_http,
    )


def _platforms(reader: _Reader) -> tuple[Platform, ...]:
    platforms: list[Platform] = []
    for n, item in enumerate(reader.items("platforms")):
        where = f"{reader.where}.platforms[{n}]"
        inner = _Reader(where=where, values=_object(item, where))
        inner.only(frozenset({"os_id", "os_version"}))
        os_id = inner.choice("os_id", PLATFORMS)
        os_version = ""
        if "os_version" in inner.values:
            os_version = inner.text("os_version", _VERSION, "a version such as 14.04 or 7")
        platforms.append(Platform(os_id=os_id, os_version=os_version))
    if not platforms:
        raise reader.fault("platforms", "at least one object with os_id and os_version")
    return tuple(platforms)


def _url(reader: _Reader, component: str, *, allow_http: bool) -> str:
    url = reader.text("url", _URL, "a URL without blanks or quotes")
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username
    except ValueError:
        raise reader.fault("url", "a URL") from None
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise reader.fault("url", "an https URL (or http together with allow_http)")
    if not host:
        raise reader.fault("url", "a URL with a host")
    if user is not None:
        raise CatalogError(
            f"{reader.where}: url holds credentials, and task environments can be read in Mesos: "
            "a URL without them is expected"
        )
    endings = _ENDINGS if component in {"rexray", "dvdcli"} else _ENDINGS[:2]
    if not parts.path.endswith(endings):
        raise reader.fault("url", f"a file that ends in {', '.join(endings)}")
    return url


def _kernels(reader: _Reader, component: str) -> tuple[str, ...]:
    kernels = reader.items("kernels")
    found = tuple(k for k in kernels if isinstance(k, str) and _KERNEL.fullmatch(k))
    if len(found) != len(kernels):
        raise reader.fault("kernels", "a list of kernel releases as uname -r prints them")
    if component == "sdc" and not found:
        raise reader.fault("kernels", "a list with the kernel releases that this SDC supports")
    if component != "sdc" and found:
        raise CatalogError(
            f"{reader.where}: kernels belongs to component sdc only: leave it out for {component}"
        )
    return found


def _no_duplicates(packages: tuple[Package, ...], source: str) -> None:
    seen: dict[tuple[str, Platform], int] = {}
    for n, package in enumerate(packages):
        for platform in package.platforms:
            first = seen.setdefault((package.component, platform), n)
            if first != n or package.platforms.count(platform) > 1:
                raise CatalogError(
                    f"{source}: packages[{n}]: {package.component} for {platform.os_id} "
                    f"{platform.os_version} stands twice (first in packages[{first}]): "
                    "one entry is expected"
                )


def platform_fault(facts: Facts) -> str:
    """Why nothing can be installed on this platform; "" when it can."""
    if not family_of(facts.os_id, facts.os_like):
        name = f"{facts.os_id or 'unknown'} {facts.os_version}".strip()
        return f"platform {name} is not supported: {SUPPORTED}"
    if facts.architecture != "x86_64":
        return f"architecture {facts.architecture} is not supported: {SUPPORTED}"
    if not facts.init:
        return (
            "process 1 of the host is no init system, so nothing is installed: "
            "is the Mesos agent itself in a container?"
        )
    return ""
