"""The scheduler: settings from the command line, adapters on real sockets, until it is stopped.

Exit status: 0 stopped, 2 bad input, 3 crashed, 4 superseded, 5 the store.
"""

from __future__ import annotations

import random
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

import attrs
import httpx
import msgspec
import structlog
import trio

from actors.clock import Chance
from actors.ports import CredentialsError, MesosUnreachableError, Store, StoreError
from actors.supervision import ActorGaveUpError, EndOfServiceError
from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import gateway_client
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
from adapters.sandbox_http import HttpSandbox
from adapters.store_choice import MESOS_ZK_FILE, ZooKeeperChoice, choose_store, open_store
from adapters.store_uri import StoreChoiceError
from adapters.store_zookeeper import ZooKeeperStore
from adapters.zookeeper_session import KazooMissingError
from commands import logs
from domain import records
from flags.address import own_addresses
from flags.ensemble import Ensemble, read_ensemble
from install_steps.assembly import Assembly, gateway_base
from install_steps.catalog import Catalog, CatalogError, load_catalog
from install_steps.texts import StepTextError, script_text
from protocol.gateway.errors import GatewayError
from settings import (
    HelpRequestedError,
    Redactor,
    Secret,
    Settings,
    SettingsError,
    help_text,
    parse,
    reexec_without_secrets,
)
from supervisor import EXIT_STORE, Outside, Service, stop_on_signals
from web.app import create_app
from web.server import WebServerError, serve

EXIT_BAD_INPUT: Final = 2
EXIT_CRASHED: Final = 3
RETRY_MASTER_S: Final = 5.0

log = structlog.get_logger()


@attrs.frozen
class _Flags:
    """The answer to GET /flags; all values are texts (Mesos' flags JSON)."""

    flags: dict[str, str]


class BadInputError(Exception):
    """One line: what, where, what is expected."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    reexec_without_secrets(arguments, environ)
    try:
        settings = parse(arguments, environ)
        catalog = read_catalog(settings.catalog)
        _check_scripts(settings.steps_dir)
    except HelpRequestedError:
        print(help_text())
        return 0
    except (SettingsError, BadInputError) as error:
        print(f"scaleio-scheduler: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    redactor = Redactor([settings.scaleio_password, settings.rest_token])
    logs.configure(level=settings.loglevel, style=settings.log_format, redactor=redactor)
    for warning in settings.warnings:
        log.warning(warning)
    _ = settings.rest_advertised  # may ask the resolver: before the loop, and once
    try:
        trio.run(_run, settings, catalog, redactor)
    except BaseException as error:  # noqa: ASYNC103, BLE001 - every end has its line
        status, sentence = judge_end(error)
        if sentence:
            print(redactor(f"scaleio-scheduler: {sentence}"), file=sys.stderr)
        return status  # noqa: ASYNC104 - no task of ours is left
    return 0


def judge_end(error: BaseException) -> tuple[int, str]:
    """The exit status and the line for what ended the process: the first named cause wins."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        match leaf:
            case EndOfServiceError(status=status):
                return status, str(leaf)
            case StoreError() | records.RecordError():
                return EXIT_STORE, str(leaf)
            case (
                WebServerError()
                | StoreChoiceError()
                | BadInputError()
                | CredentialsError()
                | GatewayError()
            ):
                return EXIT_BAD_INPUT, str(leaf)
            case ActorGaveUpError():
                return EXIT_CRASHED, f"{leaf} (last: {leaf.__cause__!r})"
            case KeyboardInterrupt():
                return 130, ""
            case _:
                pass
    first = leaves[0]
    return EXIT_CRASHED, f"crashed: {type(first).__name__}: {first}; please report this"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def read_catalog(path: Path | None) -> Catalog | None:
    if path is None:
        return None
    try:
        return load_catalog(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise BadInputError(f"-catalog: {path}: {reason}") from None
    except CatalogError as error:
        raise BadInputError(f"-catalog: {error}") from None


def _check_scripts(folder: Path | None) -> None:
    """A folder of steps that lacks one is found out now, not in the middle of a host."""
    from install_steps.catalog import STEPS

    try:
        for name in (*STEPS, "keeper_health"):
            script_text(name, folder)
    except StepTextError as error:
        raise BadInputError(str(error)) from None


def version() -> str:
    try:
        return metadata.version("scaleio-framework")
    except metadata.PackageNotFoundError:
        return "1.0.0"  # run from a checkout


# -- the outside ----------------------------------------------------------------------------------


async def _run(settings: Settings, catalog: Catalog | None, redactor: Redactor) -> None:
    stop = trio.Event()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop)
        service = await _opened(settings, catalog, redactor, stack, stop)
        if service is not None:
            await service.run(stop)
        nursery.cancel_scope.cancel(reason="stopped")


async def _opened(
    settings: Settings,
    catalog: Catalog | None,
    redactor: Redactor,
    stack: AsyncExitStack,
    stop: trio.Event,
) -> Service | None:
    """None when the order to stop comes first: a store's lock or a master may be waited for."""
    service = None
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await stop.wait()
            nursery.cancel_scope.cancel(reason="stopped before everything was open")

        nursery.start_soon(give_up)
        service = await production(settings, catalog, redactor, stack)
        nursery.cancel_scope.cancel(reason="everything is open")
    return service


