"""The operator's package catalog: which file brings which component to which platform.

Nothing here has a default: the vendors' download sites are gone, and the packages are not free.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs
import msgspec

from domain.facts import Facts
from install_steps.concerns import too_old
from install_steps.facts import family_of

CATALOG_CHARACTERS_MAX: Final = 4 * 1024 * 1024
PACKAGE_BYTES_MAX: Final = 4 * 1024**3
DEPENDENCY: Final = "dependency"  # a package of the distribution, for hosts without its archive
COMPONENTS: Final = ("sds", "sdc", "rexray", "dvdcli", DEPENDENCY)
URLS_MAX: Final = 16
DEPENDENCIES_MAX: Final = 64  # of one platform: each is a variable of the step
PLATFORMS: Final = ("debian", "ubuntu", "centos", "rhel", "rocky", "almalinux", "ol")
SUPPORTED: Final = "Debian, Ubuntu, CentOS, RHEL and their rebuilds on x86_64 are supported"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:+~_-]{0,63}")
_KERNEL: Final = re.compile(r"[A-Za-z0-9._+*-]{1,128}")
_URL: Final = re.compile(r"[A-Za-z0-9._:/?#@!$&()*+,;=%~-]{1,2048}")
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+~-]{1,2048}")
_FILE_CHARACTERS_MAX: Final = 100  # what a plain tar has room for
_FILE: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._+~-]{{0,{_FILE_CHARACTERS_MAX - 1}}}")
_MEMBER: Final = re.compile(r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[A-Za-z0-9._/+~-]{1,200}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}")
_PACKAGES: Final = (".deb", ".rpm")
_BINARIES: Final = (".deb", ".rpm", ".tar.gz", ".tgz")  # an archive with the program itself
_ARCHIVES: Final = (".deb", ".rpm", ".tar", ".tar.gz", ".tgz")  # an archive with the package
_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "sds": _ARCHIVES, "sdc": _ARCHIVES, "rexray": _BINARIES, "dvdcli": _BINARIES,
    DEPENDENCY: _PACKAGES,
}  # fmt: skip
_TOP: Final = frozenset({"version", "comment", "packages"})
_ENTRY: Final = frozenset(
    {
        "component", "name", "version", "platforms", "url", "urls", "file", "sha256",
        "size_bytes", "member", "kernels", "upgrade", "downgrade", "allow_http", "comment",
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
    """One verified file. `kernels`: those that this SDC has a module for; patterns with `*`.

    `urls`: mirrors, in order; none where only the scheduler itself has the `file`.
    `name`: a dependency's, in the package database. `member`: the one to take out of an archive.
    `upgrade`, `downgrade`: an older, a newer installed version is replaced in place.
    """

    component: str
    name: str = ""
    version: str
    platforms: tuple[Platform, ...]
    urls: tuple[str, ...]
    file: str
    sha256: str
    size_bytes: int
    member: str = ""
    kernels: tuple[str, ...] = ()
    upgrade: bool = False
    downgrade: bool = False
    allow_http: bool = False

    @property
    def url(self) -> str:
        """The first mirror; "" where there is none."""
        return self.urls[0] if self.urls else ""


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

    def dependencies_for(self, facts: Facts) -> tuple[Package, ...]:
        """Per name the entry with the most exact platform, in the order of the catalog."""
        found: dict[str, tuple[int, Package]] = {}
        for package in self.packages:
            exact = [len(p.os_version) for p in package.platforms if p.fits(facts)]
            if package.component != DEPENDENCY or not exact:
                continue
            if package.name not in found or max(exact) > found[package.name][0]:
                found[package.name] = (max(exact), package)
        return tuple(package for _, package in found.values())


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

    def switch(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
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
    allow_http = reader.switch("allow_http")
    size = reader.values.get("size_bytes")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= PACKAGE_BYTES_MAX:
        raise reader.fault("size_bytes", f"the file's size, 1 to {PACKAGE_BYTES_MAX},")
    urls = _urls(reader, component, allow_http=allow_http)
    file = _file(reader, component, urls)
    return Package(
        component=component,
        name=_name(reader, component),
        version=reader.text("version", _VERSION, "the version that the package database shows"),
        platforms=_platforms(reader),
        urls=urls,
        file=file,
        sha256=reader.text("sha256", _SHA256, "the file's SHA-256 as 64 lower-case hex digits"),
        size_bytes=size,
        member=_member(reader, component, file),
        kernels=_kernels(reader, component),
        upgrade=reader.switch("upgrade"),
        downgrade=reader.switch("downgrade"),
        allow_http=allow_http,
    )


def _name(reader: _Reader, component: str) -> str:
    if component == DEPENDENCY:
        return reader.text("name", _NAME, "the name that the package database shows")
    if "name" in reader.values:
        raise CatalogError(
            f"{reader.where}: name belongs to component {DEPENDENCY} only: "
            f"leave it out for {component}"
        )
    return ""


def _member(reader: _Reader, component: str, file: str) -> str:
    if "member" not in reader.values:
        return ""
    if component not in {"sds", "sdc"} or file.endswith(_PACKAGES):
        raise CatalogError(
            f"{reader.where}: member belongs to the archives of sds and sdc only: leave it out"
        )
    return reader.text("member", _MEMBER, "the path of the package in the archive")


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


def _urls(reader: _Reader, component: str, *, allow_http: bool) -> tuple[str, ...]:
    """`url`, then `urls`: each mirror once."""
    named: list[tuple[str, object]] = []
    if "url" in reader.values or not {"urls", "file"} & reader.values.keys():
        named.append(("url", reader.values.get("url")))
    listed = reader.items("urls")
    if "urls" in reader.values and not 0 < len(listed) <= URLS_MAX:
        raise reader.fault("urls", f"a list of 1 to {URLS_MAX} URLs")
    named.extend((f"urls[{n}]", url) for n, url in enumerate(listed))
    values = {name: value for name, value in named if value is not None}
    inner = attrs.evolve(reader, values=values)
    return tuple(
        dict.fromkeys(_url(inner, name, component, allow_http=allow_http) for name, _ in named)
    )


def _url(reader: _Reader, name: str, component: str, *, allow_http: bool) -> str:
    url = reader.text(name, _URL, "a URL without blanks or quotes")
    try:
        parts = urlsplit(url)
        host, user, _port = parts.hostname, parts.username, parts.port
    except ValueError:
        raise reader.fault(name, "a URL") from None
    if user is not None:
        raise CatalogError(
            f"{reader.where}: {name} holds credentials, and task environments can be read in "
            "Mesos: a URL without them is expected"
        )
    if parts.scheme == "file":
        path = url.removeprefix("file://")
        if not _PATH.fullmatch(path) or ".." in path.split("/"):
            raise reader.fault(name, "file:// and an absolute path on the hosts")
    elif parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise reader.fault(name, "an https URL, a file URL (or http together with allow_http)")
    elif not host:
        raise reader.fault(name, "a URL with a host")
    if not parts.path.endswith(_ENDINGS[component]):
        raise reader.fault(name, f"a file that ends in {', '.join(_ENDINGS[component])}")
    return url


def _file(reader: _Reader, component: str, urls: tuple[str, ...]) -> str:
    """The file's plain name: what -packages.dir and bundles call it."""
    if "file" in reader.values or not urls:
        file = reader.text("file", _FILE, "the file's name, without a folder,")
        if not file.endswith(_ENDINGS[component]):
            raise reader.fault("file", f"a file that ends in {', '.join(_ENDINGS[component])}")
        return file
    last = unquote(urlsplit(urls[0]).path.rpartition("/")[2])[-_FILE_CHARACTERS_MAX:]
    return re.sub(r"[^A-Za-z0-9._+~-]|^[^A-Za-z0-9_]", "_", last)


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
    dependencies: Counter[Platform] = Counter()
    for n, package in enumerate(packages):
        called = f"{package.component} {package.name}".strip()
        for platform in package.platforms:
            first = seen.setdefault((called, platform), n)
            if first != n or package.platforms.count(platform) > 1:
                raise CatalogError(
                    f"{source}: packages[{n}]: {called} for {platform.os_id} "
                    f"{platform.os_version} stands twice (first in packages[{first}]): "
                    "one entry is expected"
                )
            dependencies[platform] += package.component == DEPENDENCY
            if dependencies[platform] > DEPENDENCIES_MAX:
                raise CatalogError(
                    f"{source}: packages[{n}]: more than {DEPENDENCIES_MAX} dependencies for "
                    f"{platform.os_id} {platform.os_version}: at most that many are expected"
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
    if facts.contained == "yes":
        return (
            "the Mesos agent runs in a container, and its tasks do not see the host's own folders, "
            "so nothing is installed: run the agent as a service of the host"
        )
    return too_old(facts)
