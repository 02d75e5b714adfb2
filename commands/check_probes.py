"""The looks of `check`: each asks one thing outside, changes nothing, and ends within its time."""

from __future__ import annotations

import email.utils
import json
import os
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio

from actors.ports import LeaderUnknownError, MesosUnreachableError
from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import Seen, gateway_client
from adapters.mesos_http import HttpMesos
from adapters.store_choice import SqliteChoice, ZooKeeperChoice
from adapters.store_uri import StoreChoiceError
from commands.inputs import Inputs
from commands.opening import (
    BadInputError,
    Waiting,
    choose_the_store,
    open_leaders,
    open_masters,
    open_tls,
)
from domain import preflight
from domain.preflight import Line, right, unknown, wrong
from flags.address import own_addresses
from install_steps.assembly import gateway_base
from install_steps.packages import Package
from protocol.gateway.errors import GatewayError
from settings import Redactor, Settings

PATIENCE_S: Final = 20.0  # of each look
PACKAGES_AT_ONCE: Final = 8

Tell = Callable[[Line], None]
Probe = Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Probes:
    """`tell` takes each line as it is found."""

    settings: Settings
    inputs: Inputs
    redactor: Redactor
    chance: Any
    tell: Tell
    stack: AsyncExitStack

    def all(self) -> Mapping[str, Probe]:
        """By area."""
        return {
            "master": self.master,
            "gateway": self.gateway,
            "store": self.store,
            "packages": self.packages,
            "ports": self.ports,
            "files": self.files,
        }

    # --- Mesos ------------------------------------------------------------------------------------

    async def _mesos(self) -> HttpMesos:
        tls = await trio.to_thread.run_sync(open_tls, self.settings)
        return await open_masters(self.settings, self.redactor, self.stack, tls)

    async def master(self) -> None:
        mesos = await self._mesos()
        leaders = open_leaders(self.settings, self.chance, self.redactor)
        self.stack.push_async_callback(leaders.close)
        try:
            bases = await leaders.bases()
        except LeaderUnknownError as error:
            self.tell(wrong("master", "leader", str(error), "correct -uri"))
            return
        for base in bases:
            if await self._one_master(mesos, base):
                return
        cure = "correct -uri, or bring a master back"
        self.tell(wrong("master", "any", f"none of {', '.join(bases)} answers", cure))

    async def _one_master(self, mesos: HttpMesos, base: str) -> bool:
        """True if it answers."""
        try:
            answer = await mesos.get(base, "/version")
        except MesosUnreachableError as error:
            self.tell(unknown("master", base, str(error), "nothing, if another one leads"))
            return False
        told = _object(answer.body)
        self.tell(right("master", base, "answers"))
        self.tell(preflight.master_version(str(told.get("version", ""))))
        date = _date(answer.headers.get("date", ""))
        self.tell(preflight.clock("master", date, _wall()))
        flags = await mesos.get(base, "/flags")
        if flags.status == 401:
            cure = "correct -mesos.principal and -mesos.secret-file"
            self.tell(wrong("master", "credentials", "refused (401)", cure))
            return True
        if flags.status != 200:
            cure = "nothing, where this principal may not read flags"
            self.tell(unknown("master", "role", f"GET /flags: {flags.status}", cure))
        else:
            self.tell(right("master", "credentials", "accepted"))
            self.tell(preflight.roles(self.settings.role, _object(flags.body).get("flags", {})))
        agents = await mesos.operator(base, b'{"type":"GET_AGENTS"}')
        listed = _object(agents.body).get("get_agents", {}).get("agents", [])
        if agents.status == 200 and listed:
            self.tell(right("master", "agents", f"{len(listed)} are registered"))
        elif agents.status in (200, 307):
            cure = "nothing, if another master leads or agents come later"
            self.tell(unknown("master", "agents", "none is told by this master", cure))
        else:
            cure = "let the principal view agents; without it they are found by offers only"
            self.tell(unknown("master", "agents", f"GET_AGENTS: {agents.status}", cure))
        return True

    # --- the Gateway ------------------------------------------------------------------------------

    async def gateway(self) -> None:
        settings, seen = self.settings, Seen()
        urls = [gateway_base(address) for address in settings.gateway_addresses]
        first: list[str] = []

        async def note(place: str, fingerprint: str) -> None:
            await trio.lowlevel.checkpoint()
            first.append(f"{place} {fingerprint}")

        ca_file = settings.scaleio_gateway_ca_file
        client = gateway_client(
            ca_file=str(ca_file) if ca_file else None,
            fingerprint=",".join(settings.scaleio_gateway_fingerprint),
            pin=note,
            seen=seen,
        )
        await self.stack.enter_async_context(client)
        port = HttpGateway(
            client=client,
            base_url=urls[0],
            others=tuple(urls[1:]),
            user=settings.scaleio_user,
            password=settings.scaleio_password.reveal,
            clock=trio.current_time,
            chance=self.chance.random,
            seen=seen,
        )
        try:
            snapshot = await port.snapshot()
        except GatewayError as error:
            self.tell(wrong("gateway", ", ".join(urls), str(error), "see docs/storage.md"))
            return
        finally:
            with trio.move_on_after(5, shield=True):
                await port.close()
        wanted = preflight.Wanted(
            system_id=settings.scaleio_clusterid,
            system_name=settings.scaleio_clustername,
            domain=settings.scaleio_protectiondomain,
            pool=settings.scaleio_storagepool,
        )
        for line in preflight.gateway(snapshot, wanted, _wall()):
            self.tell(line)
        self.tell(preflight.clock("Gateway", snapshot.gateway_time or None, _wall()))
        for certificate in first:
            cure = "compare it, and name it with -scaleio.gateway.fingerprint"
            self.tell(unknown("gateway", "certificate", f"first seen: {certificate}", cure))

    # --- the store --------------------------------------------------------------------------------

    async def store(self) -> None:
        mesos, waiting = await self._mesos(), Waiting()
        try:
            with trio.fail_after(PATIENCE_S / 2):
                choice = await choose_the_store(self.settings, mesos, self.redactor, waiting)
        except (StoreChoiceError, BadInputError) as error:
            self.tell(wrong("store", "choice", str(error), "correct -store.type, -store.uri"))
            return
        except trio.TooSlowError:
            self.tell(unknown("store", "choice", waiting.why or "no master tells", "-store.uri"))
            return
        match choice:
            case SqliteChoice(path=path, reason=reason):
                self.tell(right("store", "choice", f"a file, because {reason}"))
                self.tell(await trio.to_thread.run_sync(_sqlite, path))
            case ZooKeeperChoice(ensemble=ensemble, reason=reason):
                self.tell(right("store", "choice", f"{ensemble}, because {reason}"))
                for server in ensemble.servers:
                    self.tell(await _server(server))

    # --- packages ---------------------------------------------------------------------------------

    async def packages(self) -> None:
        catalog = self.inputs.catalog
        for note in self.inputs.notes:
            self.tell(wrong("packages", "folder", note, "put the catalog's file there"))
        if catalog is None:
            cure = "give -catalog, if anything is to be installed"
            self.tell(unknown("packages", "catalog", "none: what is there is used", cure))
            return
        here = self.inputs.shelf.digests
        self.tell(
            right("packages", "catalog", f"{len(catalog.packages)} entries, {len(here)} here")
        )
        asked = {url: p for p in catalog.packages if p.sha256 not in here for url in p.urls}
        places = trio.Semaphore(PACKAGES_AT_ONCE)
        async with (
            httpx.AsyncClient(timeout=10.0, trust_env=False, follow_redirects=True) as client,
            trio.open_nursery() as nursery,
        ):
            for url, package in asked.items():
                nursery.start_soon(self._mirror, client, url, package, places)

    async def _mirror(
        self, client: httpx.AsyncClient, url: str, package: Package, places: trio.Semaphore
    ) -> None:
        cure = "correct the catalog, or put the file into -packages.dir"
        async with places:
            try:
                answer = await client.head(url)
                if answer.status_code in (403, 405, 501):
                    answer = await client.get(url, headers={"range": "bytes=0-0"})
            except httpx.HTTPError as error:
                told = str(error) or type(error).__name__
                self.tell(wrong("packages", url, told, cure))
                return
        if answer.status_code not in (200, 206):
            self.tell(wrong("packages", url, f"answers {answer.status_code}", cure))
            return
        told = answer.headers.get("content-range", "").rpartition("/")[2]
        told = told or answer.headers.get("content-length", "")
        if not told.isdigit():
            self.tell(unknown("packages", url, "is there, and does not tell its size", "nothing"))
        elif int(told) != package.size_bytes:
            seen = f"has {told} bytes, the catalog says {package.size_bytes}"
            self.tell(wrong("packages", url, seen, cure))
        else:
            self.tell(right("packages", url, f"{told} bytes"))

    # --- this host --------------------------------------------------------------------------------

    async def ports(self) -> None:
        settings = self.settings
        wanted = {
            "-rest.port": (settings.rest_bind, settings.rest_port),
            "-rest.tls-port": (settings.rest_bind, settings.rest_tls_port),
            "-rest.changes-port": (settings.rest_changes_address, settings.rest_changes_port),
        }
        for flag, (host, port) in wanted.items():
            if port:
                self.tell(await _port(flag, host, port))
        ours = await trio.to_thread.run_sync(own_addresses, settings.hostname)
        address = settings.rest_advertised.strip("[]")
        if address in ours or address == "localhost" or address.startswith("127."):
            self.tell(right("ports", "announced address", address))
        else:
            cure = "give -rest.address, by which agents reach this host"
            self.tell(unknown("ports", "announced address", f"{address} is not ours", cure))

    async def files(self) -> None:
        await trio.lowlevel.checkpoint()
        secret = {
            "-scaleio.password-file": self.settings.scaleio_password_file,
            "-rest.token-file": self.settings.rest_token_file,
            "-rest.viewer-token-file": self.settings.rest_viewer_token_file,
            "-rest.tls-key-file": self.settings.rest_tls_key_file,
            "-mesos.secret-file": self.settings.mesos_secret_file,
            "-mesos.key-file": self.settings.mesos_key_file,
            "-notify.token-file": self.settings.notify_token_file,
        }
        for flag, file in secret.items():
            if file and not str(file).startswith("/dev/fd/"):
                self.tell(_private(flag, Path(file)))
        for warning in self.settings.warnings:
            self.tell(unknown("files", "flags", warning, "see docs/flags.md"))


