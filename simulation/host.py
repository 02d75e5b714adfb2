"""One simulated host: packages, services, files, disks, kernel, lock; steps change it or fail.

The models of the steps stand in `host_steps`, the survey's text in `host_survey`.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

import attrs
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulation import host_steps
from simulation.host_disks import SimulatedDisk, system_disk
from simulation.host_ends import Ended, EndError
from simulation.host_image import CENTOS_7, DEBIAN_12, UBUNTU_14, HostDials, OsImage
from simulation.host_packages import database_name
from simulation.host_survey import result_line, survey_text

__all__ = [
    "CENTOS_7",
    "DEBIAN_12",
    "UBUNTU_14",
    "HostDials",
    "OsImage",
    "SimulatedDisk",
    "SimulatedHost",
    "StepOutcome",
    "StepRun",
]  # fmt: skip

KEYS: Final = 3  # making one takes 0.1 s or more; hosts share a few
LOCKED_STEPS: Final = frozenset(
    {"prerequisites", "sds", "sdc", "rexray", "isolator", "agent-restart", "claim", "probe",
     "reboot", "uninstall"}
)  # fmt: skip
PERMIT_TAKES_S: Final = 1.0  # before the end of the step that asks
_DURATIONS_S: Final[Mapping[str, tuple[float, float]]] = {
    "survey": (1.0, 8.0),
    "prerequisites": (10.0, 90.0),
    "sds": (10.0, 60.0),
    "sdc": (15.0, 90.0),
    "rexray": (5.0, 40.0),
    "isolator": (3.0, 20.0),
    "claim": (1.0, 10.0),
    "probe": (1.0, 15.0),
    "agent-restart": (0.2, 1.0),
    "reboot": (0.2, 1.0),
    "uninstall": (5.0, 40.0),
}


@attrs.frozen(kw_only=True)
class StepOutcome:
    exit_code: int
    stdout: str
    stderr: str = ""


@attrs.define(kw_only=True)
class StepRun:
    """One step under way. End it once, by `finish` or `abort`."""

    host: SimulatedHost
    step: str
    environment: Mapping[str, str]
    duration_s: float  # inf for the keeper
    denied: bool  # another step held the lock when this one began
    _over: bool = attrs.field(default=False, init=False)

    def finish(self) -> StepOutcome:
        """All of the change at once, and what the task says of it."""
        self._end()
        return self.host.apply(self.step, self.environment, denied=self.denied)

    def abort(self) -> None:
        """The host or the task died under way: nothing, a part, or all of the change is there."""
        self._end()
        if not self.denied:
            self.host.apply_part(self.step, self.environment)

    def _end(self) -> None:
        if self._over:
            raise RuntimeError(f"step {self.step} of {self.host.hostname} was ended twice")
        self._over = True
        if self.host.locked_by is self:
            self.host.locked_by = None


@attrs.define(kw_only=True)
class Receipt:
    step: str
    state: str
    boot_id: str
    more: dict[str, str] = attrs.field(factory=dict)


class PartError(Exception):
    """The budget of changes of an aborted step is spent."""


def _own_list(disks: Iterable[SimulatedDisk]) -> list[SimulatedDisk]:
    return list(disks)


def _no_sdc(_guid: str, _address: str, _mdm_ips: tuple[str, ...]) -> None:
    """Nobody listens."""


def _no_sds(_address: str) -> None:
    """Nobody listens."""


def _no_reboot(_permit_url: str, _delay_s: float) -> None:
    """Nobody listens."""


def _no_restart() -> None:
    """Nobody listens."""


def _no_volume(_path: str) -> bool:
    return False


def _no_volumes() -> bool:
    return False


@attrs.define(kw_only=True, eq=False)
class SimulatedHost:
    """The state of one host. The world sets the callbacks and calls the methods."""

    hostname: str
    address: str
    rng: random.Random
    os: OsImage = DEBIAN_12
    disks: list[SimulatedDisk] = attrs.field(factory=list, converter=_own_list)
    dials: HostDials = attrs.field(factory=HostDials)
    isolation: tuple[str, ...] = ("posix/cpu", "posix/mem")  # as an agent tells that was told none
    launcher: str = "linux"
    agent_style: str = "files"  # where its flags are kept: files, unit; fixed: told otherwise
    agent_unit: str = "mesos-slave"
    agent_resources: str = ""

    on_sdc_up: Callable[[str, str, tuple[str, ...]], None] = _no_sdc
    on_sds_up: Callable[[str], None] = _no_sds
    on_reboot_armed: Callable[[str, float], None] = _no_reboot
    on_agent_restart_armed: Callable[[], None] = _no_restart
    on_permit_wanted: Callable[[str, float], None] | None = None  # None: every permit is given
    on_sds_replaced: Callable[[], None] = _no_restart
    on_sdc_down: Callable[[str], None] = _no_sds
    sees_volume: Callable[[str], bool] = _no_volume
    has_volumes: Callable[[], bool] = _no_volumes

    kernel: str = attrs.field(init=False)
    next_kernel: str = attrs.field(init=False)  # runs after a boot
    machine_id: str = attrs.field(init=False)
    boot_id: str = attrs.field(init=False)
    up: bool = attrs.field(default=True, init=False)
    packages: dict[str, str] = attrs.field(factory=dict, init=False)  # database name -> version
    installed_by_us: set[str] = attrs.field(factory=set, init=False)  # components, tools
    isolation_before: tuple[str, ...] = attrs.field(default=(), init=False)  # () never changed
    putting_back: bool = attrs.field(default=False, init=False)
    services: set[str] = attrs.field(factory=set, init=False)  # those that run
    unpacked: dict[str, str] = attrs.field(factory=dict, init=False)  # tool -> version, "" unknown
    half_installed: dict[str, str] = attrs.field(factory=dict, init=False)  # name -> version
    damaged: set[str] = attrs.field(factory=set, init=False)  # names of packages with files gone
    held: set[str] = attrs.field(factory=set, init=False)  # names that an operator holds
    masked: set[str] = attrs.field(factory=set, init=False)  # services
    kernels: set[str] = attrs.field(factory=set, init=False)  # images in /boot
    kernel_installed_in: str = attrs.field(default="", init=False)  # boot id
    enabled: set[str] = attrs.field(factory=set, init=False)  # those that a boot starts
    files: dict[str, str] = attrs.field(factory=dict, init=False)
    denied: list[str] = attrs.field(factory=list, init=False)  # lines of devices.deny
    module_loaded: bool = attrs.field(default=False, init=False)
    module_in_use: bool = attrs.field(default=False, init=False)  # a volume is mapped here
    renewed_modules: int = attrs.field(default=0, init=False)  # times scini was loaded anew
    identity_lost: bool = attrs.field(default=False, init=False)  # drv_cfg.txt is empty
    module_kernels: tuple[str, ...] = attrs.field(default=(), init=False)
    mdm_ips: tuple[str, ...] = attrs.field(default=(), init=False)
    foreign_mdm_ips: tuple[str, ...] = attrs.field(default=(), init=False)  # another cluster's
    key: rsa.RSAPrivateKey | None = attrs.field(default=None, init=False)
    key_damaged: bool = attrs.field(default=False, init=False)
    key_told: bool = attrs.field(default=False, init=False)  # its public half lies beside it
    password: str = attrs.field(default="", init=False)  # what stands in REX-Ray's file
    next_isolation: tuple[str, ...] = attrs.field(default=(), init=False)  # () nothing pending
    receipts: dict[str, Receipt] = attrs.field(factory=dict, init=False)
    locked_by: StepRun | None = attrs.field(default=None, init=False)
    armed_reboot: bool = attrs.field(default=False, init=False)
    armed_restart: bool = attrs.field(default=False, init=False)
    permit_answers: dict[str, int] = attrs.field(factory=dict, init=False)  # URL -> HTTP status
    ended_well: set[str] = attrs.field(factory=set, init=False)  # steps that told 0, 20 or 21
    _changes_left: int | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.kernel = self.next_kernel = self.os.kernel
        self.machine_id = f"{self.rng.getrandbits(128):032x}"
        self.boot_id = self._new_boot_id()
        if not any(disk.mounted_at == "/" for disk in self.disks):
            self.disks.insert(0, system_disk())

    # ------------------------------------------------------------ steps

    def begin(self, step: str, environment: Mapping[str, str]) -> StepRun:
        """A step starts now, and its outcome is due `duration_s` later."""
        low_s, high_s = _DURATIONS_S.get(step, (1.0, 1.0))
        duration_s = self.rng.uniform(low_s, high_s) * self.dials.slow
        takes_lock = step in LOCKED_STEPS
        run = StepRun(
            host=self,
            step=step,
            environment=dict(environment),
            duration_s=math.inf if step == "keeper" else duration_s,
            denied=takes_lock and (self.dials.lock_held or self.locked_by is not None),
        )
        if takes_lock and not run.denied:
            self.locked_by = run
        url = environment.get("PERMIT_URL", "")
        if step == "sds" and url and "sds" in self.services and self.on_permit_wanted:
            self.permit_answers.pop(url, None)
            self.on_permit_wanted(url, max(0.0, duration_s - PERMIT_TAKES_S))
        return run

    def is_permitted(self, url: str) -> bool:
        """The scheduler's word on replacing a running SDS; silence means no."""
        return self.on_permit_wanted is None or self.permit_answers.get(url) == 200

    def apply(self, step: str, environment: Mapping[str, str], *, denied: bool) -> StepOutcome:
        code = self.dials.fail_next.pop(step, None)
        if self.dials.no_init:
            return _outcome(step, 78, "no-init", "process 1 is 'containerd-shim', no init system")
        if self.dials.not_root:
            return _outcome(step, 78, "not-root", "the task runs as nobody: set -user to root")
        if denied:
            return _outcome(step, 75, "locked", "another step holds the lock: it is tried again")
        if code is not None and code not in {0, 20, 21}:
            return _outcome(step, code, "dial", f"it was made to fail with {code}")
        if step == "survey":
            return StepOutcome(exit_code=0, stdout=survey_text(self))
        ended = host_steps.run(self, step, environment)
        outcome = _outcome(step, ended.code, ended.reason, ended.sentence, ended)
        if code is not None and outcome.exit_code == 0:
            outcome = attrs.evolve(outcome, exit_code=code)
        elif code is not None:  # what failed by itself has nothing that could hold yet
            self.dials.fail_next[step] = code
        if outcome.exit_code in {0, 20, 21}:
            self.ended_well.add(step)
        return outcome

    def apply_part(self, step: str, environment: Mapping[str, str]) -> None:
        self._changes_left = self.rng.randrange(6)
        try:
            host_steps.run(self, step, environment, under_way=True)
        except PartError:
            pass
        finally:
            self._changes_left = None

    def change(self) -> None:
        """Called before each single change that a model makes."""
        if self._changes_left is None:
            return
        if self._changes_left == 0:
            raise PartError
        self._changes_left -= 1

    def health(self, environment: Mapping[str, str]) -> bool:
        """What the keeper's health check finds."""
        return self.up and not host_steps.illness(self, environment)

    # ------------------------------------------------------------ power

    def power_off(self) -> None:
        """Everything that runs is gone; what is on disk stays."""
        self.up = False
        self.module_loaded = False
        self.services.clear()
        self.locked_by = None
        self.armed_reboot = self.armed_restart = False

    def boot(self) -> None:
        self.up = True
        self.boot_id = self._new_boot_id()
        self.kernel = self.next_kernel
        if self.next_isolation and self.dials.agent_restart_breaks:
            self.next_isolation = ()  # its guard has put the old files back
            self._unit_notes("agent-restart", "rolled-back")
        elif self.next_isolation:
            self.isolation, self.next_isolation = self.next_isolation, ()
        for service in sorted(self.enabled):
            self.start(service)

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    def permit_answered(self, status: int) -> bool:
        """The armed unit has asked: True when the host goes down now (the world reboots it)."""
        if not (self.up and self.armed_reboot):
            return False
        self.armed_reboot = False
        self._unit_notes("reboot", "kept" if status == 200 else "rolled-back")
        return status == 200

    def agent_restarted(self) -> bool:
        """The agent's service was restarted by the watcher: True when it came back as wanted."""
        self.armed_restart = False
        if self.dials.agent_restart_breaks:
            self.next_isolation = ()
            self._unit_notes("agent-restart", "rolled-back")
            return False
        if self.next_isolation:
            self.isolation, self.next_isolation = self.next_isolation, ()
        self._unit_notes("agent-restart", "kept")
        return True

    # ------------------------------------------------------------ parts of the state

    @property
    def sdc_guid(self) -> str:
        """Made when the SDC is installed, kept for ever."""
        digest = hashlib.sha256(self.hostname.encode()).hexdigest()[:32].upper()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))

    @property
    def tells_flags(self) -> bool:
        """Our steps can read the agent's /flags."""
        closed = self.dials.flags_closed or self.dials.agent_down
        return "curl" in self.packages and not closed

    @property
    def has_sdc(self) -> bool:
        return database_name(self, "sdc") in self.packages

    def start(self, service: str) -> bool:
        """Start a service; the SDC's loads its module where there is one for this kernel."""
        if self.dials.service_fails == service:
            return False
        already = service in self.services and (service != "scini" or self.module_loaded)
        self.services.add(service)
        if already:
            return True
        if service == "sds":
            self.on_sds_up(self.address)
        if service == "scini":
            self.module_loaded = self.kernel_fits() and not self.dials.module_missing
            self.announce_sdc()
        return True

    def announce_sdc(self) -> None:
        if self.module_loaded and self.mdm_ips:
            self.on_sdc_up(self.sdc_guid, self.address, self.mdm_ips)

    def kernel_fits(self) -> bool:
        kernels = self.module_kernels
        return not kernels or any(fnmatchcase(self.kernel, pattern) for pattern in kernels)

    def disk_named(self, path: str) -> SimulatedDisk | None:
        return next((disk for disk in self.disks if path in (disk.path, *disk.links)), None)

    def give_device(self, path: str) -> bool:
        """The SDS takes a disk (the Gateway was told to): False when there is none."""
        disk = self.disk_named(path)
        if disk is None or disk.in_use or disk.mounted_at:
            return False
        disk.in_use, disk.zero = True, False
        return True

    def write_receipt(self, step: str, state: str, **more: str) -> None:
        if self.dials.full == "state":
            raise EndError(75, "space", "the file system of the state folder is full")
        self.receipts[step] = Receipt(step=step, state=state, boot_id=self.boot_id, more=more)

    def _unit_notes(self, step: str, state: str) -> None:
        """The host's own units always find room for their word: a full disk there is not played."""
        self.receipts[step] = Receipt(step=step, state=state, boot_id=self.boot_id)

    def make_key(self) -> None:
        if self.key is None:
            self.key = _shared_key(self.rng.randrange(KEYS))

    @property
    def public_key(self) -> str:
        if self.key is None or not self.key_told:
            return ""
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def _new_boot_id(self) -> str:
        digits = f"{self.rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@cache
def _shared_key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _outcome(
    step: str, code: int, reason: str, sentence: str, ended: Ended | None = None
) -> StepOutcome:
    extra: Iterable[tuple[str, str | int]] = ended.extra if ended else ()
    changed = ended.changed if ended else False
    return StepOutcome(
        exit_code=code,
        stdout=result_line(step, changed=changed, reason=reason, extra=dict(extra)),
        stderr=f"{step}: {sentence}\n" if sentence else "",
    )
