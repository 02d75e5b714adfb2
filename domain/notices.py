"""Who is told what of the conditions: together, once, again if it was not heard, and when over.

One account for each receiver holds what it has been told (that is stored) and what is under way.
`look` compares it with what holds now, so a condition that came and went untold is not told at
all, and a receiver that was away hears of the present only.

What was sent and not answered may have arrived: such an entry is `unsure`. It is told again, under
the same key if nothing has changed, and its end is told too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from domain.conditions import KINDS
from domain.told import STORED_TEXT_MAX, Key, Ledger, Said, rank

WEBHOOK: Final = "webhook"
ALERTMANAGER: Final = "alertmanager"

CONDITIONS_MAX: Final = 100  # in one message
MESSAGE_BYTES_MAX: Final = 256 * 1024  # of its conditions as JSON
TEXT_MAX: Final = 2000  # characters
OBJECTS_MAX: Final = 100

REFRESH_S: Final = 60.0  # Alertmanager ends what it has not heard of for 5 minutes
GRACE_S: Final = 60.0  # after a start: conditions need time to be found again
# What needs a history of its own to be found again: an hour of waiting, a trend over an hour.
SLOW_S: Final[Mapping[str, float]] = {"waiting-long": 3660.0, "filling-fast": 4500.0}
LOOKS_S: Final = 30.0  # from a look at the Gateway to conditions that rest on it
LOOK_AGAIN_S: Final = 10.0
CRASHED_S: Final = 120.0  # nobody waits longer for the message in hand to be known again
# All the others rest on what the Gateway tells: an unknown name waits for it, too.
WITHOUT_GATEWAY: Final = frozenset(
    {
        "agent-failed", "agent-lost", "framework-removed", "master-unreachable",
        "notification-failing", "reboot-overdue", "step-failing", "store-bound-to-host",
        "store-failing", "waiting-long",
    }
)  # fmt: skip

RETRY_FIRST_S: Final = 5.0
RETRY_CEILING_S: Final = 300.0
UNKNOWN_STATUSES: Final = frozenset({502, 504})  # a proxy's: it may have passed the message on
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})


@attrs.frozen(kw_only=True)
class Receiver:
    """`digest` of its address; `shown` names it without path and query: they may be a secret."""

    digest: str
    kind: str  # webhook, alertmanager
    shown: str


@attrs.frozen(kw_only=True)
class Policy:
    min_severity: str = "warning"
    group_wait_s: float = 10.0
    repeat_s: float = 14400.0  # 0: never


@attrs.frozen(kw_only=True)
class Framework:
    """Who tells."""

    name: str
    role: str
    id: str = ""
    url: str = ""


@attrs.frozen(kw_only=True)
class Standing:
    """A condition that holds now. `since`: unix seconds."""

    name: str
    severity: str
    subject: str
    text: str
    since: float
    cure: str = ""
    objects: tuple[str, ...] = ()
    silenced: bool = False  # by an operator: its beginning is not told, its end is

    @property
    def key(self) -> Key:
        return self.name, self.subject


@attrs.frozen(kw_only=True)
class Change:
    """One line of a message. `state`: firing, resolved, reminder. Times are unix seconds."""

    state: str
    name: str
    severity: str
    subject: str
    text: str
    since: float
    cure: str = ""
    objects: tuple[str, ...] = ()
    ended: float = 0.0
    was: str = ""  # the severity that was told before, if it was another one
    told_at: float = 0.0  # when it was told last; 0: never
    turn: int = 0  # tells it from what was sent and not answered before

    @property
    def key(self) -> Key:
        return self.name, self.subject

    @property
    def word(self) -> str:
        return f"{self.state} {self.severity}"


@attrs.frozen(kw_only=True)
class Message:
    """`key` is the same whenever the same is told; `sequence` counts a receiver's messages."""

    key: str
    sequence: int
    at: float  # unix
    changes: tuple[Change, ...]
    more: bool = False  # there was no room for all


# -- one receiver's account ---------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Account:
    receiver: Receiver
    ledger: Ledger = attrs.field(factory=Ledger)
    unseen: frozenset[Key] = frozenset()  # stored, and not found again since the start
    crashed: bool = False  # an earlier process did not hear whether its message arrived
    sent: Mapping[Key, float] = attrs.field(factory=dict)  # told last, on the run's clock
    news_since: float | None = None  # run's clock
    under_way: Message | None = None  # not taken yet


@attrs.frozen(kw_only=True)
class Scene:
    """What there is to tell, and how far it can be trusted. Run's clock, but for `unix`."""

    now: float
    unix: float
    standing: tuple[Standing, ...]
    started: float
    looked: bool = True  # conditions were judged at least once since the start
    storage_since: float | None = None  # the first good look at the Gateway since the start


