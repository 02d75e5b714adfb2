"""The REST surface of the simulated Gateway: method and path to a JSON value, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import unquote

import attrs

from simulation import gateway_commands, gateway_system_view, gateway_views
from simulation import gateway_fields as fields
from simulation.gateway_fields import Body, MalformedError, MdmRefusalError, NoSuchRouteError
from simulation.gateway_mdm import FAULT_SET_NOT_FOUND, Mdm
from simulation.gateway_model import ClusterState
from simulation.gateway_statistics import Statistics

NOT_FOUND: Final[Mapping[str, int]] = {
    "ProtectionDomain": 142,
    "StoragePool": 171,
    "FaultSet": FAULT_SET_NOT_FOUND,
    "Sds": 78,
    "Device": 126,
    "Sdc": 80,
    "Volume": 79,
    "VTree": 79,
    "System": 3,
}
# Types that a release knows, and of which this cluster has none.
_NONE_OF: Final[Mapping[str, tuple[int, int]]] = {
    "RfcacheDevice": (2, 0),
    "SpSds": (3, 0),
    "AccelerationPool": (3, 0),
    "SnapshotPolicy": (3, 0),
    "ReplicationConsistencyGroup": (3, 5),
    "ReplicationPair": (3, 5),
    "Sdt": (4, 0),
    "Host": (4, 0),
    "NvmeController": (4, 0),
}
_NAME_TYPES: Final = {"Domain": "ProtectionDomain", "Pool": "StoragePool", "Volume": "Volume"}
_TREE: Final = {
    "protectionDomainList": "ProtectionDomain",
    "storagePoolList": "StoragePool",
    "faultSetList": "FaultSet",
    "sdsList": "Sds",
    "deviceList": "Device",
    "sdcList": "Sdc",
    "volumeList": "Volume",
    "vTreeList": "VTree",
}


@attrs.define(kw_only=True)
class Routes:
    """Reads come from `read` (which may be an old copy), changes go to the MDM."""

    mdm: Mdm
    read: Callable[[], ClusterState]
    clock: Callable[[], float]

    def answer(self, method: str, path: str, raw: bytes) -> object:
        """Raises MdmRefusalError, MalformedError or NoSuchRouteError."""
        match method, path.strip("/").split("/"):
            case "GET", ["api", "instances"]:
                return self._tree()
            case "GET", ["api", "types", kind, "instances"]:
                return self._list(kind)
            case "GET", ["api", "types", kind, "instances", key] if "::" in key:
                return self._by_name(kind, key)
            case "GET", ["api", "instances", ref]:
                return self._one(*_reference(ref))
            case "GET", ["api", "instances", ref, "relationships", name]:
                return self._related(*_reference(ref), name)
            case "GET", ["api", "Configuration"]:
                return self._configuration()
            case "POST", ["api", *rest]:
                return self._post(rest, fields.parsed(raw))
            case _:
                raise NoSuchRouteError(path)

    def _post(self, rest: list[str], body: Body) -> object:
        match rest:
            case ["types", kind, "instances"]:
                return self._create(kind, body)
            case ["types", kind, "instances", "action", verb]:
                return self._type_action(kind, verb, body)
            case ["instances", "querySelectedStatistics"] if self.mdm.state.api >= (2, 5):
                return self._all_statistics(body)
            case ["instances", "System", "queryMdmCluster"]:
                return gateway_system_view.queried_mdm_cluster(self.read())
            case ["instances", ref, "action", verb]:
                kind, object_id = _reference(ref)
                return self._action(kind, object_id, verb, body)
            case _:
                raise NoSuchRouteError("/".join(rest))

    # --- reading

    def _tree(self) -> object:
        state = self.read()
        found: dict[str, object] = {"System": gateway_system_view.system(state)}
        for name, kind in _TREE.items():
            found[name] = gateway_views.views(state, kind, gateway_views.ids(state, kind))
        found["rfcacheDeviceList"] = None
        found["isDirty"] = False
        found["sessionTag"] = 1
        for kind in _TREE.values():
            found[f"last{kind}Version"] = 1
        return found

    def _list(self, kind: str) -> object:
        state = self.read()
        if kind == "System":
            return [gateway_system_view.system(state)]
        if kind == "Alert":
            now = self.clock()
            return [gateway_views.alert(record, now) for record in state.alerts.values()]
        if kind in _NONE_OF and state.api >= _NONE_OF[kind]:
            return []
        _known(kind)
        return gateway_views.views(state, kind, gateway_views.ids(state, kind))

    def _one(self, kind: str, object_id: str) -> object:
        state = self.read()
        if kind == "System":
            return gateway_system_view.system(state)
        _exists(state, kind, object_id)
        return gateway_views.ONE[kind](state, object_id)

    def _related(self, kind: str, object_id: str, name: str) -> object:
        state = self.read()
        _exists(state, kind, object_id)
        if name == "SpSds" and kind in {"StoragePool", "Sds"} and state.api >= (3, 0):
            return gateway_views.pool_members(state, kind, object_id)
        if name not in gateway_views.RELATIONSHIPS[kind]:
            raise NoSuchRouteError(name)
        if name == "Statistics":
            return Statistics(state).of(kind, object_id)
        if name == "User":
            return []
        return gateway_views.views(state, name, _children(state, kind, object_id, name))

    def _by_name(self, kind: str, key: str) -> object:
        """The old look-up: the key is URL-encoded twice, a pool's is `{domain id},{name}`."""
        verb, _, name = unquote(unquote(key)).partition("::")
        if verb != "getByName" or kind not in _NAME_TYPES:
            raise NoSuchRouteError(key)
        body: Body = {"name": name}
        if kind == "Pool":
            domain_id, _, name = name.partition(",")
            body = {"name": name, "protectionDomainId": domain_id}
        found = _id_by_key(self.read(), _NAME_TYPES[kind], body)
        if found is None:
            raise MdmRefusalError(3, "Could not find the object by its name")
        return found

    def _configuration(self) -> object:
        state = self.read()
        return {
            "systemId": state.system_id,
            "mdmPort": "6611",
            "mdmUsername": "",
            "mdmAddresses": [m.ip for m in state.mdms if not m.tie_breaker],
            "bypassCertificateCheck": "true",
            "allowNonSecureCommunication": "false",
        }

    # --- type-level actions

    def _type_action(self, kind: str, verb: str, body: Body) -> object:
        state = self.read()
        _known(kind)
        match verb:
            case "queryIdByKey":
                found = _id_by_key(state, kind, body)
                if found is None:
                    raise MdmRefusalError(NOT_FOUND[kind], f"Could not find the {kind}")
                return found
            case "queryBySelectedIds":
                asked = body.get("ids")
                return [self._one(kind, str(i)) for i in (asked if isinstance(asked, list) else ())]
            case "querySelectedStatistics":
                return self._statistics(state, kind, body)
            case "queryAllApprovedSdc" if kind == "Sdc" and state.api >= (3, 0):
                approved = [s.id for s in state.sdcs.values() if s.approved]
                return gateway_views.views(state, "Sdc", approved)
            case _:
                raise NoSuchRouteError(verb)

    def _statistics(self, state: ClusterState, kind: str, body: Body) -> object:
        wanted = body.get("properties")
        if not isinstance(wanted, list) or not wanted:
            raise MalformedError("Request message is not valid: properties is required")
        asked = body.get("ids")
        ids = [str(i) for i in asked] if isinstance(asked, list) and asked else None
        if kind == "System":
            return _selected(Statistics(state).of(kind, state.system_id), wanted)
        if ids is None:
            if "allIds" not in body:
                raise MalformedError("Request message is not valid: ids or allIds is required")
            ids = gateway_views.ids(state, kind)
        for object_id in ids:
            _exists(state, kind, object_id)
        known = Statistics(state)
        return {i: _selected(known.of(kind, i), wanted) for i in ids}

    def _all_statistics(self, body: Body) -> object:
        asked = body.get("selectedStatisticsList")
        if not isinstance(asked, list):
            raise MalformedError("Request message is not valid: selectedStatisticsList")
        found: dict[str, object] = {}
        for item in asked:
            inner: Body = dict(item) if isinstance(item, dict) else {}
            kind = fields.text(inner, "type")
            _known(kind)
            inner.setdefault("allIds", "")
            found[kind] = self._statistics(self.read(), kind, inner)
        return found

    # --- changing

    def _create(self, kind: str, body: Body) -> object:
        make = {
            "ProtectionDomain": self.mdm.create_domain,
            "FaultSet": self.mdm.create_fault_set,
            "StoragePool": self.mdm.create_pool,
            "Sds": self.mdm.create_sds,
            "Device": self.mdm.create_device,
            "Volume": self.mdm.create_volume,
        }.get(kind)
        if make is None:
            raise NoSuchRouteError(kind)
        return {"id": make(body)}

    def _action(self, kind: str, object_id: str, verb: str, body: Body) -> object:
        state = self.mdm.state
        if kind != "System" or object_id:
            _exists(state, kind, object_id)
        return gateway_commands.answer(self.mdm, kind, object_id, verb, body)


