"""The operators' helpers for the store: what they print, change and refuse, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
import trio

from adapters.store_sqlite import SqliteStore, run_inline
from commands import scheduler
from domain import records
from domain.agent import AgentRecord, Phase, Reboot
from domain.records import FrameworkRecord, InstallationRecord, RecordError
from domain.store_keys import Place, StoreKeyError, checked, readable
from settings import SettingsError, parse
from tests.scheduler_process import ROOT

KEY: Final = "0123456789abcdef-of-this-site"
PERMIT: Final = "fedcba98-permit"
A: Final = records.encode(
    AgentRecord(
        host="a.example",
        agent_id="S1",
        phase=Phase.READY,
        reason="ä",
        reboot=Reboot(boot_id="b", reason="kernel", permit=PERMIT),
        disrupt=PERMIT,
    )
)
STORED: Final[Mapping[str, bytes]] = {
    records.FRAMEWORK_KEY: records.encode(FrameworkRecord(framework_id="F-1")),
    records.INSTALLATION_KEY: records.encode(InstallationRecord(key=KEY)),
    "agents/a.example": A,
}


def write(path: Path, changes: Mapping[str, bytes | None]) -> None:
    async def all_at_once() -> None:
        store = await SqliteStore.open(path, run_sync=run_inline)
        await store.write(changes)
        await store.close()

    trio.run(all_at_once)


def content(path: Path) -> dict[str, bytes]:
    async def load() -> dict[str, bytes]:
        store = await SqliteStore.open(path, run_sync=run_inline)
        stored = dict(await store.load())
        await store.close()
        return stored

    return trio.run(load)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    write(path, STORED)
    return path


def helper(path: Path, *flags: str) -> int:
    """Without a password and without MDMs: who looks into the store needs neither."""
    return scheduler.main([f"-store.uri={path}", *flags], {})


def refused(path: Path, capfd: pytest.CaptureFixture[str], *flags: str) -> str:
    """One line, and nothing has changed."""
    before = content(path)
    assert helper(path, *flags) in (2, 5)
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert content(path) == before
    return line


def test_dump_prints_every_record_and_no_secret(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(path, {"agents/broken": b"{", "stray": b"1"})
    assert helper(path, "-store.dump") == 0
    out = capfd.readouterr().out
    shown: dict[str, Any] = json.loads(out)
    assert list(shown) == sorted([*STORED, "agents/broken", "stray"])
    assert shown["framework"]["body"]["framework_id"] == "F-1"
    assert shown["agents/a.example"]["body"]["reason"] == "ä"
    assert shown["installation"]["body"]["key"] == "***"
    assert "-store.del.key=agents/broken" in shown["agents/broken"]["damaged"]
    assert KEY not in out
    assert PERMIT not in out


def test_what_dump_shows_of_an_agent_can_be_changed_and_stored_again(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(A)
    record["body"]["phase"] = "failed"
    value = json.dumps(record)
    flags = ("-store.add.key=agents/a.example", f"-store.add.value={value}")
    assert helper(path, *flags) == 0
    assert capfd.readouterr().out == "store: agents/a.example is stored\n"
    stored = records.decode(content(path)["agents/a.example"], AgentRecord, key="k")
    assert (stored.phase, stored.disrupt) == (Phase.FAILED, PERMIT)


def test_one_record_is_deleted(path: Path) -> None:
    assert helper(path, "-store.del.key=/scaleio-framework/scaleio/agents/a.example") == 0
    assert set(content(path)) == {"framework", "installation"}


def test_a_damaged_record_can_be_deleted(path: Path) -> None:
    write(path, {"agents/broken": b"{"})
    assert helper(path, "-store.del.key=agents/broken") == 0
    assert content(path) == STORED


def test_delete_leaves_nothing_and_says_what_becomes_of_the_framework(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(path, {f"agents/{number}": A for number in range(1200)})
    assert helper(path, "-store.delete") == 0
    assert content(path) == {}
    out = capfd.readouterr().out
    assert "1203 records" in out
    assert "-mesos.adopt" in out


def test_one_helper_in_each_run_in_the_originals_order(path: Path) -> None:
    everything = (
        "-store.del.key=framework",
        "-store.add.key=agents/b",
        "-store.add.value={}",
        "-store.dump",
    )
    assert helper(path, *everything) == 0
    assert content(path) == STORED
    assert helper(path, *everything, "-store.delete") == 0
    assert content(path) == {}


def test_the_originals_variables_ask_for_helpers_too() -> None:
    assert parse([], {"DUMP_STORE": "true"}).store_helper == "store.dump"
    assert parse([], {"STORE_DEL_KEY": "k", "DELETE_STORE": "true"}).store_helper == "store.delete"
    with pytest.raises(SettingsError):
        parse([], {})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("agents/b", A.decode(), "is of the host 'a.example'"),
        ("agents/b", "{}", "no record of ours"),
        ("agents/a.example", A.decode()[:-9], "no record of ours"),
        ("agents/a.example", A.decode().replace('"ready"', '"reddy"'), "damaged"),
        ("agents/a.example", A.decode().replace('"v":1', '"v":99'), "version 99"),
        ("agents/a.example", STORED["framework"].decode(), "damaged"),
        ("framework", A.decode().replace("AgentRecord", "X"), "damaged"),
        ("rollout", STORED["framework"].decode(), "is a RolloutRecord"),
        ("agents/", A.decode(), "there is no record"),
        ("nodes/a", A.decode(), "there is no record"),
        ("installation", STORED["installation"].decode(), "made by the scheduler itself"),
        ("/mesos/json.info_0", A.decode(), "is not below /scaleio-framework/scaleio"),
        ("/scaleio-framework/other/agents/a", A.decode(), "is not below"),
        ("/scaleio-framework/scaleio/configuration/a/state", "0", "original framework"),
        ("version", "1", "original framework"),
        ("agents/../framework", "1", "no key of ours"),
        ("agents/a.example", "", "give both"),
        ("", A.decode(), "give both"),
    ],
)
def test_a_record_that_would_do_harm_is_refused_before_it_is_written(
    path: Path, capfd: pytest.CaptureFixture[str], key: str, value: str, says: str
) -> None:
    line = refused(path, capfd, f"-store.add.key={key}", f"-store.add.value={value}")
    assert says in line
    assert KEY not in line


def test_a_key_that_is_not_there_cannot_be_deleted(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "there is no record 'agents/b'" in refused(path, capfd, "-store.del.key=agents/b")


@pytest.mark.parametrize("flag", ["-store.dump", "-store.delete", "-store.del.key=framework"])
def test_a_file_that_is_not_there_is_not_made_to_look_into_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    absent = tmp_path / "typing-error.sqlite"
    assert helper(absent, flag) == 5
    assert "there is no store" in capfd.readouterr().err
    assert not absent.exists()


@contextlib.contextmanager
def a_running_scheduler(path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.store_writer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_a_store_in_use_is_left_alone_with_a_sentence(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_running_scheduler(path):
        assert helper(path, "-store.delete") == 5
        (line,) = [one for one in capfd.readouterr().err.splitlines() if one.startswith("scaleio")]
    assert "in use by another scheduler" in line
    assert set(STORED) <= set(content(path)) | {"framework"}


def test_keys_are_relative_or_absolute_and_mean_the_same() -> None:
    place = Place(role="scaleio", chroot="/site")
    wanted = "agents/a.example:31000"
    for text in (
        wanted,
        f"v2/records/{wanted}",
        f"/scaleio-framework/scaleio/{wanted}",
        f"scaleio-framework/scaleio/{wanted}",
        f"/site/scaleio-framework/scaleio/{wanted}",
        "/site/scaleio-framework/scaleio/v2/records/agents%2Fa.example:31000",
    ):
        assert place.key_of(text) == wanted


def test_unknown_fields_are_dropped_and_a_wrong_kind_is_named() -> None:
    record = json.loads(A)
    record["body"]["of_the_future"] = 1
    assert checked("agents/a.example", json.dumps(record)) == A
    record["kind"] = "GatewayRecord"
    with pytest.raises(RecordError, match="is a AgentRecord, not 'GatewayRecord'"):
        checked("agents/a.example", json.dumps(record))
    with pytest.raises(StoreKeyError, match="expected framework"):
        checked("agent/a", A.decode())


def test_nothing_stored_is_shown_as_nothing() -> None:
    assert readable({}) == {}


def test_the_whole_program_prints_the_store_and_ends(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "cli.py", f"-store.uri={path}", "-store.dump"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)) == set(STORED)
