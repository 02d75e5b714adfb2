"""The command line as a process: what it refuses, what it survives, what it hides."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.garbage_server import GarbageServer, http_answer
from tests.scheduler_process import (
    LOOPBACK,
    MDMS,
    PASSWORD,
    ROOT,
    Scheduler,
    catalog_json,
    free_ports,
    gateway,
)
from tests.steps_inert_twin import STEPS_DIR

NOBODY: Final = f"{LOOPBACK}:1"  # a port on which nobody listens
VERSION: Final = http_answer(b'{"version":"1.11.0"}')
MASTER: Final = {
    "/version": VERSION,
    "/api/v1": http_answer(b'{"type": "GET_FRAMEWORKS", "get_frameworks": {}}'),
}
NO_PASSWORD: Final = (
    f"-uri={NOBODY}",
    f"-rest.address={LOOPBACK}",
    "-rest.port=0",
    *MDMS,
    f"-scaleio.preconfig.gateway={NOBODY}",
    "-store.type=sqlite",
)


@attrs.frozen(kw_only=True)
class Ended:
    status: int
    out: str
    sentences: list[str]  # what is not a log line on stderr


def run(*arguments: str) -> Ended:
    """Run it to its end, in an environment that a stranger may have."""
    done = subprocess.run(
        [sys.executable, "cli.py", *arguments],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return Ended(status=done.returncode, out=done.stdout, sentences=lines)


def assert_refused(ended: Ended, status: int, *words: str) -> None:
    """One sentence that names the thing, nothing else, and the right status."""
    assert (ended.status, ended.out) == (status, "")
    (sentence,) = ended.sentences
    assert sentence.startswith("scaleio-scheduler: ")
    assert [word for word in words if word not in sentence] == []
    assert PASSWORD not in sentence


@pytest.fixture
def password(tmp_path: Path) -> str:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return f"-scaleio.password-file={file}"


@pytest.fixture
def flags(tmp_path: Path, password: str) -> tuple[str, ...]:
    """All that is needed, with a store that does not exist yet."""
    return (*NO_PASSWORD, password, f"-store.uri={tmp_path / 'state.sqlite'}")


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("-rest.prot=1", ("-rest.prot: no such flag", "did you mean -rest.port?")),
        ("-rest.port=70000", ("-rest.port: '70000'", "0 to 65535")),
        ("-store.type=etcd", ("-store.type: 'etcd'", "take auto, zk or sqlite")),
        ("-scaleio.preconfig.primary=", ("-scaleio.preconfig.primary: required",)),
        ("-scaleio.password-file=/no/such/file", ("-scaleio.password-file: '/no/such/file'",)),
        ("-steps.dir=/no/such/folder", ("-steps.dir: '/no/such/folder'", "no such directory")),
        ("-catalog=/no/such/file", ("-catalog: '/no/such/file'", "no such file")),
    ],
)
def test_a_wrong_flag_is_named_and_nothing_is_begun(
    flags: tuple[str, ...], tmp_path: Path, more: str, words: tuple[str, ...]
) -> None:
    assert_refused(run(*flags, more), 2, *words)
    assert not (tmp_path / "state.sqlite").exists()


def test_a_missing_password_is_asked_for() -> None:
    assert_refused(run(*NO_PASSWORD), 2, "-scaleio.password-file: required")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("1" * 64, "12", ("packages[0]", "sha256", "64 lower-case hex digits")),
        ("https://", "ftp://", ("packages[0]", "url is 'ftp://", "an https URL")),
        ('{"version"', '["version"', ("JSON",)),
    ],
)
def test_a_wrong_catalog_is_refused_with_the_entry(
    flags: tuple[str, ...], tmp_path: Path, right: str, wrong: str, words: tuple[str, ...]
) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_text(catalog_json().replace(right, wrong, 1))
    assert_refused(run(*flags, f"-catalog={catalog}"), 2, f"-catalog: {catalog}", *words)


def test_a_folder_of_steps_that_lacks_one_is_refused(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "steps"
    shutil.copytree(STEPS_DIR, folder)
    (folder / "rexray.sh").unlink()
    assert_refused(run(*flags, f"-steps.dir={folder}"), 2, "-steps.dir", f"{folder}/rexray.sh")


def test_a_busy_port_is_named_with_its_flag(flags: tuple[str, ...]) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        assert_refused(run(*flags, f"-rest.port={port}"), 2, "-rest.port", str(port), "in use")


def test_a_store_that_is_no_database_is_left_as_it_is(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "state.sqlite"
    content = b"these are somebody's notes\n" * 400
    file.write_bytes(content)
    assert_refused(run(*flags), 5, str(file), "is not a SQLite database", "-store.uri")
    assert file.read_bytes() == content


def test_a_store_of_another_program_is_refused(flags: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE notes (text)")
    other.close()
    assert_refused(run(*flags), 5, str(file), "another program", "-store.uri")


def test_help_shows_flags_with_variable_and_default() -> None:
    ended = run("--help")
    assert (ended.status, ended.sentences) == (0, [])
    assert "-rest.port=PORT" in ended.out
    assert "[default 35000; SCALEIO_REST_PORT, REST_PORT]" in ended.out


# -- survived --------------------------------------------------------------------------------------


@pytest.fixture
def scheduler(flags: tuple[str, ...], tmp_path: Path) -> Iterator[Scheduler]:
    one = Scheduler(flags=(*flags, "-gateway.poll=1"), port=free_ports(1), log=tmp_path / "log")
    yield one
    if one.process is not None:
        one.kill()


def wait_reason(scheduler: Scheduler, *words: str) -> str:
    """The first reason in /healthz that holds all these words."""

    def found() -> str:
        reasons: list[str] = scheduler.get("/healthz")["reasons"]
        return next((one for one in reasons if all(word in one for word in words)), "")

    return scheduler.wait(f"a reason with {words}", found, timeout_s=60) or ""


def logged(scheduler: Scheduler, *words: str) -> list[dict[str, object]]:
    """Log lines with all these words; every line of the log is one JSON object."""
    lines = [line for line in scheduler.text().splitlines() if all(word in line for word in words)]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"*": b"\x00\xffnonsense\r\n\r\n"}, ("does not answer",)),
        ({"*": http_answer(b"<html>It works!</html>")}, ("broke the protocol",)),
        ({"*": http_answer(b"no", status="404 Not Found")}, ("404", "is it a master?")),
        ({"/version": VERSION, "*": http_answer(b"no")}, ("broke the protocol", "FRAMEWORKS")),
        ({**MASTER, "*": http_answer(b"5\nhello")}, ("broke the protocol",)),
        ({**MASTER, "*": http_answer(b"x" * 99)}, ("protocol", "record header")),
        ({**MASTER, "*": http_answer(b"")}, ("closed the stream",)),
    ],
)
def test_a_master_that_answers_garbage_is_named_and_asked_again(
    scheduler: Scheduler, answers: dict[str, bytes], words: tuple[str, ...]
) -> None:
    with GarbageServer(answers) as master:
        scheduler.start(f"-uri={master.address}", "-loglevel=debug")
        wait_reason(scheduler, "master:", *words)

        def repeated() -> bool:
            return len(logged(scheduler, "not subscribed", *words)) >= 2

        scheduler.wait("a second attempt", repeated)
        levels = [line["level"] for line in logged(scheduler, "not subscribed", *words)]
        assert levels[:2] == ["warning", "debug"], "it is said once"
        assert json.loads(scheduler.read("/readyz"))["status"] == "not ready"
        assert scheduler.stop() == 0
    assert "Traceback" not in scheduler.text()


def test_a_stop_while_a_master_is_waited_for_is_obeyed(scheduler: Scheduler) -> None:
    """Without -store.uri the master's own flags have to tell which store there is."""
    scheduler.start("-store.type=zk", "-store.uri=")
    scheduler.wait("the line", lambda: logged(scheduler, "no master tells", "-store.uri"))
    assert scheduler.stop() == 0


