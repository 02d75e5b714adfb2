"""The token session with the Gateway as a state table.

A token lives at most 8 hours, and 10 minutes without use; it also ends when the Gateway
restarts. So a session is renewed early, at 80 % of the shorter life, and a 401 in between
leads to one new login and one repetition. Callers hold a lock while they log in, and compare
`generation` afterwards: whoever came second finds the work done.

    NONE --LOGGED_IN--> LIVE --AGED--> RENEW_DUE --LOGGED_IN--> LIVE
    LIVE, RENEW_DUE --UNAUTHORISED, LOGGED_OUT--> NONE
    any --LOGIN_REFUSED--> REFUSED --LOGGED_IN--> LIVE

REFUSED is left by a login only, and the same password is not tried again at once: accounts
get locked by programs that keep knocking.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from protocol.gateway.versions import ApiVersion

ABSOLUTE_LIFE_S: Final = 8 * 3600.0
IDLE_LIFE_S: Final = 600.0
RENEW_AT: Final = 0.8  # of the shorter life
REFUSED_PAUSE_S: Final = 60.0  # between two tries with the same refused password


class Phase(enum.Enum):
    NONE = "none"
    LIVE = "live"
    RENEW_DUE = "renew due"
    REFUSED = "refused"


class Signal(enum.Enum):
    LOGGED_IN = "logged in"
    LOGIN_REFUSED = "login refused"
    AGED = "aged"
    UNAUTHORISED = "unauthorised"
    LOGGED_OUT = "logged out"


# A pair that is absent changes nothing: a late 401 of an old token, a second logout.
NEXT: Final[dict[Phase, dict[Signal, Phase]]] = {
    Phase.NONE: {Signal.LOGGED_IN: Phase.LIVE, Signal.LOGIN_REFUSED: Phase.REFUSED},
    Phase.LIVE: {
        Signal.LOGGED_IN: Phase.LIVE,
        Signal.LOGIN_REFUSED: Phase.REFUSED,
        Signal.AGED: Phase.RENEW_DUE,
        Signal.UNAUTHORISED: Phase.NONE,
        Signal.LOGGED_OUT: Phase.NONE,
    },
    Phase.RENEW_DUE: {
        Signal.LOGGED_IN: Phase.LIVE,
        Signal.LOGIN_REFUSED: Phase.REFUSED,
        Signal.UNAUTHORISED: Phase.NONE,
        Signal.LOGGED_OUT: Phase.NONE,
    },
    Phase.REFUSED: {Signal.LOGGED_IN: Phase.LIVE, Signal.LOGIN_REFUSED: Phase.REFUSED},
}


@attrs.frozen(kw_only=True)
class Token:
    """What one login gave: header values, ready to send. `life_s` is announced by 4.x only."""

    version: ApiVersion
    authorization: str = attrs.field(repr=False)
    basic_authorization: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(default="", repr=False)
    life_s: float | None = None


@attrs.frozen(kw_only=True)
class TokenSession:
    """One moment of the session; every change gives a new value."""

    phase: Phase = Phase.NONE
    generation: int = 0  # counts logins
    token: Token | None = None
    logged_in_at: float = 0.0
    used_at: float = 0.0
    refused_at: float = 0.0
    refused_password: str = attrs.field(default="", repr=False)

    def at(self, now: float) -> TokenSession:
        """The session as its age has made it by `now`."""
        return self._after(Signal.AGED) if self.token and now >= self._renew_at() else self

    def logged_in(self, token: Token, *, now: float) -> TokenSession:
        return attrs.evolve(
            self._after(Signal.LOGGED_IN),
            token=token,
            generation=self.generation + 1,
            logged_in_at=now,
            used_at=now,
            refused_password="",
        )

    def login_refused(self, password: str, *, now: float) -> TokenSession:
        return attrs.evolve(
            self._after(Signal.LOGIN_REFUSED),
            token=None,
            refused_at=now,
            refused_password=password,
        )

    def used(self, generation: int, *, now: float) -> TokenSession:
        """A call with that login's token was answered: its idle life starts anew."""
        return attrs.evolve(self, used_at=now) if generation == self.generation else self

    def unauthorised(self, generation: int) -> TokenSession:
        """A 401; one for an older token says nothing about the present one."""
        if generation != self.generation:
            return self
        return attrs.evolve(self._after(Signal.UNAUTHORISED), token=None)

    def logged_out(self) -> TokenSession:
        return attrs.evolve(self._after(Signal.LOGGED_OUT), token=None)

    def may_log_in(self, password: str, *, now: float) -> bool:
        return (
            self.phase is not Phase.REFUSED
            or password != self.refused_password
            or now - self.refused_at >= REFUSED_PAUSE_S
        )

    def _renew_at(self) -> float:
        life_s = ABSOLUTE_LIFE_S
        if self.token is not None and self.token.life_s is not None:
            life_s = min(life_s, max(0.0, self.token.life_s))
        return min(self.logged_in_at + RENEW_AT * life_s, self.used_at + RENEW_AT * IDLE_LIFE_S)

    def _after(self, signal: Signal) -> TokenSession:
        return attrs.evolve(self, phase=NEXT[self.phase].get(signal, self.phase))
