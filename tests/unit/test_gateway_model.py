"""The simulated Gateway as a model: public capacity figures, releases, request forms, codes."""

from __future__ import annotations

import pytest
import trio

from simulation.gateway import APIS, Api, DeviceSize
from simulation.gateway_capacity import KB_PER_GB, Figures, volume_kb
from simulation.http_server import Reply, Request
from tests.unit.gateway_client import basic, ids, make, new_volume

# --- arithmetic


@pytest.mark.parametrize(
    ("figures", "spare", "in_use", "unused", "available"),
    [
        (
            Figures(
                limit_kb=311424000, thin_kb=49360896, snap_kb=16699392, snap_occupied_kb=749568
            ),
            31141888,
            50110464,
            230171648,
            100663296,
        ),
        (Figures(limit_kb=332395520, snap_kb=3145728), 33239040, 0, 299156480, 142606336),
        (
            Figures(limit_kb=311424000, thick_kb=16777216, thin_kb=30720, snap_kb=18843648),
            31141888,
            16807936,
            263474176,
            117440512,
        ),
    ],
)
def test_capacity_figures_are_those_of_public_captures(
    figures: Figures, spare: int, in_use: int, unused: int, available: int
) -> None:
    assert figures.spare_kb == spare
    assert figures.in_use_kb == in_use
    assert figures.unused_kb == unused
    assert figures.available_kb == available


def test_a_full_pool_has_nothing_left_and_an_empty_one_no_fill() -> None:
    full = Figures(limit_kb=1024**3, thin_kb=1024**3)
    assert (full.unused_kb, full.available_kb) == (0, 0)
    assert Figures(limit_kb=0).fill_percent == 0.0


@pytest.mark.parametrize(("asked_gb", "made_gb"), [(0, 8), (1, 8), (8, 8), (9, 16)])
def test_volumes_come_in_steps_of_8_gb(asked_gb: int, made_gb: int) -> None:
    assert volume_kb(asked_gb * KB_PER_GB) == made_gb * KB_PER_GB


def test_the_systems_available_capacity_is_the_sum_over_its_pools() -> None:
    client = make()
    domain = ids(client, "ProtectionDomain")[0]
    other = client.post(
        "/api/types/StoragePool/instances", {"protectionDomainId": domain, "name": "p2"}
    )["id"]
    for sds in ids(client, "Sds"):
        client.simulated.on_device_added = lambda _ip, _path: DeviceSize(101 * KB_PER_GB)
        body = {"sdsId": sds, "storagePoolId": other, "deviceCurrentPathname": "/dev/sdc"}
        client.post("/api/types/Device/instances", body)
    name = "capacityAvailableForVolumeAllocationInKb"
    path = "/api/types/{}/instances/action/querySelectedStatistics"
    pools = client.post(path.format("StoragePool"), {"allIds": "", "properties": [name]})
    system = client.post(path.format("System"), {"properties": [name]})
    assert system[name] == sum(pool[name] for pool in pools.values())


# --- the surface of each release


@pytest.mark.parametrize("api", APIS)
def test_links_have_rel_and_href_only_and_all_can_be_followed(api: Api) -> None:
    client = make(api)
    pending, seen = ["/api/types/System/instances"], set[str]()
    while pending:
        value = client.get(pending.pop())
        for item in value if isinstance(value, list) else [value]:
            for link in item.get("links", ()):
                assert set(link) == {"rel", "href"}
                if link["href"] not in seen:
                    seen.add(link["href"])
                    pending.append(link["href"])
    kinds = {href.split("/")[3].partition("::")[0] for href in seen}
    assert kinds == {"System", "ProtectionDomain", "StoragePool", "Sds", "Device", "Sdc"}


@pytest.mark.parametrize("api", APIS)
def test_the_tree_and_the_lists_tell_the_same(api: Api) -> None:
    client = make(api)
    tree = client.get("/api/instances")
    assert tree["System"] == client.get("/api/types/System/instances")[0]
    for name, kind in [("sdsList", "Sds"), ("deviceList", "Device"), ("sdcList", "Sdc")]:
        assert tree[name] == client.get(f"/api/types/{kind}/instances")
    assert tree["rfcacheDeviceList"] is None


