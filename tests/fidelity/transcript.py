"""What a script heard, made comparable: ids renamed, times left out, either-order things apart.

A transcript is a list of phases; a script ends one whenever it has waited until nothing more
comes. In a phase there are lanes: the calls with their answers; and for each subscription its
beginning and end, the updates of each task, the offers of each agent and role. Order counts
within a lane. Mesos promises none between lanes; only the events that the master makes itself
have a lane in which their order is kept.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import attrs

from tests.fidelity.wire import Json, offers_in, status_in

_ID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-[OS]?\d+)?"
)
# Only the shape of these is compared: what is in them differs from run to run.
MASKED: Final = frozenset(
    {
        "timestamp", "port", "ip", "ip_address", "pid", "executor_pid", "container_id",
        "registered_time", "reregistered_time", "unregistered_time", "unreachable_time",
        "start", "estimated_drain_start_time", "start_time", "elected_time", "flags",
        "build_date", "build_time", "build_user", "git_sha", "git_tag", "git_branch",
    }
)  # fmt: skip
MASTERS_OWN: Final = frozenset({"hostname", "address"})
ORDERED: Final = frozenset({"statuses"})
UNHEARD: Final = "HEARTBEAT"


def shape(value: Any) -> Any:
    """The same structure with the names of types in place of values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(inner), sort_keys=True) for inner in value})
    return f"<{type(value).__name__}>"


@attrs.frozen
class Phase:
    """`lanes`: name -> lines, sorted by name."""

    title: str
    lanes: dict[str, tuple[str, ...]]


@attrs.define(eq=False)
class Names:
    """Stable names for ids that every run makes anew."""

    known: dict[str, str] = attrs.field(factory=dict)
    _counts: dict[str, int] = attrs.field(factory=dict)

    def learn(self, value: str, wanted: str) -> str:
        """The name of an id, which is `wanted` with a number from the second such id on."""
        if value not in self.known:
            count = self._counts[wanted] = self._counts.get(wanted, 0) + 1
            self.known[value] = wanted if count == 1 else f"{wanted}#{count}"
        return self.known[value]

    def replaced(self, text: str) -> str:
        if text in self.known:
            return self.known[text]
        return _ID.sub(lambda found: self.known.get(found[0], "(some id)"), text)


