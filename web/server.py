"""Hypercorn on Trio, on a socket of ours."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import Final, cast

import hypercorn.trio
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from starlette.applications import Starlette

from web.guard import HEADER_BYTES_MAX
from web.tls import Certificate

IDLE_S: Final = 10.0  # a connection that asks nothing; also the time for sending the headers
GRACE_S: Final = 3.0  # for replies under way when we stop; event streams end by themselves
STALLED_MS: Final = 30_000  # a reader that takes nothing for so long is cut off by the kernel
WAITING_MAX: Final = 128


class WebServerError(Exception):
    """The web server can't listen; the text says where, why, and what to do."""


async def serve(
    app: Starlette,
    *,
    host: str,
    port: int,
    stop: trio.Event,
    time_scale: float = 1.0,
    certificate: Certificate | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set; started with the URL. Port 0 takes a free one.

    With a certificate it speaks TLS, and watches its files. Raises WebServerError. Replies under
    way get a moment to end; do not cancel it instead.
    """
    listener = await _listen(host, port)
    url = _url(listener, "http" if certificate is None else "https")
    config = _Config()
    if certificate is not None:
        config.context = certificate.context
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None  # failing requests are logged by the app, with their path
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_S * time_scale
    config.graceful_timeout = GRACE_S * time_scale
    config.shutdown_timeout = GRACE_S * time_scale
    config.startup_timeout = GRACE_S * time_scale
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.h2_max_header_list_size = HEADER_BYTES_MAX
    async with trio.open_nursery() as nursery:
        if certificate is not None:
            nursery.start_soon(_watch, certificate, stop, time_scale)
        # Two libraries, two spellings of the same interface.
        asgi = cast("ASGIFramework", app)
        await nursery.start(
            partial(hypercorn.trio.serve, asgi, config, shutdown_trigger=stop.wait, mode="asgi")
        )
        task_status.started(url)


class _Config(Config):
    """With a context of ours, whose certificate may change while it is in use."""

    context: ssl.SSLContext | None = None

    @property
    def ssl_enabled(self) -> bool:
        return self.context is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self.context


async def _watch(certificate: Certificate, stop: trio.Event, time_scale: float) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(certificate.watch, time_scale=time_scale))
        await stop.wait()
        nursery.cancel_scope.cancel(reason="the server stops")


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as fault:
        raise WebServerError(f"-rest.address: {host!r} is no address: {fault}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this. Hypercorn's sends are shielded from cancellation:
        # without it, one browser that stops reading would keep the process from ending.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(where)
        listener.listen(WAITING_MAX)
    except OSError as fault:
        listener.close()
        raise WebServerError(
            f"-rest.address, -rest.port: can't listen on {host} port {port}: {fault.strerror}; "
            "end the program that has it, or take another port (0: any free one)"
        ) from None
    return listener


def _url(listener: socket.socket, scheme: str) -> str:
    """By which we can be reached at least from this host."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
