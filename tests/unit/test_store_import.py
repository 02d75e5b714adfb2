"""`store import FILE`: the original's hosts from a dump of its boltdb, etcd or consul."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from adapters.store_sqlite import SqliteStore, run_inline
from cli import main

SAMPLE = Path(__file__).parent.parent / "data" / "original_store" / "preconfigured.json"


def imported(file: Path, store: Path, *flags: str) -> int:
    return main(["store", "import", str(file), f"-store.uri={store}", *flags])


def keys(path: Path) -> set[str]:
    async def load() -> set[str]:
        store = await SqliteStore.open(path, run_sync=run_inline)
        stored = set(await store.load())
        await store.close()
        return stored

    return trio.run(load)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "new.sqlite"


def test_a_dump_becomes_the_hosts_of_a_new_store(
    store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert imported(SAMPLE, store) == 0
    assert capfd.readouterr().out.startswith("store: 4 hosts are taken over")
    assert keys(store) == {
        "imported", "agents/agent0.sim", "agents/agent1.sim", "agents/agent2.sim",
        "agents/gone.sim",
    }  # fmt: skip


def test_it_is_done_once(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert imported(SAMPLE, store) == 0
    before = store.read_bytes()
    assert imported(SAMPLE, store) == 2
    assert "an import is for a new one" in capfd.readouterr().err
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no JSON"),
        ("[]", "expected one JSON object"),
        ('{"scaleio-framework/scaleio/version": 1}', "each key with a text"),
        ('{"a": "b"}', "no keys of the original below scaleio-framework/scaleio/"),
        ('{"scaleio-framework/x/configuration/a/state": "0"}', "there is: x: name it with -role"),
        (
            (
                '{"scaleio-framework/scaleio/version": "2",'
                ' "scaleio-framework/scaleio/configuration/a/state": "0"}'
            ),
            "layout '2'",
        ),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_dump_is_refused_in_one_line(
    tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    file = tmp_path / "dump.json"
    file.write_text(text, encoding="utf-8")
    assert imported(file, store) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert says in line
    assert not store.exists()


def test_a_missing_file_and_a_wrong_flag_are_named(
    tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert imported(tmp_path / "absent.json", store) == 2
    assert "absent.json: No such file" in capfd.readouterr().err
    assert imported(SAMPLE, store, "-store.typ=zk") == 2
    assert "did you mean -store.type" in capfd.readouterr().err
