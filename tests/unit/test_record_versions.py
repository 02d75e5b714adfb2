"""Every version that was ever stored can be read; one of the future ends the start, unharmed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import typing
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from adapters.store_sqlite import SqliteStore, run_inline
from domain import records
from domain.agent import AgentRecord
from domain.records import FrameworkRecord, GatewayRecord, Record, RecordError
from tests.record_samples import FOLDER, KINDS, sample_path
from tests.scheduler_process import MDMS, PASSWORD, ROOT

SAMPLES = sorted(FOLDER.glob("v*-*.json"))


"""`v1-first-…`: as the first code that stored anything wrote them."""


def kind_in(path: Path) -> type[Record]:
    named = json.loads(path.read_text(encoding="utf-8"))["kind"]
    return next(kind for kind in KINDS if kind.__name__ == named)


def read(path: Path) -> Any:
    return records.decode(path.read_bytes(), kind_in(path), key=path.name)


def test_every_kind_has_a_sample_of_this_version() -> None:
    assert [path.name for path in map(sample_path, KINDS) if not path.exists()] == []


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_stored_sample_of_any_version_is_read(path: Path) -> None:
    record = read(path)
    again = records.decode(records.encode(record), type(record), key="k")
    assert again == record


def lost(before: Any, after: Any, at: str = "") -> list[str]:
    """What the sample says and the record does not say in the same words."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            found for key in before for found in lost(before[key], after.get(key), f"{at}.{key}")
        ]
    return [] if before == after else [at]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_nothing_of_this_versions_sample_is_lost(kind: type[Record]) -> None:
    """A field that was renamed, removed or given another meaning needs a new version."""
    path = sample_path(kind)
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert lost(stored, json.loads(records.encode(read(path)))) == []


@pytest.mark.parametrize("kind", [AgentRecord])
def test_a_record_of_before_a_field_was_added_is_read(kind: type[Record]) -> None:
    """Whatever has a default may be missing: each of them alone, and all together."""
    whole = json.loads(sample_path(kind).read_text(encoding="utf-8"))
    optional = [one.name for one in attrs.fields(kind) if one.default is not attrs.NOTHING]
    for missing in (*([name] for name in optional), optional):
        body = {key: value for key, value in whole["body"].items() if key not in missing}
        raw = json.dumps({**whole, "body": body}).encode()
        assert records.decode(raw, AgentRecord, key="k").host == "of-host"


def test_there_is_an_upgrade_from_every_older_version() -> None:
    assert set(records.UPGRADES) == set(range(1, records.VERSION))


def test_upgrades_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(kind: str, body: Any) -> Any:
        if kind == "FrameworkRecord":
            body["framework_id"] = body.pop("id")
        return body

    def completed(kind: str, body: Any) -> Any:
        return {**body, "role": "completed"} if kind == "FrameworkRecord" else body

    monkeypatch.setattr(records, "VERSION", 3)
    monkeypatch.setattr(records, "UPGRADES", {1: renamed, 2: completed})

    def framework(version: int, body: Any) -> FrameworkRecord:
        raw = json.dumps({"v": version, "kind": "FrameworkRecord", "body": body}).encode()
        return records.decode(raw, FrameworkRecord, key="framework")

    assert framework(1, {"id": "F"}) == FrameworkRecord(framework_id="F", role="completed")
    assert framework(2, {"framework_id": "F"}).role == "completed"
    assert framework(3, {"framework_id": "F"}).role == ""
    damages: tuple[Any, ...] = ({}, [], None, 7)
    for broken in damages:
        with pytest.raises(RecordError, match="'framework' is damaged"):
            framework(1, broken)
    gateway = json.dumps({"v": 1, "body": {"fingerprint": "ab"}}).encode()
    assert records.decode(gateway, GatewayRecord, key="gateway").fingerprint == "ab"


def test_every_stored_kind_has_a_key() -> None:
    keys = ("agents/a", *(getattr(records, name) for name in dir(records) if name.endswith("_KEY")))
    assert {records.kind_of(key) for key in keys} == set(typing.get_args(Record))
    assert records.kind_of("agents/") is None


def scheduler_on(store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "cli.py", *MDMS, f"-store.uri={store}", "-uri=127.0.0.1:1"]
    command += ["-rest.address=127.0.0.1", "-rest.port=0"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": os.environ["PATH"], "SCALEIO_SCALEIO_PASSWORD": PASSWORD},
    )  # fmt: skip


def rows(store: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(store)) as file:
        return dict(file.execute("SELECT key, value FROM records").fetchall())


@pytest.mark.parametrize(
    ("key", "raw", "says"),
    [
        ("agents/a", records.encode(AgentRecord(host="a", agent_id="S")), "start the newer"),
        ("framework", records.encode(FrameworkRecord(framework_id="F")), "start the newer"),
        ("gateway", records.encode(GatewayRecord(fingerprint="ab")), "start the newer"),
        ("agents/a", b'{"v": 1, "body": {"host": "a"}', "-store.del.key=agents/a"),
    ],
    ids=["an agent's", "the framework's", "the Gateway's", "a damaged one"],
)
def test_a_record_that_cannot_be_read_ends_the_start_with_one_line_and_status_5(
    tmp_path: Path, key: str, raw: bytes, says: str
) -> None:
    """The whole program; and the newer program finds what it left."""
    store = tmp_path / "store.sqlite"
    put_future(store, key, raw.replace(b'"v":1', b'"v":2'))
    before = rows(store)
    done = scheduler_on(store)
    assert done.returncode == 5, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("scaleio-scheduler:")]
    assert f"store record '{key}'" in line
    assert says in line
    assert rows(store) == before


def put_future(store: Path, key: str, raw: bytes) -> None:
    async def put() -> None:
        opened = await SqliteStore.open(store, run_sync=run_inline)
        await opened.write({key: raw})
        await opened.close()

    trio.run(put)
