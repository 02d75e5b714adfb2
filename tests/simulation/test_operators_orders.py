"""What operators order through the API: carried out by the whole product, told, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.world import Shape
from tests.simulation.stage import TOKEN, Stage, play

HOST = "agent1.sim"


@pytest.fixture
def extra(tmp_path: Path) -> list[str]:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    file.chmod(0o600)
    return [f"-rest.token-file={file}"]


def test_a_host_is_rebooted_on_an_operators_word_by_the_same_rules(extra: list[str]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        boot = stage.world.hosts[HOST].boot_id
        reply = await stage.post(f"/v1/agents/{HOST}/reboot", json={"reason": "a new BIOS"})
        assert reply.status_code == 202
        assert reply.json()["result"].startswith(f"{HOST} is rebooted when the storage")
        await stage.until(lambda: stage.world.hosts[HOST].boot_id != boot)
        await stage.all_ready()
        events = (await stage.get("/v1/events?kind=order")).json()["events"]
        assert [one["subject"] for one in events] == [HOST]
        assert "a new BIOS" in events[0]["text"]
        assert stage.record(HOST).reboot is None

    play(story, shape=Shape(agents=4, storage=3), extra=extra)


def test_a_reboot_that_cannot_be_is_refused_with_the_reason(extra: list[str]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        await stage.post(f"/v1/agents/{HOST}/hold")
        await stage.until(lambda: stage.phase(HOST) == "held")
        reply = await stage.post(f"/v1/agents/{HOST}/reboot")
        assert (reply.status_code, reply.json()["detail"]) == (
            409, f"{HOST} is held: only an agent that works is rebooted",
        )  # fmt: skip

    play(story, shape=Shape(agents=2, storage=1), extra=extra)


def test_orders_and_silences_outlive_the_process_and_a_repeated_key_is_not_done_again(
    extra: list[str],
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        key = {"Idempotency-Key": "one-hold"}
        first = await stage.post(f"/v1/agents/{HOST}/hold", headers=key)
        await stage.until(lambda: stage.phase(HOST) == "held")
        await stage.post("/v1/conditions/capacity-high/silence", json={"for_s": 86400.0})
        before = stage.service
        stage.rehearsal.crash()
        await stage.until(lambda: stage.rehearsal.service not in (None, before))
        await stage.until(lambda: stage.phase(HOST) == "held")
        await stage.post(f"/v1/agents/{HOST}/resume")
        await stage.until(lambda: stage.phase(HOST) == "ready")
        again = await stage.post(f"/v1/agents/{HOST}/hold", headers=key)
        assert (first.json(), first.status_code) == (again.json(), again.status_code)
        await stage.pass_time(120.0)
        assert stage.phase(HOST) == "ready"
        assert [one.name for one in stage.service.board.silences] == ["capacity-high"]
        told = (await stage.get("/v1/events?kind=order")).json()["events"]
        assert [one["text"].partition(":")[0] for one in told] == [
            "hold", "silence capacity-high", "resume",
        ]  # fmt: skip

    play(story, shape=Shape(agents=2, storage=1), extra=extra)
