"""Finding the masters through a real ZooKeeper: who leads, what is said when nobody does."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import attrs
import pytest
import trio
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from actors.ports import LeaderUnknownError
from adapters.leaders_zookeeper import ZooKeeperLeaders
from adapters.mesos_http import HttpMesos
from adapters.store_zookeeper import ZooKeeperStore
from adapters.zookeeper_session import Pending
from commands import opening
from flags.ensemble import Ensemble, read_ensemble
from settings import Redactor, parse
from tests.real_zookeeper import ZooKeeper
from tests.real_zookeeper.publisher import SESSION_S, Publisher
from tests.scheduler_process import MDMS

pytestmark = [pytest.mark.zk, pytest.mark.timeout(120)]

PATIENCE_S = 30.0  # for anything that is waited for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    folder = tmp_path_factory.mktemp("zookeeper")
    with ZooKeeper(folder, session_max_s=SESSION_S) as zookeeper:
        yield zookeeper


_numbers = itertools.count()


@pytest.fixture
def masters(server: ZooKeeper) -> Iterator[Publisher]:
    """A path of its own for each test, with three masters; `a` leads."""
    with Publisher(server.address, f"/mesos-{next(_numbers)}") as publisher:
        for number, name in enumerate("abc", 1):
            publisher.announce(name, f"10.0.0.{number}:5050", hostname=f"{name}.example")
        yield publisher


def ensemble_of(server: ZooKeeper, folder: str) -> Ensemble:
    return read_ensemble(f"{server.uri}{folder}")


@asynccontextmanager
async def finding(ensemble: Ensemble, *, scheme: str = "http") -> AsyncIterator[ZooKeeperLeaders]:
    leaders = ZooKeeperLeaders(
        ensemble=ensemble, scheme=scheme, connect_timeout_s=5.0, answer_timeout_s=3.0
    )
    try:
        yield leaders
    finally:
        with trio.move_on_after(10, shield=True):
            await leaders.close()


@asynccontextmanager
async def finding_at(server: ZooKeeper, folder: str) -> AsyncIterator[ZooKeeperLeaders]:
    async with finding(ensemble_of(server, folder)) as leaders:
        yield leaders


def places(name: str, number: int) -> tuple[str, str]:
    return f"http://10.0.0.{number}:5050", f"http://{name}.example:5050"


A, B, C = places("a", 1), places("b", 2), places("c", 3)


async def refusal(leaders: ZooKeeperLeaders) -> str:
    with pytest.raises(LeaderUnknownError) as refused:
        await leaders.bases()
    text = str(refused.value)
    assert "\n" not in text
    assert str(leaders.ensemble) in text
    return text


async def until_told(leaders: ZooKeeperLeaders, wanted: tuple[str, ...]) -> None:
    """As the link does it: ask, and pause until a change is told, or for a moment."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                if await leaders.bases() == wanted:
                    return
            except LeaderUnknownError:
                pass
            with trio.move_on_after(5):
                await leaders.changed()


# -- who leads -------------------------------------------------------------------------------------


async def test_the_lowest_node_leads_though_others_exist(
    server: ZooKeeper, masters: Publisher
) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        masters.announce("d", "10.0.0.4:5050")
        assert await leaders.bases() == A
        masters.withdraw("a")
        masters.announce("a", "10.0.0.1:5050")  # back, behind the others
        assert await leaders.bases() == B


async def test_a_tls_master_is_asked_by_its_name_first(
    server: ZooKeeper, masters: Publisher
) -> None:
    async with finding(ensemble_of(server, masters.folder), scheme="https") as leaders:
        assert await leaders.bases() == ("https://a.example:5050", "https://10.0.0.1:5050")


async def test_what_else_stands_in_the_folder_is_ignored(server: ZooKeeper) -> None:
    with Publisher(server.address, f"/mesos-{next(_numbers)}") as publisher:
        publisher.write("old", "info_", b"\x0a\x04old!")
        publisher.write("log", "log_replicas/", b"replica")
        async with finding_at(server, publisher.folder) as leaders:
            assert "none of them is a master's" in await refusal(leaders)
            publisher.announce("b", "10.0.0.2:5050", hostname="b.example")
            assert await leaders.bases() == B


async def test_nodes_that_make_no_sense_cost_a_line_each_and_the_next_one_is_taken(
    server: ZooKeeper, capfd: pytest.CaptureFixture[str]
) -> None:
    with Publisher(server.address, f"/mesos-{next(_numbers)}") as publisher:
        publisher.write("x", "json.info_", b"no json")
        publisher.write("y", "json.info_", b"{" + b" " * 100_000 + b"}")
        async with finding_at(server, publisher.folder) as leaders:
            assert "could be read" in await refusal(leaders)
            publisher.announce("b", "10.0.0.2:5050", hostname="b.example")
            for _ in range(3):
                assert await leaders.bases() == B
    lines = [line for line in capfd.readouterr().out.splitlines() if "no MasterInfo" in line]
    assert len(lines) == 2


async def test_a_node_that_vanishes_between_list_and_look_is_passed_over(
    server: ZooKeeper, masters: Publisher
) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        masters.withdraw("a")
        session = leaders._session
        assert session is not None
        session.client = Ghosts(session.client)  # type: ignore[assignment]
        assert await leaders.bases() == B


@attrs.frozen
class Ghosts:
    """A client in whose lists still stands what has just gone."""

    client: KazooClient

    def get_children_async(
        self, path: str, watch: Callable[[object], None] | None = None
    ) -> Pending[list[str]]:
        return WithGhost(self.client.get_children_async(path, watch=watch))

    def get_async(self, path: str) -> object:
        return self.client.get_async(path)


