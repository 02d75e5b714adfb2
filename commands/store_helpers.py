"""The operators' helpers for the store: delete, dump, add, remove; one in each run, then the end.

They take the store's lock as a scheduler does, so that nobody changes a record under one that
runs. Exit status: 0 done, 2 bad input, 5 the store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from actors.ports import CredentialsError, Store, StoreError
from adapters.store_choice import SqliteChoice, StoreChoice, ZooKeeperChoice, open_store
from adapters.store_uri import StoreChoiceError
from adapters.store_zookeeper import node_name
from commands import logs
from commands.opening import BadInputError, Waiting, choose_the_store, open_masters, open_tls
from domain import records, store_keys
from domain.store_keys import Place, StoreKeyError
from settings import Redactor, Settings
from supervisor import EXIT_STORE

EXIT_BAD_INPUT: Final = 2
LOCK_PATIENCE_S: Final = 5.0  # a scheduler that runs keeps the lock: it is not waited for
MASTER_PATIENCE_S: Final = 15.0  # for one that tells where the store is
DELETED_AT_ONCE: Final = 500  # keys; far below what ZooKeeper takes in one transaction


def main(settings: Settings) -> int:
    """Do what the flags ask for; one line on stderr where that fails."""
    redactor = Redactor([settings.rest_token])
    logs.configure(level="warning", style=settings.log_format, redactor=redactor)
    try:
        text = trio.run(_run, settings, redactor)
    except (StoreChoiceError, BadInputError, StoreKeyError, CredentialsError) as error:
        return _failed(redactor, error, EXIT_BAD_INPUT)
    except records.RecordError as error:
        return _failed(redactor, error, EXIT_BAD_INPUT)
    except StoreError as error:
        return _failed(redactor, error, EXIT_STORE)
    sys.stdout.write(redactor(text) + "\n")
    return 0


def _failed(redactor: Redactor, error: Exception, status: int) -> int:
    print(redactor(f"scaleio-scheduler: {error}"), file=sys.stderr)
    return status


async def _run(settings: Settings, redactor: Redactor) -> str:
    choice = await choice_of(settings, redactor)
    place = place_of(settings, choice)
    match settings.store_helper:
        case "store.delete":
            async with held(settings, choice) as store:
                return await _delete(store, place)
        case "store.dump":
            async with held(settings, choice) as store:
                shown = store_keys.readable(await store.load())
                return json.dumps(shown, indent=1, ensure_ascii=False)
        case "store.add.key":
            if not settings.store_add_key or not settings.store_add_value:
                raise BadInputError("-store.add.key, -store.add.value: give both of them")
            key = place.key_of(settings.store_add_key)
            raw = store_keys.checked(key, settings.store_add_value)
            async with held(settings, choice, may_create=True) as store:
                await store.write({key: raw})
            return f"store: {key} is stored"
        case _:
            key = place.key_of(settings.store_del_key)
            async with held(settings, choice) as store:
                if key not in await store.load():
                    raise StoreKeyError(f"-store.del.key: there is no record {key!a}")
                await store.write({key: None})
            return f"store: {key} is deleted"


async def choice_of(settings: Settings, redactor: Redactor) -> StoreChoice:
    waiting = Waiting()
    async with AsyncExitStack() as stack:
        tls = await trio.to_thread.run_sync(open_tls, settings)
        mesos = await open_masters(settings, redactor, stack, tls)
        with trio.move_on_after(MASTER_PATIENCE_S):
            return await choose_the_store(settings, mesos, redactor, waiting)
    raise BadInputError(waiting.why or "no master tells where the store is: give -store.uri")


def place_of(settings: Settings, choice: StoreChoice) -> Place:
    chroot = choice.ensemble.chroot if isinstance(choice, ZooKeeperChoice) else ""
    return Place(role=node_name(settings.role), chroot=chroot)


@asynccontextmanager
async def held(
    settings: Settings, choice: StoreChoice, *, may_create: bool = False
) -> AsyncIterator[Store]:
    """The store, with its lock. Raises StoreError, also where there is no file to look into."""
    if isinstance(choice, SqliteChoice) and not may_create:
        await trio.to_thread.run_sync(_check_is_there, choice.path)
    store = await open_store(choice, role=settings.role, leader_timeout_s=LOCK_PATIENCE_S)
    try:
        yield store
    finally:
        with trio.move_on_after(LOCK_PATIENCE_S, shield=True):
            await store.close()


def _check_is_there(path: Path) -> None:
    if not path.exists():
        raise StoreError(f"there is no store {path}: name it with -store.uri")


async def _delete(store: Store, place: Place) -> str:
    """Our identity goes last: interrupted, the rest is still known to be ours."""
    keys = sorted(await store.load(), key=lambda key: (key == records.FRAMEWORK_KEY, key))
    for start in range(0, len(keys), DELETED_AT_ONCE):
        await store.write(dict.fromkeys(keys[start : start + DELETED_AT_ONCE]))
    lost = ""
    if records.FRAMEWORK_KEY in keys:
        lost = (
            "; the framework id was among them: end that framework in Mesos, or start the next "
            "scheduler with -mesos.adopt"
        )
    where = place.root if store.kind == "zk" else "the file"
    return f"store: {len(keys)} records of {where} are deleted{lost}"
