"""The operator's commands against the real web server: what they show, tell, and end with."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import cli
from commands.asking import AskError, token_of
from commands.operate import link, tables, verbs
from commands.operate.completion import SHELLS
from tests.unit.test_openapi_cases import Server, running
from tests.unit.test_web import EVIL, TOKEN


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        yield made


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return str(file)


def test_the_schedulers_own_file_of_tokens_will_do(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# operators\nann 0123456789abcdef\nbob fedcba9876543210\n", encoding="utf-8")
    assert token_of(file) == "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


LOOKS = [
    (["status"], 2, "ERROR"),  # the board has a critical condition
    (["agents"], 0, "agent2"),
    (["agents", "--phase", "ready", "--sort", "since", "--desc", "--limit", "1"], 0, "1 of 1"),
    (["agent", "agent1"], 0, "the end of the failing step's output"),
    (["why", "agent1"], 0, "agent1 has failed"),
    (["why", "agent1", "sds"], 0, "step sds of agent1"),
    (["why", "agent1", "/dev/sdb"], 0, "/dev/sdb of agent1"),
    (["why", "pool", "default/default"], 0, "pool default"),
    (["why", "rollout"], 0, "the rollout"),
    (["why", "framework"], 0, "the framework"),
    (["alerts"], 0, "agent-failed"),
    (["events"], 0, ""),
    (["offers"], 0, "received"),
    (["capacity"], 0, "default/default"),
    (["settings"], 0, "-rest.address"),
    (["rollout"], 0, "running, stage all"),
]


@pytest.mark.parametrize(("arguments", "status", "shown"), LOOKS)
def test_what_is_shown_is_a_table_or_json(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    shown: str,
) -> None:
    assert cli.main([*arguments, "--url", server.url]) == status
    told = capsys.readouterr()
    assert shown in told.out
    assert told.err == ""
    assert "\x1b" not in told.out  # no colours where nobody looks on
    cli.main([*arguments, "--url", server.url, "--output", "json"])
    written = capsys.readouterr().out
    for document in written.splitlines() if arguments == ["events"] else [written]:
        json.loads(document)


@pytest.mark.parametrize("word", verbs.ORDERS)
def test_an_order_says_what_will_happen(
    server: Server, token: str, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    arguments = [word, "agent2", "--url", server.url, "--token-file", token, "--reason", "why not"]
    status = cli.main(arguments)
    told = capsys.readouterr()
    if word == "replace":  # Mesos has it
        assert (status, told.out) == (2, "")
        assert "409" in told.err
    else:
        assert (status, told.out) == (0, f"{word} asked of agent2\n")


def test_rollout_and_silence_are_told(
    server: Server, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--url", server.url, "--token-file", token]
    assert cli.main(["rollout", "pause", *to]) == 0
    assert cli.main(["silence", "agent-failed", "agent1", "--for", "90m", *to]) == 0
    assert cli.main(["unsilence", "agent-failed", "agent1", *to]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "told to pause",
        "nobody is notified of agent-failed of agent1 for 1.5 hours",
        "people are notified of agent-failed again",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["status", "--url", "http://127.0.0.1:9"], 3, "correct --url"),
        (["status", "--url", "ftp://x"], 2, "http://HOST:PORT is expected"),
        (["status", "--token-file", "/no/such/file"], 2, "--token-file"),
        (["status", "--ca-file", "/no/such/file"], 2, "--ca-file"),
        (["agent", "ghost"], 2, "there is no such agent"),
        (["why", "pool", "default"], 2, "no such agent"),
        (["why", "a", "b", "c"], 2, "why what?"),
        (["agents", "--phase", "up"], 2, "phase: some of"),
        (["hold", "agent1"], 2, "--token-file"),
        (["support-bundle", "/no/such/folder/x.tar.gz"], 2, "/no/such/folder"),
    ],
)
def test_what_goes_wrong_is_one_line_with_the_way_out(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    named: str,
) -> None:
    url = [] if "--url" in arguments else ["--url", server.url]
    assert cli.main([*arguments, *url]) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith(f"scaleio-scheduler {arguments[0]}: ")
    assert named in told.err


def test_an_order_without_an_answer_is_repeated_under_its_key() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(202, json={"result": "done once"})

    told = link.Link(url="http://s", transport=httpx.MockTransport(answer))
    assert told.order("/v1/agents/a/hold", {}) == "done once"
    assert len(keys) == 3
    assert len(set(keys)) == 1
    told.order("/v1/agents/a/hold", {})
    assert len(set(keys)) == 2


def test_events_are_followed_over_a_stream_that_ends() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("last-event-id"))
        number = len(asked)
        body = f"retry: 1\n\nid: {number}\nevent: entry\ndata: {{}}\n\n: still here\n\n"
        return httpx.Response(200, text=body)

    stream = link.Link(url="http://s", transport=httpx.MockTransport(answer)).events(None)
    assert [next(stream)[1] for _ in range(3)] == [1, 2, 3]
    assert asked == [None, "1", "2"]


def test_who_never_answers_is_given_up() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    nobody = link.Link(url="http://s", transport=httpx.MockTransport(answer))
    with pytest.raises(link.UnreachableError):
        nobody.read("/v1/status")
    with pytest.raises(link.UnreachableError):
        next(nobody.events(None))


def test_the_support_bundle_holds_no_secret_and_is_for_its_owner_only(
    server: Server, token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "support.tar.gz"
    arguments = ["support-bundle", str(file), "--url", server.url, "--token-file", token]
    assert cli.main(arguments) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        names = archive.getnames()
        texts = [archive.extractfile(name).read().decode() for name in names]  # type: ignore[union-attr]
    assert {"support/MANIFEST.txt", "support/status.json", "support/agents/agent1.json"} <= set(
        names
    )
    assert all("S3cret" not in text and TOKEN not in text for text in texts)
    capsys.readouterr()
    assert cli.main(arguments) == 2  # nothing is overwritten
    assert "name a file that does not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in cli.SUBCOMMANDS)


def test_bash_completes_commands_words_and_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.main(["completion", "bash"])
    (tmp_path / "c.sh").write_text(capsys.readouterr().out, encoding="utf-8")
    ask = (
        'source ./c.sh; complete_of() { COMP_WORDS=(scaleio-scheduler "$@"); COMP_CWORD=$#; '
        '_scaleio_scheduler; echo "${COMPREPLY[@]}"; }; '
        "complete_of supp; complete_of rollout pa; complete_of silence --fo"
    )
    done = subprocess.run(
        ["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["support-bundle", "pause", "--for"]


def test_text_from_elsewhere_does_nothing_to_a_terminal() -> None:
    shown = tables.table(("A",), [("\x1b[31mred\nline",)])
    assert shown == "A\n [31mred line"
    assert EVIL in tables.table(("A",), [(EVIL,)])


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("90m", 5400), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert verbs.duration(text) == seconds


def test_what_is_asked_why_has_its_path() -> None:
    assert verbs.why_path(["a b"]) == "/v1/why/agent/a%20b"
    assert verbs.why_path(["pool", "d/p q"]) == "/v1/why/pool/d/p%20q"
    with pytest.raises(AskError):
        verbs.why_path(["a", "b", "c"])