@attrs.define(eq=False)
class Transcript:
    """Written by one script on one side."""

    names: Names = attrs.field(factory=Names)
    phases: list[Phase] = attrs.field(factory=list)
    heard: int = 0  # events so far, for those who wait until none comes
    _lanes: dict[str, list[str]] = attrs.field(factory=dict)

    # ---- what is written

    def call(self, label: str, kind: str, status: int, text: str) -> None:
        self._write("calls", f"{label}: {kind} -> {status} {self._line(text)}".rstrip())

    def note(self, text: str) -> None:
        """Something a script found out by itself."""
        self._write("calls", text)

    def answer(self, kind: str, status: int, body: Any) -> None:
        """An operator's call and the JSON (or text) that it was answered with."""
        shown = self._line(body) if isinstance(body, str) else self._text(body)
        self._write("calls", f"operator: {kind} -> {status} {shown}".rstrip())

    def agent(self, agent_id: str, hostname: str) -> None:
        self.names.learn(agent_id, hostname.partition(".")[0])

    def event(self, label: str, event: Json) -> None:
        kind = event["type"]
        if kind == UNHEARD:
            return
        self.heard += 1
        match kind:
            case "SUBSCRIBED":
                self._subscribed(label, event)
            case "OFFERS":
                for offer in offers_in(event):
                    self._offer(label, offer)
            case "RESCIND":
                name = self.names.replaced(event["rescind"]["offer_id"]["value"])
                self._write(f"{label} offers {_place(name)}", f"RESCIND {name}")
                self._own(label, f"RESCIND {name}")
            case "UPDATE":
                self._update(label, event)
            case "UPDATE_OPERATION_STATUS":
                status = event["update_operation_status"]["status"]
                if "uuid" in status:
                    name = f"uuid of {status['operation_id']['value']}"
                    self.names.learn(status["uuid"]["value"], name)
                self._write(f"{label} operations", self._text(status))
            case "INVERSE_OFFERS":
                for offer in event["inverse_offers"]["inverse_offers"]:
                    self._inverse_offer(label, offer)
            case "RESCIND_INVERSE_OFFER":
                found = event["rescind_inverse_offer"]["inverse_offer_id"]["value"]
                name = self.names.replaced(found)
                self._write(f"{label} inverse offers", f"RESCIND_INVERSE_OFFER {name}")
            case _:
                self._write(f"{label} stream", self._text(event))
                self._own(label, self._text(event))

    def close(self, title: str) -> None:
        """The end of a phase."""
        lanes = {name: tuple(lines) for name, lines in sorted(self._lanes.items())}
        self.phases.append(Phase(title, lanes))
        self._lanes = {}

    # ---- kinds of events

    def _subscribed(self, label: str, event: Json) -> None:
        body = dict(event["subscribed"])
        self.names.learn(body["framework_id"]["value"], "framework")
        info = body.pop("master_info")
        master = {"version": info["version"], "capabilities": info["capabilities"]}
        self._write(f"{label} stream", self._text({**body, "master": master}))
        self._write(f"{label} stream", self._text({"master_info": shape(info)}))
        self._own(label, "SUBSCRIBED")

    def _offer(self, label: str, offer: Json) -> None:
        self.agent(offer["agent_id"]["value"], offer["hostname"])
        host = self.names.replaced(offer["agent_id"]["value"])
        role = offer.get("allocation_info", {}).get("role", "")
        name = self.names.learn(offer["id"]["value"], f"offer of {host} to {label} as {role}")
        self._write(f"{label} offers {_place(name)}", f"OFFER {name} {self._text(offer)}")

    def _inverse_offer(self, label: str, offer: Json) -> None:
        host = self.names.replaced(offer["agent_id"]["value"])
        name = self.names.learn(offer["id"]["value"], f"inverse offer of {host} to {label}")
        self._write(f"{label} inverse offers", f"INVERSE_OFFER {name} {self._text(offer)}")

    def _update(self, label: str, event: Json) -> None:
        status = status_in(event)
        task_id = status["task_id"]["value"]
        if "uuid" in status:
            self.names.learn(status["uuid"], f"uuid of {task_id}")
        else:
            self._own(label, f"{status['state']} {task_id}")
        self._write(f"{label} task {task_id}", self._text(status))

    # ---- lanes

    def _own(self, label: str, line: str) -> None:
        """An event of the master's own. Several RESCINDs in a row have no order."""
        lane = self._lanes.setdefault(f"{label} the master's own", [])
        lane.append(line)
        first = len(lane)
        while first > 0 and lane[first - 1].startswith("RESCIND"):
            first -= 1
        lane[first:] = sorted(lane[first:])

    def _write(self, lane: str, line: str) -> None:
        self._lanes.setdefault(lane, []).append(line)

    def _line(self, text: str) -> str:
        return self.names.replaced(text.partition("\n")[0])

    def _text(self, value: Any) -> str:
        return json.dumps(self._clean(value), sort_keys=True)

    def _clean(self, value: Any, name: str = "") -> Any:
        if name in MASKED:
            return shape(value)
        if isinstance(value, dict):
            hidden = MASTERS_OWN if name == "master_info" else frozenset()
            return {
                key: shape(inner) if key in hidden else self._clean(inner, key)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            some = [self._clean(inner) for inner in value]
            return some if name in ORDERED else sorted(some, key=_sorting)
        return self.names.replaced(value) if isinstance(value, str) else value

    # ---- as text

    def lines(self) -> list[str]:
        out = []
        for phase in self.phases:
            out.append(f"=== {phase.title}")
            for name, lines in phase.lanes.items():
                out.append(f"--- {name}")
                out += lines
        return out


def _place(offer: str) -> str:
    """The lane of an offer, by its name."""
    return offer.partition("#")[0].partition("offer of ")[2] or "(unknown)"


def _sorting(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
