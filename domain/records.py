"""What is stored, as versioned JSON: `{"v": 1, "kind": …, "body": {…}}`, and its upgrades."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import attrs
import msgspec

from domain.agent import AgentRecord
from domain.closing import ClosingRecord
from domain.stages import RolloutRecord

VERSION: Final = 1
FRAMEWORK_KEY: Final = "framework"
CLOSING_KEY: Final = "closing"
GATEWAY_KEY: Final = "gateway"
ROLLOUT_KEY: Final = "rollout"
INSTALLATION_KEY: Final = "installation"
AGENT_PREFIX: Final = "agents/"

R = TypeVar("R")


class RecordError(Exception):
    """A stored record can't be read; the text names the key and what to do."""


@attrs.frozen(kw_only=True)
class FrameworkRecord:
    """Our identity at the master. Stored before anything else is done with it."""

    framework_id: str
    name: str = ""
    principal: str = ""
    role: str = ""
    adopted: bool = False  # taken over after the store was lost: its tasks are not all known


@attrs.frozen(kw_only=True)
class InstallationRecord:
    """Made once: the key under which secrets are told apart without telling anything of them."""

    key: str


@attrs.frozen(kw_only=True)
class GatewayRecord:
    """The SHA-256 fingerprint of the Gateway's certificate, as first seen."""

    fingerprint: str


Record = (
    AgentRecord
    | ClosingRecord
    | FrameworkRecord
    | InstallationRecord
    | GatewayRecord
    | RolloutRecord
)


def encode(body: Record) -> bytes:
    return msgspec.json.encode({"v": VERSION, "kind": type(body).__name__, "body": body})


def decode(raw: bytes, kind: type[R], *, key: str) -> R:
    """The record under `key`. Raises RecordError on garbage and on a newer version than ours."""
    try:
        envelope = msgspec.json.decode(raw)
        version = envelope["v"]
        body: Any = envelope["body"]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"store record {key!r} is no record of ours: {raw[:40]!r}") from error
    if version != VERSION:
        raise RecordError(
            f"store record {key!r} has version {version}, this program reads up to {VERSION}: "
            "start the newer program again, or export with it"
        )
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"store record {key!r} is damaged: {error}") from error


def agent_key(host: str) -> str:
    return AGENT_PREFIX + host
