"""Requests to the Gateway as values: method, path and JSON body. Nothing is sent here.

No builder can express a force field (`forceDeviceTakeover`, `forceClean`): a disk that the
Gateway believes to hold data is never taken over.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import quote

import attrs
import msgspec

from protocol.gateway.errors import GatewayRefusedError
from protocol.gateway.versions import POOL_MEDIA_TYPE_SINCE, ApiVersion, version_text

NAME_CHARACTERS_MAX: Final = 31  # longer names are refused or cut by every release
KB_PER_GB: Final = 1024 * 1024
VOLUME_STEP_GB: Final = 8  # volumes come in steps of 8 GB; releases round up or refuse

ObjectType = Literal[
    "System",
    "ProtectionDomain",
    "StoragePool",
    "FaultSet",
    "Sds",
    "Device",
    "Sdc",
    "Volume",
    "Alert",
]
Json = str | int | bool | Sequence["Json"] | Mapping[str, "Json"]


@attrs.frozen(kw_only=True)
class GatewayRequest:
    """`authorization`: this request's own credentials, in place of the session's.

    `asks`: a POST that changes nothing, so that it may be sent again.
    """

    method: Literal["GET", "POST"]
    path: str
    body: bytes | None = attrs.field(default=None, repr=False)
    authorization: str | None = attrs.field(default=None, repr=False)
    asks: bool = False

    @property
    def may_repeat(self) -> bool:
        return self.asks or self.method == "GET"

    @property
    def call(self) -> str:
        """What is asked, for error messages."""
        return f"{self.method} {self.path}"


def headers(
    request: GatewayRequest,
    *,
    version: ApiVersion | None,
    authorization: str | None,
    request_id: str = "",
) -> dict[str, str]:
    """HTTP headers: the API version travels in the media type; a POST is always JSON."""
    media_type = "application/json"
    if version is not None:
        media_type += f";version={version_text(version)}"
    made = {"Accept": media_type, "Accept-Encoding": "identity"}
    if request_id:
        made["X-Request-Id"] = request_id
    if request.body is not None:
        made["Content-Type"] = media_type
    credentials = request.authorization or authorization
    if credentials is not None:
        made["Authorization"] = credentials
    return made


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode("ascii")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def checked_name(name: str) -> str:
    """The name itself, or a refusal that says what is wrong with it (nothing is sent then)."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise GatewayRefusedError(
            code=0,
            status=400,
            message=f"the name {name[:80]!r} has {len(name)} characters, ScaleIO takes at most "
            f"{NAME_CHARACTERS_MAX}: choose a shorter one",
        )
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise GatewayRefusedError(
            code=0,
            status=400,
            message=f"the name {name!r} does not fit ScaleIO: use 1 to {NAME_CHARACTERS_MAX} "
            "letters, digits and punctuation marks, no blanks",
        )
    return name


# --- session


def login(user: str, password: str) -> GatewayRequest:
    return GatewayRequest(method="GET", path="/api/login", authorization=basic(user, password))


def logout(authorization: str) -> GatewayRequest:
    return GatewayRequest(method="GET", path="/api/logout", authorization=authorization)


def version(authorization: str) -> GatewayRequest:
    return GatewayRequest(method="GET", path="/api/version", authorization=authorization)


def bearer_login(user: str, password: str) -> GatewayRequest:
    return _post("/rest/auth/login", {"username": user, "password": password})


def bearer_logout(refresh_token: str, authorization: str) -> GatewayRequest:
    asked = _post("/rest/auth/logout", {"refresh_token": refresh_token})
    return attrs.evolve(asked, authorization=authorization)


# --- reading


def instances_tree() -> GatewayRequest:
    return GatewayRequest(method="GET", path="/api/instances")


def listing(of: ObjectType) -> GatewayRequest:
    return GatewayRequest(method="GET", path=f"/api/types/{of}/instances")


def one(of: ObjectType, object_id: str) -> GatewayRequest:
    return GatewayRequest(method="GET", path=_path(of, object_id))


def related(of: ObjectType, object_id: str, relationship: str) -> GatewayRequest:
    path = f"{_path(of, object_id)}/relationships/{relationship}"
    return GatewayRequest(method="GET", path=path)


def mdm_cluster() -> GatewayRequest:
    return _asking(_post("/api/instances/System/queryMdmCluster", {}))


def selected_statistics(
    of: ObjectType, ids: Sequence[str], properties: Sequence[str]
) -> GatewayRequest:
    return _asking(
        _type_action(
            of, "querySelectedStatistics", {"ids": list(ids), "properties": list(properties)}
        )
    )


def statistics_of_all(of: ObjectType, properties: Sequence[str]) -> GatewayRequest:
    body: Mapping[str, Json] = {"allIds": "", "properties": list(properties)}
    return _asking(_type_action(of, "querySelectedStatistics", body))


def joint_statistics(wanted: Mapping[ObjectType, Sequence[str]]) -> GatewayRequest:
    """Statistics of every object of several types in one request (2.5 and later)."""
    asked: list[Json] = [
        {"type": of, "allIds": "", "properties": list(properties)}
        for of, properties in wanted.items()
    ]
    return _asking(
        _post("/api/instances/querySelectedStatistics", {"selectedStatisticsList": asked})
    )


def volume_id_by_name(name: str) -> GatewayRequest:
    return _asking(_type_action("Volume", "queryIdByKey", {"name": checked_name(name)}))


# --- creating


def create_protection_domain(name: str) -> GatewayRequest:
    return _create("ProtectionDomain", {"name": checked_name(name)})


