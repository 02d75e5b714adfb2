"""Which store is taken, and what is said when the settings name none."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors.ports import Store, StoreError, StoreInUseError
from adapters import store_choice
from adapters.store_choice import (
    SqliteChoice,
    StoreChoice,
    ZooKeeperChoice,
    choose_store,
    open_store,
)
from adapters.store_sqlite import BUSY_TIMEOUT_S, run_inline
from adapters.store_uri import Ensemble, StoreTypeError, StoreUriError, parse_ensemble
from adapters.store_zookeeper import ZooKeeperStore, key_of, node_name
from cli import SUBCOMMANDS
from commands.scheduler import judge_end
from supervisor import EXIT_STORE

TWO = ("h1:2181", "h2:2182")


def choose(
    store_type: str = "auto", uri: str = "", *, mesos_zk: str = "", master_zk: str = ""
) -> StoreChoice:
    return choose_store(
        store_type=store_type, uri=uri, mesos_zk=mesos_zk, master_zk=master_zk, role="scaleio"
    )


def zk(choice: StoreChoice) -> Ensemble:
    assert isinstance(choice, ZooKeeperChoice)
    return choice.ensemble


def sqlite(choice: StoreChoice) -> Path:
    assert isinstance(choice, SqliteChoice)
    return choice.path


@pytest.mark.parametrize("store_type", ["auto", "zk"])
@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("zk://h1:2181,h2:2182/a/b", Ensemble(servers=TWO, chroot="/a/b")),
        ("zk://h1:2181,h2:2182", Ensemble(servers=TWO)),
        ("zk://h1:2181,h2:2182/", Ensemble(servers=TWO)),
        ("ZK://h1,h2:2182", Ensemble(servers=TWO)),
        ("h1:2181,h2:2182", Ensemble(servers=TWO)),
        (" h1:2181, h2:2182\n", Ensemble(servers=TWO)),
        ("h1:2181/a", Ensemble(servers=("h1:2181",), chroot="/a")),
        ("zk://[::1]:2181", Ensemble(servers=("[::1]:2181",))),
        ("zk://10.0.0.1:2181", Ensemble(servers=("10.0.0.1:2181",))),
        ("zk://u:p:w@h1:2181", Ensemble(servers=("h1:2181",), credentials="u:p:w")),
    ],
)
def test_every_form_of_an_ensemble_is_read(store_type: str, uri: str, wanted: Ensemble) -> None:
    assert zk(choose(store_type, uri)) == wanted


def test_servers_without_ports_are_read_where_only_an_ensemble_can_be_meant() -> None:
    assert zk(choose("zk", "h1,h2:2182")).servers == TWO


@pytest.mark.parametrize("uri", ["/var/lib/s", "./s", "../s", "store.db", "store.sqlite"])
@pytest.mark.parametrize("store_type", ["auto", "sqlite"])
def test_a_path_names_a_sqlite_file(store_type: str, uri: str) -> None:
    assert sqlite(choose(store_type, uri)) == Path(uri)


def test_the_home_folder_can_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HOME", "/home/someone")
    assert sqlite(choose("auto", "~/store.db")) == Path("/home/someone/store.db")


def test_auto_takes_the_address_before_the_host_before_the_master_before_a_file() -> None:
    hosts = {"mesos_zk": "zk://host:2181/mesos\n", "master_zk": "zk://master:2181/mesos"}
    assert zk(choose(uri="uri:2181", **hosts)).servers == ("uri:2181",)
    assert sqlite(choose(uri="/a/file", **hosts)) == Path("/a/file")
    assert zk(choose(**hosts)).servers == ("host:2181",)
    assert zk(choose(master_zk="zk://master:2181/mesos")).servers == ("master:2181",)
    assert sqlite(choose()) == Path("/var/lib/scaleio-scheduler/scaleio.sqlite")


MASTERS = Ensemble(servers=("uri:2181",), chroot="/mesos", credentials="u:p")


@pytest.mark.parametrize(
    ("store_type", "uri", "mesos_zk", "server"),
    [
        ("auto", "", "", "uri:2181"),
        ("zk", "", "", "uri:2181"),
        ("auto", "", "zk://host:2181/mesos", "host:2181"),
        ("auto", "own:2181", "", "own:2181"),
    ],
)
def test_the_ensemble_of_the_masters_comes_between_the_host_and_the_master(
    store_type: str, uri: str, mesos_zk: str, server: str
) -> None:
    choice = choose_store(
        store_type=store_type,
        uri=uri,
        mesos_zk=mesos_zk,
        masters=MASTERS,
        master_zk="zk://master:2181/mesos",
        role="scaleio",
    )
    assert zk(choice).servers == (server,)


def test_of_the_ensemble_of_the_masters_the_path_is_left_to_mesos() -> None:
    choice = choose_store(
        store_type="auto", uri="", mesos_zk="", masters=MASTERS, master_zk="", role="scaleio"
    )
    assert zk(choice) == Ensemble(servers=("uri:2181",), credentials="u:p")
    assert choice.reason == "-uri"


@pytest.mark.parametrize("store_type", ["auto", "zk"])
def test_of_what_mesos_names_the_path_is_left_to_mesos(store_type: str) -> None:
    choice = choose(store_type, mesos_zk="zk://u:p@h1:2181,h2:2182/mesos")
    assert zk(choice) == Ensemble(servers=TWO, credentials="u:p")


def test_the_choice_says_what_decided() -> None:
    assert choose(uri="h1:2181").reason == "-store.uri"
    assert choose(mesos_zk="zk://h1:2181/mesos").reason == "/etc/mesos/zk"
    assert choose(master_zk="zk://h1:2181/mesos").reason == "the master's flag zk"
    assert choose().reason == "neither /etc/mesos/zk nor the master names ZooKeeper"
    assert choose("sqlite").reason == "-store.type=sqlite"


def test_sqlite_can_be_forced_although_mesos_names_zookeeper() -> None:
    forced = choose("sqlite", mesos_zk="zk://h1:2181/mesos")
    assert sqlite(forced) == Path("/var/lib/scaleio-scheduler/scaleio.sqlite")


def test_two_roles_on_one_host_have_two_files() -> None:
    paths = {
        sqlite(choose_store(store_type="sqlite", uri="", mesos_zk="", master_zk="", role=role))
        for role in ("scaleio", "eng/scaleio", "*")
    }
    assert len(paths) == 3
    assert {path.parent for path in paths} == {Path("/var/lib/scaleio-scheduler")}


@pytest.mark.parametrize("store_type", ["etcd", "consul", "boltdb"])
def test_a_store_of_the_original_is_refused_with_what_to_do_instead(store_type: str) -> None:
    with pytest.raises(StoreTypeError, match="take zk or sqlite, new and empty") as refused:
        choose(store_type, "/some/where")
    assert "\n" not in str(refused.value)
    assert f"-store.type={store_type} is not supported" in str(refused.value)
    assert "nothing has to be carried over" in str(refused.value)


@pytest.mark.parametrize("store_type", ["etcd", "consul", "boltdb"])
def test_a_refusal_names_no_command_that_there_is_not(store_type: str) -> None:
    with pytest.raises(StoreTypeError) as refused:
        choose(store_type, "/some/where")
    (command,) = re.findall(r"`scaleio-scheduler (\S+) ", str(refused.value))
    assert command in SUBCOMMANDS


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StoreTypeError, match="expected auto, zk, sqlite"):
        choose("redis")


@pytest.mark.parametrize(
    ("store_type", "uri", "what"),
    [
        ("auto", "nonsense", "cannot tell what 'nonsense' is"),
        ("auto", "http://h1:2379", "cannot tell what 'http://h1:2379' is"),
        ("auto", "zk://", "'' is no HOST:PORT"),
        ("auto", "zk://h1:2181,,h2:2181", "'' is no HOST:PORT"),
        ("auto", "zk://h1:port", "'h1:port' is no HOST:PORT"),
        ("auto", "zk://h1:0", "has no port between 1 and 65535"),
        ("auto", "zk://h1:65536", "has no port between 1 and 65535"),
        ("auto", "zk://h 1:2181", "'h 1:2181' is no HOST:PORT"),
        ("auto", "zk://h1:2181/a//b", "path '/a//b' is no ZooKeeper path"),
        ("auto", "zk://h1:2181/../b", "path '/../b' is no ZooKeeper path"),
        ("auto", "zk://h1:2181/a\x00", "is no ZooKeeper path"),
        ("zk", "http://h1:2379", "unknown scheme 'http://'"),
        ("zk", "/a/file", "'' is no HOST:PORT"),
        ("zk", "zk://user@h1:2181", "stands USER:PASSWORD"),
        ("sqlite", "zk://h1:2181/a", "'zk://h1:2181/a' is no file"),
        ("sqlite", "h1:2181", "'h1:2181' is no file"),
    ],
)
def test_a_bad_address_is_told_in_one_line(store_type: str, uri: str, what: str) -> None:
    with pytest.raises(StoreUriError, match=re.escape(what)) as refused:
        choose(store_type, uri)
    assert str(refused.value).startswith("-store.uri: ")
    assert "\n" not in str(refused.value)


def test_a_bad_hint_is_told_with_its_place_and_the_way_round() -> None:
    for hint, place in (("mesos_zk", "/etc/mesos/zk"), ("master_zk", "the master's flag zk")):
        with pytest.raises(StoreUriError, match=r"or name the store with -store\.uri") as refused:
            choose("auto", **{hint: "file:///etc/mesos/secret"})
        assert str(refused.value).startswith(place)


def test_zk_without_any_address_says_how_to_give_one() -> None:
    with pytest.raises(StoreUriError, match=r"give -store\.uri=zk://"):
        choose("zk")


PASSWORD = "pa55word"


@pytest.mark.parametrize("store_type", ["auto", "zk", "sqlite"])
@pytest.mark.parametrize(
    "uri",
    [
        f"zk://user:{PASSWORD}@h1:port",
        f"zk://user:{PASSWORD}@h1:2181/..",
        f"zk://user:{PASSWORD}/x@h1:2181",
        f"zk://user:x/{PASSWORD}@h1:2181",
        f"user:{PASSWORD}@h1:2181/..",
        f"http://user:{PASSWORD}@h1:2181",
    ],
)
def test_no_error_shows_a_password(store_type: str, uri: str) -> None:
    with pytest.raises(StoreUriError) as refused:
        choose(store_type, uri)
    assert PASSWORD not in str(refused.value)


def test_neither_the_choice_nor_the_address_shows_a_password() -> None:
    choice = choose(uri=f"zk://user:{PASSWORD}@h1:2181/a")
    assert PASSWORD not in repr(choice)
    assert str(zk(choice)) == "zk://h1:2181/a"


@given(st.text())
def test_any_text_is_an_address_or_refused_in_one_line(text: str) -> None:
    try:
        ensemble = parse_ensemble(text, source="-store.uri")
    except StoreUriError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most texts are no address, some are
    else:
        assert parse_ensemble(str(ensemble), source="again").servers == ensemble.servers


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_key_comes_back_from_its_node_name(key: str) -> None:
    name = node_name(key)
    assert key_of(name) == key
    assert "/" not in name
    assert name not in (".", "..")
    assert name.isascii()
    assert name.isprintable()


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_keys_never_share_a_node(one: str, two: str) -> None:
    encodable = [key for key in (one, two) if key.isprintable()]
    assert len({node_name(key) for key in encodable}) == len(set(encodable))


def test_readable_keys_stay_readable() -> None:
    assert node_name("framework") == "framework"
    assert node_name("agents/host-1.example.com:31000") == "agents%2Fhost-1.example.com:31000"
    assert unquote(node_name("..")) == ".."


async def test_the_default_file_gets_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_choice, "DEFAULT_FOLDER", tmp_path / "var" / "lib")
    store = await open_store(choose(), role="scaleio", run_sync=run_inline)
    await store.write({"a": b"1"})
    await store.close()
    assert store.kind == "sqlite"
    assert sqlite(choose()) == tmp_path / "var" / "lib" / "scaleio.sqlite"


async def test_a_default_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(store_choice, "DEFAULT_FOLDER", tmp_path / "file" / "folder")
    with pytest.raises(StoreError, match="cannot be created") as refused:
        await open_store(choose(), role="scaleio", run_sync=run_inline)
    assert "-store.uri" in str(refused.value)


async def test_a_folder_that_was_named_is_not_made_up(tmp_path: Path) -> None:
    named = choose(uri=str(tmp_path / "typing-error" / "store.sqlite"))
    with pytest.raises(StoreError, match="there is no folder"):
        await open_store(named, role="scaleio", run_sync=run_inline)
    assert await trio.Path(tmp_path / "typing-error").exists() is False


async def test_a_store_in_use_is_waited_for_and_taken_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    choice = choose(uri=str(tmp_path / "store.sqlite"))
    first = await open_store(choice, role="scaleio")
    opened: list[Store] = []

    async def second() -> None:
        opened.append(await open_store(choice, role="scaleio"))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second)
            await trio.sleep(BUSY_TIMEOUT_S + 0.5)  # so long that it has begun anew
            assert opened == []
            await first.close()
    (store,) = opened
    await store.close()
    told = [line for line in capfd.readouterr().out.splitlines() if "waiting for" in line]
    assert len(told) == 1


async def test_a_store_that_stays_in_use_is_left_with_one_line(tmp_path: Path) -> None:
    choice = choose(uri=str(tmp_path / "store.sqlite"))
    first = await open_store(choice, role="scaleio")
    with pytest.raises(StoreInUseError, match=r"in use by another.*waited 0\.5 s") as refused:
        await open_store(choice, role="scaleio", leader_timeout_s=0.5)
    assert judge_end(refused.value) == (EXIT_STORE, str(refused.value))
    assert "\n" not in str(refused.value)
    await first.close()


async def test_waiting_for_a_store_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    choice = choose(uri=str(tmp_path / "store.sqlite"))
    first = await open_store(choice, role="scaleio")
    with trio.fail_after(10), trio.move_on_after(0.2) as patience:
        await open_store(choice, role="scaleio")
    assert patience.cancelled_caught
    await first.close()


async def test_without_kazoo_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    with pytest.raises(StoreError, match=r"install scaleio-framework\[zk\]") as refused:
        await ZooKeeperStore.open(Ensemble(servers=TWO), role="scaleio")
    assert "\n" not in str(refused.value)
