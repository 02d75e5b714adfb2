"""Kernel, packages of the distribution, the host's key."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from tests.lab.situations.table import (
    CONTAINER,
    FULL_STATE,
    HOLD_LOCK,
    NOT_ROOT,
    OTHER_PLATFORM,
    STATE,
    Prepare,
    Situation,
    dials,
    platform,
    together,
    with_values,
)

_BARE: Final = partial(Situation, step="prerequisites", base="bare")
_READY: Final = partial(Situation, step="prerequisites", base="prepared")
_KERNEL: Final = "99.0-lab"
_UNFIT: Final = {"SUPPORTED_KERNELS": f"3.10.0-* {_KERNEL}"}
_INSTALL: Final = {**_UNFIT, "KERNEL_MODE": "install"}
# An archive of one package, in place of the distribution's own.
_ARCHIVE: Final = f"""
rm -f /etc/apt/sources.list.d/*
mkdir -p /archive /kernel/DEBIAN /kernel/boot
echo image >/kernel/boot/vmlinuz-{_KERNEL}
printf 'Package: linux-image-%s\\nVersion: 1\\nArchitecture: amd64\\nMaintainer: the lab\\n' \
    {_KERNEL} >/kernel/DEBIAN/control
echo 'Description: stand-in for a kernel' >>/kernel/DEBIAN/control
dpkg-deb --root-owner-group --build /kernel /archive/kernel.deb >/dev/null
cd /archive
{{
    cat /kernel/DEBIAN/control
    echo Filename: ./kernel.deb
    echo Size: $(stat -c %s kernel.deb)
    echo SHA256: $(sha256sum kernel.deb | cut -d ' ' -f 1)
}} >Packages
echo 'deb [trusted=yes] file:/archive ./' >/etc/apt/sources.list
"""
_DEAD_ARCHIVE: Final = (
    "rm -f /etc/apt/sources.list.d/*; "
    "echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list"
)


def _image(kernel: str) -> str:
    return f"mkdir -p /boot; echo image >/boot/vmlinuz-{kernel}"


def _has(kernel: str, *, since: str = "") -> Prepare:
    def model(host: SimulatedHost) -> None:
        host.kernels.add(kernel)
        host.kernel_installed_in = since
        host.next_kernel = kernel

    return model


def _without(*names: str) -> Prepare:
    def model(host: SimulatedHost) -> None:
        for name in names:
            del host.packages[name]

    return model


ROWS: Final = (
    _BARE(name="a bare host"),
    _BARE(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _BARE(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _BARE(name="not as root", inside=NOT_ROOT, model=dials(not_root=True)),
    _BARE(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _BARE(name="the archive does not answer", real=_DEAD_ARCHIVE, model=dials(download_fails=True)),
    _BARE(
        name="an unsupported kernel",
        environment=_UNFIT,
    ),
    _BARE(
        name="an unknown mode for kernels",
        environment={**_UNFIT, "KERNEL_MODE": "maybe"},
    ),
    _BARE(
        name="no exact kernel to install",
        environment={**_INSTALL, "SUPPORTED_KERNELS": "3.10.0-* 4.4.0-*"},
    ),
    _BARE(
        name="a newer kernel would be booted",
        environment=_INSTALL,
        real=_image("100.1-lab"),
        model=_has("100.1-lab"),
    ),
    _READY(name="a kernel is installed", environment=_INSTALL, real=_ARCHIVE),
    _READY(
        name="a kernel was installed in this boot",
        environment=_INSTALL,
        real=f"{_image(_KERNEL)}; cp /proc/sys/kernel/random/boot_id {STATE}/kernel-boot-id",
        model=lambda host: _has(_KERNEL, since=host.boot_id)(host),
    ),
    _READY(
        name="the installed kernel was not booted",
        environment=_INSTALL,
        real=f"{_image(_KERNEL)}; echo another-boot >{STATE}/kernel-boot-id",
        model=_has(_KERNEL, since="another-boot"),
    ),
    _READY(name="already done"),
    _READY(
        name="a derivative of Debian",
        real="rm /etc/os-release; printf 'ID=mint\\nID_LIKE=\"ubuntu debian\"\\n' >/etc/os-release",
        model=platform(os_id="mint", version="", like="ubuntu debian"),
    ),
    _READY(
        name="one package was removed",
        real="dpkg --purge numactl",
        model=_without("numactl"),
    ),
    _READY(
        name="one package was removed, and the archive does not answer",
        real=f"dpkg --purge numactl; {_DEAD_ARCHIVE}",
        model=together(_without("numactl"), dials(download_fails=True)),
    ),
    _READY(
        name="the key was removed",
        real=f"rm {STATE}/host_key.pem",
        model=with_values(key=None),
    ),
    _READY(
        name="the key is damaged",
        real=f"echo nonsense >{STATE}/host_key.pem",
        model=with_values(key_damaged=True),
    ),
    _READY(
        name="the public key was removed",
        real=f"rm {STATE}/host_key.pub",
        model=with_values(key_told=False),
    ),
    _READY(
        name="the receipts are gone",
        real=f"rm -r {STATE}/receipt.d {STATE}/receipt.json",
        model=lambda host: host.receipts.clear(),
    ),
    _READY(name="the state folder is full", real=FULL_STATE, model=dials(full="state")),
)
