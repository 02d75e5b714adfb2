"""The ScaleIO Gateway as REX-Ray's driver uses it, with the calls that its client library makes."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .rexray_config import Config

Json = dict[str, Any]

CALL_S: Final = 20.0
NAME_CHARACTERS_MAX: Final = 31  # longer names are cut, as the real driver does
VOLUME_NOT_FOUND: Final = 79
NOT_FOUND: Final = frozenset({3, VOLUME_NOT_FOUND})


class GatewayError(Exception):
    """The Gateway says no, or cannot be reached. `code` is the MDM's, or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Gateway:
    """Logs in when it must: also when a token has lapsed, or the Gateway was restarted."""

    def __init__(self, config: Config) -> None:
        parts = urlsplit(config.endpoint)
        if parts.scheme != "https" or not parts.hostname:
            raise GatewayError("scaleio.endpoint is no https address")
        self._host, self._port = parts.hostname, parts.port or 443
        self._base = parts.path.rstrip("/")
        self._user, self._password = config.user, config.password
        self._tls = ssl.create_default_context()
        if config.insecure:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._token = ""
        self._lock = threading.Lock()

    def log_in(self) -> None:
        status, body = self._send("GET", "/login", (self._user, self._password), None)
        if status != 200:
            raise GatewayError(f"error authenticating as {self._user}: HTTP {status}")
        self._token = str(json.loads(body))

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        """One new login when the token is no longer taken, and no more. Raises GatewayError."""
        with self._lock:
            if not self._token:
                self.log_in()
            status, raw = self._send(method, path, ("", self._token), body)
            if status == 401:
                self.log_in()
                status, raw = self._send(method, path, ("", self._token), body)
        try:
            decoded = json.loads(raw) if raw.strip() else {}
        except ValueError:
            raise GatewayError(f"{path}: HTTP {status} without JSON") from None
        if status != 200:
            told: Json = decoded if isinstance(decoded, dict) else {}
            code = int(told.get("errorCode", 0))
            raise GatewayError(str(told.get("message", f"{path}: HTTP {status}")), code)
        return decoded

    def _send(
        self, method: str, path: str, who: tuple[str, str], body: Mapping[str, object] | None
    ) -> tuple[int, bytes]:
        basic = base64.b64encode(":".join(who).encode()).decode("ascii")
        headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
        content = None
        if method == "POST":
            headers["Content-Type"] = "application/json"
            content = json.dumps(body or {})
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=CALL_S, context=self._tls
        )
        try:
            connection.request(method, self._base + path, content, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise GatewayError(f"the Gateway at {self._host}:{self._port}: {error}") from None
        finally:
            connection.close()


class Storage:
    """The system, domain and pool of the configuration. Raises GatewayError."""

    def __init__(self, gateway: Gateway, config: Config) -> None:
        self._gateway = gateway
        self._thin_or_thick = config.thin_or_thick
        name = config.system_id or config.system_name
        self.system = _one("system", gateway.get("/types/System/instances"), name)
        related = f"/instances/System::{self.system}/relationships/ProtectionDomain"
        self.domain = _one("protection domain", gateway.get(related), config.domain)
        related = f"/instances/ProtectionDomain::{self.domain}/relationships/StoragePool"
        self.pool = _one("storage pool", gateway.get(related), config.pool)

    def sdc(self, guid: str) -> str:
        """The SDC's id."""
        for sdc in self._gateway.get(f"/instances/System::{self.system}/relationships/Sdc"):
            if str(sdc.get("sdcGuid", "")).upper() == guid.upper():
                return str(sdc["id"])
        raise GatewayError(f"error finding SDC with GUID {guid}")

    def volumes(self) -> list[Json]:
        found: list[Json] = self._gateway.get("/types/Volume/instances")
        return found

    def find(self, name: str) -> Json | None:
        body = {"name": name[:NAME_CHARACTERS_MAX]}
        try:
            found = self._gateway.post("/types/Volume/instances/action/queryIdByKey", body)
            volume: Json = self._gateway.get(f"/instances/Volume::{found}")
        except GatewayError as error:
            if error.code in NOT_FOUND:
                return None
            raise
        return volume

    def create(self, name: str, size_gb: int) -> None:
        body = {
            "protectionDomainId": self.domain,
            "storagePoolId": self.pool,
            "name": name[:NAME_CHARACTERS_MAX],
            "volumeSizeInKb": str(size_gb * 1024 * 1024),
            "volumeType": self._thin_or_thick,
        }
        self._gateway.post("/types/Volume/instances", body)

    def remove(self, volume: Json) -> None:
        self._act(volume, "removeVolume", {"removeMode": "ONLY_ME"})

    def map(self, volume: Json, sdc: str) -> None:
        body = {"sdcId": sdc, "allowMultipleMappings": "false", "allSdcs": ""}
        self._act(volume, "addMappedSdc", body)

    def unmap(self, volume: Json, sdc: str) -> None:
        body = {"sdcId": sdc, "ignoreScsiInitiators": "true", "allSdcs": ""}
        self._act(volume, "removeMappedSdc", body)

    def unmap_all(self, volume: Json) -> None:
        """Away from whoever has it: a detach by force."""
        body = {"sdcId": "", "ignoreScsiInitiators": "true", "allSdcs": "true"}
        self._act(volume, "removeMappedSdc", body)

    def _act(self, volume: Json, verb: str, body: Mapping[str, object]) -> None:
        self._gateway.post(f"/instances/Volume::{volume['id']}/action/{verb}", body)


def mapped_to(volume: Json) -> list[str]:
    """Ids of the SDCs that have it."""
    return [str(sdc["sdcId"]) for sdc in volume.get("mappedSdcInfo") or ()]


def _one(what: str, found: list[Json], name: str) -> str:
    for thing in found:
        if name in (thing.get("id"), thing.get("name")):
            return str(thing["id"])
    raise GatewayError(f"error finding {what} {name}")
