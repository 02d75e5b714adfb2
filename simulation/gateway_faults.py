"""What the simulated Gateway can do wrong, and the replies of a Gateway in trouble."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Final

import attrs
import msgspec
import trio

from simulation.http_server import Reply

JSON: Final = (("Content-Type", "application/json"),)
FAULT_KINDS: Final = ("401", "500", "html", "slow", "cut")
HTML: Final = (("Content-Type", "text/html"),)


@attrs.define
class Faults:
    """What goes wrong. The counting dials hit the next n requests.

    Timeouts, delays and cuts hit logins too, the rest does not.
    """

    freeze: Callable[[bool], None] = attrs.field(repr=False)
    html_404: bool = attrs.field(default=False, init=False)  # as an ingress without a backend
    _unauthorised: int = attrs.field(default=0, init=False)
    _errors: int = attrs.field(default=0, init=False)
    _error_code: int = attrs.field(default=0, init=False)
    _timeouts: int = attrs.field(default=0, init=False)
    _slow: int = attrs.field(default=0, init=False)
    _slow_s: float = attrs.field(default=0.0, init=False)
    _cuts: int = attrs.field(default=0, init=False)
    rng: random.Random = attrs.field(kw_only=True, repr=False)
    random_rates: dict[str, float] = attrs.field(factory=dict, init=False)  # by FAULT_KINDS
    random_slow_s: float = attrs.field(default=5.0, init=False)
    excused: bool = attrs.field(default=True, init=False)  # who believes stale data is not to blame
    _stale: bool = attrs.field(default=False, init=False)

    def unauthorised_next(self, count: int = 1) -> None:
        self._unauthorised = count

    def error_500_next(self, count: int = 1, *, code: int = 0) -> None:
        """With a code: as if the MDM had refused."""
        self._errors, self._error_code = count, code

    def timeout_next(self, count: int = 1) -> None:
        """Never answered; the client has to give up."""
        self._timeouts = count

    def slow_next(self, count: int, seconds: float) -> None:
        """Answered only after so long."""
        self._slow, self._slow_s = count, seconds

    def cut_next(self, count: int = 1) -> None:
        """The connection is closed in the middle of the answer's body."""
        self._cuts = count

    @property
    def stale(self) -> bool:
        """Reads show the cluster as it was when this was set; changes still happen."""
        return self._stale

    @stale.setter
    def stale(self, value: bool) -> None:
        self._stale = value
        self.freeze(value)

    def take_timeout(self) -> bool:
        self._timeouts -= (hit := self._timeouts > 0)
        return hit

    def take_delay(self) -> float:
        """Seconds to wait before this request is answered."""
        if self._slow > 0:
            self._slow -= 1
            return self._slow_s
        return self.random_slow_s if self._befalls("slow") else 0.0

    def take_cut(self) -> bool:
        hit = self._cuts > 0
        self._cuts -= hit
        return hit or self._befalls("cut")

    def _befalls(self, kind: str) -> bool:
        """Nothing is drawn for a kind without a rate, so runs without faults stay as they were."""
        rate = self.random_rates.get(kind, 0.0)
        return rate > 0.0 and self.rng.random() < rate

    def take_reply(self) -> Reply | None:
        if self.html_404:
            return html(404, "Not Found")
        if self._unauthorised > 0:
            self._unauthorised -= 1
            return unauthorised()
        if self._errors > 0:
            self._errors -= 1
            return error(500, "Internal error", self._error_code)
        if self._befalls("401"):
            return unauthorised()
        if self._befalls("500"):
            return error(500, "Internal error", 0)
        return html(404, "Not Found") if self._befalls("html") else None


class HalfBody(AsyncIterator[bytes | None]):
    """The first half of a body, and then no connection any more."""

    def __init__(self, body: bytes) -> None:
        self._parts = iter((body[: len(body) // 2] or b" ", None))

    async def __anext__(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return next(self._parts, None)


class Silence(AsyncIterator[bytes | None]):
    """An answer's body that never comes; it ends when the other side hangs up."""

    async def __anext__(self) -> bytes | None:
        await trio.sleep_forever()


def json_reply(value: object) -> Reply:
    return Reply(headers=JSON, body=msgspec.json.encode(value))


def error(status: int, message: str, code: int) -> Reply:
    body = {"message": message, "httpStatusCode": status, "errorCode": code}
    return Reply(status=status, headers=JSON, body=msgspec.json.encode(body))


def unauthorised() -> Reply:
    return error(401, "Unauthorized", 0)


def html(status: int, text: str) -> Reply:
    page = f"<html><body><h1>{status} {text}</h1></body></html>"
    return Reply(status=status, headers=HTML, body=page.encode())
