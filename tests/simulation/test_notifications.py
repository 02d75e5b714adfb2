"""Receivers on real sockets are told of the simulated cluster: each condition once, then its end.

Virtual time stands still while a message is on its way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from domain import notices
from simulation.http_server import Reply
from simulation.world import Shape
from tests.simulation.stage import Stage, play
from tests.unit.webhook_receiver import (
    ClockHeld,
    RecordingReceiver,
    http_notices,
    recording_receiver,
)

TOKEN: Final = "token-of-receivers-0123456789"
SHAPE: Final = Shape(agents=2, storage=2)
NAME: Final = "sds-unhealthy"


@asynccontextmanager
async def told(
    stage: Stage, *, token_file: Path | None = None
) -> AsyncIterator[tuple[RecordingReceiver, RecordingReceiver]]:
    """A webhook and an Alertmanager, told by the scheduler that starts now."""
    async with (
        recording_receiver() as hook,
        recording_receiver("") as alerts,
        http_notices(hook.url, alertmanagers=(alerts.url,), token_file=token_file) as port,
    ):
        stage.rehearsal.notices = ClockHeld(port)
        stage.raise_curtain()
        yield hook, alerts


async def settled(stage: Stage, *receivers: RecordingReceiver) -> None:
    """All agents are ready, what their reboots caused is over, and that is forgotten."""
    await stage.all_ready()
    await stage.until(lambda: not stage.service.board.conditions)
    await stage.pass_time(60.0)
    for receiver in receivers:
        receiver.messages.clear()
        receiver.requests.clear()


def sick_sds(stage: Stage) -> str:
    """Takes the first host's SDS from the cluster, and returns its address."""
    address = stage.world.hosts["agent0.sim"].address
    stage.world.gateway.set_sds_connected(address, connected=False)
    return address


def about(receiver: RecordingReceiver, name: str) -> list[str]:
    return [state for state, told_name, _ in receiver.conditions if told_name == name]


def alerts_about(receiver: RecordingReceiver, name: str) -> list[Any]:
    alerts = [alert for message in receiver.messages for alert in message]
    return [alert for alert in alerts if alert["labels"]["alertname"] == name]


def test_each_condition_is_told_once_and_then_its_end() -> None:
    async def story(stage: Stage) -> None:
        async with told(stage) as (hook, alerts):
            await settled(stage, hook, alerts)
            address = sick_sds(stage)
            await stage.until(lambda: about(hook, NAME) == ["firing"], within_s=120.0)
            await stage.pass_time(600.0)
            assert about(hook, NAME) == ["firing"]
            firing = alerts_about(alerts, NAME)
            assert firing[0]["labels"]["severity"] == "critical"
            assert len(firing) >= 600 / notices.REFRESH_S - 1
            assert len({str(one["labels"]) for one in firing}) == 1
            assert not any("endsAt" in one for one in firing)
            stage.world.gateway.set_sds_connected(address, connected=True)
            await stage.until(lambda: about(hook, NAME) == ["firing", "resolved"], within_s=120.0)
            await stage.until(lambda: "endsAt" in alerts_about(alerts, NAME)[-1], within_s=60.0)
            assert hook.messages[0]["framework"]["role"] == "scaleio"
            assert len(set(hook.headers("idempotency-key"))) == len(hook.requests)
        assert stage.violations() == []

    play(story, shape=SHAPE, curtain=False)


def test_a_scheduler_that_died_tells_nothing_twice_and_the_end_of_what_it_told() -> None:
    async def story(stage: Stage) -> None:
        async with told(stage) as (hook, _):
            await settled(stage, hook)
            address = sick_sds(stage)
            await stage.until(lambda: about(hook, NAME), within_s=120.0)
            await stage.pass_time(60.0)
            stage.rehearsal.crash()
            await stage.pass_time(600.0)
            assert about(hook, NAME) == ["firing"]
            stage.rehearsal.crash()
            stage.world.gateway.set_sds_connected(address, connected=True)
            await stage.until(lambda: about(hook, NAME) == ["firing", "resolved"], within_s=300.0)
            await stage.pass_time(600.0)
            assert about(hook, NAME) == ["firing", "resolved"]
        assert stage.violations() == []

    play(story, shape=SHAPE, curtain=False)


def test_a_receiver_that_was_away_is_told_what_holds_when_it_is_back() -> None:
    async def story(stage: Stage) -> None:
        async with told(stage) as (hook, _):

            async def broken(_: object) -> Reply:
                await trio.lowlevel.checkpoint()
                return Reply(status=503)

            await settled(stage, hook)
            hook.behaviour = broken
            address = sick_sds(stage)
            await stage.until(lambda: hook.requests, within_s=120.0)
            [shown, _] = stage.service.board.notices
            assert (shown.state, shown.last_error) == ("retrying", "answered 503")
            listed = (await stage.get("/debug/actors/notifier")).json()
            assert "answered 503" in listed["waiting_for"]
            stage.world.gateway.set_sds_connected(address, connected=True)
            await stage.pass_time(600.0)
            hook.behaviour = None
            await stage.pass_time(900.0)
            about_others = [one for one in hook.conditions if one[1] != "notification-failing"]
            assert about_others == [], "it came and went untold"

    play(story, shape=SHAPE, curtain=False)


def test_no_token_is_in_anything_that_the_scheduler_shows_or_stores(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        async with told(stage, token_file=tmp_path / "token") as (hook, _):
            await settled(stage, hook)
            sick_sds(stage)
            await stage.until(lambda: about(hook, NAME), within_s=120.0)
            assert hook.headers("authorization")[0] == f"Bearer {TOKEN}"
            replies = await stage.rehearsal.replies()
            assert [path for path, text in replies if TOKEN in text or hook.path in text] == []
            stored = await stage.service.outside.store.load()
            assert [key for key, raw in stored.items() if TOKEN.encode() in raw] == []
            assert [key for key, raw in stored.items() if hook.url.encode() in raw] == []

    (tmp_path / "token").write_text(TOKEN)
    play(story, shape=SHAPE, curtain=False)
