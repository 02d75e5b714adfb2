"""What every store promises: run against each implementation by a subclass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from actors.ports import Store, StoreError

Opened = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens the same place each time, ready to write; leaving the block closes the store."""

ODD_KEYS = (
    "framework",
    "agents/host-1.example.com:31000",
    "agents/host 2",
    "agents/hôte-é",
    "..",
    ".",
    "a/../b",
    "%2F",
    "a//b",
    "zookeeper",
    "tab\tand\nline",
    "private-\ue000-use",
)


LARGE_BYTES = 900_000  # the largest record that we may ever have; ZooKeeper takes a megabyte
HUGE_BYTES = 3_000_000


class StoreContract:
    """A subclass has the fixture `opened`, and its name starts with Test."""

    async def test_a_new_store_is_empty(self, opened: Opened) -> None:
        async with opened() as store:
            assert dict(await store.load()) == {}

    async def test_what_was_written_is_there_after_opening_again(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"framework": b'{"id": "f"}', "agents/a": b"{}"})
            await store.write({"agents/a": b'{"phase": "ready"}'})
        async with opened() as store:
            assert dict(await store.load()) == {
                "framework": b'{"id": "f"}',
                "agents/a": b'{"phase": "ready"}',
            }

    async def test_one_write_creates_changes_and_deletes(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"kept": b"1", "changed": b"1", "deleted": b"1"})
            await store.write({"changed": b"2", "deleted": None, "created": b"2"})
            assert dict(await store.load()) == {"kept": b"1", "changed": b"2", "created": b"2"}

    async def test_a_deleted_key_can_be_created_again(self, opened: Opened) -> None:
        async with opened() as store:
            for value in (b"1", None, b"2", None, b"3"):
                await store.write({"agents/a": value})
            assert dict(await store.load()) == {"agents/a": b"3"}

    async def test_deleting_what_is_not_there_is_no_error(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"nobody": None})
            await store.write({"nobody": None, "somebody": b"1"})
            assert dict(await store.load()) == {"somebody": b"1"}

    async def test_a_write_of_nothing_changes_nothing(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"a": b"1"})
            await store.write({})
            assert dict(await store.load()) == {"a": b"1"}

    async def test_any_text_can_be_a_key_and_any_bytes_a_value(self, opened: Opened) -> None:
        records = {key: key.encode() for key in ODD_KEYS} | {
            "empty": b"",
            "binary": bytes(range(256)),
        }
        async with opened() as store:
            await store.write(records)
        async with opened() as store:
            assert dict(await store.load()) == records

    async def test_a_write_that_fails_leaves_nothing(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"a": b"1", "b": b"1"})
            with pytest.raises(StoreError):
                await store.write({"a": b"2", "b": None, "bad \ud800 key": b"2", "c": b"2"})
            assert dict(await store.load()) == {"a": b"1", "b": b"1"}
            await store.write({"a": b"3"})
            assert dict(await store.load()) == {"a": b"3", "b": b"1"}

    async def test_a_second_scheduler_is_refused_until_the_first_has_gone(
        self, opened: Opened
    ) -> None:
        async with opened() as store:
            await store.write({"a": b"1"})
            with pytest.raises(StoreError) as refused:
                async with opened():
                    pass
            await store.write({"a": b"2"})
        assert "\n" not in str(refused.value)
        async with opened() as store:
            assert dict(await store.load()) == {"a": b"2"}

    async def test_a_closed_store_refuses_and_can_be_closed_again(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"a": b"1"})
            await store.close()
            await store.close()
            with pytest.raises(StoreError):
                await store.write({"a": b"2"})
            with pytest.raises(StoreError):
                await store.load()
        async with opened() as store:
            assert dict(await store.load()) == {"a": b"1"}

    async def test_a_cancelled_write_lands_whole_or_not_at_all(self, opened: Opened) -> None:
        async with opened() as store:
            await store.write({"a": b"0", "b": b"0"})
            for number in range(1, 20):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(store.write, {"a": b"%d" % number, "b": b"%d" % number})
                        await trio.lowlevel.checkpoint()
                        scope.cancel()
                records = await store.load()
                assert records["a"] == records["b"]
            await store.write({"a": b"after"})
            assert (await store.load())["a"] == b"after"

    async def test_a_large_record_comes_back_complete(self, opened: Opened) -> None:
        large = bytes(range(256)) * (LARGE_BYTES // 256)
        async with opened() as store:
            await store.write({"large": large})
        async with opened() as store:
            assert dict(await store.load()) == {"large": large}

    async def test_a_huge_record_is_taken_or_refused_whole(self, opened: Opened) -> None:
        """Refused in one line, before anything is written; and the store goes on."""
        async with opened() as store:
            before, wanted = {"a": b"1"}, {"a": b"2", "huge": bytes(HUGE_BYTES), "z": b"2"}
            await store.write(before)
            try:
                await store.write(wanted)
            except StoreError as error:
                assert "\n" not in str(error)  # noqa: PT017 - one store refuses, the other takes it
                assert "nothing was written" in str(error)  # noqa: PT017
                assert dict(await store.load()) == before
            else:
                assert dict(await store.load()) == wanted
            await store.write({"a": b"3"})
            assert (await store.load())["a"] == b"3"

    async def test_writes_of_many_tasks_land_one_after_the_other(self, opened: Opened) -> None:
        """Each whole, and none is lost to another."""
        async with opened() as store:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    mine = b"%d" % number
                    nursery.start_soon(store.write, {f"of/{number}": mine, "a": mine, "b": mine})
            records = dict(await store.load())
        assert {key for key in records if key.startswith("of/")} == {f"of/{n}" for n in range(20)}
        assert records["a"] == records["b"]

    async def test_many_records_come_back_complete(self, opened: Opened) -> None:
        records = {f"agents/host-{number}": b"x" * 200 for number in range(1_000)}
        async with opened() as store:
            await store.write(records)
            assert dict(await store.load()) == records
