"""The System object and its MDM cluster as the JSON of the emulated release."""

from __future__ import annotations

from simulation.gateway_alerts import mdm_health
from simulation.gateway_model import CRITICAL_PERCENT, HIGH_PERCENT, ClusterState, Mdm
from simulation.gateway_views import View, links, software


def system(state: ClusterState) -> View:
    found: View = {
        "id": state.system_id,
        "name": state.system_name or None,
        "installId": state.system_id[::-1],
        "systemVersionName": _version_name(state),
        "daysInstalled": 1,
        "maxCapacityInGb": "Unlimited",
        "capacityTimeLeftInDays": "Unlimited",
        "capacityAlertHighThresholdPercent": HIGH_PERCENT,
        "capacityAlertCriticalThresholdPercent": CRITICAL_PERCENT,
        "restrictedSdcModeEnabled": state.restricted_sdc != "None",
        "restrictedSdcMode": state.restricted_sdc,
        "remoteReadOnlyLimitState": False,
        "upgradeState": "NoUpgrade",
        "authenticationMethod": "Native",
        "tlsVersion": "TLSv1.2",
        "mdmManagementPort": 6611,
        "mdmToSdsPolicy": "Authentication",
        "isInitialLicense": True,
        "enterpriseFeaturesEnabled": True,
        "swid": "",
        "mdmCluster": mdm_cluster(state),
        "links": links("System", state.system_id),
    }
    if state.api >= (2, 5):
        found["perfProfile"] = "Default"
    if state.api >= (4, 0):
        found["mdmAddresses"] = [*state.virtual_ips, *(m.ip for m in state.mdms)]
    return found


def mdm_cluster(state: ClusterState) -> View:
    health = mdm_health(state)
    return {
        "id": str(int(state.system_id, 16)),
        "name": state.system_name or None,
        "clusterState": health.state,
        "clusterMode": health.mode,
        "goodNodesNum": health.good,
        "goodReplicasNum": health.good - sum(m.good for m in health.tie_breakers),
        "master": _mdm(state, health.master, master=True) if health.master else None,
        "slaves": [_mdm(state, m) for m in health.others],
        "tieBreakers": [_mdm(state, m) for m in health.tie_breakers],
    }


def queried_mdm_cluster(state: ClusterState) -> View:
    more: View = {"virtualIps": list(state.virtual_ips), "standbyMDMs": []}
    if state.api >= (2, 5):
        more["perfProfile"] = "Default"
    return {**mdm_cluster(state), **more}


def _mdm(state: ClusterState, of: Mdm, *, master: bool = False) -> View:
    view: View = {
        "id": of.id,
        "name": of.name,
        "ips": [of.ip],
        "managementIPs": [of.ip],
        "port": 9011,
        "role": "TieBreaker" if of.tie_breaker else "Manager",
        "versionInfo": software(state),
        "opensslVersion": "N/A" if of.tie_breaker else "OpenSSL 1.0.2k-fips  26 Jan 2017",
        "virtualInterfaces": [],
    }
    if not master:
        view["status"] = "Normal" if of.good else "Disconnected"
    return view


def _version_name(state: ClusterState) -> str:
    maker = "EMC ScaleIO" if state.api < (2, 5) else "DellEMC ScaleIO"
    return f"{maker} Version: {software(state)}"
