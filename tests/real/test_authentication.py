"""Masters that ask who we are: what is wrong is said once, tried rarely, and mends without us."""

from __future__ import annotations

import contextlib
import itertools
import json
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.real import evidence
from tests.real.master_log import MasterLog
from tests.real.onboarding import Stage
from tests.real_mesos import get_json
from tests.scheduler_process import LOOPBACK, Json, Scheduler

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PRINCIPAL: Final = "storage-scheduler"
SECRET: Final = "First-Word-Of-The-Guard-3"
ROTATED: Final = "Second-Word-Of-The-Guard-8"
WRONG: Final = "Nobody-Knows-This-Word-1"
WRONG_TOO: Final = "Nor-Is-It-This-One-4"
OPERATOR: Final = ("operator", "The-Operators-Own-Word-6")
RETRY_S: Final = 30.0  # the least pause where a person has to do something


def master_flags(folder: Path, secret: str) -> dict[str, object]:
    """Frameworks and operators must say who they are."""
    known = [{"principal": PRINCIPAL, "secret": secret}]
    known.append(dict(zip(("principal", "secret"), OPERATOR, strict=True)))
    path = folder / "credentials.json"
    path.write_text(json.dumps({"credentials": known}))
    return {
        "credentials": f"file://{path}",
        "authenticate_http_frameworks": "true",
        "http_framework_authenticators": "basic",
        "authenticate_http_readonly": "true",
        "authenticate_http_readwrite": "true",
        "http_authenticators": "basic",
    }


@contextlib.contextmanager
def operator_login(url: str) -> Iterator[None]:
    """Whatever this test asks the master at `url`, it asks as the operator."""
    known = urllib.request.HTTPPasswordMgrWithPriorAuth()
    known.add_password(None, url, *OPERATOR, is_authenticated=True)
    handler = urllib.request.HTTPBasicAuthHandler(known)
    urllib.request.install_opener(urllib.request.build_opener(handler))
    try:
        yield
    finally:
        urllib.request.install_opener(urllib.request.build_opener())


def ours(secret_file: Path, principal: str = PRINCIPAL) -> tuple[str, ...]:
    return (f"-mesos.principal={principal}", f"-mesos.secret-file={secret_file}")


def warnings(scheduler: Scheduler) -> list[str]:
    """Of all its starts; what is repeated at each attempt is told to who debugs."""
    return [line for line in scheduler.text().splitlines() if "[warning" in line]


def refusals(scheduler: Scheduler, word: str) -> list[str]:
    return [line for line in warnings(scheduler) if "not subscribed" in line and word in line]


def attempts(scheduler: Scheduler) -> int:
    """Of all its starts. The master writes nothing down of those that it does not let in."""
    return scheduler.text().count("not subscribed")


def healthy(scheduler: Scheduler) -> Json:
    """What /healthz says, with status 200."""
    url = f"http://{LOOPBACK}:{scheduler.port}/healthz"
    with urllib.request.urlopen(url, timeout=5) as reply:
        assert reply.status == 200
        decoded: Json = json.load(reply)
    return decoded


def wait_refused(scheduler: Scheduler, word: str, count: int = 1) -> str:
    """The line, when there are so many with that word; and /healthz stays 200."""
    scheduler.wait(f"refused: {word}", lambda: len(refusals(scheduler, word)) >= count)
    assert healthy(scheduler)["reasons"]
    lines = refusals(scheduler, word)
    assert len(lines) == count, lines
    return lines[-1]


