"""The operator's own steps: named by their place, run once, and again when their text changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import attrs
import pytest

from domain.facts import Facts, Receipt
from install_steps.catalog import plan_for
from install_steps.extras import EXTRAS_MAX, Extra, ExtraError, load_extras

FACTS = Facts(
    machine_id="m", boot_id="b", os_id="debian", os_version="12", os_like=(), kernel="6.1.0"
)


def folder_with(path: Path, **texts: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in texts.items():
        (path / f"{name.replace('_', '-')}.sh").write_text(text, encoding="utf-8")
    return path


def names(facts: Facts, extras: tuple[Extra, ...], role: str = "sds") -> list[str]:
    planned = plan_for(facts, role == "sds", None, {}, extras=extras)
    return [step.name for step in planned]


def test_they_stand_beside_the_step_that_they_name_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    folder = folder_with(
        tmp_path, after_sds_b="true", after_sds_a="true", before_prerequisites_proxy="true",
        before_sds_x="true",
    )  # fmt: skip
    extras = load_extras(folder)
    assert names(FACTS, extras) == [
        "before-prerequisites-proxy", "prerequisites", "before-sds-x", "sds", "after-sds-a",
        "after-sds-b", "sdc", "rexray", "isolator",
    ]  # fmt: skip
    without_disks = names(FACTS, extras, "sdc")
    assert "before-sds-x" not in without_disks, "a step that is not ours here brings nobody along"


def test_it_runs_again_only_when_its_text_changes(tmp_path: Path) -> None:
    (extra,) = load_extras(folder_with(tmp_path, before_sdc_net="echo one"))
    ran = attrs.evolve(
        FACTS, receipts=(Receipt(step=extra.name, state="kept", digest=extra.digest),)
    )

    def state(facts: Facts, extra: Extra) -> str:
        planned = plan_for(facts, False, None, {}, extras=(extra,))
        return next(step.state for step in planned if step.name == extra.name)

    assert state(FACTS, extra) == "wanted"
    assert state(ran, extra) == "satisfied"
    (changed,) = load_extras(folder_with(tmp_path, before_sdc_net="echo two"))
    assert state(ran, changed) == "wanted"


def test_no_script_is_run_on_a_platform_that_we_do_not_know() -> None:
    extra = Extra(name="before-sdc-net", text="true\n", digest="0")
    strange = attrs.evolve(FACTS, os_id="gentoo")
    planned = plan_for(strange, False, None, {}, extras=(extra,))
    assert planned[1].name == "before-sdc-net"
    assert planned[1].state == "blocked"
    assert "gentoo" in planned[1].sentence


def test_a_step_that_is_left_out_says_by_whom() -> None:
    planned = plan_for(FACTS, False, None, {}, skip={"rexray": "-steps.skip"})
    (rexray,) = (step for step in planned if step.name == "rexray")
    assert (rexray.state, rexray.sentence) == ("ignored", "left out by -steps.skip")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sds", "true", "the name says no place"),
        ("before-sds", "true", "the name says no place"),
        ("before-claim-x", "true", "the name says no place"),
        ("before-sds-X", "true", "the name says no place"),
        ("before-sds-" + "x" * 33, "true", "the name says no place"),
        ("before-sds-x", "  \n", "is empty"),
        ("before-sds-x", "a\0b", "holds a NUL"),
        ("before-sds-x", "#" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_bad_script_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    (tmp_path / f"{name}.sh").write_text(text, encoding="utf-8")
    with pytest.raises(ExtraError, match=expected) as refused:
        load_extras(tmp_path)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)


def test_a_script_that_everybody_may_write_is_not_run_as_root(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, before_sds_x="true")
    (folder / "before-sds-x.sh").chmod(0o666)
    with pytest.raises(ExtraError, match="everybody may write it"):
        load_extras(folder)


def test_other_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExtraError, match="cannot be read"):
        load_extras(tmp_path / "nowhere")
    (tmp_path / "before-sds-x.sh").write_bytes(b"\xff\xfe")
    with pytest.raises(ExtraError, match="no UTF-8"):
        load_extras(tmp_path)
    many = tmp_path / "many"
    folder_with(many, **{f"before_sds_{n}": "true" for n in range(EXTRAS_MAX + 1)})
    with pytest.raises(ExtraError, match="at most 50"):
        load_extras(many)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 0", 0, ""),
        ("#!/bin/sh\nprintf 'told %s\\n' \"$RACK\" >&2", 0, "told r1"),
        ("echo broken; exit 75", 75, "broken"),
        ("exit 20", 20, ""),
        ("printf '%s' \"$HOME $(cat)\" 'EOF' \"a\tb\"", 0, "EOF"),
    ],
)
def test_the_operators_text_runs_as_it_stands_and_its_status_is_the_steps(
    tmp_path: Path, shell: str, script: str, code: int, said: str
) -> None:
    """The part of the step that writes and runs the text, with what stands around it faked."""
    (extra,) = load_extras(folder_with(tmp_path, after_sdc_net=script))
    command = extra.command()
    body = command[command.index("\nSTEP=$EXTRA_NAME") :]
    fakes = (
        f"set -eu\nSTATE_DIR={tmp_path}/state\n"
        'digest() { sha256sum "$1" | cut -d " " -f 1; }\n'
        'run() { "$@" </dev/null; }\n'
        'receipt() { echo "$@" >>"$STATE_DIR/receipts"; }\n'
        'finish() { echo "$@"; exit "$1"; }\n'
        "take_lock() { :; }\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": "h", "RACK": "r1"}
    done = subprocess.run(
        [shell, "-c", fakes + body],
        env={**environment, **extra.told({})},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout.split() == [str(code), "operators"]
    receipts = tmp_path / "state" / "receipts"
    written = receipts.read_text() if receipts.exists() else ""
    held = f'after-sdc-net kept ,"digest":"{extra.digest}"\n'
    assert written == (held if code in (0, 20) else "")
