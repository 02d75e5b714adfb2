"""`ports.Mesos` over HTTP: one client for the stream, one single connection for the calls."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import attrs
import httpx
import trio

from actors.ports import MesosAnswer, MesosStream, MesosUnreachableError
from adapters.mesos_credentials import Credentials, NoCredentials

CALL_TIMEOUT_S: Final = 75.0  # as long as a master may be silent
STREAM_ANSWER_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024  # GET_AGENTS of 10,000 agents is 10 to 30 MB
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
# A request that never left: the connection was refused, or none could be had.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@attrs.frozen
class _Stream:
    response: httpx.Response
    stream_id: str

    def chunks(self) -> AsyncGenerator[bytes, None]:
        return _quiet_end(self.response)


async def _quiet_end(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The stream's bytes as they come. Raises MesosUnreachableError where it breaks."""
    parts = response.aiter_raw()
    try:
        async for chunk in parts:
            yield chunk
    except httpx.HTTPError as error:
        raise MesosUnreachableError(_say(error), sent=True) from error
    finally:
        with trio.move_on_after(0, shield=True), suppress(httpx.HTTPError):
            # httpx closes none of its inner generators when a body is left early: they are
            # ended from inside, by a cancellation at once.
            async for _ in parts:
                pass


@attrs.frozen(kw_only=True)
class HttpMesos:
    """`stream` reads without timeout (the link watches heartbeats); `calls` has one connection."""

    stream: httpx.AsyncClient
    calls: httpx.AsyncClient
    operator_calls: httpx.AsyncClient
    credentials: Credentials = attrs.field(factory=NoCredentials)

    async def renew_credentials(self) -> bool:
        return await self.credentials.renew()

    @asynccontextmanager
    async def subscribe(
        self, base: str, path: str, body: bytes
    ) -> AsyncIterator[MesosStream | MesosAnswer]:
        headers = {**_JSON, "Accept-Encoding": "identity", "Connection": "close"}
        headers |= self.credentials.headers()
        request = _request(self.stream, "POST", base + path, body, headers)
        try:
            with trio.fail_after(STREAM_ANSWER_S):
                response = await self.stream.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as error:
            sent = not isinstance(error, _NOT_SENT)
            raise MesosUnreachableError(_say(error), sent=sent) from error
        try:
            if response.status_code == 200:
                yield _Stream(response, response.headers.get("Mesos-Stream-Id", ""))
            else:
                yield await _bounded_answer(response)
        finally:
            with trio.move_on_after(1.0, shield=True):
                # Closing a socket takes no time; 1 s bounds a TLS goodbye.
                await response.aclose()

    async def call(self, base: str, path: str, body: bytes, stream_id: str) -> MesosAnswer:
        headers = {**_JSON, "Mesos-Stream-Id": stream_id, **self.credentials.headers()}
        request = _request(self.calls, "POST", base + path, body, headers)
        return await self._exchange(self.calls, request)

    async def operator(self, base: str, body: bytes) -> MesosAnswer:
        client = self.operator_calls
        headers = {**_JSON, **self.credentials.headers()}
        request = _request(client, "POST", f"{base}/api/v1", body, headers)
        return await self._exchange(client, request)

    async def get(self, base: str, path: str) -> MesosAnswer:
        # Every master tells its version to everybody; until it has, it may be no master.
        headers = {} if path == "/version" else self.credentials.headers()
        request = _request(self.operator_calls, "GET", base + path, None, headers)
        return await self._exchange(self.operator_calls, request)

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> MesosAnswer:
        try:
            with trio.fail_after(CALL_TIMEOUT_S):
                response = await client.send(request, stream=True)
                try:
                    return await _answer(response)
                finally:
                    with trio.move_on_after(1.0, shield=True):
                        await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as error:
            sent = not isinstance(error, _NOT_SENT)
            raise MesosUnreachableError(_say(error), sent=sent) from error


def _request(
    client: httpx.AsyncClient, method: str, url: str, body: bytes | None, headers: dict[str, str]
) -> httpx.Request:
    """Raises MesosUnreachableError for what is no address."""
    try:
        return client.build_request(method, url, content=body, headers=headers)
    except (httpx.InvalidURL, ValueError) as error:
        raise MesosUnreachableError(f"{url!r} is no address: {error}", sent=False) from error


async def _answer(response: httpx.Response) -> MesosAnswer:
    """The whole body, bounded; a longer one is cut and will not decode."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            break
    return MesosAnswer(
        status=response.status_code,
        headers={key.lower(): value for key, value in response.headers.items()},
        body=body.decode("utf-8", errors="replace"),
    )


async def _bounded_answer(response: httpx.Response) -> MesosAnswer:
    """The body of a refused SUBSCRIBE: it must end, though the stream's client waits for ever."""
    try:
        with trio.fail_after(STREAM_ANSWER_S):
            return await _answer(response)
    except (httpx.HTTPError, trio.TooSlowError) as error:
        raise MesosUnreachableError(_say(error), sent=True) from error


def _say(error: BaseException) -> str:
    """Its text; where it has none, that of its cause: why a certificate is refused, for one."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLCertVerificationError):
            return f"certificate verify failed: {at.verify_message}"
        if str(at) and str(at) != type(at).__name__:
            return str(at)
        at = at.__cause__ or at.__context__
    return type(error).__name__
