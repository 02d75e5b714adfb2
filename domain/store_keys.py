"""The store as an operator names and reads it by hand: keys, records, nothing secret. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs

from domain import records
from domain.agent import AgentRecord
from domain.records import RecordError

ROOT: Final = "/scaleio-framework"
RECORDS: Final = "v2/records/"  # where ZooKeeper has ours, below the root
ORIGINAL: Final = ("version", "configuration")  # the original's, below the same root
OURS: Final = "framework, closing, gateway, rollout, imported and agents/HOST"
HIDDEN: Final = "***"
# A permit that is known could be used in the host's place.
_SECRET_FIELDS: Final = frozenset({"key", "permit", "disrupt"})


class StoreKeyError(Exception):
    """One line: which key, and which are expected."""


@attrs.frozen(kw_only=True)
class Place:
    """The part of a store that is ours. `chroot`: of the ensemble; "" where there is none."""

    role: str
    chroot: str = ""

    @property
    def root(self) -> str:
        return f"{self.chroot}{ROOT}/{self.role}"

    def key_of(self, text: str) -> str:
        """Our key of what was typed: relative, or absolute below our root. StoreKeyError."""
        if text.startswith(("/", f"{ROOT[1:]}/")):
            return self._of_absolute(text)
        key = text.removeprefix(RECORDS)
        first = key.partition("/")[0]
        if first in ORIGINAL:
            raise StoreKeyError(
                f"{text!a} belongs to the original framework: its keys are read once and never "
                "changed"
            )
        if not key or ".." in key.split("/"):
            raise StoreKeyError(f"{text!a} is no key of ours: expected {OURS}")
        return key

    def _of_absolute(self, text: str) -> str:
        path = "/" + text.lstrip("/")
        for root in (self.root, f"{ROOT}/{self.role}"):
            if path.startswith(f"{root}/"):
                inner = path.removeprefix(f"{root}/")
                if inner.startswith(RECORDS):
                    inner = unquote(inner.removeprefix(RECORDS))
                return self.key_of(inner.lstrip("/"))
        raise StoreKeyError(f"{text!a} is not below {self.root}: only keys of ours are touched")


def checked(key: str, value: str) -> bytes:
    """The record as it will be stored. Raises StoreKeyError, RecordError; nothing is guessed."""
    kind = records.kind_of(key)
    if kind is None:
        raise StoreKeyError(f"there is no record {key!a}: expected {OURS}")
    if kind is records.InstallationRecord:
        raise StoreKeyError(f"{key!a} is made by the scheduler itself, and never shown")
    raw = value.encode("utf-8", "replace")
    record = records.decode(raw, kind, key=key)
    named = json.loads(raw).get("kind", kind.__name__)
    if named != kind.__name__:
        raise RecordError(f"store record {key!r} is a {kind.__name__}, not {named!a}")
    if isinstance(record, AgentRecord) and records.agent_key(record.host) != key:
        raise RecordError(f"store record {key!r} is of the host {record.host!a}: another key")
    return records.encode(record)


def readable(stored: Mapping[str, bytes]) -> dict[str, Any]:
    """Key -> record for people, in order, without anything secret; damage is told in its place."""
    return {key: _readable(key, stored[key]) for key in sorted(stored)}


def _readable(key: str, raw: bytes) -> Any:
    kind = records.kind_of(key)
    if kind is None:
        return {"unknown": f"{len(raw)} bytes, no record of this version"}
    try:
        record = records.decode(raw, kind, key=key)
    except RecordError:
        return {"damaged": f"{len(raw)} bytes: remove it with -store.del.key={key}"}
    return _hidden(json.loads(records.encode(record)))


def _hidden(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: HIDDEN if key in _SECRET_FIELDS and isinstance(one, str) and one else
                _hidden(one)
                for key, one in value.items()
            }  # fmt: skip
        case list():
            return [_hidden(one) for one in value]
        case _:
            return value