@attrs.frozen
class WithGhost:
    pending: Pending[list[str]]

    def rawlink(self, callback: Callable[[object], None]) -> None:
        self.pending.rawlink(callback)

    def ready(self) -> bool:
        return self.pending.ready()

    def get(self, block: bool = True) -> list[str]:
        return ["json.info_0000000000", *self.pending.get(block=block)]


# -- changes ---------------------------------------------------------------------------------------


async def test_a_change_is_told_at_once_and_only_if_it_is_one(
    server: ZooKeeper, masters: Publisher
) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        with trio.move_on_after(0.5) as quiet:
            masters.withdraw("c")
            await leaders.changed()
        assert quiet.cancelled_caught
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leaders.changed)
                masters.withdraw("a")
        assert await leaders.bases() == B


async def test_a_master_that_comes_back_with_a_new_number_is_a_change(
    server: ZooKeeper, masters: Publisher
) -> None:
    masters.withdraw("b")
    masters.withdraw("c")
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        masters.withdraw("a")
        with trio.move_on_after(0.5) as quiet:  # nobody leads: nobody to go to
            await leaders.changed()
        assert quiet.cancelled_caught
        masters.announce("a", "10.0.0.1:5050", hostname="a.example")
        with trio.fail_after(PATIENCE_S):
            await leaders.changed()
        assert await leaders.bases() == A


async def test_the_first_leader_is_a_change_too(server: ZooKeeper) -> None:
    with Publisher(server.address, f"/mesos-{next(_numbers)}") as publisher:
        async with finding_at(server, publisher.folder) as leaders:
            assert f"no path {publisher.folder}" in await refusal(leaders)
            publisher.announce("a", "10.0.0.1:5050", hostname="a.example")
            with trio.fail_after(PATIENCE_S):
                await leaders.changed()
            assert await leaders.bases() == A


# -- ZooKeeper's own troubles ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_a_restart_of_zookeeper_is_survived(
    server: ZooKeeper, masters: Publisher, ending: str
) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        await trio.to_thread.run_sync(getattr(server, ending))
        try:
            text = await refusal(leaders)
            assert "check the addresses" in text
        finally:
            with trio.move_on_after(PATIENCE_S, shield=True):
                await trio.to_thread.run_sync(server.start)
        await until_told(leaders, A)
        masters.withdraw("a")
        await until_told(leaders, B)


async def test_an_expired_session_is_replaced(server: ZooKeeper, masters: Publisher) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        session = leaders._session
        assert session is not None
        session.lost.set()  # what kazoo reports in the end
        assert await leaders.bases() == A
        assert leaders._session is not session
        assert session.closed


async def test_a_server_that_hangs_is_given_up_in_time(
    server: ZooKeeper, masters: Publisher
) -> None:
    async with finding_at(server, masters.folder) as leaders:
        assert await leaders.bases() == A
        with server.frozen(), trio.fail_after(25):
            await refusal(leaders)
        await until_told(leaders, A)


async def test_nobody_answers(server: ZooKeeper) -> None:
    nowhere = read_ensemble("zk://someone:pa55word@127.0.0.1:1/mesos")
    async with finding(attrs.evolve(nowhere)) as leaders:
        leaders.connect_timeout_s = 0.3
        text = await refusal(leaders)
    assert "no ZooKeeper server of zk://127.0.0.1:1/mesos answered" in text
    assert "pa55word" not in text
    assert "pa55word" not in repr(leaders)


async def test_a_guarded_folder_is_read_with_credentials_only(server: ZooKeeper) -> None:
    folder = f"/guarded-{next(_numbers)}"
    client = KazooClient(hosts=server.address)
    client.start()
    try:
        node = f"{folder}/json.info_0000000001"
        client.create(node, b'{"pid":"master@10.0.0.1:5050"}', makepath=True)
        client.set_acls(folder, [make_digest_acl("mesos", "pa55word", all=True)])
        client.set_acls(node, [make_digest_acl("mesos", "pa55word", all=True)])
    finally:
        client.stop()
        client.close()
    ensemble = ensemble_of(server, folder)
    async with finding(ensemble) as leaders:
        assert "give credentials with -uri=zk://USER:PASSWORD@" in await refusal(leaders)
    async with finding(attrs.evolve(ensemble, credentials="mesos:pa55word")) as leaders:
        assert await leaders.bases() == ("http://10.0.0.1:5050",)
    async with finding(attrs.evolve(ensemble, credentials="mesos:wrong-word")) as leaders:
        text = await refusal(leaders)
    assert "wrong-word" not in text


# -- the store -------------------------------------------------------------------------------------


async def test_the_masters_ensemble_keeps_our_state_where_no_other_is_named(
    server: ZooKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MESOS_ZK_FILE", tmp_path / "absent")
    argv = [*MDMS, f"-uri=zk://u:pa55word@{server.address}/mesos", "-role=by-uri"]
    redactor = Redactor()
    nobody = cast("HttpMesos", object())  # no master is asked for its flags
    store = await opening.open_the_store(
        parse(argv, {"SCALEIO_SCALEIO_PASSWORD": "another-one"}),
        nobody,
        redactor,
        opening.Waiting(),
    )
    try:
        assert isinstance(store, ZooKeeperStore)
        assert store.root == "/scaleio-framework/by-uri/v2"
        await store.write({"a": b"1"})
        assert dict(await store.load()) == {"a": b"1"}
        assert redactor("pa55word") == "***"
    finally:
        with trio.move_on_after(10, shield=True):
            await store.close()