def _reference(ref: str) -> tuple[str, str]:
    """`Sds::1234…`, or `System` alone."""
    kind, _, object_id = ref.partition("::")
    if kind != "System":
        _known(kind)
        if not object_id:
            raise NoSuchRouteError(ref)
    return kind, unquote(object_id)


def _known(kind: str) -> None:
    if kind not in NOT_FOUND:
        raise NoSuchRouteError(kind)


def _exists(state: ClusterState, kind: str, object_id: str) -> None:
    if object_id not in gateway_views.objects(state, kind):
        raise MdmRefusalError(NOT_FOUND[kind], f"Could not find the {kind}")


def _selected(found: Mapping[str, object], wanted: Iterable[object]) -> dict[str, object]:
    unknown = [str(name) for name in wanted if name not in found]
    if unknown:
        allowed = ", ".join(sorted(found))
        raise MalformedError(f"Unknown property {unknown[0]}. The allowed values are: {allowed}")
    return {str(name): found[str(name)] for name in wanted}


def _id_by_key(state: ClusterState, kind: str, body: Body) -> str | None:
    match kind:
        case "Sdc":
            ip = fields.text(body, "ip")
            return next((s.id for s in state.sdcs.values() if s.ip == ip), None)
        case "StoragePool":
            name = fields.text(body, "name")
            domain = fields.optional(body, "protectionDomainId")
            if domain is None:
                by_name = fields.text(body, "protectionDomainName")
                domain = next((d.id for d in state.domains.values() if d.name == by_name), None)
            pools = (p for p in state.pools.values() if p.name == name and p.domain_id == domain)
            return next((p.id for p in pools), None)
        case "Volume":
            name = fields.text(body, "name")
            return next((v.id for v in state.volumes.values() if v.name == name), None)
        case "ProtectionDomain":
            name = fields.text(body, "name")
            return next((d.id for d in state.domains.values() if d.name == name), None)
        case _:
            raise NoSuchRouteError(kind)


