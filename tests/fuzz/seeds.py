"""The first inputs: what recorded masters sent, cut small, one target each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from protocol.mesos.recordio import RecordReader
from tests.fuzz import targets

RECORDINGS: Final = Path(__file__).parent.parent / "data" / "mesos"
SEED_BYTES_MAX: Final = 2304  # small inputs are tried faster, and change more in one mutation
CUTS: Final = bytes([6, 0, 20, 63])
DEPTHS: Final = (15, 16, 17, 900, 940, 960, 970, 980)  # Python's encoder gives up near 1,000
LOCATIONS: Final = (
    "//master1:5050/master/api/v1/scheduler",
    "https://[::1]:5050/",
    "10.0.0.1:5050",
)


def seeds() -> list[bytes]:
    """Each once, in an order that does not depend on the machine."""
    return list(dict.fromkeys(entry for entry in _all() if len(entry) <= SEED_BYTES_MAX))


def _all() -> Iterator[bytes]:
    for path in sorted(RECORDINGS.glob("*.recordio.bin")):
        raw = path.read_bytes()
        yield targets.as_input(targets.stream, CUTS + raw[:2048])
        for record in RecordReader().feed(raw):
            yield targets.as_input(targets.event, record)
            if b'"eng"' in record:  # reservations, as if they were for us
                ours = record.replace(b'"eng"', f'"{targets.ROLE}"'.encode())
                yield targets.as_input(targets.event, ours)
    yield from _answers()
    for depth in DEPTHS:
        yield _deep_offer(depth)
    for location in LOCATIONS:
        yield targets.as_input(targets.redirect, location.encode())
    for case in (*_recorded("http_answers")["cases"], *_recorded("authentication")["cases"]):
        if "status_line" in case:
            status = int(case["status_line"].split()[1])
            body = bytes([(status - 100) // 2]) + str(case["body"]).encode()
            yield targets.as_input(targets.answer, body)


def _deep_offer(depth: int) -> bytes:
    """A resource with an unknown field, lists in lists: it would have to be sent back."""
    resource = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "new": "DEEP"}
    offer = {"id": {"value": "O1"}, "agent_id": {"value": "S1"}, "hostname": "a1.test"}
    body = {"type": "OFFERS", "offers": {"offers": [{**offer, "resources": [resource]}]}}
    lists = b"[" * depth + b"]" * depth
    return _seed(targets.event, body).replace(b'"DEEP"', lists)


def _answers() -> Iterator[bytes]:
    listed = _recorded("operator_get_agents")["answer"][1]
    listed["get_agents"]["agents"][1:] = []
    listed["get_agents"]["recovered_agents"] = [{"id": {"value": "S9"}}]
    yield _seed(targets.agents, listed)
    known = _recorded("operator_get_frameworks")["answer"][1]["get_frameworks"]
    known["frameworks"], known["completed_frameworks"] = known["completed_frameworks"][:2], []
    yield _seed(targets.frameworks, {"get_frameworks": known})
    done = _recorded("operator_get_tasks")["answer"][1]["get_tasks"]["completed_tasks"][0]
    done["statuses"] = []
    yield _seed(targets.tasks, {"get_tasks": {"tasks": [done], "unreachable_tasks": [done]}})
    posted = {"schedule": _recorded("inverse_offers")["schedule"]}
    yield _seed(targets.maintenance, {"get_maintenance_schedule": posted})
    yield _seed(targets.version, {"version": "1.11.0"})
    yield _seed(targets.version, {"get_version": {"version_info": {"version": "1.4.0-rc1"}}})


def _seed(target: Callable[[bytes], None], body: object) -> bytes:
    return targets.as_input(target, json.dumps(body, separators=(",", ":")).encode())


def _recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
