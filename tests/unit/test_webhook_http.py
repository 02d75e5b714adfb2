"""Messages to receivers, on real sockets: what they are sent, and what their answers become."""

from __future__ import annotations

import io
import json
import logging
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import pytest
import structlog
import trio
import trustme

from actors.notifier import NoReceivers
from actors.ports import CredentialsError, NoticeAnswer, NoticeUnreachableError
from adapters import webhook_http
from adapters.webhook_forms import body_of, rfc3339
from adapters.webhook_http import HttpNotices, receivers_tls
from commands import logs
from commands.opening import open_notices
from domain.notices import ALERTMANAGER, WEBHOOK, Change, Framework, Message, Receiver
from flags.secret import Redactor
from settings import parse
from simulation.http_server import Cut, Reply, Request, StreamReply
from tests.unit.webhook_receiver import LOOPBACK, http_notices, recording_receiver

TOKEN = "token-of-the-tests-0123456789"
HIDDEN = "/services/T00000000/B00000000/hidden-word"
FRAMEWORK = Framework(name="ScaleIO Framework", role="scaleio", id="F-1", url="http://s:35000/")
FIRING = Change(
    state="firing",
    name="capacity-high",
    severity="warning",
    subject="p1",
    text="pool p1: 82 % in use",
    cure="add devices",
    objects=("p1", "d1"),
    since=1e9,
)
ENDED = attrs.evolve(FIRING, state="resolved", ended=1e9 + 60.5)
MESSAGE = Message(key="k" * 32, sequence=3, at=1e9 + 10, changes=(FIRING,))
HOOK = Receiver(digest="d", kind=WEBHOOK, shown="http://h")
ALERTS = Receiver(digest="d", kind=ALERTMANAGER, shown="http://a")


async def send(notices: HttpNotices, message: Message = MESSAGE) -> NoticeAnswer:
    return await notices.deliver(notices.receivers[0], message, FRAMEWORK)


# -- the two forms --------------------------------------------------------------------------------


async def test_a_webhook_gets_one_object_and_the_key_by_which_it_knows_repetitions() -> None:
    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        assert (await send(notices)).status == 200
        [request] = receiver.requests
        assert (request.method, request.path) == ("POST", "/hook")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["idempotency-key"] == MESSAGE.key
        assert "authorization" not in request.headers
        assert receiver.messages == [
            {
                "version": 1,
                "framework": {
                    "name": "ScaleIO Framework",
                    "role": "scaleio",
                    "id": "F-1",
                    "url": "http://s:35000/",
                },
                "sent_at": "2001-09-09T01:46:50.000Z",
                "sequence": 3,
                "conditions": [
                    {
                        "state": "firing",
                        "name": "capacity-high",
                        "severity": "warning",
                        "subject": "p1",
                        "text": "pool p1: 82 % in use",
                        "cure": "add devices",
                        "objects": ["p1", "d1"],
                        "since": "2001-09-09T01:46:40.000Z",
                        "ended": None,
                    }
                ],
            }
        ]


async def test_an_alertmanager_gets_alerts_at_its_own_path() -> None:
    async with (
        recording_receiver("/prefix") as receiver,
        http_notices(alertmanagers=(receiver.url,)) as notices,
    ):
        await send(notices, attrs.evolve(MESSAGE, changes=(FIRING, ENDED)))
        [request] = receiver.requests
        assert request.path == "/prefix/api/v2/alerts"
        [[firing, ended]] = receiver.messages
        assert firing == {
            "labels": {
                "alertname": "capacity-high",
                "severity": "warning",
                "subject": "p1",
                "framework": "ScaleIO Framework",
                "role": "scaleio",
            },
            "annotations": {
                "summary": "pool p1: 82 % in use",
                "description": "pool p1: 82 % in use\nadd devices",
                "cure": "add devices",
                "objects": "p1, d1",
            },
            "startsAt": "2001-09-09T01:46:40.000Z",
            "generatorURL": "http://s:35000/",
        }
        assert ended["labels"] == firing["labels"], "or it would be another alert"
        assert ended["endsAt"] == "2001-09-09T01:47:40.500Z"


def alerts(*changes: Change) -> list[dict[str, object]]:
    message = attrs.evolve(MESSAGE, changes=changes)
    decoded: list[dict[str, object]] = json.loads(body_of(ALERTS, message, FRAMEWORK))
    return decoded


def test_another_severity_ends_the_alert_of_the_one_before() -> None:
    before, after = alerts(attrs.evolve(FIRING, severity="critical", was="warning"))
    assert isinstance(before["labels"], dict)
    assert isinstance(after["labels"], dict)
    assert (before["labels"]["severity"], "endsAt" in before) == ("warning", True)
    assert (after["labels"]["severity"], "endsAt" in after) == ("critical", False)