def _children(state: ClusterState, kind: str, object_id: str, name: str) -> list[str]:
    """Ids of `name` that belong to the object."""
    match kind, name:
        case "System", _:
            return gateway_views.ids(state, name)
        case "ProtectionDomain", "StoragePool":
            return [p.id for p in state.pools.values() if p.domain_id == object_id]
        case "ProtectionDomain", "Sds":
            return [s.id for s in state.sds.values() if s.domain_id == object_id]
        case "ProtectionDomain", "FaultSet":
            return [f.id for f in state.fault_sets.values() if f.domain_id == object_id]
        case "StoragePool", "Device":
            return [d.id for d in state.devices_of_pool(object_id)]
        case "StoragePool", "Volume":
            return [v.id for v in state.volumes_of_pool(object_id)]
        case "StoragePool", "VTree":
            return list(dict.fromkeys(v.vtree_id for v in state.volumes_of_pool(object_id)))
        case "FaultSet", "Sds":
            return [s.id for s in state.sds.values() if s.fault_set_id == object_id]
        case "Sds", "Device":
            return [d.id for d in state.devices_of_sds(object_id)]
        case "Sdc", "Volume":
            volumes = state.volumes.values()
            return [v.id for v in volumes if any(m.sdc_id == object_id for m in v.mapped)]
        case _:
            return [v.id for v in state.volumes_of_vtree(object_id)]
