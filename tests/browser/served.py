"""The served simulation in a process of its own, and a real Chromium that looks at it."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import httpx
from playwright.sync_api import BrowserContext, Page, Request, sync_playwright

from tests.scheduler_process import ROOT, wait_for

SCREENSHOTS: Final = ROOT / "build" / "screenshots"
WAIT_MS: Final = 60_000  # for anything that the simulated cluster has to do first
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


@attrs.define
class Served:
    """`broken`: the agent with the wrong kernel."""

    url: str
    consoles: str
    token: str
    broken: str = "agent2.sim"
    said: list[str] = attrs.field(factory=list)

    def mend(self) -> str:
        """What an operator does at that host's console."""
        reply = httpx.post(f"{self.consoles}{self.broken}/kernel", trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.text

    def order(self, path: str, reason: str) -> None:
        """What somebody else orders meanwhile."""
        reply = httpx.post(
            f"{self.url}{path}",
            json={"reason": reason},
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
        )
        assert reply.status_code == 202, reply.text


@contextlib.contextmanager
def served_simulation(*arguments: str) -> Iterator[Served]:
    command = [sys.executable, "cli.py", "simulate", "--serve", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=_read, args=(process, said), daemon=True)
    reader.start()
    try:
        found = wait_for("the served simulation", lambda: _addresses("".join(said)))
        assert found is not None
        url, consoles, token_file = found
        yield Served(url, consoles, Path(token_file).read_text(encoding="utf-8"), said=said)
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


def _read(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stdout is not None
    said.extend(iter(process.stdout.readline, ""))


def _addresses(said: str) -> tuple[str, str, str] | None:
    url = re.search(r"Status page: (\S+)/", said)
    consoles = re.search(r"Consoles of the simulated hosts: (\S+)", said)
    token = re.search(r"The operator's token: (\S+)", said)
    return (url[1], consoles[1], token[1]) if url and consoles and token else None


@attrs.define
class Watched:
    """A page, and what went wrong on it so far."""

    page: Page
    served: Served
    faults: list[str] = attrs.field(factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.served.url + path)
        self.page.wait_for_selector("main h1")

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)


def foreign(request: Request, served: Served) -> list[str]:
    known = request.url.startswith((served.url, "data:"))
    return [] if known else [f"a request to another host: {request.url}"]


@contextlib.contextmanager
def chromium(
    served: Served, *, width: int = 1280, dark: bool = False, scripts: bool = True
) -> Iterator[Watched]:
    """A fresh page; whatever goes wrong on it fails the test in the end."""
    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        watched = Watched(context.new_page(), served)
        watched.page.on("request", lambda request: watched.faults.extend(foreign(request, served)))
        watched.page.on("pageerror", lambda error: watched.faults.append(f"a script: {error}"))
        watched.page.on(
            "console",
            lambda said: (
                watched.faults.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        try:
            yield watched
        finally:
            context.close()
            browser.close()
    assert watched.faults == []
