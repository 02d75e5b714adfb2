"""Every actor's mailbox, but those of agents: its name, and how much it holds."""

from __future__ import annotations

from typing import Final, TypeVar

import attrs

from actors import messages
from actors.board import Board
from actors.mailbox import Mailbox, Vitals
from domain.notices import Message

T = TypeVar("T")

BROKER: Final = 1024  # one OFFERS event is one message; updates come one by one
WRITER: Final = 1024
ROSTER: Final = 16384  # one observation per offer of the largest event
GATE: Final = 4096
POLLER: Final = 1024


@attrs.frozen
class Mailboxes:
    """They outlive their actors' crashes, and the board shows them."""

    journal: Mailbox[messages.JournalInbox]
    broker: Mailbox[messages.BrokerInbox]
    writer: Mailbox[messages.WriterInbox]
    roster: Mailbox[messages.RosterInbox]
    gate: Mailbox[messages.GateInbox]
    poller: Mailbox[messages.PollerInbox]
    health: Mailbox[messages.HealthInbox]
    closer: Mailbox[messages.CloserInbox]
    herald: Mailbox[messages.TellMesos]
    link: Mailbox[messages.WriterInbox]  # vitals only
    notifier: Mailbox[Message]  # vitals only

    @classmethod
    def on(cls, board: Board) -> Mailboxes:
        return cls(
            journal=_box(board, "journal", "journal", 1024),
            broker=_box(board, "offer-broker", "offer_broker", BROKER),
            writer=_box(board, "master-writer", "master_link", WRITER),
            roster=_box(board, "roster", "roster", ROSTER),
            gate=_box(board, "rollout-gate", "rollout_gate", GATE),
            poller=_box(board, "gateway-poller", "gateway_poller", POLLER),
            health=_box(board, "health-monitor", "health_monitor", 16),
            closer=_box(board, "framework-closer", "framework_closer", 64),
            herald=_box(board, "herald", "herald", 64),
            link=_box(board, "master-link", "master_link", 1),
            notifier=_box(board, "notifier", "notifier", 1),
        )


def _box(board: Board, name: str, kind: str, size: int) -> Mailbox[T]:
    box: Mailbox[T] = Mailbox(Vitals(name=name, kind=kind), size)
    board.actors[name] = box.snapshot
    return box