def restored(receiver: Receiver, ledger: Ledger) -> Account:
    """As the store has it, at the start of a process."""
    return Account(
        receiver=receiver,
        ledger=ledger,
        unseen=frozenset(said.key for said in ledger.told),
        crashed=any(said.unsure for said in ledger.told),
    )


def look(account: Account, scene: Scene, policy: Policy) -> tuple[Account, Message | None, float]:
    """What to send now, if anything; and when to look again though nothing has changed."""
    least = rank(policy.min_severity)
    standing = {one.key: one for one in scene.standing if rank(one.severity) >= least}
    told = {said.key: said for said in account.ledger.told}
    account = attrs.evolve(account, unseen=account.unseen - standing.keys())
    doubtful = [said for key, said in told.items() if key in account.unseen]
    again = min(
        (at for s in doubtful if (at := certain_at(s, scene)) > scene.now), default=math.inf
    )
    news = [*_rises(standing, told), *_ends(account, standing, told, scene)]
    if account.crashed and scene.now < scene.started + CRASHED_S:
        # The same message as before the crash, if it can be had: alone, and when all is known.
        unsure = {said.key for said in told.values() if said.unsure}
        news = [change for change in news if change.key in unsure]
        if len(news) < len(unsure):
            return account, None, min(again, scene.started + CRASHED_S)
        return account, _message(account, news, scene), scene.now
    since = None
    if news:
        since = scene.now if account.news_since is None else account.news_since
    account = attrs.evolve(account, news_since=since)
    due = math.inf if since is None else since + policy.group_wait_s
    repeats, later = _repeats(account, standing, told, scene, policy)
    now_due = [*(news if due <= scene.now else ()), *repeats]
    if now_due:
        return account, _message(account, now_due, scene), scene.now
    return account, None, min(due, later, again)


def certain_at(said: Said, scene: Scene) -> float:
    """When the absence of a stored condition means that it is over."""
    kind = KINDS.get(said.name)
    needs_s = max(SLOW_S.get(said.name, 0.0), LOOKS_S + (kind.raise_s if kind is not None else 0.0))
    at = scene.started + max(GRACE_S, needs_s)
    if said.name not in WITHOUT_GATEWAY:
        known = scene.storage_since
        at = math.inf if known is None else max(at, known + needs_s)
    return at if scene.looked else max(at, scene.now + LOOK_AGAIN_S)


def _rises(standing: Mapping[Key, Standing], told: Mapping[Key, Said]) -> Iterable[Change]:
    for key, one in standing.items():
        said = told.get(key)
        if one.silenced:
            continue
        if said is None:
            yield _change("firing", one)
        elif said.unsure or said.severity != one.severity:
            reminded = said.unsure == f"reminder {one.severity}"
            yield _change("reminder" if reminded else "firing", one, said)


def _ends(
    account: Account, standing: Mapping[Key, Standing], told: Mapping[Key, Said], scene: Scene
) -> Iterable[Change]:
    for key, said in told.items():
        if key in standing or (key in account.unseen and certain_at(said, scene) > scene.now):
            continue
        change = Change(
            state="resolved",
            name=said.name,
            severity=said.severity,
            subject=said.subject,
            text=said.text,
            since=said.since,
            ended=max(scene.unix, said.since),
            told_at=said.at,
        )
        yield _in_turn(change, said)


def _repeats(
    account: Account,
    standing: Mapping[Key, Standing],
    told: Mapping[Key, Said],
    scene: Scene,
    policy: Policy,
) -> tuple[list[Change], float]:
    """What is told again although nothing has changed, and when the next of these is due."""
    alerts = account.receiver.kind == ALERTMANAGER
    every_s = REFRESH_S if alerts else policy.repeat_s
    ages: dict[Key, float] = {}
    for key, said in told.items():
        one = standing.get(key)
        if one is None or said.unsure or said.severity != one.severity:
            continue
        if alerts or (every_s and one.severity == "critical" and not one.silenced):
            ages[key] = _age_s(account, said, scene)
    oldest = max(ages.values(), default=-math.inf)
    if oldest < every_s:
        return [], scene.now + every_s - oldest
    # Together with those whose turn would come soon.
    due = [key for key, age in ages.items() if age >= every_s / 2]
    return [_change("reminder", standing[key], told[key]) for key in due], scene.now


def _age_s(account: Account, said: Said, scene: Scene) -> float:
    """Since it was told last; by the wall clock only where another process did."""
    if said.key in account.sent:
        return scene.now - account.sent[said.key]
    return math.inf if account.receiver.kind == ALERTMANAGER else max(0.0, scene.unix - said.at)


