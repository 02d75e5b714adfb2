"""Whatever a host prints, a survey gives facts or one SurveyError, and never anything else.

And a survey that loses something (frames that are missing, commands that failed or were killed,
outputs that stop in the middle) never makes a host look better than the whole one did: no disk
with data looks empty, no held package database free, no service that does not run active, no
room larger, no container like a host, and nothing is installed that was not. What a command did
not say cannot be told from what it could not say only by its own word for nothing, which is why
no loss may forge that word: blkid's status 2, or a status 0.
"""

from __future__ import annotations

import base64
import contextlib
import random
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.facts import Disk, Facts
from install_steps.concerns import concerns
from install_steps.facts import SurveyError, parse_survey
from install_steps.frames import frames_of
from install_steps.sealing import exit_code_of, result_of
from simulation.host import SimulatedHost
from simulation.host_disks import SimulatedDisk
from simulation.host_survey import frame, result_line
from tests.surveys import PLATFORMS, Outputs, assembled, outputs

NAMES = (
    "os-release", "uname", "boot-id", "machine-id", "init", "init-version", "packages-deb",
    "packages-rpm", "brought", "binary.rexray", "unpacked.rexray", "service.sds", "guid", "mdms",
    "drv-cfg-file", "module", "agent-flags", "public-key", "openssl", "receipt", "rexray-config",
    "mountinfo", "swaps", "deny", "links", "disk.0.sysfs", "disk.0.udev", "disk.0.blkid",
    "disk.0.open", "disk.0.zero", "disk.1.sysfs",
)  # fmt: skip
WORDS = (
    "=", "\n", " ", " - ", "/", "/dev/sda", "node=", "sysfs=", "path=", "partitions=", "slaves=",
    "ID=debian", "ID_LIKE=", '"', "8:0", "sda", "dm-0", "holders=", "size=", "99999999999999999999",
    "²", "{", "}", '{"flags":{"isolation":', '"entries":[', "mdm ", "[0]-1.1.1.1", "\x00", "é",
    "'", "partition=1", "partition-device=8:1", "install ok installed", "[", "*",
)  # fmt: skip
SOUND = {"uname": "6 x86_64", "boot-id": "00000000-0000", "machine-id": "0123456789abcdef"}

bodies = st.text(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
frames = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(bodies, st.integers(min_value=0, max_value=255))
)


@given(text=st.text(max_size=300))
def test_any_text(text: str) -> None:
    with contextlib.suppress(SurveyError):
        parse_survey(text)


@given(found=frames)
def test_any_output_of_any_command(found: dict[str, tuple[str, int]]) -> None:
    whole = {**found, **{name: (text, 0) for name, text in SOUND.items()}}
    text = "".join(frame(name, body, status) for name, (body, status) in whole.items())
    end = result_line("survey", changed=False, reason="surveyed", extra={"frames": len(whole)})
    assert parse_survey(text + end).machine_id == "0123456789abcdef"


@given(
    lines=st.lists(
        st.sampled_from(("@begin uname", "@begin x", "@end uname 0", "@end x y", "@result {}", ""))
        | st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode())
        | st.text(max_size=9),
        max_size=12,
    )
)
def test_any_arrangement_of_frame_lines(lines: list[str]) -> None:
    with contextlib.suppress(SurveyError):
        parse_survey("\n".join(lines))


@given(text=st.text(max_size=100))
def test_any_result_line_and_any_message(text: str) -> None:
    result = result_of(f"@result {text}")
    assert result is None or all(isinstance(value, str | int) for value in result.values())
    code = exit_code_of(f"Command exited with status {text}")
    assert code is None or 0 <= code < 1000


# -- samples of real formats, damaged -------------------------------------------------------------

FAILED = (1, 124, 126, 127, 137, 141)  # never a command's own word for "nothing is there"
# Outputs that tell by themselves whether they are whole: these may also stop unnoticed.
SELF_ENDING = frozenset(
    {"release-files", "package-locks", "dpkg-repair", "units", "job-files", "agent-files",
     "process.init", "process.self", "process.agent3", "space.root", "space.var"}
)  # fmt: skip


