"""The scheduler: settings from the command line, adapters on real sockets, until it is stopped.

Exit status: 0 stopped, 2 bad input, 3 crashed, 4 superseded, 5 the store.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog
import trio

from actors.clock import Chance
from actors.membership import members
from actors.ports import CredentialsError, StoreError
from actors.supervision import ActorGaveUpError, EndOfServiceError, stop_on_signals
from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import Seen, gateway_client, place_of
from adapters.sandbox_http import HttpSandbox
from adapters.store_uri import StoreChoiceError
from adapters.store_zookeeper import ZooKeeperStore
from commands import collecting, logs, store_helpers
from commands.inputs import Inputs, read_inputs
from commands.opening import (
    BadInputError,
    Waiting,
    open_client,
    open_leaders,
    open_masters,
    open_notices,
    open_the_store,
    open_tls,
)
from commands.original import take_over_original
from commands.quick import version
from domain import records
from domain.limits import NO_LIMITS
from flags.address import own_addresses
from flags.secret import RenewedSecret
from install_steps.assembly import Assembly, gateway_base
from protocol.gateway.errors import GatewayError
from settings import (
    HelpRequestedError,
    Redactor,
    Settings,
    SettingsError,
    help_text,
    parse,
    reexec_without_secrets,
)
from supervisor import EXIT_STORE, Outside, Service
from web.app import create_app, create_waiting_app
from web.server import WebServerError, serve
from web.tls import Certificate, CertificateError

EXIT_BAD_INPUT: Final = 2
EXIT_CRASHED: Final = 3
TRY_PORT_S: Final = 15.0
WAIT_QUIETLY_S: Final = 2.0  # a start that takes no longer needs no web server of its own

log = structlog.get_logger()


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    reexec_without_secrets(arguments, environ)
    collecting.hold()
    try:
        settings = parse(arguments, environ)
        if settings.store_helper:
            return store_helpers.main(settings)
        inputs = read_inputs(settings)
    except HelpRequestedError:
        print(help_text())
        return 0
    except (SettingsError, BadInputError) as error:
        print(f"scaleio-scheduler: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    redactor = Redactor([settings.scaleio_password, settings.rest_token])
    logs.configure(level=settings.loglevel, style=settings.log_format, redactor=redactor)
    for warning in (*settings.warnings, *inputs.notes):
        log.warning(warning)
    _ = settings.rest_advertised  # may ask the resolver: before the loop, and once
    try:
        trio.run(_run, settings, inputs, redactor)
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
                | CertificateError()
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


# -- the outside ----------------------------------------------------------------------------------


async def _run(settings: Settings, inputs: Inputs, redactor: Redactor) -> None:
    stop = trio.Event()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop)
        service = await _opened(settings, inputs, redactor, stack, stop)
        if service is not None:
            nursery.start_soon(collecting.keep, service.household.all_begun)
            await service.run(stop)
        nursery.cancel_scope.cancel(reason="stopped")


async def _opened(
    settings: Settings,
    inputs: Inputs,
    redactor: Redactor,
    stack: AsyncExitStack,
    stop: trio.Event,
) -> Service | None:
    """None when the order to stop comes first: a store's lock or a master may be waited for."""
    service, over, waiting = None, trio.Event(), Waiting()
    async with trio.open_nursery() as answering:
        answering.start_soon(_answer_meanwhile, settings, redactor, waiting, over)
        async with trio.open_nursery() as opening:
            opening.start_soon(_give_up, stop, opening.cancel_scope)
            service = await production(settings, inputs, redactor, stack, waiting)
            opening.cancel_scope.cancel(reason="everything is open")
        over.set()  # the web server ends by itself, and leaves the port to the real one
    return service


async def _give_up(stop: trio.Event, opening: trio.CancelScope) -> None:
    await stop.wait()
    opening.cancel(reason="stopped before everything was open")


async def _answer_meanwhile(
    settings: Settings, redactor: Redactor, waiting: Waiting, over: trio.Event
) -> None:
    """/healthz while the store is waited for: who restarts us would only make us wait anew."""
    with trio.move_on_after(WAIT_QUIETLY_S):
        await over.wait()
    if not settings.rest_port:
        return  # nobody would know where
    app = create_waiting_app(settings, redactor, lambda: waiting.why)
    while not over.is_set():
        try:
            await serve(app, host=settings.rest_bind, port=settings.rest_port, stop=over)
        except WebServerError as error:
            # On one host the scheduler that we wait for has the port. It will not keep it.
            log.warning("no web server while we wait", reason=str(error))
            with trio.move_on_after(TRY_PORT_S):
                await over.wait()