def _change(state: str, one: Standing, said: Said | None = None) -> Change:
    change = Change(
        state=state,
        name=one.name,
        severity=one.severity,
        subject=one.subject,
        text=one.text,
        cure=one.cure,
        objects=one.objects,
        since=one.since if said is None else said.since,
        was="" if said is None or said.severity == one.severity else said.severity,
        told_at=0.0 if said is None else said.at,
    )
    return change if said is None else _in_turn(change, said)


def _in_turn(change: Change, said: Said) -> Change:
    """Firing, over and firing again, none of them answered, are three messages."""
    moved_on = bool(said.unsure) and said.unsure != change.word
    return attrs.evolve(change, turn=said.turn + moved_on)


def _message(account: Account, changes: Iterable[Change], scene: Scene) -> Message:
    """The worst first, as many as have room; the same message again if it tells the same."""
    wanted = sorted(changes, key=lambda c: (-rank(c.severity), c.state, c.key))
    taken: list[Change] = []
    room = MESSAGE_BYTES_MAX
    for change in wanted[:CONDITIONS_MAX]:
        room -= len(msgspec.json.encode(change))
        if room < 0 and taken:
            break
        taken.append(change)
    key = _key_of(account.receiver, taken)
    if account.under_way is not None and account.under_way.key == key:
        return account.under_way
    before = account.ledger
    return Message(
        key=key,
        sequence=before.sequence if key == before.key else before.sequence + 1,
        at=scene.unix,
        changes=tuple(taken),
        more=len(taken) < len(wanted),
    )


def _key_of(receiver: Receiver, changes: Iterable[Change]) -> str:
    """Of what is told, not of the words: a repeated message is known by it."""
    told = [
        (c.state, c.name, c.subject, c.severity, round(c.since, 3), round(c.told_at, 3), c.turn)
        for c in changes
    ]
    raw = msgspec.json.encode((receiver.digest, told))
    return hashlib.sha256(raw).hexdigest()[:32]


# -- what became of a message -------------------------------------------------------------------


def intended(account: Account, message: Message) -> Account:
    """Before it is sent: from now on it may have arrived."""
    told = {said.key: said for said in account.ledger.told}
    alerts = account.receiver.kind == ALERTMANAGER
    for change in message.changes:
        if alerts and change.state == "reminder":
            continue
        said = told.get(change.key) or Said(
            name=change.name,
            severity=change.severity,
            subject=change.subject,
            since=change.since,
            text=change.text[:STORED_TEXT_MAX],
        )
        told[change.key] = attrs.evolve(said, unsure=change.word, turn=change.turn)
    ledger = attrs.evolve(account.ledger, told=tuple(told.values()))
    if not alerts:
        ledger = attrs.evolve(ledger, key=message.key, sequence=message.sequence)
    return attrs.evolve(account, ledger=ledger, under_way=message)


def delivered(account: Account, message: Message, *, now: float, unix: float) -> Account:
    """The receiver has taken it."""
    told = {said.key: said for said in account.ledger.told}
    sent = dict(account.sent)
    for change in message.changes:
        if change.state == "resolved":
            told.pop(change.key, None)
            sent.pop(change.key, None)
            continue
        sent[change.key] = now
        if change.state == "reminder" and account.receiver.kind == ALERTMANAGER:
            continue
        told[change.key] = Said(
            name=change.name,
            severity=change.severity,
            subject=change.subject,
            since=change.since,
            at=unix,
            text=change.text[:STORED_TEXT_MAX],
        )
    return attrs.evolve(
        account,
        ledger=attrs.evolve(account.ledger, told=tuple(told.values())),
        sent=sent,
        unseen=account.unseen & told.keys(),
        crashed=False,
        news_since=account.news_since if message.more else None,
        under_way=None,
    )


def not_taken(account: Account, before: Account) -> Account:
    """The receiver has certainly not taken it: what it knew `before` is what it knows."""
    return attrs.evolve(account, ledger=before.ledger)


def outcome_of(status: int) -> str:
    """taken, not-taken (try again), unknown (try again), refused (people must look)."""
    if 200 <= status < 300:
        return "taken"
    if status in UNKNOWN_STATUSES:
        return "unknown"
    return "not-taken" if status >= 500 or status in TRANSIENT_STATUSES else "refused"


def pause_s(outcome: str, failures: int, chance: float, asked_s: float | None) -> float:
    """Before the next try. `failures` in a row, 1 or more; `chance` from 0 to 1."""
    if outcome == "refused":
        return RETRY_CEILING_S
    if asked_s is not None:
        return min(RETRY_CEILING_S, max(RETRY_FIRST_S, asked_s))
    ceiling_s = min(RETRY_CEILING_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 16))
    return max(RETRY_FIRST_S, ceiling_s * (0.5 + chance / 2))
