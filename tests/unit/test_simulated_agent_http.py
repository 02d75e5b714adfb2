"""The simulated agent's own HTTP: sandboxes and flags, as the real one serves them."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.unit.sim_mesos import Json, Outcome, world

HOST = "agent0.test"


async def test_a_sandbox_is_read_in_pages_of_64_kib(autojump_clock: MockClock) -> None:
    output = "".join(f"line {number}\n" for number in range(20_000))
    async with world(agents=1) as here:
        here.hosts[HOST].steps["step"] = (1.0, Outcome(stdout=output, stderr="warned\n"))
        scheduler = await here.subscribed()
        await scheduler.run_task("t")
        await scheduler.wait_state("t", "TASK_FINISHED")
        address = here.mesos.agents[HOST].address
        base = f"http://{address.ip}:{address.port}/files/read"
        runs = f"/frameworks/{scheduler.framework_id}/executors/t/runs/latest"

        async def read(**query: object) -> tuple[int, Json]:
            asked = {name: str(value) for name, value in query.items()}
            answer = await here.client.get(base, params=asked)
            return answer.status_code, answer.json() if answer.status_code == 200 else {}

        size = (await read(path=f"{runs}/stdout", offset=-1))[1]["offset"]
        assert size == len(output)
        pages = ""
        while len(pages) < size:
            page = (await read(path=f"{runs}/stdout", offset=len(pages), length=10**6))[1]
            assert len(page["data"]) <= 65536
            pages += page["data"]
        assert pages == output
        assert (await read(path=f"{runs}/stderr", offset=0, length=100))[1]["data"] == "warned\n"
        assert (await read(path=f"{runs}/other", offset=0))[0] == 404
        assert (await read(path=f"{runs}/stdout", offset="x"))[0] == 400
        assert (await read(offset=0))[0] == 400
        here.mesos.faults.close_sandbox(HOST)
        assert (await read(path=f"{runs}/stdout", offset=0))[0] == 403


async def test_an_agent_tells_its_flags_and_nothing_when_it_is_down(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        answer = await here.client.get(f"http://{HOST}:5051/flags")
        assert answer.json()["flags"]["isolation"] == "posix/cpu,posix/mem"
        here.mesos.faults.agent_down(HOST)
        with pytest.raises(OSError, match="nobody listens"):
            await here.network.connect(HOST, 5051)
