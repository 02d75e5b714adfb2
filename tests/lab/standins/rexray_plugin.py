"""Docker's volume plugin protocol on unix sockets: how dvdcli, and Docker, reach REX-Ray."""

from __future__ import annotations

import http.server
import json
import socketserver
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .rexray_config import Module
from .rexray_gateway import GatewayError
from .rexray_volumes import VolumeError, Volumes

CONTENT_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"

POLL_S: Final = 0.1


def answer(volumes: Volumes, module: Module, path: str, asked: dict[str, Any]) -> object:
    """The answer's JSON value. Raises VolumeError, GatewayError; LookupError for another path."""
    name = str(asked.get("Name", ""))
    match path:
        case "/Plugin.Activate":
            return {"Implements": ["VolumeDriver"]}
        case "/VolumeDriver.Create":
            volumes.create(name, asked.get("Opts") or {})
            return {}
        case "/VolumeDriver.Remove":
            volumes.remove(name)
            return {}
        case "/VolumeDriver.Mount":
            return {"Mountpoint": str(volumes.mount(name))}
        case "/VolumeDriver.Unmount":
            volumes.unmount(name, ignore_used_count=module.ignore_used_count)
            return {}
        case "/VolumeDriver.Path":
            return {"Mountpoint": volumes.path(name)}
        case "/VolumeDriver.Get":
            return {"Volume": volumes.get(name)}
        case "/VolumeDriver.List":
            return {"Volumes": volumes.list()}
        case _:
            raise LookupError(path)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, volumes: Volumes, module: Module) -> None:
        module.socket.parent.mkdir(parents=True, exist_ok=True)
        Path(module.socket).unlink(missing_ok=True)
        self.volumes = volumes
        self.module = module
        super().__init__(str(module.socket), Handler)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        try:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = json.loads(raw) if raw.strip() else {}
            self._reply(200, answer(self.server.volumes, self.server.module, self.path, asked))
        except LookupError:
            self._reply(404, {"Error": f"no such call: {self.path}"})
        except (VolumeError, GatewayError, ValueError, OSError) as error:
            sys.stderr.write(f'level=error msg="{self.path}: {error}"\n')
            sys.stderr.flush()
            self._reply(500, {"Error": str(error)})

    def _reply(self, status: int, value: object | Mapping[str, object]) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"  # a unix socket's client has no address

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing: failures are logged where they are answered."""
