"""What happened, in order, for people: entries made by comparing what was shown with what is.

Ids grow over restarts of the process too: the first is the unix time of its start in milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

KEPT: Final[Mapping[str, int]] = {
    "agent": 2000,
    "step": 4000,
    "condition": 1000,
    "rollout": 500,
    "master": 500,
    "gateway": 500,
    "framework": 100,
    "order": 1000,
    "refused": 500,
}
KINDS: Final = tuple(KEPT)


@attrs.frozen(kw_only=True)
class Entry:
    """`at`: unix seconds. `by`, `source`: who, and from which address, where somebody asked."""

    id: int
    at: float
    kind: str
    subject: str
    text: str
    severity: str = "info"
    by: str = ""
    source: str = ""
    outcome: str = ""


class Chronicle:
    """The last entries of each kind: a storm of one kind does not push the others out."""

    def __init__(self) -> None:
        self.last_id = 0
        self._kinds: Final = {kind: deque[Entry](maxlen=size) for kind, size in KEPT.items()}
        self._dropped: int = 0  # the newest id that is not kept any more

    def begin(self, unix: float) -> None:
        """At the start of a process: no id of an earlier one comes again."""
        self.last_id = max(self.last_id, int(unix * 1000))

    def note(
        self,
        kind: str,
        subject: str,
        text: str,
        *,
        at: float,
        severity: str = "info",
        by: str = "",
        source: str = "",
        outcome: str = "",
    ) -> Entry:
        self.last_id += 1
        entry = Entry(
            id=self.last_id,
            at=at,
            kind=kind,
            subject=subject,
            text=text,
            severity=severity,
            by=by,
            source=source,
            outcome=outcome,
        )
        kept = self._kinds[kind]
        if len(kept) == kept.maxlen:
            self._dropped = max(self._dropped, kept[0].id)
        kept.append(entry)
        return entry

    def after(
        self, entry_id: int, *, kinds: Iterable[str] = (), subject: str = "", limit: int = 0
    ) -> list[Entry]:
        """The oldest first; `limit` 0: all. Costs by what is new, not by what is kept."""
        if entry_id >= self.last_id:
            return []
        found: list[Entry] = []
        for kept in self._chosen(kinds):
            for entry in reversed(kept):
                if entry.id <= entry_id:
                    break
                if not subject or entry.subject == subject:
                    found.append(entry)
        found.sort(key=lambda entry: entry.id)
        return found[:limit] if limit else found

    def last(self, limit: int, *, kinds: Iterable[str] = (), subject: str = "") -> list[Entry]:
        """The newest first."""
        found = self.after(-1, kinds=kinds, subject=subject)
        return found[: -limit - 1 : -1]

    def has_gap_after(self, entry_id: int) -> bool:
        """True where entries younger than `entry_id` are not kept any more."""
        return self._dropped > entry_id

    def _chosen(self, kinds: Iterable[str]) -> list[deque[Entry]]:
        return [self._kinds[kind] for kind in (tuple(kinds) or KINDS) if kind in self._kinds]
