"""What a simulated host was installed from, and the ways in which it goes wrong."""

from __future__ import annotations

from typing import Final

import attrs

_FAMILIES: Final = {
    "debian": "deb", "ubuntu": "deb", "rhel": "rpm", "centos": "rpm", "fedora": "rpm",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class OsImage:
    """`os_id`, `version` and `like` stand in os-release. `family`: deb or rpm."""

    os_id: str
    version: str
    like: str = ""
    family: str
    kernel: str
    init: str = "systemd"

    @property
    def is_known(self) -> bool:
        """Our steps go by os-release alone."""
        return any(_FAMILIES.get(name) for name in (self.os_id, *self.like.split()))


DEBIAN_12: Final = OsImage(os_id="debian", version="12", family="deb", kernel="6.1.0-18-amd64")
UBUNTU_14: Final = OsImage(
    os_id="ubuntu", version="14.04", like="debian", family="deb", kernel="4.4.0-38-generic",
    init="upstart",
)  # fmt: skip
CENTOS_7: Final = OsImage(
    os_id="centos", version="7", like="rhel fedora", family="rpm",
    kernel="3.10.0-1160.el7.x86_64",
)  # fmt: skip


@attrs.define(kw_only=True)
class HostDials:
    """How a host goes wrong. All are off."""

    fail_next: dict[str, int] = attrs.field(factory=dict)  # step -> exit code, once
    no_init: bool = False  # the agent runs in a container
    not_root: bool = False  # tasks run as somebody else
    lock_held: bool = False
    packages_locked: bool = False  # another program holds the package database
    packages_half_done: bool = False  # dpkg was interrupted
    no_room: str = ""  # root, opt, var, boot, tmp, state or sandbox: nothing is free there
    download_fails: bool = False
    size_wrong: bool = False  # what comes is not as long as the catalog says
    checksum_wrong: bool = False
    version_wrong: bool = False  # the file holds another version than the catalog says
    packages_running: bool = False  # what an earlier step started is still at work
    full: str = ""  # sandbox or state: nothing can be written there
    module_missing: bool = False  # there is no scini for this kernel after all
    service_fails: str = ""  # sds, scini or rexray: does not come up
    socket_missing: bool = False  # REX-Ray runs, and offers none
    volume_unreadable: bool = False  # volumes appear, but cannot be read
    agent_down: bool = False
    flags_closed: bool = False  # the agent's /flags needs credentials
    dvdcli_hidden: bool = False  # not on the agent's PATH
    agent_restart_breaks: bool = False  # does not come back with the new isolation
    slow: float = 1.0  # factor for every duration
    reboot_takes_s: float = 0.0  # 0: half a minute, as usual
