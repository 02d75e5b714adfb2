# shellcheck shell=sh
# parts: _services _disks _survey_disks _survey_host _survey_agent
# Says what is there, changes nothing, and understands nothing: every frame is the raw output of
# a command, in base64. The scheduler reads them.
begin_step survey
FRAME_BYTES_MAX=131072
FRAMES=0
exec 4>&1

# frame NAME COMMAND...
frame() {
    frame_name=$1
    shift
    FRAMES=$((FRAMES + 1))
    printf '@begin %s\n' "$frame_name"
    frame_status=$({
        {
            frame_code=0
            "$@" 2>/dev/null || frame_code=$?
            echo "$frame_code" >&3
        } | head -c "$FRAME_BYTES_MAX" | base64 >&4
    } 3>&1)
    printf '@end %s %s\n' "$frame_name" "${frame_status:-141}"
}

bounded() {
    timeout 30 "$@" </dev/null
}

machine_id() {
    for id_file in /etc/machine-id /var/lib/dbus/machine-id /sys/class/dmi/id/product_uuid; do
        if [ -s "$id_file" ]; then
            cat "$id_file"
            return 0
        fi
    done
    return 1
}

# Each step's own, which are what the steps themselves go by.
receipts() {
    set +f
    printf '{"version":1,"entries":['
    receipts_comma=
    for entry in "$STATE_DIR"/receipt.d/*.json; do
        [ -s "$entry" ] || continue
        printf '%s' "$receipts_comma"
        cat "$entry"
        receipts_comma=,
    done
    printf ']}\n'
    set -f
}

# Only one that was started a moment ago is worth the time of a second look.
is_young() {
    young_since=$(systemctl show --property=ActiveEnterTimestampMonotonic "$1.service")
    young_since=${young_since#*=}
    young_now=$(cut -d . -f 1 /proc/uptime)
    [ $((young_now - ${young_since:-0} / 1000000)) -lt 3 ]
}

service_state() {
    case $INIT in
        systemd)
            if service_active "$1" && is_young "$1" && ! service_stays "$1"; then
                echo activating
            else
                bounded systemctl is-active "$1.service"
            fi
            ;;
        upstart) bounded initctl status "$1" || bounded service "$1" status ;;
        *) bounded service "$1" status ;;
    esac
}

frame clock-begin date +%s
frame os-release cat /etc/os-release
frame release-files release_files
frame uname uname -rm
frame boot-id cat /proc/sys/kernel/random/boot_id
frame machine-id machine_id
frame init cat /proc/1/comm
frame init-version bounded initctl version
# shellcheck disable=SC2016  # dpkg's own placeholders
frame packages-deb bounded dpkg-query -W -f '${Package} ${Status} ${Version}\n' \
    emc-scaleio-sds emc-scaleio-sdc emc-scaleio-lia emc-scaleio-mdm emc-scaleio-gateway rexray \
    dvdcli mesos libaio1 libaio1t64 numactl openssl curl ca-certificates dpkg
frame packages-rpm bounded rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\n' \
    EMC-ScaleIO-sds EMC-ScaleIO-sdc EMC-ScaleIO-lia EMC-ScaleIO-mdm EMC-ScaleIO-gateway rexray \
    dvdcli mesos libaio numactl openssl curl curl-minimal ca-certificates rpm
frame package-tools package_tools
frame package-locks package_locks
frame dpkg-repair dpkg_repair
for tool in rexray dvdcli; do
    frame "binary.$tool" sha256sum "/usr/bin/$tool"
    frame "unpacked.$tool" cat "$STATE_DIR/binaries/$tool"
done
frame brought cat "$STATE_DIR/backup/packages"
for service in sds scini rexray; do
    frame "service.$service" service_state "$service"
done
survey_services
frame guid bounded "$DRV_CFG" --query_guid
frame mdms bounded "$DRV_CFG" --query_mdms
frame drv-cfg-file cat "$DRV_CFG_FILE"
frame module cat /sys/module/scini/initstate
frame module-version cat /sys/module/scini/version
frame module-file bounded modinfo -n scini
survey_agent
survey_time
survey_rooms
frame public-key cat "$STATE_DIR/host_key.pub"
frame openssl bounded openssl version
frame receipt receipts
frame rexray-config sha256sum /etc/rexray/config.yml
# Which cluster it points to, without users and passwords.
frame rexray-points sed -n -e 's,//[^/@]*@,//,' -e '/^  *\(endpoint\|systemid\|systemname\): /Ip' /etc/rexray/config.yml
# A task under filesystem/linux has mounts of its own: the host's are those of process 1.
frame mountinfo cat /proc/1/mountinfo /proc/self/mountinfo
frame swaps cat /proc/swaps
frame deny cat "$DENY_FILE"
survey_disks
frame clock-end date +%s
EXTRA=",\"frames\":$FRAMES"
finish 0 surveyed