async def production(
    settings: Settings,
    inputs: Inputs,
    redactor: Redactor,
    stack: AsyncExitStack,
    waiting: Waiting,
) -> Service:
    """The product on real sockets; `stack` closes what is opened here."""
    tls = await trio.to_thread.run_sync(open_tls, settings)
    mesos = await open_masters(settings, redactor, stack, tls)
    chance = Chance(wall=time.time, rng=random.SystemRandom())  # noqa: TID251 - the one clock
    leaders = open_leaders(settings, chance.rng, redactor)
    stack.push_async_callback(leaders.close)
    store = await open_the_store(settings, mesos, redactor, waiting)
    stack.push_async_callback(store.close)
    stored = await store.load()
    await take_over_original(store, stored, now=chance.wall())
    services: list[Service] = []  # the pin is stored by the journal of the service below

    password = RenewedSecret(settings.scaleio_password_file, settings.scaleio_password, redactor)
    gateway = await _gateway(settings, password, stored, services, stack, chance.rng.random)
    stack.push_async_callback(gateway.close)
    outside = Outside(
        mesos=mesos,
        leaders=leaders,
        sandbox=HttpSandbox(client=await open_client(stack, tls=tls, connections_max=64)),
        gateway=gateway,
        store=store,
        chance=chance,
        notices=await open_notices(settings, redactor, stack),
        installer=lambda service: assembly(settings, inputs, service, password.last),
        web=lambda service, stop, task_status: _web(
            settings, inputs, redactor, service, stop, task_status
        ),
        own_addresses=await trio.to_thread.run_sync(own_addresses, settings.hostname),
        own_names=frozenset({settings.hostname, socket.gethostname()}),
        store_lost=store.lost if isinstance(store, ZooKeeperStore) else trio.Event(),
    )
    services.append(Service(settings, outside, redactor))
    return services[0]


def assembly(
    settings: Settings, inputs: Inputs, service: Service, password: Callable[[], str]
) -> Assembly:
    """`password`: the one by which the Gateway was logged in to last; REX-Ray gets the same."""
    service.board.described = inputs.layout.pools
    service.board.limits = inputs.layout.limits if settings.limits == "on" else NO_LIMITS
    return Assembly(
        settings=settings,
        password=password,
        catalog=inputs.catalog,
        extras=inputs.extras,
        overrides=inputs.overrides,
        layout_file=inputs.layout,
        members=lambda: members(service.board),
        mirrored=inputs.shelf.digests,
        storage=lambda: service.board.gateway.storage,
        leader=lambda: service.session.base.partition("://")[2],
        own_url=lambda: service.url,
        installation=lambda: service.installation,
    )


async def _gateway(
    settings: Settings,
    password: RenewedSecret,
    stored: Mapping[str, bytes],
    services: Sequence[Service],
    stack: AsyncExitStack,
    chance: Callable[[], float],
) -> HttpGateway:
    """`services` holds the one that stores the pin, by the time that it is asked to."""
    urls = [gateway_base(address) for address in settings.gateway_addresses]
    pins, seen = _pinned(stored, urls[0]), Seen()

    async def pin(place: str, fingerprint: str) -> None:
        pins[place] = fingerprint
        record = records.GatewayRecord(pins=dict(pins))
        await services[0].journal.save({records.GATEWAY_KEY: records.encode(record)})
        log.warning("the Gateway's certificate is pinned", gateway=place, sha256=fingerprint)

    ca_file = settings.scaleio_gateway_ca_file
    client = gateway_client(
        ca_file=str(ca_file) if ca_file else None,
        fingerprint=",".join(settings.scaleio_gateway_fingerprint),
        pins=pins,
        pin=pin,
        seen=seen,
    )
    await stack.enter_async_context(client)
    return HttpGateway(
        client=client,
        base_url=urls[0],
        others=tuple(urls[1:]),
        user=settings.scaleio_user,
        password=password.read,
        clock=trio.current_time,
        chance=chance,
        seen=seen,
    )


def _pinned(stored: Mapping[str, bytes], first: str) -> dict[str, str]:
    """host:port -> fingerprint. A record of before there could be several is the first one's."""
    raw = stored.get(records.GATEWAY_KEY)
    if raw is None:
        return {}
    record = records.decode(raw, records.GatewayRecord, key=records.GATEWAY_KEY)
    found = dict(record.pins)
    if record.fingerprint:
        found.setdefault(place_of(first), record.fingerprint)
    return found


async def _web(
    settings: Settings,
    inputs: Inputs,
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
        orders=service.framework_order,
        rollout=service.rollout_order,
        removals=service.storage_order,
        book=service.order_book,
        now=trio.current_time,
        wall=time.time,  # noqa: TID251 - shown to people
        version=version(),
        stop=stop,
        shelf=inputs.shelf,
    )
    certificate = None
    if settings.rest_tls_cert_file and settings.rest_tls_key_file:
        certificate = await trio.to_thread.run_sync(
            Certificate, settings.rest_tls_cert_file, settings.rest_tls_key_file
        )
    door = partial(serve, app, stop=stop)
    async with trio.open_nursery() as nursery:
        if settings.rest_tls_port:
            host, port = settings.rest_bind, settings.rest_tls_port
            await nursery.start(partial(door, host=host, port=port, certificate=certificate))
        if settings.rest_changes_port:
            host, port = settings.rest_changes_address, settings.rest_changes_port
            await nursery.start(partial(door, host=host, port=port, certificate=certificate))
        url = await nursery.start(partial(door, host=settings.rest_bind, port=settings.rest_port))
        task_status.started(url)
