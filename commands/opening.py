"""What is opened before there is a scheduler: masters, leaders, the store.

Another scheduler, or a master that tells where the store is, may have to be waited for.
"""

from __future__ import annotations

import random
import ssl
from contextlib import AsyncExitStack
from typing import Final

import attrs
import httpx
import msgspec
import structlog
import trio

from actors.notifier import NoReceivers
from actors.ports import CredentialsError, MesosUnreachableError, Notices, Store
from adapters.http_client import make_client
from adapters.leaders import FixedLeaders
from adapters.leaders_zookeeper import ZooKeeperLeaders
from adapters.mesos_credentials import (
    BasicCredentials,
    Credentials,
    NoCredentials,
    tls_context,
)
from adapters.mesos_http import HttpMesos
from adapters.store_choice import (
    MESOS_ZK_FILE,
    StoreChoice,
    ZooKeeperChoice,
    choose_store,
    open_store,
)
from adapters.webhook_http import HttpNotices, receivers_tls
from adapters.zookeeper_session import KazooMissingError
from flags.ensemble import Ensemble, read_ensemble
from settings import Redactor, Secret, Settings

RETRY_MASTER_S: Final = 5.0
NO_MASTER_TELLS: Final = "no master tells which ZooKeeper it uses; name the store with -store.uri"

log = structlog.get_logger()


class BadInputError(Exception):
    """One line: what, where, what is expected."""


@attrs.define
class Waiting:
    """Why there is no scheduler yet, for people; "" while nothing is waited for."""

    why: str = ""

    def tell(self, why: str) -> None:
        self.why = why


@attrs.frozen
class _Flags:
    """The answer to GET /flags; all values are texts (Mesos' flags JSON)."""

    flags: dict[str, str]


# -- Mesos ----------------------------------------------------------------------------------


async def open_masters(
    settings: Settings, redactor: Redactor, stack: AsyncExitStack, tls: ssl.SSLContext
) -> HttpMesos:
    credentials: Credentials = NoCredentials()
    if settings.mesos_secret_file:
        credentials = await trio.to_thread.run_sync(
            BasicCredentials.read,
            settings.mesos_principal,
            settings.mesos_secret_file,
            redactor.add,
        )
    return HttpMesos(
        stream=await open_client(stack, tls=tls, read_timeout_s=None, connections_max=2),
        calls=await open_client(stack, tls=tls, connections_max=1),
        operator_calls=await open_client(stack, tls=tls, connections_max=4),
        credentials=credentials,
    )


def open_tls(settings: Settings) -> ssl.SSLContext:
    """For masters and agents whose address begins with https."""
    return tls_context(
        ca_file=settings.mesos_ca_file,
        cert_file=settings.mesos_cert_file,
        key_file=settings.mesos_key_file,
    )


def master_ensemble(settings: Settings) -> Ensemble | None:
    """With its credentials; None where the masters are named."""
    if not settings.master_ensemble:
        return None
    ensemble = read_ensemble(settings.master_ensemble)
    return attrs.evolve(ensemble, credentials=settings.master_credentials.reveal())


def open_leaders(
    settings: Settings, chance: random.Random, redactor: Redactor
) -> FixedLeaders | ZooKeeperLeaders:
    ensemble = master_ensemble(settings)
    if ensemble is None:
        return FixedLeaders(masters=settings.master_urls, chance=chance)
    redactor.add(Secret(ensemble.password))
    try:
        return ZooKeeperLeaders.create(ensemble, scheme=settings.master_scheme)
    except KazooMissingError as error:
        raise BadInputError(f"-uri: {error}") from None


async def open_client(
    stack: AsyncExitStack,
    *,
    tls: ssl.SSLContext,
    read_timeout_s: float | None = 75.0,
    connections_max: int = 8,
) -> httpx.AsyncClient:
    client = make_client(
        ssl_context=tls, read_timeout_s=read_timeout_s, connections_max=connections_max
    )
    return await stack.enter_async_context(client)


async def open_notices(settings: Settings, redactor: Redactor, stack: AsyncExitStack) -> Notices:
    """Those who are told of conditions. Raises CredentialsError."""
    named = (*settings.notify_webhook, *settings.notify_alertmanager)
    if not named:
        return NoReceivers()
    tls = await trio.to_thread.run_sync(receivers_tls, settings.notify_ca_file)
    return HttpNotices.to(
        webhooks=settings.notify_webhook,
        alertmanagers=settings.notify_alertmanager,
        token_file=settings.notify_token_file,
        client=await open_client(stack, tls=tls, connections_max=len(named) + 2),
        redactor=redactor,
    )


# -- the store ------------------------------------------------------------------------------------


async def open_the_store(
    settings: Settings, mesos: HttpMesos, redactor: Redactor, waiting: Waiting
) -> Store:
    """As its only writer. Raises StoreError, StoreChoiceError, BadInputError."""
    choice = await choose_the_store(settings, mesos, redactor, waiting)
    return await open_store(
        choice, role=settings.role, tell=waiting.tell, rebuild=settings.store_rebuild
    )


async def choose_the_store(
    settings: Settings, mesos: HttpMesos, redactor: Redactor, waiting: Waiting
) -> StoreChoice:
    """May wait for a master that tells. Raises StoreChoiceError, BadInputError."""
    hint = await trio.to_thread.run_sync(_mesos_zk)
    masters = master_ensemble(settings)
    told = settings.store_uri or hint or masters
    asked = settings.store_type in ("auto", "zk") and not told
    choice = choose_store(
        store_type=settings.store_type,
        uri=settings.store_uri,
        mesos_zk=hint,
        masters=masters,
        master_zk=await _master_zk(settings, mesos, waiting) if asked else "",
        role=settings.role,
    )
    if isinstance(choice, ZooKeeperChoice):
        redactor.add(Secret(choice.ensemble.password))
    log.info("store", choice=type(choice).__name__, because=choice.reason)
    return choice


def _mesos_zk() -> str:
    try:
        return MESOS_ZK_FILE.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{MESOS_ZK_FILE} can't be read ({error}): it may name the ensemble that holds our "
            "state; make it readable, or name the store with -store.uri"
        ) from None


async def _master_zk(settings: Settings, mesos: HttpMesos, waiting: Waiting) -> str:
    """The ensemble in a master's own flags. Waits for a master: another store would lose our id."""
    told = ""
    while True:
        for base in settings.master_urls:
            try:
                answer = await mesos.get(base, "/flags")
                if answer.status == 401 and await mesos.renew_credentials():
                    answer = await mesos.get(base, "/flags")
                if answer.status != 200:
                    raise ValueError(f"GET /flags was answered {answer.status}")
                flags = msgspec.json.decode(answer.body, type=_Flags).flags
                return str(flags.get("zk") or "")
            except (
                MesosUnreachableError,
                CredentialsError,
                ValueError,
                RecursionError,
            ) as error:
                waiting.tell(f"{NO_MASTER_TELLS}: {base}: {error}")
                if waiting.why != told:
                    log.warning(NO_MASTER_TELLS, master=base, error=str(error))
                told = waiting.why
        await trio.sleep(RETRY_MASTER_S)
