"""Whom the Gateway client trusts: a CA file, or the one pinned certificate, on real sockets."""

from __future__ import annotations

import base64
import random
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs
import httpx
import pytest
import trio
import trustme

from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import (
    Seen,
    fetch_fingerprint,
    fingerprint_of,
    gateway_client,
    gateway_ssl_context,
    same_fingerprint,
)
from protocol.gateway.errors import (
    GatewayCertificateError,
    GatewayError,
    GatewayLoginError,
    GatewayUnreachableError,
)
from simulation.gateway import SimulatedGateway
from simulation.gateway_serve import Identity, serve_gateway

SECRET = "Correct-Horse-9"


@attrs.define
class Place:
    """A served Gateway and everything to reach it rightly or wrongly."""

    simulated: SimulatedGateway
    port: int
    fingerprint: str
    ca: trustme.CA

    @asynccontextmanager
    async def gateway(
        self, client: httpx.AsyncClient, *, password: str = SECRET
    ) -> AsyncIterator[HttpGateway]:
        async with client:
            yield HttpGateway(
                client=client,
                base_url=f"https://127.0.0.1:{self.port}",
                user="admin",
                password=lambda: password,
                clock=trio.current_time,
                deadline_s=5.0,
            )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - certificates are judged by OpenSSL's own clock


@asynccontextmanager
async def served(
    *, ca: trustme.CA | None = None, ends_in: timedelta = timedelta(days=365)
) -> AsyncIterator[Place]:
    ca = ca or trustme.CA()
    issued = ca.issue_cert("127.0.0.1", not_after=_now() + ends_in)
    certificate = issued.cert_chain_pems[0].bytes()
    simulated = SimulatedGateway(
        api="2.5",
        user="admin",
        password=SECRET,
        clock=trio.current_time,
        rng=random.Random(7),  # noqa: S311 - nothing here has to be unguessable
    )
    simulated.seed()
    async with trio.open_nursery() as nursery:
        serving = await nursery.start(
            partial(
                serve_gateway,
                simulated,
                "127.0.0.1:0",
                plain=False,
                identity=Identity(certificate, issued.private_key_pem.bytes()),
            )
        )
        der = ssl.PEM_cert_to_DER_cert(certificate.decode())
        port = int(serving.url.rpartition(":")[2])
        yield Place(simulated, port, fingerprint_of(der), ca)
        nursery.cancel_scope.cancel()


async def test_the_first_fingerprint_is_fetched_and_then_trusted() -> None:
    async with served() as place:
        fingerprint = await fetch_fingerprint("127.0.0.1", place.port)
        assert fingerprint == place.fingerprint
        pasted = ":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
        async with place.gateway(gateway_client(ca_file=None, fingerprint=pasted)) as gateway:
            assert (await gateway.snapshot()).pools


async def test_another_certificate_than_the_pinned_one_gets_no_request() -> None:
    async with served() as place:
        client = gateway_client(ca_file=None, fingerprint="0" * 64)
        async with place.gateway(client) as gateway:
            with pytest.raises(GatewayCertificateError, match=place.fingerprint):
                await gateway.snapshot()
        assert place.simulated.calls == 0


async def test_without_a_pin_and_a_ca_nothing_is_trusted() -> None:
    async with served() as place:
        client = gateway_client(ca_file=None, fingerprint=None)
        async with place.gateway(client) as gateway:
            with pytest.raises(GatewayCertificateError, match="but none is expected"):
                await gateway.snapshot()
        assert place.simulated.calls == 0


async def test_every_new_connection_is_checked() -> None:
    async with served() as first, served() as second:
        client = gateway_client(ca_file=None, fingerprint=first.fingerprint)
        async with first.gateway(client) as gateway:
            assert (await gateway.snapshot()).pools
            moved = attrs.evolve(gateway, base_url=f"https://127.0.0.1:{second.port}")
            with pytest.raises(GatewayCertificateError):
                await moved.snapshot()
        assert second.simulated.calls == 0


async def test_each_of_several_gateways_has_its_own_pin() -> None:
    pinned: dict[str, str] = {}

    async def pin(place: str, fingerprint: str) -> None:
        await trio.lowlevel.checkpoint()
        pinned[place] = fingerprint

    async with served() as first, served() as second:
        client = gateway_client(ca_file=None, fingerprint=None, pin=pin)
        async with first.gateway(client) as gateway:
            await gateway.snapshot()
            moved = attrs.evolve(gateway, base_url=f"https://127.0.0.1:{second.port}")
            await moved.snapshot()
    assert pinned == {
        f"127.0.0.1:{first.port}": first.fingerprint,
        f"127.0.0.1:{second.port}": second.fingerprint,
    }


async def test_several_certificates_may_be_named() -> None:
    async with served() as first, served() as second:
        both = f"{first.fingerprint},{second.fingerprint}"
        async with first.gateway(gateway_client(ca_file=None, fingerprint=both)) as gateway:
            assert (await gateway.snapshot()).pools
            moved = attrs.evolve(gateway, base_url=f"https://127.0.0.1:{second.port}")
            assert (await moved.snapshot()).pools


