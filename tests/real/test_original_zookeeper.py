"""A first start on the original's real ensemble; and the operators' helpers on a real one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import structlog
import trio
from kazoo.client import KazooClient

from actors.ports import Store
from adapters.store_choice import choose_store, open_store
from commands import scheduler
from commands.original import take_over_original
from domain import records
from domain.agent import AgentRecord, Phase
from domain.records import FrameworkRecord
from tests.real_zookeeper import ZooKeeper

pytestmark = pytest.mark.zk

SAMPLE: Final = Path(__file__).parent.parent / "data" / "original_store" / "preconfigured.json"
ROOT: Final = "/scaleio-framework/scaleio"
HOSTS: Final = ("agent0.sim", "agent1.sim", "agent2.sim", "gone.sim")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as zookeeper:
        yield zookeeper


_numbers = itertools.count()


@pytest.fixture
def uri(server: ZooKeeper) -> str:
    return f"{server.uri}/site-{next(_numbers)}"


@contextmanager
def shell(server: ZooKeeper) -> Iterator[KazooClient]:
    client = KazooClient(hosts=server.address)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def put_original(server: ZooKeeper, chroot: str) -> None:
    """As the original wrote its keys: folders are empty nodes."""
    with shell(server) as client:
        for key, value in json.loads(SAMPLE.read_text(encoding="utf-8")).items():
            client.ensure_path(chroot + key)
            client.set(chroot + key, value.encode())


def tree(server: ZooKeeper, path: str, *, without: str = "") -> dict[str, bytes]:
    with shell(server) as client:
        return dict(_below(client, path, without))


def _below(client: KazooClient, path: str, without: str) -> Iterator[tuple[str, bytes]]:
    yield path, client.get(path)[0]
    for name in client.get_children(path):
        if f"{path}/{name}" != without:
            yield from _below(client, f"{path}/{name}", without)


async def opened(uri: str) -> Store:
    choice = choose_store(store_type="zk", uri=uri, mesos_zk="", master_zk="", role="scaleio")
    return await open_store(choice, role="scaleio", leader_timeout_s=20.0)


async def started(uri: str, now: float) -> dict[str, bytes]:
    """What a scheduler finds in its store after it has started."""
    store = await opened(uri)
    await take_over_original(store, await store.load(), now=now)
    stored = dict(await store.load())
    await store.close()
    return stored


async def test_the_first_start_takes_over_the_hosts_and_leaves_every_key_as_it_was(
    server: ZooKeeper, uri: str
) -> None:
    chroot = "/" + uri.rpartition("/")[2]
    await trio.to_thread.run_sync(put_original, server, chroot)

    def original() -> dict[str, bytes]:
        return tree(server, chroot + ROOT, without=f"{chroot}{ROOT}/v2")

    before = await trio.to_thread.run_sync(original)
    stored = await started(uri, 100.0)
    assert set(stored) == {records.IMPORTED_KEY, *(records.agent_key(host) for host in HOSTS)}
    for host in HOSTS:
        key = records.agent_key(host)
        record = records.decode(stored[key], AgentRecord, key=key)
        assert (record.phase, record.since) == (Phase.SEEN, 100.0)
    assert await trio.to_thread.run_sync(original) == before
    assert await started(uri, 200.0) == stored  # once, at the first start only


async def test_a_store_that_has_registered_takes_nothing_over(server: ZooKeeper, uri: str) -> None:
    await trio.to_thread.run_sync(put_original, server, "/" + uri.rpartition("/")[2])
    store = await opened(uri)
    ours = {records.FRAMEWORK_KEY: records.encode(FrameworkRecord(framework_id="F"))}
    await store.write(ours)
    await store.close()
    assert await started(uri, 100.0) == ours


async def test_where_the_original_never_ran_nothing_is_written(uri: str) -> None:
    assert await started(uri, 100.0) == {}


def helper(uri: str, *flags: str) -> int:
    return scheduler.main([f"-store.uri={uri}", *flags], {})


def test_the_helpers_show_add_and_delete_records_and_spare_the_originals(
    server: ZooKeeper, uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    chroot = "/" + uri.rpartition("/")[2]
    put_original(server, chroot)
    record = records.encode(AgentRecord(host="a.example:31000", agent_id="S1"))
    key = f"{ROOT}/v2/records/agents%2Fa.example:31000"
    flags = (f"-store.add.key={key}", f"-store.add.value={record.decode()}")
    assert helper(uri, *flags) == 0
    capfd.readouterr()
    assert helper(uri, "-store.dump") == 0
    assert list(json.loads(capfd.readouterr().out)) == ["agents/a.example:31000"]
    assert helper(uri, f"-store.del.key={ROOT}/configuration/agent0.sim/state") == 2
    assert helper(uri, "-store.del.key=/mesos") == 2
    assert helper(uri, f"-store.del.key={chroot}{key}") == 0
    assert helper(uri, *flags) == 0
    assert helper(uri, "-store.delete") == 0
    capfd.readouterr()
    assert helper(uri, "-store.dump") == 0
    assert capfd.readouterr().out == "{}\n"
    kept = tree(server, chroot + ROOT, without=f"{chroot}{ROOT}/v2")
    assert f"{chroot}{ROOT}/configuration/agent0.sim/state" in kept


async def test_a_helper_does_not_wait_for_a_scheduler_that_runs(
    uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = await opened(uri)
    status = await trio.to_thread.run_sync(helper, uri, "-store.delete")
    await store.close()
    assert status == 5
    assert "holds the leader lock" in capfd.readouterr().err


def test_rebuild_is_refused_where_there_is_no_file(uri: str) -> None:
    choice = choose_store(store_type="zk", uri=uri, mesos_zk="", master_zk="", role="scaleio")
    with pytest.raises(ValueError, match="is for a damaged SQLite file"):
        trio.run(lambda: open_store(choice, role="scaleio", rebuild=True))
