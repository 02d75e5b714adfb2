"""How the web asks an actor: a message with a way back, and a bound on the wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

from actors.mailbox import Mailbox

T = TypeVar("T")
Answer = Callable[[int, str], None]  # HTTP status and a sentence


async def ask(
    box: Mailbox[T], message: Callable[[Answer], T], *, who: str, patience_s: float
) -> tuple[int, str]:
    """What the actor answers; 503 where it is overloaded, or does not answer in time."""
    send, receive = trio.open_memory_channel[tuple[int, str]](1)

    def answer(status: int, sentence: str) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            send.send_nowait((status, sentence))  # who asked may have hung up by now

    with send, receive:
        if not box.offer(message(answer)):
            return 503, f"{who} is overloaded"
        with trio.move_on_after(patience_s):
            return await receive.receive()
    return 503, f"{who} does not answer"