async def test_a_snapshot_tells_when_the_certificate_expires() -> None:
    seen = Seen()
    async with served(ends_in=timedelta(days=9)) as place:
        client = gateway_client(ca_file=None, fingerprint=place.fingerprint, seen=seen)
        async with place.gateway(client) as gateway:
            shown = await attrs.evolve(gateway, seen=seen).snapshot()
    left_s = shown.certificate_ends - _now().timestamp()
    assert 8 * 86400 < left_s <= 9 * 86400
    assert shown.fingerprint == place.fingerprint


async def test_an_expired_certificate_stops_calls_until_it_is_renewed(tmp_path: Path) -> None:
    ca = trustme.CA()
    trusted = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    client = gateway_client(ca_file=str(trusted), fingerprint=None)
    async with (
        served(ca=ca, ends_in=-timedelta(days=1)) as place,
        place.gateway(client) as gateway,
        served(ca=ca) as renewed,
    ):
        with pytest.raises(GatewayCertificateError, match=r"has expired.*renew it"):
            await gateway.snapshot()
        assert place.simulated.calls == 0
        moved = attrs.evolve(gateway, base_url=f"https://127.0.0.1:{renewed.port}")
        assert (await moved.snapshot()).pools


async def test_a_ca_file_is_enough_and_must_fit(tmp_path: Path) -> None:
    async with served() as place:
        right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
        place.ca.cert_pem.write_to_path(str(right))
        trustme.CA().cert_pem.write_to_path(str(wrong))
        client = gateway_client(ca_file=str(right), fingerprint=None)
        async with place.gateway(client) as gateway:
            assert (await gateway.snapshot()).pools
        client = gateway_client(ca_file=str(wrong), fingerprint=None)
        calls = place.simulated.calls
        async with place.gateway(client) as gateway:
            with pytest.raises(GatewayCertificateError, match="not trusted"):
                await gateway.snapshot()
        assert place.simulated.calls == calls


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(GatewayCertificateError, match=str(file)):
        gateway_ssl_context(str(file))


async def test_no_certificate_is_fetched_from_a_silent_closed_or_talkative_port() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 this is not TLS\r\n")

    async def stay_silent(stream: trio.SocketStream) -> None:
        assert await stream.receive_some()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for behave in (talk, stay_silent):
            [listener] = await nursery.start(partial(trio.serve_tcp, behave, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            with pytest.raises(GatewayUnreachableError, match=f"127.0.0.1:{port}"):
                await fetch_fingerprint("127.0.0.1", port, timeout_s=0.2)
        nursery.cancel_scope.cancel()
    with pytest.raises(GatewayUnreachableError, match="shows no certificate"):
        await fetch_fingerprint("127.0.0.1", 1)


def test_fingerprints_are_compared_without_their_punctuation() -> None:
    assert same_fingerprint("AB:CD", "abcd\n")
    assert not same_fingerprint("abcd", "abce")


async def test_the_password_and_tokens_are_in_no_error_and_no_representation() -> None:
    """Refused logins, refused tokens, broken connections: the whole chain of each is searched."""
    found: list[GatewayError] = []
    encoded = base64.b64encode(f"admin:{SECRET}".encode()).decode()
    async with served() as place:
        client = gateway_client(ca_file=None, fingerprint=place.fingerprint)
        async with place.gateway(client) as patient:
            place.simulated.tokens.password = "another"
            for fault in ("password", "token", "error", "timeout", "html", "gone"):
                here = f"https://127.0.0.1:{1 if fault == 'gone' else place.port}"
                gateway = attrs.evolve(patient, deadline_s=0.3, base_url=here)
                if fault == "token":
                    place.simulated.tokens.password = SECRET
                    place.simulated.faults.unauthorised_next(9)
                if fault == "error":
                    place.simulated.faults.unauthorised_next(0)
                    place.simulated.faults.error_500_next(1)
                if fault == "timeout":
                    place.simulated.faults.timeout_next(1)
                if fault == "html":
                    place.simulated.faults.html_404 = True
                with pytest.raises(GatewayError) as caught:
                    await gateway.snapshot()
                found.append(caught.value)
                text = "".join(traceback.format_exception(caught.value)) + repr(gateway)
                assert SECRET not in text
                assert encoded not in text
    assert isinstance(found[0], GatewayLoginError)
    assert len({str(error) for error in found}) == 6


async def test_a_password_file_that_is_gone_is_a_login_error() -> None:
    def unreadable() -> str:
        raise FileNotFoundError(2, "No such file or directory", "/etc/secret")

    async with gateway_client(ca_file=None, fingerprint=None) as client:
        gateway = HttpGateway(
            client=client,
            base_url="https://127.0.0.1:1",
            user="admin",
            password=unreadable,
            clock=trio.current_time,
        )
        with pytest.raises(GatewayLoginError, match="cannot be read: No such file"):
            await gateway.snapshot()
