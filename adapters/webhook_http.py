"""`ports.Notices` over HTTP. Addresses and tokens of receivers are in no text that leaves here."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx
import trio

from actors.ports import CredentialsError, NoticeAnswer, NoticeUnreachableError
from adapters.webhook_forms import body_of
from domain.notices import ALERTMANAGER, WEBHOOK, Framework, Message, Receiver
from flags.secret import Redactor, Secret, UnreadableError, read_secret_file

ATTEMPT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 4096  # for people; the rest is not read
DETAIL_CHARACTERS_MAX: Final = 200
ALERTS_PATH: Final = "/api/v2/alerts"
PATH_SECRET_MIN: Final = 12  # characters: a shorter path is a word of everyday
# A connection that was kept may be closed just when it is used again: then nobody knows whether
# the message arrived.
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
# A request that never left: the connection was refused, or none could be had.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@attrs.frozen(kw_only=True)
class Address:
    receiver: Receiver
    url: str = attrs.field(repr=False)


@attrs.define(kw_only=True)
class HttpNotices:
    """`client` follows no redirects: a message goes to whom the operator named, or nowhere."""

    client: httpx.AsyncClient
    redactor: Redactor
    token_file: Path | None
    _addresses: Mapping[str, Address]

    @classmethod
    def to(
        cls,
        *,
        webhooks: Iterable[str],
        alertmanagers: Iterable[str],
        token_file: Path | None,
        client: httpx.AsyncClient,
        redactor: Redactor,
    ) -> HttpNotices:
        addresses = [
            *(_address(WEBHOOK, url, url) for url in webhooks),
            *(_address(ALERTMANAGER, base, base + ALERTS_PATH) for base in alertmanagers),
        ]
        for address in addresses:
            if address.receiver.kind == ALERTMANAGER:
                continue  # its path is no secret, and stands in ordinary words
            redactor.add(Secret(address.url))
            path = address.url.partition("://")[2].partition("/")[2]
            if len(path) >= PATH_SECRET_MIN:
                redactor.add(Secret(path))
        return cls(
            client=client,
            redactor=redactor,
            token_file=token_file,
            addresses={one.receiver.digest: one for one in _told_apart(addresses)},
        )

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        return tuple(address.receiver for address in self._addresses.values())

    async def deliver(
        self, receiver: Receiver, message: Message, framework: Framework
    ) -> NoticeAnswer:
        address = self._addresses[receiver.digest]
        headers = {**_HEADERS, **await self._own_headers(receiver, message)}
        body = body_of(receiver, message, framework)
        try:
            with trio.fail_after(ATTEMPT_S):
                answer = await self._post(address.url, body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, trio.TooSlowError) as error:
            # A host name that no resolver takes is a ValueError of the codec's.
            sent = not isinstance(error, (*_NOT_SENT, httpx.InvalidURL, ValueError))
            # The library's own error names the address: it is not handed on.
            raise NoticeUnreachableError(self.redactor(_say(error)), sent=sent) from None
        # A webhook's answer may repeat parts of its address, which may be a secret.
        return answer if receiver.kind == ALERTMANAGER else attrs.evolve(answer, detail="")

    async def _own_headers(self, receiver: Receiver, message: Message) -> dict[str, str]:
        if receiver.kind == ALERTMANAGER:
            return {}
        headers = {"Idempotency-Key": message.key}
        if self.token_file is not None:
            token = await trio.to_thread.run_sync(self._token, self.token_file)
            headers["Authorization"] = f"Bearer {token.reveal()}"
        return headers

    def _token(self, path: Path) -> Secret:
        try:
            token = Secret(read_secret_file(str(path)))
        except UnreadableError as fault:
            raise NoticeUnreachableError(
                f"-notify.token-file: {path}: {fault}", sent=False
            ) from None
        if not token.reveal().isascii():
            raise NoticeUnreachableError(
                f"-notify.token-file: {path}: holds more than ASCII characters", sent=False
            )
        self.redactor.add(token)
        return token

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> NoticeAnswer:
        request = self.client.build_request("POST", url, content=body, headers=headers)
        response = await self.client.send(request, stream=True)
        try:
            status = response.status_code
            taken = 200 <= status < 300
            return NoticeAnswer(
                status=status,
                detail="" if taken else self._detail(await _beginning(response)),
                retry_after_s=_retry_after_s(response.headers),
            )
        finally:
            with trio.move_on_after(0.5, shield=True):
                # Closing a socket takes no time; 0.5 s bounds a TLS goodbye.
                await response.aclose()

    def _detail(self, body: bytes) -> str:
        """One line of what it said; it may have said our own headers."""
        text = self.redactor(body.decode("utf-8", errors="replace"))
        words = "".join(one if one.isprintable() else " " for one in text).split()
        return " ".join(words)[:DETAIL_CHARACTERS_MAX]


def receivers_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Raises CredentialsError, one line."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except ssl.SSLError:
        why = "holds no certificates (PEM) that can be used"
    except OSError as fault:
        why = fault.strerror or type(fault).__name__
    raise CredentialsError(f"-notify.ca-file: {ca_file}: {why}")


def _address(kind: str, named: str, url: str) -> Address:
    digest = hashlib.sha256(f"{kind} {named}".encode()).hexdigest()[:32]
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc}"
    return Address(receiver=Receiver(digest=digest, kind=kind, shown=shown), url=url)


def _told_apart(addresses: list[Address]) -> list[Address]:
    """Several receivers on one host are numbered: their paths are not shown."""
    names = [(one.receiver.kind, one.receiver.shown) for one in addresses]
    found = []
    for at, one in enumerate(addresses):
        shown = one.receiver.shown
        if names.count(names[at]) > 1:
            shown = f"{shown} ({names[: at + 1].count(names[at])})"
        found.append(attrs.evolve(one, receiver=attrs.evolve(one.receiver, shown=shown)))
    return found


async def _beginning(response: httpx.Response) -> bytes:
    """As much as is shown: a receiver must not fill our memory."""
    body = bytearray()
    parts = response.aiter_raw()
    try:
        async for part in parts:
            body += part
            if len(body) >= ANSWER_BYTES_MAX:
                break
    finally:
        with trio.move_on_after(0, shield=True), suppress(httpx.HTTPError):
            # httpx closes none of its inner generators when a body is left early: they are
            # ended from inside, by a cancellation at once.
            async for _ in parts:
                pass
    return bytes(body[:ANSWER_BYTES_MAX])


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Seconds, or a date that is measured by the receiver's own clock."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until, now = (parsedate_to_datetime(one) for one in (text, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date; or one with a zone and one without
        return None


def _say(error: BaseException) -> str:
    """What happened, in words without the address."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLCertVerificationError):
            return f"certificate verify failed: {at.verify_message}"
        at = at.__cause__ or at.__context__
    match error:
        case trio.TooSlowError() | httpx.TimeoutException():
            return "no answer in time"
        case httpx.ConnectError():
            return f"no connection: {error}"
        case _:
            return f"the connection broke: {error}"
