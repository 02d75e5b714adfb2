"""Trust in the Gateway's certificate: a CA file, or one pinned SHA-256 fingerprint.

Gateways come with self-signed certificates. Without a CA file every new connection compares
the certificate with the pinned fingerprint before a byte of HTTP, credentials included, is sent.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import attrs
import httpcore
import httpx
import trio

from adapters.http_client import make_client
from protocol.gateway.errors import (
    GatewayCertificateError,
    GatewayError,
    GatewayUnreachableError,
)

FETCH_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 60.0  # the adapter's own deadline is shorter; this one is a last net


class PinMismatchError(httpcore.ConnectError):
    """The server showed another certificate than the pinned one."""


def gateway_ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """With a CA file: full verification. Without: none here, so use it with a pin only."""
    if ca_file is not None:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as wrong:
            raise GatewayCertificateError(
                f"the CA file {ca_file} cannot be used: {wrong}"
            ) from wrong
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint_of(certificate_der: bytes) -> str:
    """SHA-256 as lower-case hexadecimal digits without separators."""
    return hashlib.sha256(certificate_der).hexdigest()


def same_fingerprint(one: str, other: str) -> bool:
    """Compares also what people paste: upper case, with colons."""
    return _bare(one) == _bare(other)


async def fetch_fingerprint(host: str, port: int, *, timeout_s: float = FETCH_TIMEOUT_S) -> str:
    """The fingerprint that the server shows now, to be pinned. Sends nothing but the handshake."""
    try:
        with trio.fail_after(timeout_s):
            stream = await trio.open_ssl_over_tcp_stream(
                host, port, ssl_context=gateway_ssl_context(None)
            )
            async with stream:
                await stream.do_handshake()
                der = stream.getpeercert(binary_form=True)
    except trio.TooSlowError:
        raise GatewayUnreachableError(
            f"{host}:{port} did not show a certificate within {timeout_s:g} s"
        ) from None
    except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
        reason = error.__cause__ or error
        raise GatewayUnreachableError(f"{host}:{port} shows no certificate: {reason}") from error
    if not der:
        raise GatewayUnreachableError(f"{host}:{port} shows no certificate")
    return fingerprint_of(der)


def gateway_client(
    *,
    ca_file: str | None,
    fingerprint: str | None,
    network_backend: httpcore.AsyncNetworkBackend | None = None,
    pin: Callable[[str], Awaitable[None]] | None = None,
) -> httpx.AsyncClient:
    """A client for HttpGateway that trusts the CA file or, without one, only the fingerprint.

    With neither, the first certificate is handed to `pin`, which returns when it is stored, and
    is the only one trusted from then on; without `pin` TLS connections are refused.
    """
    backend = network_backend
    if ca_file is None:
        backend = PinnedBackend(
            inner=network_backend or httpcore.TrioBackend(),
            trust=Trust(fingerprint=fingerprint or "", pin=pin),
        )
    return make_client(
        network_backend=backend,
        ssl_context=gateway_ssl_context(ca_file),
        connections_max=4,
        read_timeout_s=READ_TIMEOUT_S,
    )


def certificate_fault(error: BaseException) -> GatewayError | None:
    """The certificate error behind a failed connection, if that is what it was."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, PinMismatchError):
            return GatewayCertificateError(str(inner))
        if isinstance(inner, ssl.SSLCertVerificationError):
            return GatewayCertificateError(
                f"the Gateway's certificate is not trusted: {inner.verify_message}"
            )
        inner = inner.__cause__ or inner.__context__
    return None


@attrs.define(kw_only=True)
class Trust:
    """The one fingerprint that is trusted; "" until the first one is pinned."""

    fingerprint: str
    pin: Callable[[str], Awaitable[None]] | None = None
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def accepts(self, shown: str) -> bool:
        async with self._lock:
            if not self.fingerprint and shown and self.pin is not None:
                await self.pin(shown)
                self.fingerprint = shown
        return bool(shown) and same_fingerprint(shown, self.fingerprint)


@attrs.define(kw_only=True)
class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Passes connections on, and checks the certificate right after each TLS handshake."""

    inner: httpcore.AsyncNetworkBackend
    trust: Trust

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self.inner.connect_tcp(
            host,
            port,
            timeout=timeout,
            local_address=local_address,
            socket_options=socket_options,
        )
        return _PinnedStream(stream, self.trust)

    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)


@attrs.define
class _PinnedStream(httpcore.AsyncNetworkStream):
    inner: httpcore.AsyncNetworkStream
    trust: Trust

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        stream = await self.inner.start_tls(ssl_context, server_hostname, timeout)
        shown = _shown_fingerprint(stream)
        if not await self.trust.accepts(shown):
            await stream.aclose()
            raise PinMismatchError(
                f"{server_hostname} shows the certificate {shown or '(none)'}, but "
                f"{self.trust.fingerprint or 'none'} is pinned: if the change is wanted, delete "
                "the record 'gateway' from the store, or name a CA with -scaleio.ca-file"
            )
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def _shown_fingerprint(stream: httpcore.AsyncNetworkStream) -> str:
    tls = stream.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return fingerprint_of(der) if der else ""


def _bare(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()
