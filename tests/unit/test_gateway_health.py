"""What the Gateway's state words mean for decisions."""

from __future__ import annotations

import json

import pytest

from protocol.gateway import health, responses
from protocol.gateway.responses import GatewayAnswer
from protocol.gateway.shapes import TreeShape


def answer(body: object) -> GatewayAnswer:
    return GatewayAnswer(
        call="GET /x",
        status=200,
        content_type="application/json",
        body=json.dumps(body).encode(),
    )


def tree_with(cluster: dict[str, object]) -> TreeShape:
    return responses.tree(answer({"System": {"id": "1", "mdmCluster": cluster}}))


THREE = {
    "clusterState": "ClusteredNormal",
    "clusterMode": "ThreeNodes",
    "goodNodesNum": 3,
    "master": {"ips": ["10.0.0.1"], "managementIPs": ["192.168.0.1"], "role": "Manager"},
    "slaves": [{"ips": ["10.0.0.2"], "role": "Manager", "status": "Normal"}],
    "tieBreakers": [{"ips": ["10.0.0.3"], "role": "TieBreaker", "status": "Normal"}],
}


@pytest.mark.parametrize(
    ("change", "normal"),
    [
        ({}, True),
        ({"goodNodesNum": 2}, False),
        ({"goodNodesNum": None}, False),
        ({"clusterState": "ClusteredDegraded"}, False),
        ({"clusterState": "ClusteredTiebreakerDown"}, False),
        ({"clusterState": None}, False),
        ({"clusterMode": "FiveNodes"}, False),
        ({"clusterMode": "FiveNodes", "goodNodesNum": 5}, True),
        ({"clusterMode": "Unheard"}, True),
        ({"clusterMode": "Unheard", "goodNodesNum": 2}, False),
        ({"clusterMode": "OneNode", "clusterState": "NotClustered", "goodNodesNum": 1}, True),
        ({"clusterMode": "OneNode", "clusterState": "NotClustered", "goodNodesNum": 0}, False),
        ({"clusterState": "NotClustered"}, False),
    ],
)
def test_an_mdm_cluster_is_normal_by_state_and_by_count(
    *, change: dict[str, object], normal: bool
) -> None:
    view = health.mdm_view(tree_with(THREE | change).system, None)
    assert view.normal is normal, view.detail


def test_managers_are_virtual_addresses_first_and_never_a_tie_breaker() -> None:
    queried = responses.mdm_cluster(answer(THREE | {"virtualIps": ["10.0.0.9"]}))
    view = health.mdm_view(tree_with(THREE).system, queried)
    assert view.managers == ("10.0.0.9", "10.0.0.1", "10.0.0.2")
    odd = THREE | {"slaves": [{"ips": ["10.0.0.3"], "role": "TieBreaker"}]}
    assert health.mdm_view(tree_with(odd).system, None).managers == ("10.0.0.1",)
    assert set(view.members) == {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "192.168.0.1"}


@pytest.mark.parametrize(
    ("mode", "state", "normal"),
    [
        ("Cluster", "ClusteredNormal", True),
        ("Cluster", "ClusteredTiebreakerDown", False),
        ("Cluster", "NotClustered", False),
        ("Single", "NotClustered", True),
    ],
)
def test_the_flat_form_of_1_3_is_understood(*, mode: str, state: str, normal: bool) -> None:
    system = {
        "id": "1",
        "mdmMode": mode,
        "mdmClusterState": state,
        "primaryMdmActorIpList": ["10.0.0.1"],
        "secondaryMdmActorIpList": ["10.0.0.2"],
        "tiebreakerMdmIpList": ["10.0.0.3"],
    }
    view = health.mdm_view(responses.tree(answer({"System": system})).system, None)
    assert view.normal is normal
    assert view.managers == ("10.0.0.1", "10.0.0.2")
    assert view.members == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


@pytest.mark.parametrize("field", ["sdsState", "membershipState", "mdmConnectionState"])
def test_an_sds_is_good_only_if_all_three_states_are(field: str) -> None:
    good = {"sdsState": "Normal", "membershipState": "Joined", "mdmConnectionState": "Connected"}
    [sds] = responses.sds_list(answer([{"id": "1", **good}]))
    assert health.sds_is_good(sds)
    [sds] = responses.sds_list(answer([{"id": "1", **good, field: "Other"}]))
    assert not health.sds_is_good(sds)


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"sdcIp": "10.0.0.5"}, "10.0.0.5"),
        ({"sdcIp": "N/A"}, ""),
        ({"sdcIp": None, "sdcIps": ["10.0.0.6"]}, "10.0.0.6"),
        ({}, ""),
    ],
)
def test_a_disconnected_sdc_may_have_no_address(fields: dict[str, object], address: str) -> None:
    [sdc] = responses.sdcs(answer([{"id": "1", **fields}]))
    assert health.sdc_address(sdc) == address


def test_a_restriction_without_a_kind_means_approval_by_guid() -> None:
    system = responses.systems(answer([{"id": "1", "restrictedSdcModeEnabled": True}]))[0]
    assert health.restricted_mode(system) == "Guid"


def test_an_alert_names_its_object_briefly() -> None:
    affected = {"type": "com.emc.ecs.api.model.gen.StoragePool", "id": "cafe"}
    [alert] = responses.alerts(answer([{"id": "1", "affectedObject": affected}]))
    assert health.alert_object(alert) == "StoragePool cafe"
