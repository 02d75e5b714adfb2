"""What a POST may say in its body, strictly read: a misspelt wish is not taken for another one."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from domain.audit import REASON_CHARACTERS_MAX

ORDER_BYTES_MAX: Final = 4096


class OrderError(Exception):
    """A body that is no order: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PlainOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reason` is kept with the order, for whoever asks later why."""

    reason: str = ""


class FrameworkOrder(PlainOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    teardown: bool = False
    confirm: str = ""


class SilenceOrder(PlainOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`subject` "": whatever the condition is about."""

    subject: str = ""
    for_s: float = 7200.0


O = TypeVar("O", bound=PlainOrder)  # noqa: E741 - an order

EXPECTED: Final[dict[type[PlainOrder], str]] = {
    PlainOrder: '{"reason": "WHY"} or nothing',
    FrameworkOrder: '{"teardown": false} or {"teardown": true, "confirm": "FRAMEWORK ID"}',
    SilenceOrder: '{"for_s": SECONDS, "subject": "AGENT, POOL, ...", "reason": "WHY"}',
}


async def read_order(request: Request, kind: type[O]) -> O:
    """No body at all is an order with nothing said. Raises OrderError."""
    length = int(request.headers.get("content-length", "0"))  # the guard has checked its form
    if length > ORDER_BYTES_MAX:
        raise OrderError(413, f"the body is longer than {ORDER_BYTES_MAX} bytes")
    body = await request.body()
    try:
        order = msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OrderError(400, f"{str(error)[:200]}: expected {EXPECTED[kind]}") from None
    if len(order.reason) > REASON_CHARACTERS_MAX:
        raise OrderError(400, f"reason: at most {REASON_CHARACTERS_MAX} characters are expected")
    if not order.reason.isprintable():  # it stands in one line of logs and tables
        raise OrderError(400, "reason: printable text on one line is expected")
    return order
