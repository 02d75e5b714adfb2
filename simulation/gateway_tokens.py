"""Logins of the simulated Gateway: many tokens at once, each with its own two lives."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from typing import Final

import attrs

ABSOLUTE_LIFE_S: Final = 8 * 3600.0
IDLE_LIFE_S: Final = 600.0


@attrs.define
class _Life:
    born_at: float
    used_at: float
    absolute_s: float
    idle_s: float

    def ended(self, now: float) -> bool:
        return now - self.born_at >= self.absolute_s or now - self.used_at >= self.idle_s


@attrs.define(kw_only=True)
class TokenStore:
    """`bearer_life_s` is announced to the client, as 4.x does; the number itself is made up."""

    user: str
    password: str = attrs.field(repr=False)
    clock: Callable[[], float]
    rng: random.Random
    bearer_life_s: float = 300.0
    logins: int = attrs.field(default=0, init=False)
    refused_logins: int = attrs.field(default=0, init=False)
    _basic: dict[str, _Life] = attrs.field(factory=dict, init=False, repr=False)
    _bearer: dict[str, _Life] = attrs.field(factory=dict, init=False, repr=False)
    _refresh: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)

    def forget_all(self) -> None:
        """The Gateway was restarted."""
        self._basic.clear()
        self._bearer.clear()
        self._refresh.clear()

    def log_in(self, headers: Mapping[str, str]) -> str | None:
        """A token for the right user and password in HTTP Basic."""
        if basic_credentials(headers) != (self.user, self.password):
            self.refused_logins += 1
            return None
        now = self.clock()
        text = f"{self.user}:{int(now * 1000)}:{self.rng.getrandbits(128):032x}"
        token = base64.b64encode(text.encode()).decode("ascii")
        self._basic[token] = _Life(now, now, ABSOLUTE_LIFE_S, IDLE_LIFE_S)
        self.logins += 1
        return token

    def bearer_log_in(self, user: object, password: object) -> dict[str, object] | None:
        if (user, password) != (self.user, self.password):
            self.refused_logins += 1
            return None
        now = self.clock()
        access, refresh = (f"{self.rng.getrandbits(256):064x}" for _ in range(2))
        self._bearer[access] = _Life(now, now, self.bearer_life_s, self.bearer_life_s)
        self._refresh[refresh] = access
        self.logins += 1
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": int(self.bearer_life_s),
        }

    def log_out(self, headers: Mapping[str, str]) -> None:
        """Ends that token only."""
        credentials = basic_credentials(headers)
        if credentials is not None:
            self._basic.pop(credentials[1], None)

    def bearer_log_out(self, refresh: object) -> None:
        self._bearer.pop(self._refresh.pop(str(refresh), ""), None)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """A live token, whatever user stands beside it; using it prolongs its idle life."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        credentials = basic_credentials(headers)
        if scheme.lower() == "bearer":
            store, token = self._bearer, value.strip()
        elif credentials is not None:
            token = credentials[1]
            # one public client of 4.x sends its bearer token this way in some calls
            store = self._bearer if token in self._bearer else self._basic
        else:
            return False
        life, now = store.get(token), self.clock()
        if life is None:
            return False
        if life.ended(now):
            del store[token]
            return False
        life.used_at = now
        return True

    def allows_password(self, headers: Mapping[str, str]) -> bool:
        return basic_credentials(headers) == (self.user, self.password)


def basic_credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, _, secret = text.partition(":")
    return user, secret
