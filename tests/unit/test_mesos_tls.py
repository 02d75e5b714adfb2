"""Masters behind TLS, on real sockets: whom we trust, and who may speak to them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trustme

from actors.ports import MesosUnreachableError
from adapters.http_client import make_client
from adapters.mesos_credentials import tls_context
from adapters.mesos_http import HttpMesos
from simulation.http_server import Reply, Request, serve_connection

LOOPBACK = "127.0.0.1"
VERSION = b'{"version": "1.11.0"}'


async def answer(request: Request) -> Reply:
    await trio.lowlevel.checkpoint()
    return Reply(body=VERSION) if request.path == "/version" else Reply(status=404)


@attrs.define
class Files:
    folder: Path
    authority: trustme.CA
    ca: Path
    cert: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Files:
        authority = trustme.CA()
        own = authority.issue_cert("scheduler.test")
        made = cls(folder, authority, folder / "ca", folder / "cert", folder / "key")
        authority.cert_pem.write_to_path(str(made.ca))
        own.cert_chain_pems[0].write_to_path(str(made.cert))
        own.private_key_pem.write_to_path(str(made.key))
        return made


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.made(tmp_path)


@asynccontextmanager
async def master(files: Files, *, name: str = LOOPBACK, asks: bool = False) -> AsyncIterator[str]:
    """Its base URL. `asks`: only clients with a certificate of the same authority may speak."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    files.authority.issue_cert(name).configure_cert(context)
    if asks:
        files.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await serve_connection(stream, answer)
        except* (trio.BrokenResourceError, ssl.SSLError):
            pass  # who is not trusted, or does not trust, hangs up

    async with trio.open_nursery() as nursery:
        listening = partial(trio.serve_ssl_over_tcp, serve, 0, context, host=LOOPBACK)
        [listener] = await nursery.start(listening)
        port = listener.transport_listener.socket.getsockname()[1]
        yield f"https://{LOOPBACK}:{port}"
        nursery.cancel_scope.cancel()


async def ask(base: str, context: ssl.SSLContext) -> str:
    async with make_client(ssl_context=context) as client:
        mesos = HttpMesos(stream=client, calls=client, operator_calls=client)
        return (await mesos.get(base, "/version")).body


def trusting(files: Files, *, own: bool = False) -> ssl.SSLContext:
    return tls_context(
        ca_file=files.ca,
        cert_file=files.cert if own else None,
        key_file=files.key if own else None,
    )


async def test_a_master_of_the_named_authority_is_trusted(files: Files) -> None:
    async with master(files) as base:
        assert await ask(base, trusting(files)) == VERSION.decode()


async def test_a_master_that_asks_for_a_certificate_gets_ours(files: Files) -> None:
    async with master(files, asks=True) as base:
        assert await ask(base, trusting(files, own=True)) == VERSION.decode()
        with pytest.raises(MesosUnreachableError):
            await ask(base, trusting(files))


async def test_strangers_and_other_names_are_refused(files: Files, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Files.made(tmp_path / "other")
    async with master(stranger) as base:
        with pytest.raises(MesosUnreachableError, match="certificate verify failed"):
            await ask(base, trusting(files))
    async with master(files, name="elsewhere.test") as base:
        with pytest.raises(MesosUnreachableError, match="certificate verify failed"):
            await ask(base, trusting(files))
