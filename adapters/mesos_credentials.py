"""Who we are to the masters: HTTP basic authentication, and certificates.

The secret goes to the configured masters and to the leader that they point to, never to agents:
an agent's address is whatever the agent says.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs
import trio

from actors.ports import CredentialsError
from flags.secret import Secret, UnreadableError, read_secret_file


class Credentials(Protocol):
    def headers(self) -> dict[str, str]:
        """For every request to a master."""

    async def renew(self) -> bool:
        """As `ports.Mesos.renew_credentials`."""


@attrs.frozen
class NoCredentials:
    def headers(self) -> dict[str, str]:
        return {}

    async def renew(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False


@attrs.define
class BasicCredentials:
    """Principal and secret (RFC 7617), the secret from a file. `learn` hides it in all output."""

    principal: str
    path: str
    learn: Callable[[Secret], None]
    _secret: Secret = attrs.field(factory=lambda: Secret(""), init=False)

    @classmethod
    def read(cls, principal: str, path: str, learn: Callable[[Secret], None]) -> BasicCredentials:
        """Raises CredentialsError."""
        if path.startswith("/dev/fd/"):
            raise CredentialsError("-mesos.secret-file: it is read again and again: name a file")
        made = cls(principal, path, learn)
        made._take(made._read())
        return made

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._encoded(self._secret)}"}

    async def renew(self) -> bool:
        now = await trio.to_thread.run_sync(self._read)
        if now == self._secret:
            return False
        self._take(now)
        return True

    def _take(self, secret: Secret) -> None:
        self.learn(secret)
        self.learn(Secret(self._encoded(secret)))
        self._secret = secret

    def _read(self) -> Secret:
        try:
            return Secret(read_secret_file(self.path))
        except UnreadableError as fault:
            raise CredentialsError(f"-mesos.secret-file: {self.path}: {fault}") from None

    def _encoded(self, secret: Secret) -> str:
        return base64.b64encode(f"{self.principal}:{secret.reveal()}".encode()).decode()


def tls_context(
    *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """For https masters and agents. Raises CredentialsError, one line.

    Host names are checked; the system's authorities are trusted where no file is given.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (ssl.SSLError, OSError) as fault:
        raise CredentialsError(f"-mesos.ca-file: {ca_file}: {_reason(fault)}") from None
    if cert_file is None:
        return context
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except (ssl.SSLError, OSError) as fault:
        named = f"-mesos.cert-file: {cert_file}"
        named += f", -mesos.key-file: {key_file}" if key_file else ""
        raise CredentialsError(f"{named}: {_reason(fault)}") from None
    return context


def _no_passphrase() -> str:
    """Nobody is there to type one; an empty one makes OpenSSL refuse an encrypted key."""
    return ""


def _reason(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLError):
        return "holds no certificates (PEM) that can be used, or no key that fits, unencrypted"
    return fault.strerror or type(fault).__name__
