"""What operators ordered: stored before it is done, and told once for each idempotency key. Pure.

Headers as in the IETF's draft "The Idempotency-Key HTTP Header Field".
"""

from __future__ import annotations

from typing import Final

import attrs

ORDERS_KEPT: Final = 200
KEY_LASTS_S: Final = 86400.0  # a client that repeats an order does so within a day
KEY_CHARACTERS_MAX: Final = 128
REASON_CHARACTERS_MAX: Final = 500
SILENCE_S_MAX: Final = 30 * 86400.0


@attrs.frozen(kw_only=True)
class Order:
    """`status` 0: its outcome is not known (yet). `digest` tells another order under one key."""

    at: float  # unix
    what: str  # "hold", "rollout pause", ...
    subject: str  # host, condition, object; "" for all
    who: str
    source: str  # address
    reason: str = ""
    key: str = ""
    digest: str = ""
    status: int = 0
    sentence: str = ""


@attrs.frozen(kw_only=True)
class AuditRecord:
    """The newest last."""

    orders: tuple[Order, ...] = ()

    def with_order(self, order: Order) -> AuditRecord:
        return AuditRecord(orders=(*self.orders, order)[-ORDERS_KEPT:])

    def answered(self, order: Order, status: int, sentence: str) -> AuditRecord:
        """`order` as it was added, with its outcome."""
        done = attrs.evolve(order, status=status, sentence=sentence)
        return AuditRecord(orders=tuple(done if one is order else one for one in self.orders))

    def under_key(self, key: str, unix: float) -> Order | None:
        """The order that came with this key within the last day."""
        if not key:
            return None
        return next(
            (o for o in reversed(self.orders) if o.key == key and unix - o.at < KEY_LASTS_S), None
        )


def repeated(before: Order, digest: str) -> tuple[int, str]:
    """What somebody is answered who sends a key that was sent before."""
    if before.digest != digest:
        return 422, f"this Idempotency-Key came with another order before: {before.what}"
    if not before.status:
        return 409, "the same order is under way, or its outcome is not known: look, then ask anew"
    return before.status, before.sentence


@attrs.frozen(kw_only=True)
class Silence:
    """Nobody is notified of this condition until then. `subject` "": whatever it is about."""

    name: str
    subject: str = ""
    until: float  # unix
    by: str = ""
    reason: str = ""

    def covers(self, name: str, subject: str, unix: float) -> bool:
        return self.name == name and self.subject in ("", subject) and unix < self.until


@attrs.frozen(kw_only=True)
class SilencesRecord:
    silences: tuple[Silence, ...] = ()

    def standing(self, unix: float) -> tuple[Silence, ...]:
        return tuple(one for one in self.silences if unix < one.until)

    def with_silence(self, silence: Silence, unix: float) -> SilencesRecord:
        return SilencesRecord(
            silences=(*self.without(silence.name, silence.subject, unix), silence)
        )

    def without(self, name: str, subject: str, unix: float) -> tuple[Silence, ...]:
        return tuple(s for s in self.standing(unix) if (s.name, s.subject) != (name, subject))
