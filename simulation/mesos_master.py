"""The simulated master's HTTP: one front per master, of which one leads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, Literal

import attrs
import trio

from simulation import mesos_json
from simulation.http_server import Cut, Reply, Request, StreamReply
from simulation.mesos_agent_http import json_reply, text_reply
from simulation.mesos_calls import Calls
from simulation.mesos_fields import CallError
from simulation.mesos_maintenance import Maintenance
from simulation.mesos_observed import CallReceived
from simulation.mesos_operations import Operations
from simulation.mesos_operator import Operator
from simulation.mesos_parse import CallReader
from simulation.mesos_state import Framework, MasterState
from simulation.mesos_subscriptions import Subscriptions
from simulation.mesos_values import (
    Accept,
    Acknowledge,
    AcknowledgeOperation,
    Address,
    AnswerInverseOffers,
    Call,
    Decline,
    FrameworkInfo,
    Kill,
    OtherCall,
    Reconcile,
    ReconcileOperations,
    Revive,
    Shutdown,
    Subscribe,
    Suppress,
    Teardown,
    UpdateFramework,
)

SCHEDULER: Final = "/master/api/v1/scheduler"
OPERATOR: Final = "/master/api/v1"
ALIASES: Final = {
    "/api/v1/scheduler": SCHEDULER,
    "/api/v1": OPERATOR,
    "/redirect": "/master/redirect",
    "/flags": "/master/flags",
    "/health": "/master/health",
}
GARBAGE: Final = b"<html><body>upstream sent something else</body></html>"


@attrs.define(eq=False)
class CallDials:
    """Disturbances of the scheduler endpoint; each counter is used up by the next calls."""

    lose: int = 0  # answered 202, not done
    lose_kinds: frozenset[str] = frozenset()  # only these; none: any
    slow: int = 0
    slow_s: float = 0.0
    garbage: int = 0


@attrs.define(eq=False)
class Master:
    """The leading master: what all fronts hand their requests to when they lead."""

    state: MasterState
    subscriptions: Subscriptions
    calls: Calls
    operations: Operations
    maintenance: Maintenance
    operator: Operator
    dials: CallDials = attrs.field(factory=CallDials)
    credentials: Mapping[str, str] = attrs.field(factory=dict)

    def unauthorized(self, request: Request, realm: str) -> Reply | None:
        """A 401, or None; without credentials everybody is welcome."""
        if not self.credentials or self._principal(request):
            return None
        asks = ("WWW-Authenticate", f'Basic realm="mesos-master-{realm}"')
        return text_reply(401, "401 Unauthorized.", asks)

    def _principal(self, request: Request) -> str:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        good = kind == "Basic" and bool(name) and self.credentials.get(name) == secret
        return name if good else ""

    def schedule(self, request: Request) -> Reply | StreamReply:
        """POST /api/v1/scheduler."""
        content = request.headers.get("content-type")
        if content is None:
            return text_reply(400, "Expecting 'Content-Type' to be present")
        if content == "application/x-protobuf":
            return text_reply(400, "Failed to parse body into Call protobuf")
        if content != "application/json":
            return text_reply(
                415, "Expecting 'Content-Type' of application/json or application/x-protobuf"
            )
        try:
            call = CallReader(self.state.version_tuple).read(request.body)
        except CallError as error:
            return self._told(None, request, text_reply(400, str(error)))
        if isinstance(call, Subscribe):
            return self._subscribe(call, request)
        return self._call(call, request)

    def _told(
        self,
        call: Call | None,
        request: Request,
        reply: Reply,
        *,
        current: bool = False,
        lost: bool = False,
    ) -> Reply:
        kind = "" if call is None else _kind(call)
        self.state.tell(
            CallReceived(
                at=self.state.now,
                kind=kind,
                framework_id="" if call is None else call.framework_id,
                stream_id=request.headers.get("mesos-stream-id", ""),
                current=current,
                status=reply.status,
                lost=lost,
            )
        )
        return reply

    def _subscribe(self, call: Subscribe, request: Request) -> Reply | StreamReply:
        why = self._wrong_principal(call.info, request)
        if why:
            return self._told(call, request, text_reply(400, why))
        if "mesos-stream-id" in request.headers:
            why = "Subscribe calls should not include the 'Mesos-Stream-Id' header"
            return self._told(call, request, text_reply(400, why))
        accept = request.headers.get("accept", "*/*")
        if not any(word in accept for word in ("application/json", "*/*", "application/*")):
            why = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
            return self._told(call, request, text_reply(406, why))
        if self.dials.garbage > 0:
            self.dials.garbage -= 1
            return self._told(call, request, Reply(body=GARBAGE), lost=True)
        self._told(call, request, Reply())
        stream = self.subscriptions.subscribe(call)
        head = (
            ("Mesos-Stream-Id", stream.stream_id),
            ("Content-Type", "application/json"),
            ("Connection", "close"),  # our server closes after a stream, so it says so
        )
        return StreamReply(chunks=stream, headers=head, over=stream.gone)

    def _wrong_principal(self, info: FrameworkInfo, request: Request) -> str:
        name = self._principal(request) if self.credentials else ""
        if not name or info.principal is None or info.principal == name:
            return ""
        return (
            f"Failed to validate scheduler::Call: Authenticated principal '{name}' does not"
            f" match principal '{info.principal}' set in `FrameworkInfo`"
        )

    def _call(self, call: Call, request: Request) -> Reply:
        framework = self.state.frameworks.get(call.framework_id)
        if framework is None:
            return self._told(call, request, text_reply(400, "Framework cannot be found"))
        stream = framework.stream
        if stream is None or not stream.open:
            return self._told(call, request, text_reply(403, "Framework is not subscribed"))
        given = request.headers.get("mesos-stream-id")
        if given is None:
            why = "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
            return self._told(call, request, text_reply(400, why))
        if given != stream.stream_id:
            why = (
                f"The stream ID '{given}' included in this request didn't match the stream ID"
                f" currently associated with framework ID {framework.id}"
            )
            return self._told(call, request, text_reply(400, why))
        if self._is_lost(framework, call):
            reply = Reply(status=202)
            if self.dials.garbage > 0:
                self.dials.garbage -= 1
                reply = Reply(body=GARBAGE)
            else:
                self.dials.lose -= 1
            return self._told(call, request, reply, current=True, lost=True)
        if isinstance(call, UpdateFramework):
            why = self.subscriptions.update(framework, call)
            reply = text_reply(400, why) if why else Reply()
            return self._told(call, request, reply, current=True)
        self._told(call, request, Reply(status=202), current=True)
        self._perform(framework, call)
        return Reply(status=202)

    def _is_lost(self, framework: Framework, call: Call) -> bool:
        kinds = self.dials.lose_kinds
        wanted = self.dials.lose > 0 and (not kinds or _kind(call) in kinds)
        if not wanted and self.dials.garbage == 0:
            return False
        if isinstance(call, Accept | Decline):
            self.calls.lost(framework, call)
        return True

    def _perform(self, framework: Framework, call: Call) -> None:
        match call:
            case Accept():
                self.calls.accept(framework, call)
            case Decline():
                self.calls.decline(framework, call)
            case Revive():
                self.calls.revive(framework, call)
            case Suppress():
                self.calls.suppress(framework, call)
            case Kill():
                self.calls.kill(framework, call)
            case Acknowledge():
                self.calls.acknowledge(framework, call)
            case Reconcile():
                self.calls.reconcile(framework, call)
            case Teardown():
                self.subscriptions.remove(framework, "TEARDOWN")
            case AnswerInverseOffers():
                self.maintenance.answer(framework, call)
            case Shutdown():
                self.calls.shut_down(framework, call)
            case AcknowledgeOperation():
                self.operations.acknowledge(framework, call)
            case ReconcileOperations():
                self.operations.reconcile(framework, call)
            case OtherCall() | Subscribe() | UpdateFramework():
                pass


_KINDS: Final = {
    UpdateFramework: "UPDATE_FRAMEWORK",
    AcknowledgeOperation: "ACKNOWLEDGE_OPERATION_STATUS",
    ReconcileOperations: "RECONCILE_OPERATIONS",
}


def _kind(call: Call) -> str:
    match call:
        case OtherCall(kind=kind):
            return kind
        case AnswerInverseOffers(accepted=accepted):
            return "ACCEPT_INVERSE_OFFERS" if accepted else "DECLINE_INVERSE_OFFERS"
        case _:
            return _KINDS.get(type(call)) or type(call).__name__.upper()


@attrs.define(eq=False)
class MasterFront:
    """One master process at one address. `status` is where it stands."""

    address: Address
    master: Master
    status: Literal["leading", "standby", "electing", "recovering", "down"] = "standby"

    async def handle(self, request: Request) -> Reply | StreamReply | Cut:
        await trio.lowlevel.checkpoint()
        dials = self.master.dials
        if dials.slow > 0 and ALIASES.get(request.path, request.path) == SCHEDULER:
            dials.slow -= 1
            await trio.sleep(dials.slow_s)
        return self.answer(request)

    def answer(self, request: Request) -> Reply | StreamReply | Cut:
        if self.status == "down":
            return Cut()
        path = ALIASES.get(request.path, request.path)
        match path:
            case "/version" | "/master/version":
                return json_reply(mesos_json.version_body(self.master.state.version))
            case "/master/health":
                return Reply()
            case "/master/redirect":
                return self._redirect("")
            case "/master/flags":
                return json_reply({"flags": self.master.operator.flags()})
            case "/master/api/v1/scheduler" | "/master/api/v1":
                return self._api(request, path)
            case _:
                return text_reply(404, "404 Not Found.")

    def _redirect(self, path: str) -> Reply:
        if self.status in {"electing", "recovering"}:
            return text_reply(503, "No leader elected")
        leader = self.master.state.address
        location = f"//{leader.shown}:{leader.port}{path}"
        return Reply(status=307, headers=(("Location", location),))

    def _api(self, request: Request, path: str) -> Reply | StreamReply:
        realm = "scheduler" if path == SCHEDULER else "readwrite"
        refused = self.master.unauthorized(request, realm)
        if refused is not None:
            return refused
        if self.status in {"standby", "electing"}:
            return self._redirect(path)
        if self.status == "recovering":
            return text_reply(503, "Master has not finished recovery")
        if request.method != "POST":
            received = "405 Method Not Allowed. Expecting one of { 'POST' }, but received"
            return text_reply(405, f"{received} '{request.method}'.", ("Allow", "POST"))
        if path == SCHEDULER:
            return self.master.schedule(request)
        return self.master.operator.answer(request)
