"""The server's certificate, taken up anew when its files change, without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

LOOK_EVERY_S: Final = 10.0

log = structlog.get_logger()


class CertificateError(Exception):
    """Certificate and key are not of use; the text names the flags and files."""


@attrs.define
class Certificate:
    """`context` is what the server uses: handshakes from now on show what it was given last."""

    cert_file: Path
    key_file: Path
    context: ssl.SSLContext = attrs.field(init=False)
    _mark: tuple[int, ...] = attrs.field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        """Raises CertificateError. Reads files: not for the loop."""
        self.context = self._loaded()
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self._mark = self._seen()

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as fault:
            raise CertificateError(
                f"-rest.tls-cert-file, -rest.tls-key-file: {self.cert_file} and {self.key_file} "
                f"are not a certificate and its key ({fault})"
            ) from None
        return context

    def _seen(self) -> tuple[int, ...]:
        marks: list[int] = []
        for file in (self.cert_file, self.key_file):
            try:
                stat = file.stat()
            except OSError:
                return ()
            marks += [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        return tuple(marks)

    def look(self) -> bool:
        """True if another certificate was taken up. A bad one is told, and the old one stays."""
        seen = self._seen()
        if not seen or seen == self._mark:
            return False
        self._mark = seen
        try:
            self._loaded()  # elsewhere first: a half written pair must not break the live one
            self.context.load_cert_chain(self.cert_file, self.key_file)
        except (CertificateError, OSError, ssl.SSLError) as fault:
            log.warning("the new certificate is not taken up", error=str(fault))
            return False
        log.info("another certificate is taken up", file=str(self.cert_file))
        return True

    async def watch(self, *, time_scale: float = 1.0) -> None:
        while True:
            await trio.sleep(LOOK_EVERY_S * time_scale)
            await trio.to_thread.run_sync(self.look)