def test_an_alert_has_no_empty_label_and_never_ends_before_it_began() -> None:
    [alert] = alerts(attrs.evolve(ENDED, subject="", ended=FIRING.since - 100.0))
    assert isinstance(alert["labels"], dict)
    assert "subject" not in alert["labels"]
    assert alert["endsAt"] == alert["startsAt"]


def test_the_end_is_told_with_its_time() -> None:
    message = attrs.evolve(MESSAGE, changes=(ENDED,))
    [told] = json.loads(body_of(HOOK, message, FRAMEWORK))["conditions"]
    assert (told["state"], told["ended"]) == ("resolved", "2001-09-09T01:47:40.500Z")


@pytest.mark.parametrize("unix", [float("nan"), float("inf"), -1.0, 1e300, 0.0])
def test_no_clock_is_wrong_enough_to_spoil_a_message(unix: float) -> None:
    assert rfc3339(unix).endswith("Z")


# -- answers --------------------------------------------------------------------------------------


async def test_a_failure_is_an_answer_and_the_next_try_may_succeed() -> None:
    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        receiver.replies.append(Reply(status=500, body=b"out\nof\x1b[2J order"))
        answer = await send(notices)
        # It may repeat parts of its address, which may be a secret: only the status is told.
        assert (answer.status, answer.detail) == (500, "")
        assert (await send(notices)).status == 200
        assert receiver.headers("idempotency-key") == [MESSAGE.key] * 2


async def test_a_redirect_is_not_followed() -> None:
    async with recording_receiver() as trap, recording_receiver() as receiver:
        receiver.replies.append(Reply(status=307, headers=(("Location", trap.url),)))
        async with http_notices(receiver.url) as notices:
            assert (await send(notices)).status == 307
        assert trap.requests == []


@pytest.mark.parametrize(
    ("headers", "asked_s"),
    [
        ((("Retry-After", "17"),), 17.0),
        (
            (
                ("Date", "Wed, 21 Oct 2015 07:28:00 GMT"),
                ("Retry-After", "Wed, 21 Oct 2015 07:29:30 GMT"),
            ),
            90.0,
        ),
        ((("Retry-After", "Wed, 21 Oct 2015 07:29:30 GMT"),), None),
        ((("Retry-After", "soon"),), None),
        ((("Retry-After", "9" * 400),), 999999999.0),
        ((), None),
    ],
)
async def test_a_busy_receiver_says_when_to_come_back(
    headers: tuple[tuple[str, str], ...], asked_s: float | None
) -> None:
    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        receiver.replies.append(Reply(status=429, headers=headers))
        answer = await send(notices)
        assert (answer.status, answer.retry_after_s) == (429, asked_s)


async def test_a_receiver_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_http, "ATTEMPT_S", 0.2)

    async def silent(_: Request) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        receiver.behaviour = silent
        with pytest.raises(NoticeUnreachableError, match="no answer in time") as error:
            await send(notices)
        assert error.value.sent, "it may have arrived"


async def test_a_connection_that_breaks_may_have_taken_the_message_with_it() -> None:
    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        receiver.replies.append(Cut())
        with pytest.raises(NoticeUnreachableError, match="broke") as error:
            await send(notices)
        assert error.value.sent


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with recording_receiver() as receiver:
        url = receiver.url
    async with http_notices(url) as notices:
        with pytest.raises(NoticeUnreachableError, match="no connection") as error:
            await send(notices)
        assert not error.value.sent


@attrs.define
class Endless:
    """A body that never ends."""

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return b"x" * 1024


async def test_an_endless_answer_is_left_after_its_beginning() -> None:
    async with recording_receiver() as receiver, http_notices(receiver.url) as notices:
        receiver.replies.append(StreamReply(chunks=Endless(), status=400))
        answer = await send(notices)
        assert (answer.status, answer.detail) == (400, "")


async def test_a_host_name_that_cannot_be_is_a_receiver_that_is_away() -> None:
    async with http_notices("http://a..b/hook") as notices:
        with pytest.raises(NoticeUnreachableError) as told:
            await send(notices)
        assert not told.value.sent


# -- TLS ------------------------------------------------------------------------------------------


