"""Files of the catalog from their mirrors: resumed, bounded, and nothing that is not verified."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import httpx

from install_steps.bundle import digest_of
from install_steps.packages import Package

FILE_S_MAX: Final = 6 * 3600.0  # one file from one mirror, over a slow line
STALL_S: Final = 60.0
CONNECT_S: Final = 20.0
REDIRECTS_MAX: Final = 8


class DownloadError(Exception):
    """One mirror did not give the file; one line says why."""


def download_client(proxy: str | None = None) -> httpx.Client:
    """Without `proxy`, the usual variables of the environment are obeyed."""
    return httpx.Client(
        verify=ssl.create_default_context(),
        proxy=proxy,
        follow_redirects=True,
        max_redirects=REDIRECTS_MAX,
        timeout=httpx.Timeout(STALL_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=1),
    )


@attrs.frozen(kw_only=True)
class Downloads:
    """`folder` keeps what was not finished, by SHA-256, for the next try. `say`: one line."""

    client: httpx.Client
    folder: Path
    say: Callable[[str], None]
    now: Callable[[], float]

    def fetch(self, package: Package) -> Path | None:
        """The verified file, or None when no mirror had it."""
        done, part = self.folder / package.sha256, self.folder / f"{package.sha256}.part"
        if done.exists() and _is_right(done, package):
            return done
        for url in package.urls:
            if url.startswith("file:"):
                continue  # means the hosts' own files
            try:
                self._from_mirror(url, package, part)
            except DownloadError as error:
                self.say(f"{url.partition('?')[0]}: {error}")
            else:
                part.replace(done)
                return done
        return None

    def _from_mirror(self, url: str, package: Package, part: Path) -> None:
        """What ends wrong after it was resumed is fetched once more from the first byte."""
        resumed = part.exists() and 0 < part.stat().st_size < package.size_bytes
        if not resumed:
            part.unlink(missing_ok=True)
        self._bytes(url, package, part)
        if resumed and not _is_right(part, package):
            part.unlink()
            self._bytes(url, package, part)
        if not _is_right(part, package):
            told = f"{part.stat().st_size} bytes"
            part.unlink()
            raise DownloadError(
                f"gave {told} that are not the catalog's {package.size_bytes} bytes "
                f"with SHA-256 {package.sha256}"
            )

    def _bytes(self, url: str, package: Package, part: Path) -> None:
        begin = part.stat().st_size if part.exists() else 0
        headers = {"accept-encoding": "identity"}
        if begin:
            headers["range"] = f"bytes={begin}-"
        try:
            with self.client.stream("GET", url, headers=headers) as answer:
                _check_answer(answer, package)
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    begin = 0
                elif not answer.headers.get("content-range", "").startswith(f"bytes {begin}-"):
                    raise DownloadError("answered with another range than was asked for")
                self._write(answer, part, begin, package.size_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise DownloadError(f"{type(error).__name__}: {error}".removesuffix(": ")) from None

    def _write(self, answer: httpx.Response, part: Path, begin: int, size_bytes: int) -> None:
        """Appends from `begin`; ends where the file is longer, or takes longer, than it may."""
        until = self.now() + FILE_S_MAX
        with part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            file.truncate()
            for chunk in answer.iter_raw():
                begin += len(chunk)
                if begin > size_bytes:
                    raise DownloadError(f"sends more than the {size_bytes} bytes of the catalog")
                if self.now() > until:
                    raise DownloadError(f"takes more than {FILE_S_MAX:.0f} seconds")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _check_answer(answer: httpx.Response, package: Package) -> None:
    plain = [one for one in (*answer.history, answer) if one.url.scheme != "https"]
    if plain and not package.allow_http:
        raise DownloadError("leads to plain http, which the catalog does not allow")
    if answer.status_code not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
        raise DownloadError(f"answered with status {answer.status_code}")


def _is_right(path: Path, package: Package) -> bool:
    size_bytes = path.stat().st_size
    return size_bytes == package.size_bytes and digest_of(path, 0, size_bytes) == package.sha256
