"""Whatever a host prints, a survey gives facts or one SurveyError, and never anything else."""

from __future__ import annotations

import base64
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from install_steps.facts import SurveyError, parse_survey
from install_steps.sealing import exit_code_of, result_of
from simulation.host_survey import frame, result_line

NAMES = (
    "os-release", "uname", "boot-id", "machine-id", "init", "init-version", "packages-deb",
    "packages-rpm", "binary.rexray", "unpacked.rexray", "service.sds", "guid", "mdms",
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