def test_health_is_answered_while_the_store_is_waited_for(scheduler: Scheduler) -> None:
    """Who restarts it would only make it wait anew, and lose its place."""
    scheduler.start("-store.type=zk", "-store.uri=")
    health = scheduler.wait("its web server", lambda: scheduler.get("/healthz"))
    assert health is not None
    assert health["status"] == "degraded"
    assert "no master tells which ZooKeeper it uses" in health["reasons"][0]
    assert "not yet" in json.loads(scheduler.read("/v1/agents"))["error"]
    assert scheduler.stop() == 0
    assert "Traceback" not in scheduler.text()


def test_a_second_scheduler_stands_by_and_takes_over(scheduler: Scheduler) -> None:
    second = attrs.evolve(
        scheduler, port=free_ports(2) + 1, log=scheduler.log.with_suffix(".second")
    )
    scheduler.start()
    scheduler.wait("the first", lambda: scheduler.get("/v1/status"))
    second.start()
    try:
        wait_reason(second, "waiting for the store")
        scheduler.kill()
        second.wait("the takeover", lambda: "agents" in second.get("/v1/status"))
        assert second.stop() == 0
    finally:
        if second.process is not None:
            second.kill()


def test_a_wrong_password_is_said_and_not_shown(scheduler: Scheduler, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("The-Right-One-1\n")
    with gateway(tmp_path / "other", agents=0) as url:
        scheduler.start(f"-scaleio.preconfig.gateway={url}")
        wait_reason(scheduler, "gateway:", "password", "admin")
        assert logged(scheduler, "the Gateway cannot be polled", "password")
        assert scheduler.process is not None
        assert scheduler.process.poll() is None
        assert scheduler.stop() == 0
    assert PASSWORD not in scheduler.text()


# -- hidden ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["-scaleio.password={}", "--scaleio.password={}"])
def test_a_password_among_the_arguments_is_used_and_taken_out(tmp_path: Path, form: str) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    with gateway(tmp_path / "password", agents=0) as url:
        flags = (*NO_PASSWORD, f"-store.uri={tmp_path / 'state.sqlite'}", form.format(PASSWORD))
        scheduler = Scheduler(flags=flags, port=free_ports(1), log=tmp_path / "log")
        scheduler.start(f"-scaleio.preconfig.gateway={url}")
        try:
            scheduler.wait("logged in", lambda: scheduler.get("/v1/storage")["snapshot"])
            process = Path(f"/proc/{scheduler.pid}")
            for name in ("cmdline", "environ"):
                content = (process / name).read_bytes()
                assert content
                assert PASSWORD.encode() not in content
            assert logged(scheduler, "-scaleio.password", "use -scaleio.password-file")
        finally:
            scheduler.kill()
    assert PASSWORD not in scheduler.text()
