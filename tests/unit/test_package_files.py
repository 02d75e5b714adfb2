"""The scheduler hands out the catalog's files, and nothing else, over its own web server."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio

from actors.board import Board
from install_steps.packages import load_catalog
from install_steps.shelf import Shelf, shelf_of_folder
from tests.unit.catalog_cases import entry, text
from tests.unit.test_web import (
    NOW,
    SETTINGS,
    WALL,
    accept,
    book_of,
    obey,
    refuse_permit,
    remove,
    roll,
)  # fmt: skip
from web.app import create_app
from web.packages import CHUNK, READERS_MAX
from web.server import serve

BODY: Final = bytes(range(256)) * 4000
SHA: Final = hashlib.sha256(BODY).hexdigest()
PATH: Final = f"/packages/{SHA}/sds.deb"


def as_it_is(words: str) -> str:
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sds.deb").write_bytes(BODY)
    (tmp_path / "other.deb").write_bytes(b"not in the catalog")
    return tmp_path


def shelf_in(folder: Path, body: bytes = BODY) -> Shelf:
    sha256 = hashlib.sha256(body).hexdigest()
    catalog = load_catalog(text(entry(sha256=sha256, size_bytes=len(body))), "c")
    shelf, missing = shelf_of_folder(catalog, folder)
    assert missing == ()
    return shelf


@asynccontextmanager
async def serving_shelf(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    stop = trio.Event()
    app = create_app(
        board=Board(), settings=SETTINGS, redactor=as_it_is, permits=refuse_permit,
        commands=accept, orders=obey, rollout=roll, removals=remove,
        book=book_of(Board()), now=lambda: NOW,
        wall=lambda: WALL,
        version="1.2.3", stop=stop, shelf=shelf,
    )  # fmt: skip

    async def run(task_status: trio.TaskStatus[str]) -> None:
        await serve(app, host="127.0.0.1", port=0, stop=stop, task_status=task_status)

    async with trio.open_nursery() as nursery:
        url = await nursery.start(run)
        limits = httpx.Limits(max_connections=READERS_MAX * 2)
        async with httpx.AsyncClient(base_url=url, limits=limits) as opened:
            yield opened
        stop.set()


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_shelf(shelf_in(folder)) as opened:
        yield opened


async def test_the_file_comes_whole(client: httpx.AsyncClient) -> None:
    reply = await client.get(PATH)
    assert (reply.status_code, reply.content == BODY) == (200, True)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["content-length"] == str(len(BODY))
    head = await client.head(PATH)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(BODY)))


@pytest.mark.parametrize(
    ("asked", "status", "first", "end"),
    [
        ("bytes=0-", 200, 0, len(BODY)),
        ("bytes=100-", 206, 100, len(BODY)),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=100-99999999", 206, 100, len(BODY)),
        ("bytes=-100", 206, len(BODY) - 100, len(BODY)),
        ("bytes=-99999999", 200, 0, len(BODY)),
        ("bytes=0-0", 206, 0, 1),
        (f"bytes=1-{CHUNK + 5}", 206, 1, CHUNK + 6),
        ("bytes=200-100", 200, 0, len(BODY)),
        ("bytes=0-1,5-6", 200, 0, len(BODY)),
        ("bytes=-", 200, 0, len(BODY)),
        ("lines=1-2", 200, 0, len(BODY)),
        (f"bytes={'9' * 30}-", 200, 0, len(BODY)),
    ],
)
async def test_ranges(
    client: httpx.AsyncClient, asked: str, status: int, first: int, end: int
) -> None:
    reply = await client.get(PATH, headers={"range": asked})
    assert (reply.status_code, reply.content == BODY[first:end]) == (status, True)
    if status == 206:
        assert reply.headers["content-range"] == f"bytes {first}-{end - 1}/{len(BODY)}"


@pytest.mark.parametrize("asked", [f"bytes={len(BODY)}-", "bytes=-0"])
async def test_a_range_behind_the_end_is_refused(client: httpx.AsyncClient, asked: str) -> None:
    reply = await client.get(PATH, headers={"range": asked})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{len(BODY)}"


async def test_a_range_of_another_version_is_the_whole(client: httpx.AsyncClient) -> None:
    headers = {"range": "bytes=5-", "if-range": '"other"'}
    assert (await client.get(PATH, headers=headers)).status_code == 200
    headers["if-range"] = f'"{SHA}"'
    assert (await client.get(PATH, headers=headers)).status_code == 206


@pytest.mark.parametrize(
    "path",
    [
        f"/packages/{SHA}/other.deb",
        f"/packages/{SHA}/..%2fother.deb",
        f"/packages/{SHA}/",
        f"/packages/{SHA}",
        f"/packages/{SHA[::-1]}/sds.deb",
        "/packages/../packages",
        f"/packages/%2e%2e/{SHA}/sds.deb",
        "/packages/sds.deb",
        "/packages/",
        f"/packages/{SHA.upper()}/sds.deb",
    ],
)
async def test_nothing_else_is_there(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_nothing_can_be_put_there(client: httpx.AsyncClient) -> None:
    assert (await client.put(PATH, content=b"x")).status_code == 405
    assert (await client.post(PATH)).status_code == 401  # no token: not even told that


async def test_a_file_that_changed_is_looked_at_again(
    client: httpx.AsyncClient, folder: Path
) -> None:
    assert (await client.get(PATH)).status_code == 200
    (folder / "sds.deb").write_bytes(b"x" * len(BODY))
    reply = await client.get(PATH)
    assert reply.status_code == 503
    assert "has changed" in reply.json()["error"]
    (folder / "sds.deb").unlink()
    assert (await client.get(PATH)).status_code == 503
    (folder / "sds.deb").write_bytes(BODY)
    assert (await client.get(PATH)).content == BODY


async def test_readers_are_bounded_and_those_who_leave_make_room(folder: Path) -> None:
    big = b"\0" * (32 * 1024 * 1024)  # more than the sockets hold between the two ends
    (folder / "sds.deb").write_bytes(big)
    path = f"/packages/{hashlib.sha256(big).hexdigest()}/sds.deb"

    async with serving_shelf(shelf_in(folder, big)) as client:

        async def hold(task_status: trio.TaskStatus[int]) -> None:
            async with client.stream("GET", path) as reply:
                task_status.started(reply.status_code)
                await trio.sleep_forever()

        async with trio.open_nursery() as readers:
            for _ in range(READERS_MAX):
                assert await readers.start(hold) == 200
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "15")
            readers.cancel_scope.cancel(reason="they leave")
        with trio.fail_after(30):
            while True:
                if (await client.get(path)).status_code == 200:
                    break


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_curl_can_resume_from_it(client: httpx.AsyncClient, tmp_path: Path) -> None:
    target = tmp_path / "got"
    target.write_bytes(BODY[:5000])
    command = ["curl", "--fail", "--silent", "--continue-at", "5000", "--output", str(target)]
    done = await trio.run_process([*command, f"{client.base_url}{PATH}"], check=False)
    assert (done.returncode, target.read_bytes() == BODY) == (0, True)
