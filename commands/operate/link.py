"""Asking a scheduler: reads are repeated, and orders too, under one key: they count once."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import httpx

from commands.asking import ANSWER_BYTES_MAX, AskError

DEFAULT_URL: Final = "http://127.0.0.1:35000"
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
STREAM_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)  # a sign of life comes every 15 s
TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.5
PAUSE_S_MAX: Final = 30.0


class UnreachableError(AskError):
    """Nobody answers there: one line with what to do."""


class RefusedError(AskError):
    """The scheduler has answered that it does not do that; its own sentence."""


@attrs.frozen(kw_only=True)
class Link:
    """`token` is sent with every request. `verify`: certificates that are trusted, with https."""

    url: str = DEFAULT_URL
    token: str = attrs.field(default="", repr=False)
    verify: Any = True
    transport: httpx.BaseTransport | None = None  # a test's

    def read(self, path: str) -> dict[str, Any]:
        """Raises AskError."""
        return self._decoded(self._ask("GET", path), path)

    def text(self, path: str) -> str:
        """Raises AskError."""
        return self._ask("GET", path).text

    def order(self, path: str, body: Mapping[str, object]) -> str:
        """What will happen. Sent again under the same key where no answer came."""
        reply = self._ask("POST", path, body, {"idempotency-key": secrets.token_hex(12)})
        return str(self._decoded(reply, path).get("result", ""))

    def events(self, after: int | None) -> Iterator[tuple[str, int, str]]:
        """(event, id, data) for ever: a stream that ends is taken up where it was."""
        failures = 0
        while True:
            headers = {} if after is None else {"last-event-id": str(after)}
            try:
                with (
                    self._client(STREAM_TIMEOUT) as client,
                    client.stream("GET", "/events", headers=headers) as reply,
                ):
                    if reply.status_code != 200:
                        reply.read()
                        self._refuse_if(reply, "/events")
                    for event, entry_id, data in _parsed(reply.iter_lines()):
                        failures = 0
                        after = entry_id or after
                        yield event, entry_id, data
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failures += 1
                if failures >= TRIES:
                    raise self._unreachable(error) from None
            _pause(failures)

    # --- inside -----------------------------------------------------------------------------------

    def _client(self, timeout: httpx.Timeout = TIMEOUT) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(
            base_url=self.url.rstrip("/"),
            timeout=timeout,
            trust_env=False,
            headers=headers,
            verify=self.verify,
            transport=self.transport,
        )

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        for tried in range(1, TRIES + 1):
            try:
                with self._client() as client:
                    reply = client.request(method, path, json=body, headers=headers)
                self._refuse_if(reply, path)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if tried == TRIES or isinstance(
                    error, httpx.InvalidURL | httpx.UnsupportedProtocol
                ):
                    raise self._unreachable(error) from None
                _pause(tried)
            else:
                return reply
        raise AssertionError

    def _unreachable(self, error: Exception) -> UnreachableError:
        what = str(error) or type(error).__name__
        return UnreachableError(
            f"no scheduler answers at {self.url}: {what}: correct --url, or see whether it runs"
        )

    def _refuse_if(self, reply: httpx.Response, path: str) -> None:
        if reply.status_code < 400:
            return
        try:
            told = reply.json()
            sentence = told.get("detail") or told.get("error") or ""
        except (ValueError, AttributeError):
            sentence = ""
        sentence = sentence or "no reason is given: is it a scheduler's address?"
        if reply.status_code == 401:
            sentence += " (--token-file)"
        raise RefusedError(f"{path}: {reply.status_code}: {sentence}")

    def _decoded(self, reply: httpx.Response, path: str) -> dict[str, Any]:
        if len(reply.content) > ANSWER_BYTES_MAX:
            raise AskError(f"{path}: the answer has more than {ANSWER_BYTES_MAX} bytes")
        try:
            told = json.loads(reply.content)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise AskError(f"{self.url}{path} gives no JSON object: is it a scheduler's address?")
        return told


def default_url() -> str:
    return os.environ.get("SCALEIO_URL") or DEFAULT_URL


def _pause(failures: int) -> None:
    longest = min(PAUSE_S_MAX, FIRST_PAUSE_S * 2.0 ** max(0, failures - 1))
    time.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, int, str]]:
    """Server-sent events as the HTML standard has them, as far as ours go."""
    event, entry_id, data = "", 0, ""
    for line in lines:
        name, _, text = line.partition(": ")
        if not line and event:
            yield event, entry_id, data
            event, entry_id, data = "", 0, ""
        elif name == "event":
            event = text
        elif name == "id":
            entry_id = int(text) if text.isdigit() else 0
        elif name == "data":
            data = text
