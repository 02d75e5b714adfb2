"""`simulate-gateway`: the simulated Gateway on real sockets, with TLS unless told otherwise."""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import random
import signal
import ssl
import sys
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulation.gateway import APIS, Api, SimulatedGateway
from simulation.gateway_faults import FAULT_KINDS
from simulation.gateway_views import EPOCH_S
from simulation.http_server import serve_connection

_VALID_FROM: Final = dt.datetime(2017, 1, 1, tzinfo=dt.UTC)
_VALID_UNTIL: Final = dt.datetime(2049, 12, 31, tzinfo=dt.UTC)


class UsageError(Exception):
    """What was asked for cannot be; the text is for the person who asked."""


@attrs.frozen
class Identity:
    """A self-signed certificate with its key. The certificate may serve as a CA file."""

    certificate_pem: bytes
    key_pem: bytes = attrs.field(repr=False)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:  # created 0600; ssl reads files only
            file.write(self.certificate_pem + self.key_pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context


@attrs.frozen(kw_only=True)
class Serving:
    """Given to `task_status`: where it listens, and whom to trust ("" without TLS)."""

    url: str
    certificate_pem: bytes = b""


def make_identity(host: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated ScaleIO Gateway")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    addresses = {"127.0.0.1", "::1"} | ({host} if _is_address(host) else set())
    names += [x509.IPAddress(ipaddress.ip_address(a)) for a in sorted(addresses)]
    if not _is_address(host) and host != "localhost":
        names.append(x509.DNSName(host))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


async def serve_gateway(
    gateway: SimulatedGateway,
    listen: str,
    *,
    plain: bool,
    identity: Identity | None = None,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. Port 0 takes a free one. Raises UsageError, OSError."""
    host, port = parse_listen(listen)
    tcp = await trio.open_tcp_listeners(port, host=host)
    bound = tcp[0].socket.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            await serve_connection(stream, gateway.handler)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone in the middle of the TLS goodbye

    listeners: list[trio.abc.Listener[trio.abc.Stream]] = list(tcp)
    serving = Serving(url=f"http://{shown}:{bound}")
    if not plain:
        identity = identity or make_identity(host)
        context = identity.server_context()
        listeners = [trio.SSLListener(t, context, https_compatible=True) for t in tcp]
        serving = Serving(url=f"https://{shown}:{bound}", certificate_pem=identity.certificate_pem)
    task_status.started(serving)
    await trio.serve_listeners(serve, listeners)


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[::1]:PORT`, `:PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise UsageError(f"--listen {text}: use HOST:PORT")
    if int(port) > 65535:
        raise UsageError(f"--listen {text}: the port must be from 0 to 65535")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:8443", metavar="HOST:PORT")
    parser.add_argument("--api", default="2.0", choices=APIS, help="the release to emulate")
    parser.add_argument("--user", default="admin")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--password")
    secret.add_argument("--password-file", metavar="FILE")
    parser.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    parser.add_argument(
        "--sdc",
        nargs="+",
        action="extend",
        default=[],
        metavar="GUID@IP",
        help="connected SDCs, besides the two that are always there",
    )
    parser.add_argument("--sds", type=int, default=3, metavar="N", help="SDSs, 0 to 1024")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="of each SDS, 1 to 64")
    parser.add_argument(
        "--fill", type=int, default=0, metavar="PERCENT", help="how full the pool is, 0 to 100"
    )
    parser.add_argument(
        "--limits",
        choices=("on", "off"),
        default="on",
        help="refuse what a real one has no room for",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND=RATE",
        help=f"how often it fails, 0 to 1; kinds: {', '.join(FAULT_KINDS)}",
    )


async def run(namespace: argparse.Namespace) -> int:
    """The exit code: 0 after a signal to stop, 2 for what cannot be, 1 when it cannot listen."""
    try:
        gateway = made_gateway(namespace)
        parse_listen(namespace.listen)
    except UsageError as wrong:
        sys.stderr.write(f"simulate-gateway: {wrong}\n")
        return 2
    complaint = ""
    try:
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                serving = await nursery.start(
                    partial(serve_gateway, gateway, namespace.listen, plain=namespace.plain)
                )
                sys.stdout.write(f"simulated ScaleIO Gateway {gateway.api} at {serving.url}\n")
                sys.stdout.flush()
                async for _ in signals:
                    break
            nursery.cancel_scope.cancel(reason="told to stop")
    except* OSError as failed:
        reason = failed.exceptions[0]
        complaint = f"simulate-gateway: cannot listen on {namespace.listen}: {reason}\n"
    sys.stderr.write(complaint)
    return 1 if complaint else 0


def made_gateway(namespace: argparse.Namespace) -> SimulatedGateway:
    """As asked for. Raises UsageError."""
    api: Api = namespace.api
    gateway = SimulatedGateway(
        api=api,
        user=namespace.user,
        password=_password(namespace),
        clock=_world_clock(),
        rng=random.SystemRandom(),
    )
    _between("--sds", namespace.sds, 0, 1024)
    _between("--devices", namespace.devices, 1, 64)
    _between("--fill", namespace.fill, 0, 100)
    gateway.seed(sds=namespace.sds, devices=namespace.devices)
    gateway.fill_percent("default", namespace.fill)
    gateway.limits = namespace.limits == "on"
    gateway.faults.random_rates = dict(_fault(text) for text in namespace.fault)
    for text in namespace.sdc:
        guid, _, address = text.partition("@")
        if not _is_guid(guid) or not _is_address(address):
            raise UsageError(f"--sdc {text}: use GUID@IP")
        gateway.register_sdc(guid, address)
    return gateway


def _world_clock() -> Callable[[], float]:
    """Steady, and in step with the calendar, for the times that replies carry."""
    # of the two clocks, only this one is to be believed about the date; no test sees it
    offset_s = dt.datetime.now(dt.UTC).timestamp() - EPOCH_S - trio.current_time()  # noqa: TID251
    return lambda: trio.current_time() + offset_s


def _between(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{option} {value}: use {least} to {most}")


def _fault(text: str) -> tuple[str, float]:
    kind, _, rate = text.partition("=")
    try:
        chance = float(rate)
    except ValueError:
        chance = -1.0
    if kind not in FAULT_KINDS or not 0.0 <= chance <= 1.0:
        kinds = ", ".join(FAULT_KINDS)
        raise UsageError(f"--fault {text}: use KIND=RATE, of {kinds}, with a rate from 0 to 1")
    return kind, chance


def _password(namespace: argparse.Namespace) -> str:
    if namespace.password is not None:
        return str(namespace.password)
    try:
        return Path(namespace.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--password-file {namespace.password_file}: {reason}") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
