"""The single writer of calls: the master handles those of one connection in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board, OfferTally
from actors.mailbox import Mailbox
from actors.master_session import Session
from actors.messages import BrokerInbox, CallResult, Send, WriterInbox
from actors.ports import CredentialsError, Mesos, MesosAnswer, MesosUnreachableError
from protocol.mesos import calls
from protocol.mesos.errors import LocalMesosError
from protocol.mesos.session import CallFate, State, judge_call

SHOWN_CHARACTERS: Final = 200
LOGGED_CHARACTERS: Final = 2000  # a refusal that is a bug of ours is told whole

log = structlog.get_logger()


@attrs.define
class MasterWriter:
    mesos: Mesos
    session: Session
    mailbox: Mailbox[WriterInbox]
    broker: Mailbox[BrokerInbox]
    board: Board
    of_teardown: Callable[[CallResult], object] = lambda _: None  # where its result is told

    async def run(self) -> None:
        while True:
            message = await self.mailbox.receive()
            current = self.session.generation
            stale = message.generation is not None and message.generation != current
            over = self.session.state is not State.SUBSCRIBED or not self.session.stream_id
            if over or stale:
                self._tell(message, "refused", "not subscribed")
                continue
            await self._send_or_leave(message)

    async def _send_or_leave(self, message: Send) -> None:
        """A call that is lost in a crash of ours may hold offers: the master takes them back."""
        stream_id, finished = self.session.stream_id, False
        try:
            await self._send(message)
            finished = True
        finally:
            if not finished:
                self.session.fence(stream_id, "the writer was interrupted")

    async def _send(self, message: Send) -> None:
        session, call = self.session, message.call
        base, stream_id = session.base, session.stream_id
        try:
            body = calls.encode_call(
                call,
                framework_id=session.info.framework_id,
                role=session.info.role,
                version=session.version,
            )
            answer = await self._post(base, body, stream_id)
        except LocalMesosError as error:
            log.warning("a call that this master does not know", error=str(error))
            self._tell(message, "rejected", str(error))
        except MesosUnreachableError as error:
            if error.sent:
                session.fence(stream_id, "a call was not answered")
            self._tell(message, "unknown" if error.sent else "refused", str(error))
        else:
            self._judge(message, answer, stream_id)

    async def _post(self, base: str, body: bytes, stream_id: str) -> MesosAnswer:
        """With a changed secret, once more: a 401 comes before the call is looked at."""
        answer = await self.mesos.call(base, calls.SCHEDULER_PATH, body, stream_id)
        if answer.status != 401:
            return answer
        try:
            changed = await self.mesos.renew_credentials()
        except CredentialsError as error:
            log.warning("the master's credentials can't be read again", error=str(error))
            return answer
        if not changed:
            return answer
        return await self.mesos.call(base, calls.SCHEDULER_PATH, body, stream_id)

    def _judge(self, message: Send, answer: MesosAnswer, stream_id: str) -> None:
        call = message.call
        expected = 200 if isinstance(call, calls.UpdateFramework) else 202
        said = f"{answer.status} {' '.join(answer.body.split())}"
        match judge_call(answer.status, answer.body, expected=expected):
            case CallFate.DONE:
                self._count(message)
                self._tell(message, "sent", "")
                if isinstance(call, calls.UpdateFramework):
                    self.session.outlives_us = True
                return
            case CallFate.STRANGE:
                self.session.fence(stream_id, f"nobody knows what became of a call: {said[:80]}")
                self._tell(message, "unknown", said[:SHOWN_CHARACTERS])
            case CallFate.LOST | CallFate.CREDENTIALS:
                self.session.fence(stream_id, f"the master no longer takes our calls: {said[:80]}")
                self._tell(message, "refused", said[:SHOWN_CHARACTERS])
            case CallFate.REFUSED:
                self._tell(message, "rejected", said[:SHOWN_CHARACTERS])
                if isinstance(call, calls.UpdateFramework):  # a subscription says the same
                    self.session.fence(stream_id, "UPDATE_FRAMEWORK was refused")
        self.mailbox.vitals.last_error = f"{type(call).__name__}: {said[:SHOWN_CHARACTERS]}"
        log.warning(
            "a call was refused",
            call=type(call).__name__,
            status=answer.status,
            answer=said[:LOGGED_CHARACTERS],
        )

    def _count(self, message: Send) -> None:
        """How long the offers in this call were held, from their arrival to their answer."""
        call = message.call
        if message.offered_at is None or not isinstance(call, calls.Accept | calls.Decline):
            return
        accepted = isinstance(call, calls.Accept)
        held_s = trio.current_time() - message.offered_at
        tally: OfferTally = self.board.offers
        self.board.offers = tally.answered(len(call.offer_ids), held_s, accepted=accepted)

    def _tell(self, message: Send, outcome: str, detail: str) -> None:
        """Only launches and TEARDOWN need to know; a lost note is mended by what follows."""
        call = message.call
        if isinstance(call, calls.Accept | calls.Teardown):
            note = CallResult(
                call=call, outcome=outcome, detail=detail, offered_at=message.offered_at
            )
            tell = self.broker.offer if isinstance(call, calls.Accept) else self.of_teardown
            tell(note)
