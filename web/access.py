"""Who may ask what, through which door, and how often. Decides; sends nothing.

Changes need an operator's token, always as Bearer: a browser sends nothing of that by itself, so
no other page can make it give orders. Looking needs a viewer's token only where there are such;
browsers may give it as the password of HTTP Basic.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import attrs
from starlette.datastructures import Headers

from flags.tokens import TokenFile
from web.rates import Rate

NO_CHANGES: Final = "changes are refused: start the scheduler with -rest.token-file=FILE"
WANTS_OPERATOR: Final = "changes need the header Authorization: Bearer TOKEN with the right token"
WANTS_VIEWER: Final = "looking needs a token here: Authorization: Bearer TOKEN, or as a password"
# What hosts and supervisors of processes ask, who have no token: permits hold one in their path,
# packages are public.
OPEN: Final = ("/healthz", "/readyz", "/v1/permits/", "/packages/")
HOSTS, LOOK, CHANGE = "hosts", "look", "change"
ALL: Final = frozenset({HOSTS, LOOK, CHANGE})


@attrs.frozen(kw_only=True)
class Refusal:
    status: int
    sentence: str
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define
class Access:
    """`doors`: port -> what is served there; a port that is not named serves everything.

    `others`: what a closed door says of the right one.
    """

    operators: TokenFile
    viewers: TokenFile | None
    looks: Rate
    changes: Rate
    failures: Rate
    doors: Mapping[int, frozenset[str]] = attrs.field(factory=dict)
    others: Mapping[str, str] = attrs.field(factory=dict)

    def judge(
        self, method: str, path: str, headers: Headers, *, port: int, address: str, now: float
    ) -> str | Refusal:
        """The name of who asks ("" for nobody known), or why not."""
        if path.startswith(OPEN) and method in ("GET", "HEAD"):
            return self._at_door(HOSTS, port) or ""
        need = CHANGE if method == "POST" else LOOK
        closed = self._at_door(need, port)
        if closed is not None:
            return closed
        rate = self.changes if need == CHANGE else self.looks
        if wait_s := rate.wait_s(address, now):
            return _later(wait_s)
        judged = self._change(headers) if need == CHANGE else self._look(headers)
        if isinstance(judged, Refusal) and judged.status == 401:
            wait_s = self.failures.wait_s(address, now)
            return _later(wait_s) if wait_s else judged
        return judged

    def _at_door(self, need: str, port: int) -> Refusal | None:
        if need in self.doors.get(port, ALL):
            return None
        what = "changes are" if need == CHANGE else "this is"
        where = self.others.get(need, "another port")
        return Refusal(status=403, sentence=f"{what} not served on this port, but at {where}")

    def _change(self, headers: Headers) -> str | Refusal:
        if not self.operators:
            return Refusal(status=403, sentence=NO_CHANGES)
        scheme, given = _credentials(headers)
        name = self.operators.who(given) if scheme == "bearer" else ""
        return name or Refusal(
            status=401, sentence=WANTS_OPERATOR, headers={"www-authenticate": "Bearer"}
        )

    def _look(self, headers: Headers) -> str | Refusal:
        if self.viewers is None:
            return ""
        scheme, given = _credentials(headers)
        name = (self.viewers.who(given) or self.operators.who(given)) if scheme else ""
        basic = {"www-authenticate": 'Basic realm="ScaleIO framework", charset="UTF-8"'}
        return name or Refusal(status=401, sentence=WANTS_VIEWER, headers=basic)


def _credentials(headers: Headers) -> tuple[str, str]:
    """Scheme in lower case, and the token; ("", "") where nothing is given that we understand."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    scheme, given = scheme.lower(), given.strip()
    if scheme == "basic":
        try:
            _, _, given = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return "", ""
    return (scheme, given) if scheme in ("bearer", "basic") else ("", "")


def _later(wait_s: float) -> Refusal:
    seconds = str(max(1, round(wait_s)))
    return Refusal(
        status=429,
        sentence=f"too many requests from this address: ask again in {seconds} s",
        headers={"retry-after": seconds},
    )
