"""What the product shows of itself: promises 12 and 20. It is looked at, never asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from domain.agent import AgentRecord
from domain.records import AGENT_PREFIX
from simulation.promises import MAILBOXES, SHOWN, Book

LOOK_EVERY_S: Final = 5.0
QUIET_S: Final = 1.0  # nothing of that agent became durable for so long: all have heard of it
BOUND_MAX: Final = 100_000  # more is no bound


class MailboxView(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def mailbox_depth(self) -> int: ...
    @property
    def mailbox_peak(self) -> int: ...
    @property
    def mailbox_size(self) -> int: ...


class AgentView(Protocol):
    """Of what is shown of an agent, that which is stored under another name."""

    @property
    def host(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def keeper_id(self) -> str: ...
    @property
    def keeper_healthy(self) -> bool: ...
    @property
    def reboot_wanted(self) -> bool: ...
    @property
    def working(self) -> bool: ...


class BoardView(Protocol):
    @property
    def agents(self) -> Mapping[str, AgentView]: ...
    @property
    def actors(self) -> Mapping[str, Callable[[], MailboxView]]: ...


SAME_NAME: Final = (
    "agent_id", "address", "since", "reason", "error", "tail", "attempts", "probe", "claimed",
    "claimed_at", "missing", "later", "reboots_avoided", "surveyed", "lost_at", "runs",
)  # fmt: skip
IN_LISTS: Final = (
    "agent_id", "address", "phase", "since", "step", "task_id", "error", "reboot_wanted",
    "missing", "keeper_healthy",
)  # fmt: skip
ROW: Final = re.compile(r'data-host="(?P<host>[^"]+)" data-phase="(?P<phase>\w+)"')


@attrs.define
class ShownWatch:
    """`look` gives the board of the running scheduler, and None while there is none."""

    book: Book
    look: Callable[[], BoardView | None] = lambda: None
    _records: dict[str, AgentRecord] = attrs.field(factory=dict)
    _heard_at: dict[str, float] = attrs.field(factory=dict)  # hosts of which all is confirmed
    _look_at: float = 0.0

    def passes(self) -> None:
        """Time goes on: have a look when it is due."""
        if self.book.now >= self._look_at:
            self._look_at = self.book.now + LOOK_EVERY_S
            self.have_a_look()

    def have_a_look(self) -> None:
        board = self.look()
        if board is None:
            return
        self.mailboxes(snapshot() for snapshot in board.actors.values())
        for shown in board.agents.values():
            record = self._quiet(shown.host)
            if record is not None:
                self._compare(shown, record)

    def mailboxes(self, views: Iterable[MailboxView]) -> None:
        for view in views:
            bound = view.mailbox_size
            deepest = max(view.mailbox_peak, view.mailbox_depth)
            text = f"the mailbox of {view.name} held {deepest} messages, its bound is {bound}"
            self.book.check(MAILBOXES, deepest <= bound <= BOUND_MAX, text)

    def stored(self, record: AgentRecord) -> None:
        """It is durable; nobody knows that yet."""
        self._records[record.host] = record
        self._heard_at.pop(record.host, None)

    def heard(self, keys: Iterable[str], *, at: float) -> None:
        """The scheduler was told then that what is durable of these keys of the store is so."""
        for key in keys:
            if key.startswith(AGENT_PREFIX):
                self._heard_at[key.removeprefix(AGENT_PREFIX)] = at

    def _quiet(self, host: str) -> AgentRecord | None:
        """Its record, unless somebody is just about to hear of it."""
        quiet = self.book.now - self._heard_at.get(host, self.book.now) >= QUIET_S
        return self._records.get(host) if quiet else None

    def _compare(self, shown: AgentView, record: AgentRecord) -> None:
        stored = _as_shown(record)
        wrong = [name for name, value in stored.items() if getattr(shown, name) != value]
        text = f"{record.host}: the board's {', '.join(wrong)} is not what is stored"
        self.book.check(SHOWN, not wrong, text)

    def listed(self, where: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """What a reply says of agents, one mapping for each."""
        for line in lines:
            record = self._quiet(str(line["host"]))
            if record is None:
                continue
            stored = _as_shown(record)
            wrong = [name for name in IN_LISTS if line[name] != stored[name]]
            if record.reason not in str(line["reason"]):  # others may have added theirs
                wrong.append("reason")
            text = f"{record.host}: {', '.join(wrong)} in {where} is not what is stored"
            self.book.check(SHOWN, not wrong, text)

    def page(self, text: str) -> None:
        """The page's table of agents; it may leave some out, where there are many."""
        rows = list(ROW.finditer(text))
        self.book.check(SHOWN, rows or not self._records, "the page shows no agent at all")
        for row in rows:
            record = self._quiet(row["host"])
            if record is not None:
                same = row["phase"] == record.phase.value
                told = f"{record.host} is {row['phase']} on the page, and {record.phase.value}"
                self.book.check(SHOWN, same, f"{told} in the store")


def _as_shown(record: AgentRecord) -> dict[str, object]:
    """What has to be shown of a stored record."""
    task, keeper = record.task, record.keeper
    return {
        **{name: getattr(record, name) for name in SAME_NAME},
        "phase": record.phase.value,
        "step": task.step if task else "",
        "task_id": task.task_id if task else "",
        "keeper_id": keeper.task_id if keeper else "",
        "keeper_healthy": keeper is not None and keeper.healthy,
        "reboot_wanted": record.reboot is not None,
        "working": record.slot,
    }
