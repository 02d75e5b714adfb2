"""Trust in the Gateway's certificate: a CA file, or one pinned SHA-256 fingerprint.

Gateways come with self-signed certificates. Without a CA file every new connection compares
the certificate with the pinned fingerprint before a byte of HTTP, credentials included, is sent.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import attrs
import httpcore
import httpx
import trio
from cryptography import x509

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


def place_of(url: str) -> str:
    """host:port, as connections are made to it."""
    parsed = httpx.URL(url)
    return f"{parsed.host}:{parsed.port or (80 if parsed.scheme == 'http' else 443)}"


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


@attrs.define
class Seen:
    """The certificate that the Gateway showed last. `ends`: unix seconds, 0 without TLS."""

    fingerprint: str = ""
    ends: float = 0.0


def gateway_client(
    *,
    ca_file: str | None,
    fingerprint: str | None,
    network_backend: httpcore.AsyncNetworkBackend | None = None,
    pin: Callable[[str, str], Awaitable[None]] | None = None,
    pins: Mapping[str, str] | None = None,
    seen: Seen | None = None,
) -> httpx.AsyncClient:
    """A client for HttpGateway that trusts the CA file or, without one, only fingerprints.

    `fingerprint`: one, or a comma list, good for every Gateway. `pins`: host:port -> the one that
    is good there. Where neither says anything, the first certificate is handed to `pin`, which
    returns when it is stored, and is the only one trusted from then on; without `pin` TLS
    connections are refused.
    """
    trust = None
    if ca_file is None:
        named = tuple(one for one in (fingerprint or "").split(",") if one.strip())
        trust = Trust(named=named, pins=dict(pins or {}), pin=pin)
    backend = WatchedBackend(
        inner=network_backend or httpcore.TrioBackend(), trust=trust, seen=seen or Seen()
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
                f"the Gateway's certificate is not trusted ({inner.verify_message}): renew it "
                "there, or correct -scaleio.gateway.ca-file"
            )
        inner = inner.__cause__ or inner.__context__
    return None


@attrs.define(kw_only=True)
class Trust:
    """Which fingerprints are trusted: those named, or the one pinned for that host:port."""

    named: tuple[str, ...] = ()
    pins: dict[str, str] = attrs.field(factory=dict)
    pin: Callable[[str, str], Awaitable[None]] | None = None
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def accepts(self, place: str, shown: str) -> bool:
        if self.named:
            return bool(shown) and any(same_fingerprint(shown, one) for one in self.named)
        async with self._lock:
            if place not in self.pins and shown and self.pin is not None:
                await self.pin(place, shown)
                self.pins[place] = shown
        return bool(shown) and same_fingerprint(shown, self.pins.get(place, ""))

    def expected(self, place: str) -> str:
        return " or ".join(self.named) or self.pins.get(place, "") or "none"


@attrs.define(kw_only=True)
class WatchedBackend(httpcore.AsyncNetworkBackend):
    """Passes connections on, and looks at the certificate right after each TLS handshake.

    `trust` None: the handshake itself has verified it, against a CA.
    """

    inner: httpcore.AsyncNetworkBackend
    trust: Trust | None
    seen: Seen

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
        return _WatchedStream(stream, self.trust, self.seen, f"{host}:{port}")

    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)


@attrs.define
class _WatchedStream(httpcore.AsyncNetworkStream):
    inner: httpcore.AsyncNetworkStream
    trust: Trust | None
    seen: Seen
    place: str

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
        der = _shown_certificate(stream)
        shown = fingerprint_of(der) if der else ""
        if self.trust is not None and not await self.trust.accepts(self.place, shown):
            await stream.aclose()
            raise PinMismatchError(
                f"the Gateway {self.place} shows the certificate {shown or '(none)'}, but "
                f"{self.trust.expected(self.place)} is expected: if the change is wanted, name "
                "the new one with -scaleio.gateway.fingerprint, or a CA with "
                "-scaleio.gateway.ca-file, or delete the record 'gateway' from the store"
            )
        self.seen.fingerprint, self.seen.ends = shown, _end_of(der)
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def _shown_certificate(stream: httpcore.AsyncNetworkStream) -> bytes:
    tls = stream.get_extra_info("ssl_object")
    return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""


def _end_of(certificate_der: bytes) -> float:
    """When it expires, unix seconds; 0 where that cannot be read."""
    try:
        return x509.load_der_x509_certificate(certificate_der).not_valid_after_utc.timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _bare(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()
