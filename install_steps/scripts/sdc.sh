# shellcheck shell=sh
# parts: _packages _fetch _install _services
# The storage client: package with MDM_IP, kernel module, and a list of managers that is ours.
begin_step sdc lock
find_platform
require MDM_IP '0-9A-Fa-f.:,'
export MDM_IP
allow SUPPORTED_KERNELS 'A-Za-z0-9._+* -' "${SUPPORTED_KERNELS:=}"
if [ -n "$SUPPORTED_KERNELS" ] && ! kernel_supported; then
    finish 78 kernel "kernel $(uname -r) is not one that this SDC supports ($SUPPORTED_KERNELS)"
fi

module_loaded() {
    grep -q -x -e live /sys/module/scini/initstate 2>/dev/null
}

# The managers' addresses, one a line, in the driver's order; the file where the driver is not up.
configured_mdms() {
    configured=$(run "$DRV_CFG" --query_mdms 2>/dev/null | tr ' ' '\n' | sed -n 's/^\[[0-9]*\]-//p') || :
    if [ -z "$configured" ]; then
        configured=$(sed -n 's/^mdm  *//p' "$DRV_CFG_FILE" 2>/dev/null | tr ',' '\n' | tr ' ' '\n') || :
    fi
    printf '%s\n' "$configured" | sed '/^$/d'
}

clusters() {
    run "$DRV_CFG" --query_mdms 2>/dev/null | grep -c -e 'MDM-ID' || :
}

set_mdms() {
    wanted=$(printf '%s\n' "$MDM_IP" | tr ',' '\n' | sort)
    have=$(configured_mdms)
    [ "$(printf '%s\n' "$have" | sort)" = "$wanted" ] && return 0
    [ "$(clusters)" -le 1 ] || finish 78 several-clusters \
        "this SDC serves several clusters: set its managers by hand with drv_cfg"
    if [ -z "$have" ]; then
        CHANGED=true
        run "$DRV_CFG" --add_mdm --ip "$MDM_IP" --file "$DRV_CFG_FILE" >&2 ||
            finish 1 mdm "drv_cfg --add_mdm failed: see its message above"
    else
        common=
        for address in $have; do
            case ,$MDM_IP, in
                *",$address,"*) common=$address ;;
            esac
        done
        [ -n "$common" ] || finish 78 other-cluster \
            "this SDC already serves another cluster, and none of its managers is one of $MDM_IP: nothing was changed"
        CHANGED=true
        run "$DRV_CFG" --mod_mdm_ip --ip "$common" --new_mdm_ip "$MDM_IP" --file "$DRV_CFG_FILE" >&2 ||
            finish 1 mdm "drv_cfg --mod_mdm_ip failed: see its message above"
    fi
    [ "$(configured_mdms | sort)" = "$wanted" ] ||
        finish 1 mdm "the SDC does not report the managers $MDM_IP after they were set"
}

ensure_package sdc
start_service scini
# A service that could not fetch its module when it started runs without one until it is restarted.
if ! wait_for "${SERVICE_WAIT_S:=60}" module_loaded; then
    CHANGED=true
    service_do restart scini || :
    wait_for "$SERVICE_WAIT_S" module_loaded || finish 1 module \
        "service scini runs, but its module is not loaded: there is none for kernel $(uname -r), or it could not be fetched"
fi
[ -x "$DRV_CFG" ] || finish 1 drv-cfg "$DRV_CFG is missing although the package is installed"
set_mdms
guid=$(run "$DRV_CFG" --query_guid 2>/dev/null | tr -d ' \n') || :
[ -n "$guid" ] || finish 1 guid "drv_cfg reports no GUID"
[ -z "$(printf '%s' "$guid" | tr -d '0-9A-Fa-f-')" ] || finish 1 guid "drv_cfg reports a GUID that is none"
EXTRA=",\"guid\":\"$guid\""
receipt sdc kept ",\"version\":\"$PACKAGE_VERSION\""
finish 0 holds
