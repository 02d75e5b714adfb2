"""The whole program tells a receiver, shows no secret, and does not wait for one when stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

from simulation.http_server import Reply, Request
from tests.scheduler_process import MDMS, PASSWORD, ROOT
from tests.unit.webhook_receiver import recording_receiver

TOKEN = "token-of-the-process-0123456789"
PATIENCE_S = 60.0  # the first look comes after 10 s


async def test_the_program_tells_a_receiver_and_is_stopped_while_it_waits_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    asked = trio.Event()

    async def silent(_: Request) -> Reply:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    async with recording_receiver("/services/T0000/hidden-word") as receiver:
        receiver.behaviour = silent
        command = [sys.executable, "cli.py", *MDMS, f"-store.uri={tmp_path / 'store.sqlite'}"]
        command += ["-uri=127.0.0.1:1", "-rest.address=127.0.0.1", "-rest.port=0"]
        command.append("-scaleio.preconfig.gateway=127.0.0.1:1")
        command += ["-notify.min-severity=info", "-notify.group-wait=0"]
        command.append(f"-notify.token-file={tmp_path / 'token'}")
        environ = {
            "PATH": os.environ["PATH"],
            "SCALEIO_SCALEIO_PASSWORD": PASSWORD,
            "SCALEIO_NOTIFY_WEBHOOK": receiver.url,
        }
        with (tmp_path / "log").open("wb") as log, trio.fail_after(PATIENCE_S):
            process = await trio.lowlevel.open_process(
                command, cwd=ROOT, env=environ, stderr=log, stdout=subprocess.DEVNULL
            )
            try:
                await asked.wait()
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
        [request] = receiver.requests
        assert b'"name":"store-bound-to-host"' in request.body
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
    text = (tmp_path / "log").read_text()
    assert '"stopping"' in text
    assert TOKEN not in text
    assert "hidden-word" not in text