def server_tls(authority: trustme.CA, name: str = LOOPBACK) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_receiver_behind_tls_is_trusted_by_its_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    async with recording_receiver(tls=server_tls(authority)) as receiver:
        assert receiver.url.startswith("https:")
        async with http_notices(receiver.url, tls=receivers_tls(tmp_path / "ca")) as notices:
            assert (await send(notices)).status == 200
        async with http_notices(receiver.url, tls=receivers_tls(None)) as notices:
            with pytest.raises(NoticeUnreachableError, match="certificate verify failed") as error:
                await send(notices)
            assert not error.value.sent
    async with (
        recording_receiver(tls=server_tls(authority, "elsewhere.test")) as receiver,
        http_notices(receiver.url, tls=receivers_tls(tmp_path / "ca")) as notices,
    ):
        with pytest.raises(NoticeUnreachableError, match="certificate verify failed"):
            await send(notices)


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nothing")
    with pytest.raises(CredentialsError, match=r"-notify\.ca-file: .*ca: holds no certificates"):
        receivers_tls(tmp_path / "ca")


# -- secrets --------------------------------------------------------------------------------------


async def test_the_token_is_read_for_each_message_and_goes_to_webhooks_only(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with recording_receiver() as hook, recording_receiver("") as alertmanager:
        made = http_notices(hook.url, alertmanagers=(alertmanager.url,), token_file=file)
        async with made as notices:
            to_hook, to_alerts = notices.receivers
            await notices.deliver(to_hook, MESSAGE, FRAMEWORK)
            file.write_text("another-" + TOKEN)
            await notices.deliver(to_hook, MESSAGE, FRAMEWORK)
            await notices.deliver(to_alerts, MESSAGE, FRAMEWORK)
            file.unlink()
            with pytest.raises(NoticeUnreachableError, match=r"-notify\.token-file") as error:
                await notices.deliver(to_hook, MESSAGE, FRAMEWORK)
            assert not error.value.sent
        assert hook.headers("authorization") == [f"Bearer {TOKEN}", f"Bearer another-{TOKEN}"]
        assert alertmanager.headers("authorization") == [""]


async def test_neither_token_nor_address_is_in_what_comes_back_or_in_a_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    out = io.StringIO()
    redactor = Redactor()
    logs.configure(level="debug", style="json", redactor=redactor, out=out)
    before = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    for name in before:
        logging.getLogger(name).setLevel(logging.DEBUG)
    said: list[str] = []

    async def echo(request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        text = f"{request.target} {request.headers.get('authorization')}"
        return Reply(status=401, body=text.encode())

    try:
        async with recording_receiver(HIDDEN) as receiver:
            made = http_notices(receiver.url, token_file=tmp_path / "token", redactor=redactor)
            async with made as notices:
                receiver.behaviour = echo
                said += [repr(await send(notices)), repr(notices), repr(notices.receivers)]
                receiver.behaviour = None
                receiver.replies.append(Cut())
                with pytest.raises(NoticeUnreachableError) as error:
                    await send(notices)
                said += [str(error.value), repr(error.value)]
                said += [f"{error.value.__cause__!r}", f"{error.value.__suppress_context__}"]
                structlog.get_logger().warning("told", address=receiver.url, token=TOKEN)
    finally:
        structlog.reset_defaults()
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
    everything = "\n".join([*said, out.getvalue()])
    assert "hidden-word" not in everything
    assert TOKEN not in everything
    assert "***" in everything
    assert said[-1] == "True"


async def test_receivers_on_one_host_are_told_apart_without_their_paths() -> None:
    urls = ("https://hooks.example/one-hidden", "https://hooks.example/two-hidden")
    async with http_notices(*urls) as notices:
        first, second = notices.receivers
        assert first.shown == "https://hooks.example (1)"
        assert second.shown == "https://hooks.example (2)"
        assert first.digest != second.digest


# -- from the flags -------------------------------------------------------------------------------

MDMS = [f"-scaleio.preconfig.{role}=10.0.0.{at}" for at, role in
        enumerate(("primary", "secondary", "tiebreaker"))]  # fmt: skip


async def test_the_flags_name_the_receivers() -> None:
    argv = [*MDMS, "-notify.webhook=https://h.example/x,http://i.example:1"]
    argv.append("-notify.alertmanager=http://a.example:9093/")
    settings = parse(argv, {"SCALEIO_SCALEIO_PASSWORD": "password"})
    async with AsyncExitStack() as stack:
        notices = await open_notices(settings, Redactor(), stack)
        assert [(one.kind, one.shown) for one in notices.receivers] == [
            (WEBHOOK, "https://h.example"),
            (WEBHOOK, "http://i.example:1"),
            (ALERTMANAGER, "http://a.example:9093"),
        ]
        none = parse(MDMS, {"SCALEIO_SCALEIO_PASSWORD": "password"})
        assert await open_notices(none, Redactor(), stack) == NoReceivers()