@attrs.frozen(kw_only=True)
class Guarded:
    """A scheduler that has met a guarded master in all ways, and is ready now."""

    stage: Stage
    secret_file: Path
    lines: dict[str, str]  # what was wrong -> what was said
    attempts: int  # with two wrong secrets, one after the other
    told: list[str]  # all warnings at those attempts, without their times
    framework_ids: set[str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    stage = Stage(folder, agents=1)
    stage.cluster.flags["master0"] |= master_flags(folder, SECRET)
    secret_file = folder / "secret"
    secret_file.write_text(f"{WRONG}\n")
    with operator_login(stage.cluster.url), stage:
        yield meet(stage, secret_file)


def meet(stage: Stage, secret_file: Path) -> Guarded:
    scheduler, cluster = stage.scheduler, stage.cluster
    lines: dict[str, str] = {}
    scheduler.start()
    lines["nobody"] = wait_refused(scheduler, "-mesos.principal")
    assert scheduler.stop() == 0
    scheduler.start(*ours(secret_file, "somebody"))
    lines["unknown principal"] = wait_refused(scheduler, "'somebody'")
    assert scheduler.stop() == 0

    tried, warned = attempts(scheduler), len(warnings(scheduler))
    scheduler.start(*ours(secret_file))
    lines["wrong secret"] = wait_refused(scheduler, repr(PRINCIPAL))
    replace(secret_file, WRONG_TOO)
    scheduler.wait("another attempt", lambda: attempts(scheduler) > tried + 1)
    replace(secret_file, SECRET)
    scheduler.wait_subscribed()
    asked = attempts(scheduler) - tried
    told = [line.partition(" ")[2] for line in warnings(scheduler)[warned:]]
    assert len(refusals(scheduler, repr(PRINCIPAL))) == 1
    ids = {scheduler.get("/v1/status")["master"]["framework_id"]}

    scheduler.wait_phase("ready", stage.hosts)
    cluster.kill("master0")
    master_flags(stage.folder, ROTATED)
    cluster.start("master0")
    cluster.wait_ready()
    lines["rotated"] = wait_refused(scheduler, repr(PRINCIPAL), count=2)
    replace(secret_file, ROTATED)
    scheduler.wait_subscribed()
    ids.add(scheduler.get("/v1/status")["master"]["framework_id"])
    scheduler.wait_phase("ready", stage.hosts)
    return Guarded(
        stage=stage,
        secret_file=secret_file,
        lines=lines,
        attempts=asked,
        told=told,
        framework_ids=ids,
    )


def replace(path: Path, secret: str) -> None:
    """At once, as an operator should."""
    partial = path.with_suffix(".new")
    partial.write_text(f"{secret}\n")
    partial.replace(path)


def test_a_refusal_is_one_line_that_says_what_to_do(guarded: Guarded) -> None:
    for what, line in guarded.lines.items():
        print(f"{what}: {line}")
        assert "-mesos.secret-file" in line
        assert "401" in line
    assert "-mesos.principal" in guarded.lines["nobody"]


def test_a_corrected_secret_is_enough_and_the_framework_keeps_its_id(guarded: Guarded) -> None:
    (framework,) = guarded.stage.frameworks()
    assert {framework["id"]} == guarded.framework_ids
    assert framework["principal"] == PRINCIPAL
    assert guarded.stage.scheduler.starts == 3


def test_a_wrong_secret_is_tried_once_and_told_once(guarded: Guarded) -> None:
    print(f"two wrong secrets: attempts={guarded.attempts}")
    assert guarded.attempts == 2
    assert [line for line, times in Counter(guarded.told).items() if times > 1] == []


def test_operator_calls_are_authenticated_too(guarded: Guarded) -> None:
    actor = guarded.stage.scheduler.get("/debug/actors/roster")
    assert actor["last_error"] == "" or "401" not in actor["last_error"]


@pytest.mark.parametrize("secret", [SECRET, ROTATED, WRONG, WRONG_TOO])
def test_the_secret_is_nowhere_but_in_its_file(guarded: Guarded, secret: str) -> None:
    stage, scheduler = guarded.stage, guarded.stage.scheduler
    allowed = {guarded.secret_file, stage.folder / "credentials.json"}
    assert set(map(Path, evidence.holders(secret, stage.folder))) <= allowed
    process = Path(f"/proc/{scheduler.pid}")
    told = {
        "command line": (process / "cmdline").read_bytes(),
        "environment": (process / "environ").read_bytes(),
        "master": state_of(stage.cluster.url),
        "agent": state_of(stage.cluster.endpoint("agent0")),
        **{path: scheduler.read(path) for path in rest_paths(scheduler)},
    }
    forms = evidence.written(secret)
    assert [where for where, content in told.items() if any(f in content for f in forms)] == []
    assert len(told) > 20


def state_of(url: str) -> bytes:
    return json.dumps(get_json(f"{url}/state"), ensure_ascii=False).encode()


def rest_paths(scheduler: Scheduler) -> list[str]:
    """Everything that can be read, event stream aside: it never ends."""
    described = scheduler.get("/v1/openapi.json")["paths"]
    actors: Sequence[Json] = scheduler.get("/debug/actors")["actors"]
    paths = [path for path in described if "get" in described[path] and path != "/events"]
    host = next(iter(scheduler.agents()))
    return [
        *(path.replace("{host}", host) for path in paths if "{name}" not in path),
        *(f"/debug/actors/{actor['name']}" for actor in actors),
    ]


def test_a_master_that_asks_nobody_takes_us_with_a_principal_too(tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    with Stage(tmp_path / "open", agents=1, more=ours(secret_file)) as stage:
        stage.scheduler.start()
        stage.scheduler.wait_subscribed()
        (framework,) = stage.frameworks()
        assert framework["principal"] == PRINCIPAL
        assert stage.scheduler.stop() == 0


def test_a_role_that_is_forbidden_is_named_and_taken_when_it_is_allowed(tmp_path: Path) -> None:
    closed = {"principals": {"type": "ANY"}, "roles": {"type": "NONE"}}
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    stage = Stage(tmp_path / "closed", agents=1, more=ours(secret_file))
    master = stage.cluster.flags["master0"]
    master["acls"] = json.dumps({"register_frameworks": [closed]})
    with stage:
        scheduler, cluster = stage.scheduler, stage.cluster
        scheduler.start()
        line = wait_refused(scheduler, "the master refuses")
        print(line)
        assert "Not authorized" in line
        assert "scaleio" in line
        cluster.kill("master0")
        del master["acls"]
        cluster.start("master0")
        scheduler.wait_subscribed()
        tries = MasterLog.of(cluster).lines()
        asked = [one.at for one in tries if "Received subscription request" in one.text]
        pauses = [later - one for one, later in itertools.pairwise(asked)]
        print(f"subscriptions asked for: {len(asked)}, pauses {[round(p) for p in pauses]} s")
        assert all(pause >= RETRY_S - 1 for pause in pauses[1:])
        assert scheduler.stop() == 0