@pytest.mark.parametrize(
    ("api", "keys"),
    [
        ("2.5", {"sdcId", "sdcIp", "limitIops", "limitBwInMbps"}),
        ("3.6", {"sdcId", "sdcIp", "limitIops", "limitBwInMbps", "sdcName", "accessMode"}
         | {"isDirectBufferMapping"}),
        ("4.5", {"sdcId", "sdcIp", "limitIops", "limitBwInMbps", "sdcName", "accessMode"}
         | {"isDirectBufferMapping", "nqn", "hostType"}),
    ],
)  # fmt: skip
def test_mappings_grow_with_the_release(api: Api, keys: set[str]) -> None:
    client = make(api)
    volume = new_volume(client)
    assert client.get(f"/api/instances/Volume::{volume}")["mappedSdcInfo"] is None
    sdc = ids(client, "Sdc")[0]
    client.post(f"/api/instances/Volume::{volume}/action/addMappedSdc", {"sdcId": sdc})
    [mapping] = client.get(f"/api/instances/Volume::{volume}")["mappedSdcInfo"]
    assert set(mapping) == keys


def test_a_pools_sds_are_listed_from_3_0_on() -> None:
    client = make("3.6")
    pool = ids(client, "StoragePool")[0]
    found = client.get(f"/api/instances/StoragePool::{pool}/relationships/SpSds")
    assert [item["sdsId"] for item in found] == ids(client, "Sds")
    old = make("2.5")
    pool = ids(old, "StoragePool")[0]
    assert old.ask("GET", f"/api/instances/StoragePool::{pool}/relationships/SpSds")[0] == 404


def test_ids_are_16_hexadecimal_digits_with_a_counter_below() -> None:
    found = ids(make(), "Sds")
    assert [i[8:] for i in found] == ["00000000", "00000001", "00000002"]
    assert len({i[:8] for i in found}) == 1


def test_the_same_seed_gives_the_same_cluster() -> None:
    assert make().get("/api/instances") == make().get("/api/instances")


@pytest.mark.parametrize(("api", "known"), [("2.0", True), ("3.6", False)])
def test_one_unknown_statistics_property_fails_the_query_and_lists_the_known_ones(
    *, api: Api, known: bool
) -> None:
    status, value = make(api).ask(
        "POST",
        "/api/types/System/instances/action/querySelectedStatistics",
        {"properties": ["numOfSds", "numOfScsiInitiators"]},
    )
    assert status == (200 if known else 400)
    assert known or ("numOfVolumes" in value["message"] and value["errorCode"] == 0)


def test_statistics_of_several_types_come_in_one_reply_from_2_5_on() -> None:
    asked = {
        "selectedStatisticsList": [
            {"type": "System", "properties": ["numOfSds"]},
            {"type": "Sdc", "allIds": [], "properties": ["volumeIds"]},
        ]
    }
    found = make("2.5").post("/api/instances/querySelectedStatistics", asked)
    assert found["System"] == {"numOfSds": 3}
    assert all(item == {"volumeIds": []} for item in found["Sdc"].values())


# --- requests as clients write them


@pytest.mark.parametrize("size", ["8388608", 8388608])
@pytest.mark.parametrize("flag", ["TRUE", "true", "True", True])
def test_numbers_and_booleans_are_taken_as_text_or_native(size: object, flag: object) -> None:
    client = make()
    pool = ids(client, "StoragePool")[0]
    volume = client.post(
        "/api/types/Volume/instances", {"storagePoolId": pool, "volumeSizeInKb": size}
    )["id"]
    for sdc in ids(client, "Sdc"):
        body = {"sdcId": sdc, "allowMultipleMappings": flag}
        assert client.post(f"/api/instances/Volume::{volume}/action/addMappedSdc", body) == {}


@pytest.mark.parametrize(
    "listed", [{"SdsIp": {"ip": "10.0.4.1", "role": "all"}}, {"ip": "10.0.4.1", "role": "all"}]
)
def test_both_spellings_of_an_address_list_are_taken(listed: object) -> None:
    client = make()
    domain = ids(client, "ProtectionDomain")[0]
    made = client.post(
        "/api/types/Sds/instances", {"protectionDomainId": domain, "sdsIpList": [listed]}
    )
    view = client.get(f"/api/instances/Sds::{made['id']}")
    assert view["ipList"] == [{"ip": "10.0.4.1", "role": "all"}]
    assert view["name"] == "SDS_[10.0.4.1]"


def test_old_name_look_ups_are_encoded_twice() -> None:
    client = make()
    domain, pool = ids(client, "ProtectionDomain")[0], ids(client, "StoragePool")[0]
    at = "/api/types/{}/instances/getByName::{}"
    assert client.get(at.format("Domain", "default")) == domain
    assert client.get(at.format("Pool", f"{domain}%252Cdefault")) == pool
    assert client.ask("GET", at.format("Volume", "none"))[1]["errorCode"] == 3


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("Volume", {"name": "none"}, 79),
        ("ProtectionDomain", {"name": "none"}, 142),
        ("StoragePool", {"name": "none", "protectionDomainName": "default"}, 171),
        ("Sdc", {"ip": "10.9.9.9"}, 80),
    ],
)
def test_look_ups_by_key_miss_with_the_types_own_code(
    kind: str, body: dict[str, str], code: int
) -> None:
    path = f"/api/types/{kind}/instances/action/queryIdByKey"
    assert make().code(path, body) == (500, code)


