"""A bare client of the simulated Gateway: no network, a clock that stands still."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
import trio

from simulation.gateway import Api, SimulatedGateway
from simulation.http_server import Reply, Request

GUID = "6A1D4C5E-0F3B-4C52-9C35-0A8B5F7C2D11"


@attrs.define
class Client:
    """Speaks to the handler without a network; every release accepts what it sends."""

    simulated: SimulatedGateway
    now: list[float]
    token: str = ""
    events: list[tuple[str, Mapping[str, object]]] = attrs.field(factory=list)

    def ask(
        self, method: str, path: str, body: object = None, *, authorization: str | None = None
    ) -> tuple[int, Any]:
        headers = {"content-type": "application/json;version=2.0"} if method == "POST" else {}
        headers["authorization"] = authorization or basic("", self.token)
        raw = b"" if body is None else msgspec.json.encode(body)
        reply = trio.run(
            self.simulated.handler,
            Request(method=method, target=path, headers=headers, body=raw),
        )
        assert isinstance(reply, Reply)
        is_json = dict(reply.headers).get("Content-Type") == "application/json"
        return reply.status, msgspec.json.decode(reply.body) if is_json else reply.body

    def headers(self, path: str) -> dict[str, str]:
        """Of the reply."""
        headers = {"authorization": basic("", self.token)}
        request = Request(method="GET", target=path, headers=headers, body=b"")
        reply = trio.run(self.simulated.handler, request)
        assert isinstance(reply, Reply)
        return dict(reply.headers)

    def get(self, path: str) -> Any:
        status, value = self.ask("GET", path)
        assert status == 200, value
        return value

    def post(self, path: str, body: object) -> Any:
        status, value = self.ask("POST", path, body)
        assert status == 200, value
        return value

    def code(self, path: str, body: object) -> tuple[int, int]:
        status, value = self.ask("POST", path, body)
        assert value["httpStatusCode"] == status
        return status, value["errorCode"]

    def log_in(self) -> str:
        status, token = self.ask("GET", "/api/login", authorization=basic("admin", "pw"))
        assert status == 200
        self.token = str(token)
        return self.token


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def make(api: Api = "2.5", **settings: Any) -> Client:
    now = [0.0]
    simulated = SimulatedGateway(
        api=api,
        user="admin",
        password="pw",
        clock=lambda: now[0],
        rng=random.Random(7),  # noqa: S311 - the same ids in each run
        **settings,
    )
    client = Client(simulated, now)
    simulated.listeners.append(lambda kind, facts: client.events.append((kind, facts)))
    simulated.seed()
    client.log_in()
    return client


def ids(client: Client, kind: str) -> list[str]:
    return [item["id"] for item in client.get(f"/api/types/{kind}/instances")]


def new_volume(client: Client, name: str = "v", **more: object) -> str:
    pool = ids(client, "StoragePool")[0]
    body = {"storagePoolId": pool, "name": name, "volumeSizeInGb": "8", **more}
    made: str = client.post("/api/types/Volume/instances", body)["id"]
    return made
