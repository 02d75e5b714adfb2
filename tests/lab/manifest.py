"""A host as it is: packages, files, services, the agent's flags; to be compared later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from tests.lab.host import Host
from tests.lab.packages import RPM
from tests.lab.site import Site
from tests.real_mesos import get_json

# All that may differ between a host of before the first run and one that we have left, and why.
# Patterns of paths; what lies below one of them counts, too.
EXCEPTIONS: Final[Mapping[str, str]] = {
    r"/var/log": "logs tell what was done: they stay on purpose",
    r"/var/lib/mesos(-[a-z]+)?": "the Mesos agent's own: sandboxes and checkpoints of our tasks",
    r"/var/lib/apt|/var/cache/apt": "the archive's lists, newer than before, and apt's own notes",
    r"/var/cache/(yum|dnf|libdnf5)|/var/lib/dnf": "the repository's lists, and dnf's history",
    r"/var/lib/rpm|/var/lib/\.rpm.*": "the package database: compared by its contents",
    r"/var/lib/dpkg": "the package database: compared by its contents",
    r"/var/cache/debconf": "a cache of the package database",
    r"/var/cache/ldconfig|/etc/ld\.so\.cache": "a cache, written anew with each library",
    r"/var/lib/systemd": "what systemd remembers of its timers and its random seed",
    r"/etc/\.pwd\.lock|/etc/\.updated|/var/\.updated": "locks and stamps of the system's own",
    r"/etc/resolv\.conf|/etc/mtab|/etc/machine-id": "the container's own, written at boot",
    r"/var/tmp/systemd-private-[^/]*": "of systemd's time service, which surveys wake",  # noqa: S108
    r".*/__pycache__": "Python's cache, of programs that the lab itself runs in the host",
}
# Of hosts of the rpm family alone, these paths and nothing below them.
RPM_EXCEPTIONS: Final[Mapping[str, str]] = {
    r"/etc/ssl(/certs)?|/usr/lib/ssl(/misc)?|/usr/share/ca-certificates(/mozilla)?": (
        "empty folders: the lab's rpm files do not own theirs, as the distribution's do"
    ),
    r"/usr/lib/x86_64-linux-gnu/libaio\.so\.1.*": (
        "the lab's tree has it without a package, so the package libaio takes it along"
    ),
}
_RPM_LIFE: Final = re.compile("|".join(RPM_EXCEPTIONS))
_OWN_LIFE: Final = re.compile("|".join(f"({pattern})(/.*)?" for pattern in EXCEPTIONS))
# Other mounts (/run, /tmp, /dev, /proc, /sys) are left out by -xdev: they are empty after a boot.
_FILES: Final = r"""
find / -xdev -printf '%p\t%y %m %u:%g %l\n' | sort
echo =
find / -xdev -type f -exec sha256sum {} + 2>/dev/null | sed 's/^\([0-9a-f]*\)  \(.*\)/\2\t\1/'
"""
_PACKAGES: Final = {
    "deb": "dpkg-query -W -f '${Package}\\t${Status} ${Version}\\n'",
    "rpm": "rpm -qa --qf '%{NAME}\\t%{VERSION}-%{RELEASE}\\n'",
}
_UNITS: Final = r"""
systemctl list-unit-files --type=service --no-legend --plain | while read -r name state rest; do
    printf '%s\tat boot: %s\n' "$name" "$state"
done
systemctl list-units --type=service --state=active --no-legend --plain |
    while read -r name rest; do printf '%s (now)\tactive\n' "$name"; done
"""
# Services that end by themselves, whenever it is their time.
_PASSING: Final = re.compile(r"(systemd-tmpfiles-clean|systemd-timedated|run-.*)\.service \(now\)")


@attrs.frozen(kw_only=True)
class Manifest:
    """Each a name and what is to be said of it."""

    packages: dict[str, str]
    files: dict[str, str]
    services: dict[str, str]
    agent: dict[str, str]


def take(site: Site, host: Host, family: str) -> Manifest:
    listed, _, digests = host.sh(_FILES).partition("\n=\n")
    files = _table(listed)
    for path, digest in _table(digests).items():
        files[path] = f"{files.get(path, 'new')} {digest}"
    flags = get_json(f"{site.agent_url(host.name)}/flags")["flags"]
    return Manifest(
        packages=_table(host.sh(_PACKAGES["rpm" if family == RPM else "deb"])),
        files={path: said for path, said in files.items() if not _may_differ(path, family)},
        services={
            name: said
            for name, said in _table(host.sh(_UNITS)).items()
            if not _PASSING.fullmatch(name)
        },
        agent={name: str(value) for name, value in flags.items()},
    )


def _may_differ(path: str, family: str) -> bool:
    if family == RPM and _RPM_LIFE.fullmatch(path):
        return True
    return _OWN_LIFE.fullmatch(path) is not None


def _table(text: str) -> dict[str, str]:
    rows = (line.partition("\t") for line in text.splitlines() if "\t" in line)
    return {name: said for name, _, said in rows}


def differences(before: Manifest, now: Manifest) -> list[str]:
    """Sentences for people; none when the host is as it was."""
    found: list[str] = []
    for field in attrs.fields(Manifest):
        found.extend(_differ(field.name, getattr(before, field.name), getattr(now, field.name)))
    return found


def _differ(kind: str, before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        was, is_now = before.get(name, "absent"), now.get(name, "absent")
        if was != is_now:
            yield f"{kind}: {name}: was {was!r}, is {is_now!r}"
