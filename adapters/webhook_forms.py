"""The two forms in which conditions are told: our own JSON, and alerts for Alertmanager's v2 API.

An alert is its labels: another severity is another alert, so the one before is ended with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from domain.notices import ALERTMANAGER, Change, Framework, Message, Receiver

VERSION: Final = 1
LAST: Final = 253402300799.0  # of the year 9999


def body_of(receiver: Receiver, message: Message, framework: Framework) -> bytes:
    if receiver.kind == ALERTMANAGER:
        return msgspec.json.encode(list(_alerts(message, framework)))
    return msgspec.json.encode(_plain(message, framework))


def rfc3339(unix: float) -> str:
    """In UTC with milliseconds, whatever the clock says."""
    bounded = min(max(unix, 0.0), LAST) if math.isfinite(unix) else 0.0
    text = datetime.fromtimestamp(bounded, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _plain(message: Message, framework: Framework) -> dict[str, Any]:
    return {
        "version": VERSION,
        "framework": {
            "name": framework.name,
            "role": framework.role,
            "id": framework.id,
            "url": framework.url,
        },
        "sent_at": rfc3339(message.at),
        "sequence": message.sequence,
        "conditions": [
            {
                "state": change.state,
                "name": change.name,
                "severity": change.severity,
                "subject": change.subject,
                "text": change.text,
                "cure": change.cure,
                "objects": change.objects,
                "since": rfc3339(change.since),
                "ended": rfc3339(change.ended) if change.state == "resolved" else None,
            }
            for change in message.changes
        ],
    }


def _alerts(message: Message, framework: Framework) -> Iterable[dict[str, Any]]:
    for change in message.changes:
        if change.was:
            yield _alert(change, change.was, framework, ended=message.at)
        resolved = change.state == "resolved"
        yield _alert(change, change.severity, framework, ended=change.ended if resolved else None)


def _alert(
    change: Change, severity: str, framework: Framework, *, ended: float | None
) -> dict[str, Any]:
    """Without an end while it stands: then the receiver's own resolve_timeout counts."""
    labels = {
        "alertname": change.name,
        "severity": severity,
        "subject": change.subject,
        "framework": framework.name,
        "role": framework.role,
    }
    annotations = {
        "summary": change.text or change.name,
        "description": "\n".join(filter(None, (change.text, change.cure))),
        "cure": change.cure,
        "objects": ", ".join(change.objects),
    }
    alert: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": rfc3339(change.since),
    }
    if ended is not None:
        alert["endsAt"] = rfc3339(max(ended, change.since))
    if framework.url:
        alert["generatorURL"] = framework.url
    return alert
