"""What changes anything: who asks, why, and once for each key; then the house is told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs
import structlog
from starlette.requests import Request
from starlette.responses import Response

from actors.board import Board
from domain.audit import KEY_CHARACTERS_MAX, SILENCE_S_MAX, Order, Silence
from domain.closing import Wish
from domain.conditions import KINDS
from domain.words import WORDS
from web import removal
from web.orders import FrameworkOrder, OrderError, PlainOrder, SilenceOrder, read_order
from web.replies import Redact, error_reply, json_reply

COMMANDS: Final = WORDS
ROLLOUT_WORDS: Final = ("pause", "resume", "abort", "start")
REMOVAL_WORDS: Final = ("remove", "keep", "enter-maintenance", "leave-maintenance")
SILENCE_WORDS: Final = ("silence", "unsilence")
REGISTER: Final = "register"  # for no agent, but the framework
GONE_ONLY: Final = ("retire", "replace")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

Act = Callable[[], Awaitable[tuple[int, str]]]
Commands = Callable[[str, str], tuple[int, str]]  # name, host -> status, sentence
Orders = Callable[[Wish | None], Awaitable[tuple[int, str]]]  # None: the order is called off
RolloutWords = Callable[[str], Awaitable[tuple[int, str]]]  # one of ROLLOUT_WORDS
Removals = Callable[[str, str, str], Awaitable[tuple[int, str]]]  # kind, id, word

log = structlog.get_logger()


class Book(Protocol):
    """Where orders are written down before they are carried out."""

    async def carry_out(self, order: Order, act: Act) -> tuple[int, str]: ...
    async def silence(self, silence: Silence) -> tuple[int, str]: ...
    async def unsilence(self, name: str, subject: str) -> tuple[int, str]: ...
    def refused(self, *, what: str, who: str, source: str, status: int, why: str) -> None: ...


@attrs.frozen(kw_only=True, eq=False)
class Changes:
    board: Board
    redact: Redact
    commands: Commands
    orders: Orders
    rollout: RolloutWords
    removals: Removals
    book: Book
    wall: Callable[[], float]

    # --- the endpoints ----------------------------------------------------------------------------

    async def command(self, request: Request) -> Response:
        name, host = request.path_params["command"], request.path_params["host"]

        async def act() -> tuple[int, str]:
            return self.commands(name, host)

        if name not in COMMANDS:
            return self._error(404, f"there is no such command: one of {', '.join(COMMANDS)}")
        agent = self.board.agents.get(host)
        if agent is None:
            return self._error(404, "there is no such agent: see /v1/agents")
        if name in GONE_ONLY and (why_not := removal.why_not_gone(agent)):
            return self._error(409, why_not)
        return await self._carried_out(request, name, host, act)

    async def register(self, request: Request) -> Response:
        """The way out of a dead framework id; nothing else leads to a new one."""

        async def act() -> tuple[int, str]:
            return self.commands(REGISTER, "")

        return await self._carried_out(request, REGISTER, "", act)

    async def framework_uninstall(self, request: Request) -> Response:
        """The framework's removal, and TEARDOWN as its last act where the body wishes it."""
        try:
            order = await read_order(request, FrameworkOrder)
        except OrderError as error:
            return self._error(error.status, str(error))
        wish = Wish(teardown=order.teardown, confirm=order.confirm)
        return await self._carried_out(
            request, "framework uninstall", "", lambda: self.orders(wish), order.reason
        )

    async def framework_resume(self, request: Request) -> Response:
        return await self._carried_out(request, "framework resume", "", lambda: self.orders(None))

    async def rollout_order(self, request: Request) -> Response:
        word = request.path_params["word"]
        if word not in ROLLOUT_WORDS:
            return self._error(404, f"there is no such word: one of {', '.join(ROLLOUT_WORDS)}")
        return await self._carried_out(request, f"rollout {word}", "", lambda: self.rollout(word))

    async def storage_removal(self, request: Request) -> Response:
        word = request.path_params["word"]
        if word not in REMOVAL_WORDS:
            return self._error(404, f"there is no such word: one of {', '.join(REMOVAL_WORDS)}")
        kind, object_id = request.path_params["kind"], request.path_params["id"]
        return await self._carried_out(
            request,
            f"storage {word}",
            f"{kind} {object_id}",
            lambda: self.removals(kind, object_id, word),
        )

    async def silence(self, request: Request) -> Response:
        """A condition is shown as before, but nobody is notified of it for a while."""
        name, word = request.path_params["name"], request.path_params["word"]
        if word not in SILENCE_WORDS:
            return self._error(404, f"there is no such word: one of {', '.join(SILENCE_WORDS)}")
        if name not in KINDS and all(name != one.name for one in self.board.conditions):
            return self._error(404, "there is no such condition: see /v1/conditions")
        try:
            order = await read_order(request, SilenceOrder)
        except OrderError as error:
            return self._error(error.status, str(error))
        if not 0 < order.for_s <= SILENCE_S_MAX:
            told = f"for_s: seconds up to {SILENCE_S_MAX:.0f} (30 days) are expected"
            return self._error(400, told)
        who = self._who(request)
        silence = Silence(
            name=name,
            subject=order.subject,
            until=self.wall() + order.for_s,
            by=who,
            reason=order.reason,
        )
        act: Act = (
            (lambda: self.book.silence(silence))
            if word == "silence"
            else (lambda: self.book.unsilence(name, order.subject))
        )
        return await self._carried_out(request, f"{word} {name}", order.subject, act, order.reason)

    # --- inside -----------------------------------------------------------------------------------

    async def _carried_out(
        self, request: Request, what: str, subject: str, act: Act, reason: str | None = None
    ) -> Response:
        key = request.headers.get("idempotency-key", "")
        if key and not _KEY.fullmatch(key):
            told = f"Idempotency-Key: at most {KEY_CHARACTERS_MAX} printable characters"
            return self._error(400, told)
        if reason is None:
            try:
                reason = (await read_order(request, PlainOrder)).reason
            except OrderError as error:
                return self._error(error.status, str(error))
        asked = f"{request.url.path}\n".encode() + await request.body()
        order = Order(
            at=self.wall(),
            what=what,
            subject=subject,
            who=self._who(request),
            source=source_of(request),
            reason=self.redact(reason),
            key=key,
            digest=hashlib.sha256(asked).hexdigest()[:32],
        )
        status, sentence = await self.book.carry_out(order, act)
        if status >= 400:
            return self._error(status, sentence)
        return json_reply({"result": sentence}, self.redact, status)

    def _who(self, request: Request) -> str:
        """As the guard has found by the token."""
        return str(request.state.who)

    def _error(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
        return error_reply(status, sentence, self.redact, headers)


def source_of(request: Request) -> str:
    """The address that the request came from: a proxy's, where there is one."""
    return request.client.host if request.client is not None else ""