async def production(
    settings: Settings, catalog: Catalog | None, redactor: Redactor, stack: AsyncExitStack
) -> Service:
    """The product on real sockets; `stack` closes what is opened here."""
    tls = await trio.to_thread.run_sync(_tls, settings)
    mesos = await _masters(settings, redactor, stack, tls)
    chance = Chance(wall=time.time, rng=random.SystemRandom())  # noqa: TID251 - the one clock
    leaders = _leaders(settings, chance.rng, redactor)
    stack.push_async_callback(leaders.close)
    store = await _open_store(settings, mesos, redactor)
    stack.push_async_callback(store.close)
    stored = await store.load()
    services: list[Service] = []  # the pin is stored by the journal of the service below

    async def pin(fingerprint: str) -> None:
        record = records.GatewayRecord(fingerprint=fingerprint)
        await services[0].journal.save({records.GATEWAY_KEY: records.encode(record)})
        log.warning("the Gateway's certificate is pinned", sha256=fingerprint)

    client = gateway_client(
        ca_file=str(settings.scaleio_ca_file) if settings.scaleio_ca_file else None,
        fingerprint=_pinned(stored),
        pin=pin,
    )
    await stack.enter_async_context(client)
    gateway = HttpGateway(
        client=client,
        base_url=gateway_base(settings.gateway_address),
        user=settings.scaleio_user,
        password=settings.scaleio_password.reveal,
        clock=trio.current_time,
    )
    stack.push_async_callback(gateway.close)
    outside = Outside(
        mesos=mesos,
        leaders=leaders,
        sandbox=HttpSandbox(client=await _client(stack, tls=tls, connections_max=64)),
        gateway=gateway,
        store=store,
        chance=chance,
        installer=lambda service: assembly(settings, catalog, service),
        web=lambda service, stop, task_status: _web(settings, redactor, service, stop, task_status),
        own_addresses=await trio.to_thread.run_sync(own_addresses, settings.hostname),
        own_names=frozenset({settings.hostname, socket.gethostname()}),
        store_lost=store.lost if isinstance(store, ZooKeeperStore) else trio.Event(),
    )
    services.append(Service(settings, outside, redactor))
    return services[0]


async def _masters(
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
        stream=await _client(stack, tls=tls, read_timeout_s=None, connections_max=2),
        calls=await _client(stack, tls=tls, connections_max=1),
        operator_calls=await _client(stack, tls=tls, connections_max=4),
        credentials=credentials,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
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


def _leaders(
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


async def _client(
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


def assembly(settings: Settings, catalog: Catalog | None, service: Service) -> Assembly:
    return Assembly(
        settings=settings,
        catalog=catalog,
        storage=lambda: service.board.gateway.storage,
        leader=lambda: service.session.base.partition("://")[2],
        own_url=lambda: service.url,
        installation=lambda: service.installation,
    )


def _pinned(stored: Mapping[str, bytes]) -> str | None:
    raw = stored.get(records.GATEWAY_KEY)
    if raw is None:
        return None
    return records.decode(raw, records.GatewayRecord, key=records.GATEWAY_KEY).fingerprint


async def _web(
    settings: Settings,
    redactor: Redactor,
    service: Service,
    stop: trio.Event,
    task_status: trio.TaskStatus[str],
) -> None:
    app = create_app(
        board=service.board,
        settings=settings,
        redactor=redactor,
        permits=service.permit,
        commands=service.command,
        now=trio.current_time,
        wall=time.time,  # noqa: TID251 - shown to people
        version=version(),
        stop=stop,
    )
    await serve(
        app,
        host=settings.rest_bind,
        port=settings.rest_port,
        stop=stop,
        task_status=task_status,
    )


# -- the store ------------------------------------------------------------------------------------


async def _open_store(settings: Settings, mesos: HttpMesos, redactor: Redactor) -> Store:
    hint = await trio.to_thread.run_sync(_mesos_zk)
    masters = master_ensemble(settings)
    told = settings.store_uri or hint or masters
    asked = settings.store_type in ("auto", "zk") and not told
    choice = choose_store(
        store_type=settings.store_type,
        uri=settings.store_uri,
        mesos_zk=hint,
        masters=masters,
        master_zk=await _master_zk(settings, mesos) if asked else "",
        role=settings.role,
    )
    if isinstance(choice, ZooKeeperChoice):
        redactor.add(Secret(choice.ensemble.password))
    log.info("store", choice=type(choice).__name__, because=choice.reason)
    return await open_store(choice, role=settings.role)


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


async def _master_zk(settings: Settings, mesos: HttpMesos) -> str:
    """The ensemble in a master's own flags. Waits for a master: another store would lose our id."""
    while True:
        for base in settings.master_urls:
            try:
                answer = await mesos.get(base, "/flags")
                if answer.status != 200:
                    raise ValueError(f"GET /flags was answered {answer.status}")
                flags = msgspec.json.decode(answer.body, type=_Flags).flags
                return str(flags.get("zk") or "")
            except (MesosUnreachableError, ValueError, RecursionError) as error:
                log.warning(
                    "no master tells which ZooKeeper it uses; name the store with -store.uri",
                    master=base,
                    error=str(error),
                )
        await trio.sleep(RETRY_MASTER_S)