def create_storage_pool(
    *, domain_id: str, name: str, media_type: str, api: ApiVersion, spare_percent: int = 0
) -> GatewayRequest:
    """`media_type` is sent where the release wants one; a spare of 0 is the Gateway's default."""
    body: dict[str, Json] = {"protectionDomainId": domain_id, "name": checked_name(name)}
    if api >= POOL_MEDIA_TYPE_SINCE:
        body["mediaType"] = media_type
    if spare_percent:
        body["sparePercentage"] = str(spare_percent)
    return _create("StoragePool", body)


def create_fault_set(*, domain_id: str, name: str) -> GatewayRequest:
    return _create("FaultSet", {"protectionDomainId": domain_id, "name": checked_name(name)})


def create_sds(
    *, domain_id: str, name: str, addresses: Sequence[tuple[str, str]], fault_set_id: str = ""
) -> GatewayRequest:
    """`addresses`: (ip, role); a single one has to serve both SDSs and SDCs: role `all`."""
    body: dict[str, Json] = {
        "protectionDomainId": domain_id,
        "name": checked_name(name),
        "sdsIpList": [{"SdsIp": {"ip": ip, "role": role}} for ip, role in addresses],
    }
    if fault_set_id:
        body["faultSetId"] = fault_set_id
    return _create("Sds", body)


def create_device(
    *, sds_id: str, pool_id: str, path: str, name: str, test_mode: str = ""
) -> GatewayRequest:
    """The request spells `deviceCurrentPathname` with a small n, the reply with a capital one."""
    body = {"deviceCurrentPathname": path, "sdsId": sds_id, "storagePoolId": pool_id}
    if name:
        body["name"] = checked_name(name)
    if test_mode:
        body["testMode"] = test_mode
    return _create("Device", body)


def volume_size_kb(size_gb: int) -> int:
    """The size that will really be made: the next multiple of 8 GB, at least one."""
    steps = max(1, -(-size_gb // VOLUME_STEP_GB))
    return steps * VOLUME_STEP_GB * KB_PER_GB


def create_volume(*, pool_id: str, name: str, size_gb: int) -> GatewayRequest:
    return _create(
        "Volume",
        {
            "storagePoolId": pool_id,
            "name": checked_name(name),
            "volumeSizeInKb": str(volume_size_kb(size_gb)),
            "volumeType": "ThinProvisioned",
        },
    )


# --- changing


def approve_sdc(*, system_id: str, guid: str, address: str) -> GatewayRequest:
    body = {"sdcGuid": guid.upper()}
    if address:
        body["sdcIp"] = address
    return _action("System", system_id, "approveSdc", body)


def map_volume(*, volume_id: str, sdc_id: str) -> GatewayRequest:
    return _action("Volume", volume_id, "addMappedSdc", {"sdcId": sdc_id})


def unmap_volume(*, volume_id: str, sdc_id: str) -> GatewayRequest:
    return _action("Volume", volume_id, "removeMappedSdc", {"sdcId": sdc_id})


def remove_volume(volume_id: str) -> GatewayRequest:
    return _action("Volume", volume_id, "removeVolume", {"removeMode": "ONLY_ME"})


def remove_sds(sds_id: str) -> GatewayRequest:
    """Without force: the cluster moves its data away first."""
    return _action("Sds", sds_id, "removeSds", {})


def remove_sdc(sdc_id: str) -> GatewayRequest:
    return _action("Sdc", sdc_id, "removeSdc", {})


def remove_device(device_id: str) -> GatewayRequest:
    """Without force: its data is moved first."""
    return _action("Device", device_id, "removeDevice", {})


def remove_storage_pool(pool_id: str) -> GatewayRequest:
    return _action("StoragePool", pool_id, "removeStoragePool", {})


def remove_protection_domain(domain_id: str) -> GatewayRequest:
    return _action("ProtectionDomain", domain_id, "removeProtectionDomain", {})


def name_sdc(*, sdc_id: str, name: str) -> GatewayRequest:
    return _action("Sdc", sdc_id, "setSdcName", {"sdcName": checked_name(name)})


def set_capacity_thresholds(*, pool_id: str, high: int, critical: int) -> GatewayRequest:
    """Percent. The names that are read lack the word Percent; these have it."""
    body = {
        "capacityAlertHighThresholdPercent": str(high),
        "capacityAlertCriticalThresholdPercent": str(critical),
    }
    return _action("StoragePool", pool_id, "setCapacityAlertThresholds", body)


def add_sds_address(*, sds_id: str, address: str, role: str) -> GatewayRequest:
    return _action("Sds", sds_id, "addSdsIp", {"ip": address, "role": role})


def set_sds_address_role(*, sds_id: str, address: str, role: str) -> GatewayRequest:
    return _action("Sds", sds_id, "setSdsIpRole", {"sdsIpToSet": address, "newRole": role})


def sds_maintenance(*, sds_id: str, verb: str) -> GatewayRequest:
    """The verbs are not confirmed by any public client: they are the operator's to name."""
    return _action("Sds", sds_id, verb, {})


def _path(of: ObjectType, object_id: str) -> str:
    return f"/api/instances/{of}::{quote(object_id, safe='')}"


def _post(path: str, body: Mapping[str, Json]) -> GatewayRequest:
    return GatewayRequest(method="POST", path=path, body=msgspec.json.encode(body))


def _asking(request: GatewayRequest) -> GatewayRequest:
    return attrs.evolve(request, asks=True)


def _create(of: ObjectType, body: Mapping[str, Json]) -> GatewayRequest:
    return _post(f"/api/types/{of}/instances", body)


def _type_action(of: ObjectType, verb: str, body: Mapping[str, Json]) -> GatewayRequest:
    return _post(f"/api/types/{of}/instances/action/{verb}", body)


def _action(of: ObjectType, object_id: str, verb: str, body: Mapping[str, Json]) -> GatewayRequest:
    return _post(f"{_path(of, object_id)}/action/{verb}", body)