def test_look_ups_by_key_find_by_name_and_address() -> None:
    client = make()
    path = "/api/types/{}/instances/action/queryIdByKey"
    pool = {"name": "default", "protectionDomainName": "default"}
    assert client.post(path.format("StoragePool"), pool) == ids(client, "StoragePool")[0]
    assert client.post(path.format("Sdc"), {"ip": "10.0.2.1"}) == ids(client, "Sdc")[0]


def test_refusals_carry_the_codes_of_the_public_table() -> None:
    client = make()
    domain, pool = ids(client, "ProtectionDomain")[0], ids(client, "StoragePool")[0]
    sds, sdc = ids(client, "Sds")[0], ids(client, "Sdc")[0]
    volume = new_volume(client)
    at = f"/api/instances/Volume::{volume}/action/"
    make_at = "/api/types/{}/instances"

    assert client.code(make_at.format("ProtectionDomain"), {"name": "default"}) == (500, 141)
    body: dict[str, object] = {"protectionDomainId": domain, "name": "default"}
    assert client.code(make_at.format("StoragePool"), body) == (500, 170)
    body = {"protectionDomainId": domain, "name": "x", "sdsIpList": [{"ip": "10.0.1.1"}]}
    assert client.code(make_at.format("Sds"), body) == (500, 75)
    body = {"storagePoolId": pool, "name": "v", "volumeSizeInGb": 8}
    assert client.code(make_at.format("Volume"), body) == (500, 99)
    assert client.code(make_at.format("Volume"), {"storagePoolId": pool}) == (400, 0)
    body = {"sdsId": sds, "storagePoolId": pool}
    assert client.code(make_at.format("Device"), body) == (400, 0)
    assert client.code(at + "removeMappedSdc", {"sdcId": sdc}) == (500, 84)
    client.post(at + "addMappedSdc", {"sdcId": sdc})
    assert client.code(at + "addMappedSdc", {"sdcId": sdc}) == (500, 81)
    assert client.code(at + "removeVolume", {"removeMode": "ONLY_ME"}) == (500, 104)
    client.post(at + "setVolumeSize", {"sizeInGB": "16"})
    assert client.code(at + "setVolumeSize", {"sizeInGB": 8}) == (500, 133)
    assert client.code(f"/api/instances/Sdc::{sdc}/action/removeSdc", {}) == (500, 180)
    assert client.code("/api/instances/Volume::0/action/removeVolume", {}) == (500, 79)


def test_a_volume_needs_three_devices_on_three_sds() -> None:
    client = make()
    client.post(f"/api/instances/Sds::{ids(client, 'Sds')[0]}/action/removeSds", {})
    pool = ids(client, "StoragePool")[0]
    body = {"storagePoolId": pool, "volumeSizeInGb": 8}
    assert client.code("/api/types/Volume/instances", body) == (500, 144)


def test_a_thick_volume_must_fit_and_takes_two_copies() -> None:
    client = make()
    pool = ids(client, "StoragePool")[0]
    new_volume(client, volumeType="ThickProvisioned", volumeSizeInGb=264)
    stats = client.get(f"/api/instances/StoragePool::{pool}/relationships/Statistics")
    assert stats["thickCapacityInUseInKb"] == 2 * 264 * KB_PER_GB
    assert stats["capacityAvailableForVolumeAllocationInKb"] == 0
    body = {"storagePoolId": pool, "volumeSizeInGb": 8, "volumeType": "ThickProvisioned"}
    assert client.code("/api/types/Volume/instances", body) == (500, 67)


def test_later_releases_insist_on_json_and_a_media_type_for_pools() -> None:
    client = make("3.6")
    domain = ids(client, "ProtectionDomain")[0]
    body = {"protectionDomainId": domain, "name": "p"}
    assert client.code("/api/types/StoragePool/instances", body) == (400, 0)
    headers = {"authorization": basic("", client.token), "content-type": "text/plain"}
    request = Request(
        method="POST", target="/api/types/Volume/instances", headers=headers, body=b"{}"
    )
    reply = trio.run(client.simulated.handler, request)
    assert isinstance(reply, Reply)
    assert (reply.status, b"Content-Type" in reply.body) == (400, True)


@pytest.mark.parametrize(("api", "is_html"), [("2.5", False), ("4.5", True)])
def test_a_wrong_path_is_404_and_html_behind_an_ingress(*, api: Api, is_html: bool) -> None:
    status, value = make(api).ask("GET", "/api/types/Teapot/instances")
    assert status == 404
    assert isinstance(value, bytes) is is_html