@cache
def _with_data() -> Outputs:
    """A host with every kind of disk that must not be taken."""
    host = SimulatedHost(
        hostname="a1.test",
        address="10.1.0.1",
        rng=random.Random(1),  # noqa: S311  # a simulation's chance
        disks=[
            SimulatedDisk(name="sdb", signature="ext4", zero=False),
            SimulatedDisk(name="sdc", zero=False),
            SimulatedDisk(name="sdd", signature="ext4", mounted_at="/data"),
            SimulatedDisk(name="sde", partitions=2, zero=False),
            SimulatedDisk(name="sdf", in_use=True),
        ],
    )
    host.dials.packages_locked = True
    text = host.begin("survey", {}).finish().stdout
    return {name: (told.text, told.status) for name, told in frames_of(text).items()}


@cache
def _sample(name: str) -> Outputs:
    return _with_data() if name == "disks" else outputs(name)


@cache
def _whole(name: str) -> Facts:
    return parse_survey(assembled(_sample(name)))


samples = st.sampled_from((*PLATFORMS, "disks"))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Outputs]:
    """One to five losses in a sample."""
    name = draw(samples)
    found = dict(_sample(name))
    for _ in range(draw(st.integers(min_value=1, max_value=5))):
        lost = draw(st.sampled_from(sorted(found)))
        text, status = found[lost]
        cut = text[: draw(st.integers(min_value=0, max_value=len(text)))]
        match draw(st.sampled_from(("missing", "failed", "killed", "stopped"))):
            case "missing":
                del found[lost]
            case "failed":
                found[lost] = ("", draw(st.sampled_from(FAILED)))
            case "killed":
                found[lost] = (cut, draw(st.sampled_from(FAILED[1:])))
            case _ if lost in SELF_ENDING:
                found[lost] = (cut, status)
            case _:
                pass
    return name, found


def _looks_empty(disk: Disk) -> bool:
    return not disk.signature and disk.zero and disk.exclusive


@settings(max_examples=200)
@given(case=damaged())
def test_a_loss_never_makes_a_host_look_better(case: tuple[str, Outputs]) -> None:
    name, found = case
    whole = _whole(name)
    with contextlib.suppress(SurveyError):
        seen = parse_survey(assembled(found))
        _no_better(whole, seen)


def _no_better(whole: Facts, seen: Facts) -> None:
    if whole.database.state != "free":
        assert seen.database.state != "free"
    assert seen.contained in {whole.contained, "", "yes"}
    assert seen.packages.items() <= whole.packages.items()
    assert seen.tools.items() <= whole.tools.items()
    for service, state in whole.states.items():
        if state.state != "active":
            assert seen.states.get(service, state).state != "active", service
        if not whole.services.get(service, True):
            assert not seen.services.get(service, False)
    room = {space.folder: space for space in whole.space}
    for space in seen.space:
        assert space.free_bytes <= room[space.folder].free_bytes
        if room[space.folder].free_inodes >= 0:
            assert space.free_inodes <= room[space.folder].free_inodes
    assert seen.sdc_guid in {whole.sdc_guid, ""}
    assert whole.sdc_module or not seen.sdc_module
    kept = {disk.path: disk for disk in seen.disks}
    for disk in whole.disks:
        if not _looks_empty(disk):
            assert not _looks_empty(kept.get(disk.path, disk))


@given(name=samples, chance=st.randoms(use_true_random=False))
def test_a_sample_with_damaged_bytes_gives_facts_or_a_sentence(
    name: str, chance: random.Random
) -> None:
    text = bytearray(assembled(_sample(name)), "utf-8")
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text))
        text[at : at + chance.choice((0, 1, 1, 60))] = bytes(
            chance.randrange(256) for _ in range(chance.choice((0, 1, 3)))
        )
    with contextlib.suppress(SurveyError):
        concerns(parse_survey(text.decode("utf-8", "replace")), read_at=1.0)


@given(name=samples, data=st.data())
def test_any_output_in_the_place_of_a_samples(name: str, data: st.DataObject) -> None:
    found = dict(_sample(name))
    changed = data.draw(st.sampled_from(sorted({*found} - {*SOUND})))
    text, status = found[changed]
    lines = text.split("\n")
    at = data.draw(st.integers(min_value=0, max_value=len(lines) - 1))
    lines[at] = data.draw(bodies)
    found[changed] = ("\n".join(lines), status)
    facts = parse_survey(assembled(found))
    assert facts.machine_id == _whole(name).machine_id
    concerns(facts, read_at=1.0)
