"""Let it crash: an actor's crash costs the message in hand, never its queue or its siblings."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from actors.mailbox import Vitals
from actors.ports import StoreConflictError

CRASHES_MAX: Final = 5
WINDOW_S: Final = 600.0

log = structlog.get_logger()


class ActorGaveUpError(Exception):
    """A singleton that keeps crashing: the process ends, and Marathon starts a clean one."""


class EndOfServiceError(Exception):
    """Not a crash: this process must stop (superseded, lost the store). `status` is its exit."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


async def supervise(
    vitals: Vitals, run: Callable[[], Awaitable[None]], *, quarantine: bool = False
) -> None:
    """Run the actor again after a crash, with growing pauses; give up after five in ten minutes.

    `quarantine`: giving up is shown and ends only this actor; otherwise ActorGaveUpError.
    """
    crashed_at: list[float] = []
    while True:
        vitals.phase = "running"
        try:
            await run()
        except (EndOfServiceError, StoreConflictError):
            vitals.phase = "stopped"
            raise
        except Exception as crash:
            vitals.restarts += 1
            vitals.last_error = _summary(crash)
            log.warning("actor crashed", actor=vitals.name, error=vitals.last_error)
            now = trio.current_time()
            crashed_at = [t for t in crashed_at if now - t < WINDOW_S] + [now]
            if len(crashed_at) > CRASHES_MAX:
                if quarantine:
                    vitals.phase = "quarantined"
                    return
                vitals.phase = "stopped"
                raise ActorGaveUpError(f"{vitals.name} keeps crashing") from crash
            vitals.phase = "backing-off"
            await trio.sleep(2.0 ** len(crashed_at))
        else:
            vitals.phase = "stopped"
            return


def _summary(crash: BaseException) -> str:
    """Type, text and the innermost place of ours; short enough for a page."""
    while isinstance(crash, BaseExceptionGroup) and len(crash.exceptions) == 1:
        crash = crash.exceptions[0]
    frames = traceback.extract_tb(crash.__traceback__)
    where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(crash).__name__}: {crash}{where}"[:400]


async def stop_on_signals(stop: trio.Event) -> None:
    """SIGTERM and SIGINT end the process gracefully; they never send TEARDOWN."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            stop.set()
