"""`devices explain` says of each disk what is done with it, and why; bad input is one line."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
import pytest

from cli import main
from commands import devices
from domain.facts import Disk
from simulation.host import SimulatedHost
from simulation.host_disks import SimulatedDisk, empty_disks, system_disk

URL = "http://scheduler:35000"
EXT4 = SimulatedDisk(name="sdx", serial="X", signature="ext4", model="ST2000")
NAMED = ("scaleio-sds-domains=d", "scaleio-sds-d=p", "scaleio-sds-p=/dev/sdx")


@pytest.fixture
def survey(tmp_path: Path) -> str:
    host = SimulatedHost(hostname="a", address="10.0.0.9", rng=random.Random(1))  # noqa: S311
    host.disks[:] = [system_disk(), *empty_disks(1), EXT4]
    file = tmp_path / "stdout"
    file.write_text(host.begin("survey", {}).finish().stdout)
    return str(file)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Mapping[str, object]]:
    assert main(["devices", "explain", "--output=json", *arguments]) == 0
    found: list[Mapping[str, object]] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line."""
    assert main(["devices", "explain", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_a_table_has_a_line_for_each_disk(survey: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "explain", "--survey", survey]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "DEVICE"
    assert [line.split()[0] for line in lines] == ["/dev/sda", "/dev/sdb", "/dev/sdx"]
    assert "take     empty      provably empty" in lines[1]
    assert "ST2000" in lines[2]
    assert lines[2].endswith("leave    signature  it carries a signature: ext4 at 0x438")


def test_json_has_rule_and_evidence(survey: str, capsys: pytest.CaptureFixture[str]) -> None:
    system, empty, ext4 = explained(capsys, "--survey", survey)
    assert (system["rule"], system["evidence"]) == ("system", "sda on /")
    assert (empty["verdict"], empty["pool"]) == ("take", "default")
    assert (ext4["verdict"], ext4["rule"], ext4["evidence"]) == (
        "leave",
        "signature",
        "ext4 at 0x438",
    )
    assert ext4["stable_name"] == "/dev/disk/by-id/ata-X"


def test_flags_and_attributes_mean_what_they_mean_to_the_scheduler(
    survey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_attribute = [f"--attribute={one}" for one in NAMED]
    (named, *others) = explained(capsys, "--survey", survey, *by_attribute)
    assert (named["path"], named["rule"]) == ("/dev/sdx", "signature")
    assert {one["rule"] for one in others} == {"not-named"}
    overwrite = "-devices.overwrite=/dev/disk/by-id/ata-X"
    (named, *_) = explained(capsys, "--survey", survey, *by_attribute, overwrite)
    assert (named["verdict"], named["rule"], named["pool"]) == ("take", "overwrite", "p")
    declared = explained(capsys, "--survey", survey, "-devices", "declared")
    assert {one["verdict"] for one in declared} == {"leave"}
    large = explained(capsys, "--survey", survey, "--devices.min-size-gb=500")
    assert large[1]["rule"] == "size"


def test_a_survey_may_come_through_a_pipe(
    survey: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(Path(survey).read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert len(explained(capsys, "--survey=-")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give either"),
        (("a1", "--survey=x"), "give either"),
        (("a1",), "--url"),
        (("a1", "--url=ftp://x"), "--url 'ftp://x'"),
        (("a1", f"--url={URL}", "-devices=declared"), "go with --survey"),
        (("--survey=/nowhere/x",), "No such file"),
        (("--survey=/",), "directory"),
        (("--survey=/dev/null",), "not complete"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("-devices.min-size-gb=many", "-devices.min-size-gb: 'many': expected"),
        ("-devices=some", "-devices: 'some'"),
        ("-devices.allow-loop=perhaps", "-devices.allow-loop"),
        ("--attribute=x", "give NAME=VALUE"),
        ("--attribute=scaleio-sds-domains=d", "names no pool"),
        ("--attribute=scaleio-sdc-domains=d", "scaleio-sdc-d"),
    ],
)
def test_a_wrong_value_is_one_line(
    argument: str, said: str, survey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "--survey", survey, argument)


# ---------------------------------------------------------------- a scheduler's agent


AGENT = {
    "host": "a1",
    "devices": [
        {"path": "/dev/disk/by-id/ata-B", "verdict": "in pool default"},
        {"path": "/dev/disk/by-id/ata-C", "verdict": "open: a process has it: qemu (process 9)"},
        {"path": "/dev/sdq", "verdict": "missing: /dev/sdq is named, but not there"},
    ],
    "facts": {
        "disks": msgspec.to_builtins(
            [
                Disk(path="/dev/sdb", by_id="/dev/disk/by-id/ata-B", model="M", size_bytes=1),
                Disk(
                    path="/dev/sdc", by_id="/dev/disk/by-id/ata-C",
                    evidence={"open": "qemu (process 9)"},
                ),
            ]
        )
    },
}  # fmt: skip


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the scheduler will answer, and what it was asked."""
    given = SimpleNamespace(status=200, content=json.dumps(AGENT).encode(), asked=[])

    def get(url: str, *, timeout: float) -> httpx.Response:
        given.asked.append((url, timeout))
        if given.status == 0:
            raise httpx.ConnectError("nobody listens")
        return httpx.Response(given.status, content=given.content)

    monkeypatch.setattr(httpx, "get", get)
    return given


def test_an_agents_own_verdicts_are_shown(
    answer: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explained(capsys, "a1/../x", f"--url={URL}/")
    assert answer.asked == [(f"{URL}/v1/agents/a1%2F..%2Fx", devices.ANSWER_S)]
    shown = [(one["path"], one["verdict"], one["rule"], one["evidence"]) for one in found]
    assert shown == [
        ("/dev/sdb", "in pool", "", ""),
        ("/dev/sdc", "leave", "open", "qemu (process 9)"),
        ("/dev/sdq", "leave", "missing", ""),
    ]
    assert (found[0]["pool"], found[0]["model"]) == ("default", "M")


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (0, b"", "does not answer: nobody listens"),
        (404, b"{}", "has no agent 'a1'"),
        (503, b"{}", "answered 503"),
        (200, b"<html>", "not answer as a scheduler does"),
        (200, b'{"devices": 3}', "not answer as a scheduler does"),
        (200, b'{"devices": [], "facts": null}', "no verdicts yet"),
    ],
)
def test_an_answer_of_no_use_is_one_line(
    status: int, content: bytes, said: str, answer: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answer.status, answer.content = status, content
    assert said in refused(capsys, "a1", f"--url={URL}")


def test_an_older_scheduler_tells_less_and_is_understood(
    answer: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"devices": AGENT["devices"], "facts": {"disks": [{"path": "/dev/sdc"}]}}
    answer.content = json.dumps(old).encode()
    assert [one["rule"] for one in explained(capsys, "a1", f"--url={URL}")] == [
        "",
        "open",
        "missing",
    ]


def test_the_flags_are_the_schedulers_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["devices", "explain", "--help"])
    shown = capsys.readouterr().out
    for flag in ("-devices", "-devices.min-size-gb", "-devices.overwrite", "-devices.allow-loop"):
        assert flag in shown
