# shellcheck shell=sh
# parts: _packages _fetch _install _damage _archive _services _boot
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
    configured=$(run timeout 30 "$DRV_CFG" --query_mdms 2>/dev/null | tr ' ' '\n' | sed -n 's/^\[[0-9]*\]-//p') || :
    if [ -z "$configured" ]; then
        configured=$(sed -n 's/^mdm  *//p' "$DRV_CFG_FILE" 2>/dev/null | tr ',' '\n' | tr ' ' '\n') || :
    fi
    printf '%s\n' "$configured" | sed '/^$/d'
}

clusters() {
    run timeout 30 "$DRV_CFG" --query_mdms 2>/dev/null | grep -c -e 'MDM-ID' || :
}

# Before anything is changed: an SDC that somebody set up for another cluster is left alone.
check_cluster() {
    wanted=$(printf '%s\n' "$MDM_IP" | tr ',' '\n' | sort)
    have=$(configured_mdms)
    common=
    for address in $have; do
        case ,$MDM_IP, in
            *",$address,"*) common=$address ;;
        esac
    done
    [ -z "$have" ] || [ -n "$common" ] || finish 78 other-cluster \
        "this SDC already serves another cluster, and none of its managers is one of $MDM_IP: nothing was changed"
    [ "$(printf '%s\n' "$have" | sort)" = "$wanted" ] && return 0
    [ "$(clusters)" -le 1 ] || finish 78 several-clusters \
        "this SDC serves several clusters: set its managers by hand with drv_cfg"
}

set_mdms() {
    check_cluster
    [ "$(printf '%s\n' "$have" | sort)" = "$wanted" ] && return 0
    if [ -z "$have" ]; then
        CHANGED=true
        run timeout 120 "$DRV_CFG" --add_mdm --ip "$MDM_IP" --file "$DRV_CFG_FILE" >&2 ||
            finish 1 mdm "drv_cfg --add_mdm failed: see its message above"
    else
        CHANGED=true
        run timeout 120 "$DRV_CFG" --mod_mdm_ip --ip "$common" --new_mdm_ip "$MDM_IP" --file "$DRV_CFG_FILE" >&2 ||
            finish 1 mdm "drv_cfg --mod_mdm_ip failed: see its message above"
    fi
    [ "$(configured_mdms | sort)" = "$wanted" ] ||
        finish 1 mdm "the SDC does not report the managers $MDM_IP after they were set"
    did "set the managers of the SDC: $MDM_IP"
}

# Who the SDC is, and whom it serves. A power cut may leave its own file empty, and it would come
# up as another SDC, which nobody has mapped a volume to: the copy is from when all was well.
IDENTITY=$STATE_DIR/drv_cfg.txt

has_identity() {
    grep -q -e '^ini_guid  *[0-9A-Fa-f]' "$1" 2>/dev/null
}

restore_identity() {
    if [ "$ACTION" = install ] || has_identity "$DRV_CFG_FILE" || ! has_identity "$IDENTITY"; then
        return 0
    fi
    CHANGED=true
    restored_from=
    ! module_loaded || restored_from=$(run timeout 30 "$DRV_CFG" --query_guid 2>/dev/null | tr -d ' \n') || :
    install_file 0644 "$IDENTITY" "$DRV_CFG_FILE"
    did "wrote $DRV_CFG_FILE from its copy, because it had lost the SDC's GUID"
    # A driver that has begun with another GUID has to begin again.
    if module_loaded &&
        { [ -z "$restored_from" ] || ! grep -q -i -F -e "ini_guid $restored_from" "$IDENTITY"; }; then
        ! in_use || finish 20 reboot \
            "the SDC runs with another GUID than its own, and volumes are in use: it is itself again after a reboot"
        service_do restart scini || :
    fi
}

keep_identity() {
    if has_identity "$DRV_CFG_FILE" && ! cmp -s "$DRV_CFG_FILE" "$IDENTITY"; then
        install_file 0600 "$DRV_CFG_FILE" "$IDENTITY"
    fi
}

# A volume is mapped to this host, or nobody can tell: the module stays as it is.
in_use() {
    [ -z "$(find /dev -name 'scini?*' ! -type d | head -n 1)" ] || return 0
    volumes=$(run timeout 30 "$DRV_CFG" --query_vols 2>/dev/null) || return 0
    printf '%s\n' "$volumes" | grep -q -e 'VOL-ID'
}

# A new package brings a new module, which the kernel takes when the old one is gone: now, when
# nobody uses it, or with the next boot. An open receipt tells of that until this boot ends.
renew_module() {
    renew=no
    case $ACTION in
        upgrade | downgrade | repair) renew=$had_module ;;
    esac
    if receipt_is_open sdc; then renew=yes; fi
    if [ "$renew" = no ] || ! module_loaded; then return 0; fi
    if in_use; then
        CODE=20
        receipt sdc open ",\"version\":\"$PACKAGE_VERSION\",\"reason\":\"old-module\""
        return 0
    fi
    CHANGED=true
    service_do restart scini || :
    did "restarted service scini for the new module"
}

CODE=0
check_cluster
not_masked scini
had_module=no
if module_loaded; then had_module=yes; fi
ensure_package sdc
restore_identity
boot_starts scini
renew_module
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
guid=$(run timeout 30 "$DRV_CFG" --query_guid 2>/dev/null | tr -d ' \n') || :
[ -n "$guid" ] || finish 1 guid "drv_cfg reports no GUID"
[ -z "$(printf '%s' "$guid" | tr -d '0-9A-Fa-f-')" ] || finish 1 guid "drv_cfg reports a GUID that is none"
EXTRA=",\"guid\":\"$guid\""
remember_package sdc
keep_identity
[ "$CODE" = 0 ] || finish 20 reboot \
    "SDC $PACKAGE_VERSION is installed, and the loaded module is the one before it, because volumes are in use: it is renewed with a reboot"
receipt sdc kept ",\"version\":\"$PACKAGE_VERSION\""
finish 0 holds
