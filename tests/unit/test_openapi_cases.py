"""The API against its own description: schemathesis asks what the document allows, and more.

Zero answers that the document does not name, zero server errors; no change without the token.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import attrs
import pytest
import schemathesis
import structlog
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as also

from actors.board import Board, OfferAnswer
from tests.unit.test_web import SETTINGS, TOKEN, WALL, app_of, full_board
from web.server import serve

EXAMPLES: Final = 70  # of each operation and mode
KNOWN: Final = {
    "host": "agent1", "step": "sds", "domain": "default", "pool": "default", "view": "agents",
    "name": "agent/agent1", "command": "hold", "word": "pause", "kind": "sds", "id": "s1",
}  # fmt: skip
ELSEWHERE: Final = {
    "/v1/conditions/": {"name": "agent-failed", "word": "silence"},
    "/v1/storage/": {"word": "remove"},
}
CHECKS: Final = [
    schemathesis.checks.not_a_server_error,
    also.status_code_conformance,
    also.content_type_conformance,
    also.response_schema_conformance,
    also.response_headers_conformance,
]


def a_board() -> Board:
    board = full_board()
    board.wall = lambda: WALL
    board.touch()
    board.verdicts["agent1"] = "needs more"
    board.answers.append(OfferAnswer(at=WALL, offers=3, accepted=("agent1",), why={"none": 2}))
    return board


async def no_permit(permit_id: str) -> tuple[int, str]:
    del permit_id
    await trio.lowlevel.checkpoint()
    return 404, "no such permit"


@attrs.define
class Server:
    """The real web server in a thread of its own: schemathesis asks over a real socket."""

    url: str = ""
    ready: threading.Event = attrs.field(factory=threading.Event)
    stop: trio.Event | None = None
    token: trio.lowlevel.TrioToken | None = None

    def run(self) -> None:
        trio.run(self._serve)

    async def _serve(self) -> None:
        self.stop, self.token = trio.Event(), trio.lowlevel.current_trio_token()
        settings = attrs.evolve(SETTINGS, rest_rate=0)
        app = app_of(a_board(), settings=settings, permits=no_permit, stop=self.stop)
        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[str]) -> None:
                assert self.stop is not None
                await serve(app, host="127.0.0.1", port=0, stop=self.stop, task_status=task_status)

            self.url = await nursery.start(run)
            self.ready.set()

    def end(self) -> None:
        assert self.token is not None
        assert self.stop is not None
        self.token.run_sync_soon(self.stop.set)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Its log is not of interest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    made = Server()
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert made.ready.wait(30)
        yield made
    finally:
        made.end()
        thread.join(30)
        structlog.reset_defaults()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        yield made


def operations(url: str) -> list[Any]:
    """All but the stream, which has no end."""
    schema: Any = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    found = [result.ok() for result in schema.get_all_operations()]
    return [one for one in found if one.path != "/events"]


def known_of(path: str) -> dict[str, str]:
    more = next((names for head, names in ELSEWHERE.items() if path.startswith(head)), {})
    return {**KNOWN, **more}


def ask_all(url: str, mode: GenerationMode, *, headers: dict[str, str], **checks: Any) -> int:
    """How many cases were asked."""
    asked = 0

    def with_known(case: Any, which: set[str]) -> Any:
        """Real names beside invented ones: else most answers would be 404."""
        for name in which & set(case.path_parameters or {}):
            case.path_parameters[name] = known_of(case.path)[name]
        return case

    for operation in operations(url):
        names = st.sets(st.sampled_from(sorted(KNOWN)))

        @given(case=operation.as_strategy(generation_mode=mode), which=names | st.just(set(KNOWN)))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def each(case: Any, which: set[str]) -> None:
            nonlocal asked
            asked += 1
            with_known(case, which).call_and_validate(headers=headers, **checks)

        with contextlib.suppress(Unsatisfiable):  # nothing can be wrong in it
            each()
    return asked


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_one_that_the_document_names(server: Server, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    asked = ask_all(server.url, mode, headers=headers, checks=CHECKS)
    print(f"schemathesis: mode={mode.value} cases={asked}")
    assert asked > 500


def test_no_change_is_made_without_the_token(server: Server) -> None:
    """Each POST that the document names, however it is filled in."""
    asked = 0
    for operation in operations(server.url):
        if operation.method.upper() != "POST":
            continue

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        def each(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.path_parameters = {
                name: known_of(case.path)[name] for name in case.path_parameters or {}
            }
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic Og=="}):
                reply = case.call(headers=headers)
                assert reply.status_code in (401, 429), reply.text  # guessing is slowed down

        each()
    assert asked > 50
