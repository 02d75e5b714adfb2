"""Takes over what the original framework had stored: from the same ZooKeeper, or from a dump."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from actors.ports import CredentialsError, Store, StoreError
from adapters.store_uri import StoreChoiceError
from adapters.store_zookeeper import ZooKeeperStore
from commands import logs
from commands.opening import BadInputError
from commands.store_helpers import choice_of, held
from domain import original_store
from domain.original_store import OriginalStore, OriginalStoreError
from settings import Redactor, Settings, SettingsError, parse
from supervisor import EXIT_STORE

EXIT_BAD_INPUT: Final = 2
WRITTEN_AT_ONCE: Final = 300  # records of a few KB; ZooKeeper takes 1 MB in one transaction

log = structlog.get_logger()


async def take_over_original(store: Store, stored: Mapping[str, bytes], *, now: float) -> None:
    """At a first start on the original's ensemble. `now`: unix. Raises StoreError."""
    if not isinstance(store, ZooKeeperStore) or not original_store.may_take_over(stored):
        return
    try:
        original = original_store.read(await store.original())
    except OriginalStoreError as error:
        log.warning("the original framework's keys are left alone", reason=str(error))
        return
    if original.nodes:
        await _write(store, stored, original, now)
        log.warning(
            "known from the original framework: each of them is surveyed first",
            agents=len(original.nodes),
            mdms=list(original.mdms),
        )


async def _write(
    store: Store, stored: Mapping[str, bytes], original: OriginalStore, now: float
) -> None:
    changes = original_store.as_records(original, now=now, stored=stored)
    keys = list(changes)
    for start in range(0, len(keys), WRITTEN_AT_ONCE):
        await store.write({key: changes[key] for key in keys[start : start + WRITTEN_AT_ONCE]})


# -- the sub-command ------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["import"])
    parser.add_argument("file", type=Path, help="one JSON object: the original's key -> its value")
    parser.add_argument(
        "flags", nargs=argparse.REMAINDER, help="which store: -store.type, -store.uri, -role, -uri"
    )


def run(options: argparse.Namespace) -> int:
    """Exit status: 0 done, 2 bad input, 5 the store."""
    redactor = Redactor()
    try:
        settings = parse(options.flags, dict(os.environ), for_store=True)
        logs.configure(level="warning", style=settings.log_format, redactor=redactor)
        keys = original_store.below_root(_keys(options.file), role=settings.role)
        sentence = trio.run(_import, settings, redactor, original_store.read(keys))
    except (
        SettingsError, BadInputError, StoreChoiceError, CredentialsError, OriginalStoreError,
    ) as error:  # fmt: skip
        print(redactor(f"scaleio-scheduler store: {error}"), file=sys.stderr)
        return EXIT_BAD_INPUT
    except StoreError as error:
        print(redactor(f"scaleio-scheduler store: {error}"), file=sys.stderr)
        return EXIT_STORE
    print(sentence)
    return 0


def _keys(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise BadInputError(f"{file}: expected one JSON object, each key with a text as its value")
    return found


async def _import(settings: Settings, redactor: Redactor, original: OriginalStore) -> str:
    choice = await choice_of(settings, redactor)
    async with held(settings, choice, may_create=True) as store:
        stored = await store.load()
        if not original_store.may_take_over(stored):
            raise BadInputError(
                "this store has a life of its own already: an import is for a new one"
            )
        await _write(store, stored, original, time.time())  # noqa: TID251 - shown to people
    mdms = f", MDMs on {', '.join(original.mdms)}" if original.mdms else ""
    return f"store: {len(original.nodes)} hosts are taken over{mdms}; each is surveyed first"
