"""What the simulated Gateway can do wrong, and the replies of a Gateway in trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import attrs
import msgspec
import trio

from simulation.http_server import Reply

JSON: Final = (("Content-Type", "application/json"),)
HTML: Final = (("Content-Type", "text/html"),)


@attrs.define
class Faults:
    """What goes wrong. The counting dials hit the next n requests that are no logins."""

    freeze: Callable[[bool], None] = attrs.field(repr=False)
    html_404: bool = attrs.field(default=False, init=False)  # as an ingress without a backend
    _unauthorised: int = attrs.field(default=0, init=False)
    _errors: int = attrs.field(default=0, init=False)
    _error_code: int = attrs.field(default=0, init=False)
    _timeouts: int = attrs.field(default=0, init=False)
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

    def take_reply(self) -> Reply | None:
        if self.html_404:
            return html(404, "Not Found")
        if self._unauthorised > 0:
            self._unauthorised -= 1
            return unauthorised()
        if self._errors > 0:
            self._errors -= 1
            return error(500, "Internal error", self._error_code)
        return None


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