# --- small looks ----------------------------------------------------------------------------------


def _wall() -> float:
    return time.time()  # noqa: TID251 - a command's own clock


def _object(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _sqlite(path: Path) -> Line:
    if not path.exists():
        folder = next(p for p in path.parents if p.exists())
        if folder.is_dir() and os.access(folder, os.W_OK):
            return right("store", str(path), "is made at the first start")
        return wrong("store", str(path), f"{folder} cannot be written", "give -store.uri")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2) as opened:
            told = opened.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        return wrong("store", str(path), str(error), "see docs/operations.md on damaged files")
    if told != "ok":
        return wrong("store", str(path), str(told), "see docs/operations.md on damaged files")
    if not os.access(path, os.W_OK):
        return wrong("store", str(path), "cannot be written", "let our user write it")
    return right("store", str(path), "is whole")


async def _server(server: str) -> Line:
    host, _, port = server.rpartition(":")
    try:
        with trio.fail_after(5):
            stream = await trio.open_tcp_stream(host.strip("[]"), int(port))
            await stream.aclose()
    except (OSError, trio.TooSlowError) as error:
        seen = str(error) or "does not answer"
        return wrong("store", server, seen, "bring it back, or correct -store.uri")
    return right("store", server, "answers")


async def _port(flag: str, host: str, port: int) -> Line:
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            told = error.strerror or str(error)
        else:
            return right("ports", f"{flag}={port}", "is free")
    where = "127.0.0.1" if host in ("0.0.0.0", "") else host
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            answer = await client.get(f"http://{where}:{port}/healthz")
        if "status" in answer.json():
            return right("ports", f"{flag}={port}", "a scheduler of ours has it now")
    except (httpx.HTTPError, ValueError, TypeError):
        pass
    return wrong("ports", f"{flag}={port}", told, "end the program that has it, or take another")


def _private(flag: str, file: Path) -> Line:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return wrong("files", f"{flag}={file}", error.strerror or "", "correct the flag")
    if mode & 0o077:
        return wrong(
            "files", f"{flag}={file}", f"mode {mode & 0o777:o}: others may read it", "chmod 600"
        )
    return right("files", f"{flag}={file}", "readable by its owner only")
