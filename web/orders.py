"""What a POST that removes the framework may say, read from its body."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request

from domain.closing import Wish

ORDER_BYTES_MAX: Final = 4096


class OrderError(Exception):
    """A body that is no order: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body; strict, since a misspelt wish must not be taken for another one."""

    teardown: bool = False
    confirm: str = ""


async def read_order(request: Request) -> Wish:
    """No body at all is an order without teardown. Raises OrderError."""
    length = int(request.headers.get("content-length", "0"))  # the guard has checked its form
    if length > ORDER_BYTES_MAX:
        raise OrderError(413, f"the body is longer than {ORDER_BYTES_MAX} bytes")
    body = await request.body()
    try:
        given = msgspec.json.decode(body or b"{}", type=_Order)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        told = str(error)[:200]
        expected = '{"teardown": false} or {"teardown": true, "confirm": "FRAMEWORK ID"}'
        raise OrderError(400, f"{told}: expected {expected}") from None
    return Wish(teardown=given.teardown, confirm=given.confirm)
