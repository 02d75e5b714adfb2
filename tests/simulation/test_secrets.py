"""The password reaches the file on the host that needs it, sealed; it stands nowhere else."""

from __future__ import annotations

import base64
import io
import json
from typing import Final

import attrs
import pytest

from commands.plants import Silent
from commands.rehearsal import READABLE
from simulation.world import Shape
from tests.simulation.stage import Stage, play

PASSWORD: Final = 'Sesame "open" + 7/ü'  # what JSON, HTML and shell would write in other ways
FORMS: Final = (
    PASSWORD,
    json.dumps(PASSWORD)[1:-1],
    json.dumps(PASSWORD, ensure_ascii=False)[1:-1],
    PASSWORD.replace('"', "&#34;"),
    PASSWORD.replace('"', "&quot;"),
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"admin:{PASSWORD}".encode()).decode(),
    PASSWORD.encode().hex(),
)


def leaks(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


@attrs.define
class Wire(Silent):
    """Keeps the body of every scheduler call, as a master would see it."""

    bodies: list[bytes] = attrs.field(factory=list)

    def call(self, body: bytes) -> bytes:
        self.bodies.append(body)
        return body


@attrs.define
class Seen:
    """What a stranger with eyes everywhere could have read of one run."""

    wire: Wire = attrs.field(factory=Wire)
    replies: dict[str, str] = attrs.field(factory=dict)
    stored: dict[str, bytes] = attrs.field(factory=dict)  # file -> bytes
    records: dict[str, bytes] = attrs.field(factory=dict)
    tasks: list[str] = attrs.field(factory=list)
    log: str = ""
    on_hosts: dict[str, str] = attrs.field(factory=dict)  # host -> password in REX-Ray's file


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Two agents onboarded at debug level, with a crash on the way and one login refused."""
    folder = tmp_path_factory.mktemp("store")
    found = Seen()

    async def story(stage: Stage) -> None:
        stage.rehearsal.plant = found.wire
        stage.raise_curtain()
        await stage.until(lambda: stage.launches("rexray"))
        stage.world.gateway.faults.unauthorised_next(2)
        stage.rehearsal.crash()
        await stage.all_ready()
        names = [f"/debug/actors/{name}" for name in stage.service.board.actors]
        hosts = [f"/v1/agents/{host}" for host in stage.world.hosts]
        for path in (*READABLE, *names, *hosts, "/v1/openapi.json"):
            found.replies[path] = (await stage.get(path)).text
        for file in folder.iterdir():
            found.stored[file.name] = file.read_bytes()
        found.records.update(await stage.service.outside.store.load())
        found.tasks += [repr((e.environment, e.labels)) for e in stage.launches()]
        found.on_hosts.update({h.hostname: h.password for h in stage.world.hosts.values()})

    with pytest.MonkeyPatch.context() as patch:
        log = io.StringIO()
        patch.setattr("sys.stderr", log)
        shape = Shape(agents=2, storage=1, password=PASSWORD)
        play(story, shape=shape, folder=folder, curtain=False, loglevel="debug")
    found.log = log.getvalue()
    return found


def test_the_password_arrives_on_every_host(seen: Seen) -> None:
    assert seen.on_hosts == {"agent0.sim": PASSWORD, "agent1.sim": PASSWORD}


def test_no_call_to_mesos_carries_it(seen: Seen) -> None:
    bodies = [body.decode() for body in seen.wire.bodies]
    assert any('"SEALED_PASSWORD"' in body for body in bodies)
    assert [body for body in bodies if leaks(body)] == []


def test_no_task_has_it_in_environment_or_labels(seen: Seen) -> None:
    assert any("SEALED_PASSWORD" in task for task in seen.tasks)
    assert [task for task in seen.tasks if leaks(task)] == []


def test_no_log_line_has_it_even_at_debug_level(seen: Seen) -> None:
    assert "subscribed" in seen.log
    assert leaks(seen.log) == []


def test_no_reply_has_it(seen: Seen) -> None:
    assert "agent0.sim" in seen.replies["/ui/agents"]
    assert "adminpassword" in seen.replies["/api/state"]
    assert {path for path, text in seen.replies.items() if leaks(text)} == set()


def test_no_byte_of_the_store_has_it(seen: Seen) -> None:
    assert {"state.sqlite", "state.sqlite-wal"} <= seen.stored.keys()
    raw = {name: data.decode("latin-1") for name, data in seen.stored.items()}
    utf8 = {name: data.decode("utf-8", errors="replace") for name, data in seen.stored.items()}
    assert any("agent0.sim" in text for text in utf8.values())
    assert [name for name, text in (*raw.items(), *utf8.items()) if leaks(text)] == []


def test_no_record_has_it(seen: Seen) -> None:
    texts = {key: data.decode() for key, data in seen.records.items()}
    assert any(key.endswith("agent0.sim") for key in texts)
    assert {key for key, text in texts.items() if leaks(text)} == set()
