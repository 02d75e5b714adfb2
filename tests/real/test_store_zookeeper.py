"""The ZooKeeper store against a real server: the common contract, leadership, lost sessions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from kazoo.client import KazooClient

from actors.ports import StoreConflictError, StoreError
from adapters.store_choice import choose_store, open_store
from adapters.store_uri import Ensemble, parse_ensemble
from adapters.store_zookeeper import TRANSACTION_BYTES_MAX, ZooKeeperStore
from tests.real_zookeeper import ZooKeeper
from tests.real_zookeeper.lossy import LossyWay
from tests.store_churn import churn
from tests.store_contract import Opened, StoreContract
from tests.store_writer import number_in, written_until_killed

pytestmark = pytest.mark.zk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as zookeeper:
        yield zookeeper


_numbers = itertools.count()


@pytest.fixture
def ensemble(server: ZooKeeper) -> Ensemble:
    """A path of its own for each test."""
    return parse_ensemble(f"{server.uri}/test-{next(_numbers)}", source="test")


@asynccontextmanager
async def zookeeper_store(
    ensemble: Ensemble, *, lock_timeout_s: float | None = 5.0
) -> AsyncIterator[ZooKeeperStore]:
    """Opened, and leading unless `lock_timeout_s` is None. Times are short; on loopback."""
    store = await ZooKeeperStore.open(
        ensemble, role="scaleio", connect_timeout_s=10, session_timeout_s=2, answer_timeout_s=4
    )
    try:
        if lock_timeout_s is not None:
            await store.acquire(lock_timeout_s)
        yield store
    finally:
        with trio.move_on_after(10, shield=True):
            await store.close()


@contextmanager
def operator(ensemble: Ensemble) -> Iterator[KazooClient]:
    """Somebody with a ZooKeeper shell."""
    client = KazooClient(hosts=",".join(ensemble.servers))
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def end_session(store: ZooKeeperStore) -> None:
    """What a server does with a session that was silent for too long: another connection of
    the same session closes it."""
    twin = KazooClient(
        hosts=",".join(store.ensemble.servers),
        client_id=store._session.client.client_id,  # type: ignore[attr-defined] # kazoo's own
    )
    twin.start()
    twin.stop()
    twin.close()


class TestZooKeeperStore(StoreContract):
    @pytest.fixture
    def opened(self, ensemble: Ensemble) -> Opened:
        return lambda: zookeeper_store(ensemble, lock_timeout_s=0.5)


async def test_records_stand_where_the_original_scheduler_had_its_own(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"agents/host-1:31000": b"{}"})
    with operator(ensemble) as client:
        folder = f"{ensemble.chroot}/scaleio-framework/scaleio/v2/records"
        assert client.get_children(folder) == ["agents%2Fhost-1:31000"]


async def test_the_leader_is_named_to_the_one_who_waits(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble), zookeeper_store(ensemble, lock_timeout_s=None) as second:
        with pytest.raises(StoreError, match=r"holds the leader lock .*: stop that scheduler"):
            await second.acquire(0.2)


async def test_the_next_scheduler_leads_when_the_first_has_gone(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble, lock_timeout_s=None) as second:
        async with trio.open_nursery() as nursery, zookeeper_store(ensemble) as first:
            await first.write({"a": b"1"})
            nursery.start_soon(second.acquire, 20.0)
            with pytest.raises(StoreConflictError, match="no leader lock"):
                await second.write({"a": b"2"})
        await second.write({"a": b"2", "b": b"2"})
        assert dict(await second.load()) == {"a": b"2", "b": b"2"}


async def test_a_refused_candidate_does_not_stand_in_the_way_later(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble, lock_timeout_s=None) as second:
        async with zookeeper_store(ensemble):
            with pytest.raises(StoreError):
                await second.acquire(0.1)
        async with zookeeper_store(ensemble, lock_timeout_s=5.0) as third:
            await third.write({"a": b"3"})


async def test_nobody_writes_without_the_leader_lock(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble, lock_timeout_s=None) as store:
        assert dict(await store.load()) == {}
        with pytest.raises(StoreConflictError, match="no leader lock"):
            await store.write({"a": b"1"})
    with operator(ensemble) as client:
        assert client.exists(f"{ensemble.chroot}/scaleio-framework") is None


@pytest.mark.parametrize(
    "meddle",
    [
        lambda client, node: client.set(node, b"by hand"),
        lambda client, node: client.delete(node),
        lambda client, node: client.create(node + "2", b"by hand"),
    ],
    ids=["changed", "deleted", "created"],
)
async def test_a_record_changed_by_somebody_else_ends_our_writing(
    ensemble: Ensemble, meddle: Callable[[KazooClient, str], object]
) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"agent": b"1", "other": b"1"})
        with operator(ensemble) as client:
            meddle(client, f"{store.root}/records/agent")
        with pytest.raises(StoreConflictError, match="somebody else changed"):
            await store.write({"other": b"2", "agent": b"2", "agent2": b"2"})
        assert (await store.load())["other"] == b"1"
        with pytest.raises(StoreConflictError):
            await store.write({"other": b"3"})
        assert (await store.load())["other"] == b"1"


async def test_a_lost_session_ends_our_writing_and_is_told(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"a": b"1"})
        await trio.to_thread.run_sync(end_session, store)
        with trio.fail_after(20):
            await store.lost.wait()
        for _ in range(2):
            with pytest.raises(StoreConflictError, match="session ended"):
                await store.write({"a": b"2"})
    async with zookeeper_store(ensemble) as store:
        assert dict(await store.load()) == {"a": b"1"}


async def test_a_lock_removed_by_hand_ends_our_writing(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"a": b"1"})
        with operator(ensemble) as client:
            client.delete(store._lock_node)
        with pytest.raises(StoreConflictError, match=r"leader lock .* is gone"):
            await store.write({"a": b"2"})
        assert dict(await store.load()) == {"a": b"1"}


async def test_a_lock_lost_between_writes_ends_them_and_none_lands_later(
    ensemble: Ensemble,
) -> None:
    """Whatever was confirmed is there, whole; what was refused is not; nobody writes after it."""
    confirmed, refusals = 0, 0

    def take_the_lock_away(store: ZooKeeperStore) -> None:
        with operator(ensemble) as client:
            client.delete(store._lock_node)

    async with zookeeper_store(ensemble) as store, trio.open_nursery() as nursery:
        await store.write({"a": b"0", "b": b"0"})
        nursery.start_soon(trio.to_thread.run_sync, take_the_lock_away, store)
        while refusals < 3:
            value = b"%d" % (confirmed + 1)
            try:
                await store.write({"a": value, "b": value})
            except StoreConflictError:
                refusals += 1
            else:
                assert refusals == 0
                confirmed += 1
    async with zookeeper_store(ensemble) as store:
        last = b"%d" % confirmed
        assert dict(await store.load()) == {"a": last, "b": last}


async def test_a_restarted_server_costs_nothing(server: ZooKeeper, ensemble: Ensemble) -> None:
    """A write during the outage is done when the server is back, or refused, whole."""
    async with zookeeper_store(ensemble) as store:
        await store.write({"a": b"1", "b": b"1"})
        await trio.to_thread.run_sync(server.kill)
        await trio.to_thread.run_sync(server.start)
        try:
            await store.write({"a": b"2", "b": b"2"})
        except StoreError:
            wanted = b"1"
        else:
            wanted = b"2"
    async with zookeeper_store(ensemble, lock_timeout_s=20.0) as store:
        assert dict(await store.load()) == {"a": wanted, "b": wanted}


@pytest.mark.parametrize("delete", [False, True], ids=["changed", "deleted"])
async def test_a_write_whose_answer_was_lost_is_known_to_have_landed(
    server: ZooKeeper, ensemble: Ensemble, *, delete: bool
) -> None:
    with LossyWay(server.port) as way:
        lossy = attrs.evolve(ensemble, servers=(f"127.0.0.1:{way.port}",))
        async with zookeeper_store(lossy) as store:
            await store.write({"a": b"1", "b": b"1"})
            way.lose_next_answer()
            await store.write({"a": None if delete else b"2", "b": b"2", "c": b"2"})
            assert way.lost.is_set()
            way.lose_next_answer()
            await store.write({"a": b"3", "c": b"3"})
            assert way.lost.is_set()
            assert dict(await store.load()) == {"a": b"3", "b": b"2", "c": b"3"}


async def test_a_write_cut_off_by_a_crashed_server_is_settled(
    server: ZooKeeper, ensemble: Ensemble
) -> None:
    """The request is on its way when the server dies: what we say afterwards is true."""
    outcome: list[str] = []

    async def write(store: ZooKeeperStore) -> None:
        try:
            await store.write({"a": b"2", "b": b"2"})
        except StoreConflictError:  # the session did not survive: the scheduler must stop
            outcome.append("unknown")
        except StoreError:
            outcome.append("nothing written")
        else:
            outcome.append("written")

    async with zookeeper_store(ensemble) as store:
        await store.write({"a": b"1", "b": b"1"})
        async with trio.open_nursery() as nursery:
            with server.frozen():
                nursery.start_soon(write, store)
                await trio.testing.wait_all_tasks_blocked(0.05)
                await trio.to_thread.run_sync(server.kill)
            await trio.to_thread.run_sync(server.start)
    async with zookeeper_store(ensemble, lock_timeout_s=20.0) as store:
        records = await store.load()
    possible = {"unknown": {b"1", b"2"}, "nothing written": {b"1"}, "written": {b"2"}}
    assert records["a"] == records["b"]
    assert records["a"] in possible[outcome[0]]


async def test_a_silent_server_ends_our_writing_because_nobody_knows_what_landed(
    server: ZooKeeper, ensemble: Ensemble
) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"a": b"1", "b": b"1"})
        with server.frozen(), pytest.raises(StoreConflictError, match="must stop"):
            await store.write({"a": b"2", "b": b"2"})
        with pytest.raises(StoreConflictError, match="must stop"):
            await store.write({"a": b"3"})
    async with zookeeper_store(ensemble, lock_timeout_s=20.0) as store:
        records = await store.load()
        assert records["a"] == records["b"]


async def test_no_server_is_said_with_the_address(tmp_path: Path) -> None:
    absent = ZooKeeper(tmp_path)  # never started: nobody listens there
    with pytest.raises(StoreError, match=f"{absent.address} answered within 0.5 s"):
        await ZooKeeperStore.open(
            parse_ensemble(absent.uri, source="test"), role="scaleio", connect_timeout_s=0.5
        )


async def test_a_record_above_the_size_that_servers_take_is_refused(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble) as store:
        await store.write({"largest": b"x" * (TRANSACTION_BYTES_MAX - 1_000)})
        with pytest.raises(StoreError, match="the record 'agents/a' has 1000001 bytes"):
            await store.write({"small": b"1", "agents/a": b"x" * (TRANSACTION_BYTES_MAX + 1)})
        with pytest.raises(StoreError, match="10 records have"):
            await store.write({f"agents/{n}": b"x" * 100_000 for n in range(10)})
        assert list(await store.load()) == ["largest"]
        await store.write({"small": b"1"})


async def test_credentials_close_the_records_to_others(ensemble: Ensemble) -> None:
    ours = attrs.evolve(ensemble, credentials="scheduler:secret")
    async with zookeeper_store(ours) as store:
        await store.write({"a": b"1"})
        assert dict(await store.load()) == {"a": b"1"}
    async with zookeeper_store(ensemble, lock_timeout_s=None) as stranger:
        with pytest.raises(StoreError, match="does not allow us") as refused:
            await stranger.load()
        with pytest.raises(StoreError, match="does not allow us"):
            await stranger.acquire(1.0)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("writes", [1, 5, 20])
async def test_a_killed_scheduler_leaves_its_last_complete_write(
    server: ZooKeeper, ensemble: Ensemble, writes: int
) -> None:
    reported = await trio.to_thread.run_sync(written_until_killed, str(ensemble), writes)
    store = await ZooKeeperStore.open(ensemble, role="writer")
    number = number_in(await store.load())
    await store.close()
    assert reported <= number <= reported + 1


async def test_a_store_is_whole_after_every_kill_of_its_writer(ensemble: Ensemble) -> None:
    tally = await trio.to_thread.run_sync(partial(churn, str(ensemble), writes=60, seed=2))
    assert tally.is_good, str(tally)
    assert tally.writes == 60
    assert tally.kills >= 1


async def test_ten_thousand_agents_are_loaded_completely(ensemble: Ensemble) -> None:
    async with zookeeper_store(ensemble) as store:
        for thousand in range(10):
            await store.write({f"agents/{thousand}-{n}": b"x" * 300 for n in range(1_000)})
    async with zookeeper_store(ensemble) as store:
        assert len(await store.load()) == 10_000


async def test_the_chosen_store_opens_as_leader(ensemble: Ensemble) -> None:
    choice = choose_store(
        store_type="auto", uri=str(ensemble), mesos_zk="", master_zk="", role="scaleio"
    )
    store = await open_store(choice, role="scaleio")
    await store.write({"a": b"1"})
    with pytest.raises(StoreError, match="holds the leader lock"):
        await open_store(choice, role="scaleio", leader_timeout_s=0.2)
    other_role = await open_store(choice, role="other", leader_timeout_s=0.2)
    assert dict(await other_role.load()) == {}
    await other_role.close()
    await store.close()
