# shellcheck shell=sh
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

service_state() {
    case $INIT in
        systemd) bounded systemctl is-active "$1.service" ;;
        upstart) bounded initctl status "$1" || bounded service "$1" status ;;
        *) bounded service "$1" status ;;
    esac
}

stable_links() {
    set +f
    for link in /dev/disk/by-id/* /dev/disk/by-path/*; do
        [ -L "$link" ] || continue
        printf '%s %s\n' "$link" "$(readlink -f "$link")"
    done
    set -f
}

value_of() {
    value=
    IFS= read -r value <"$2" 2>/dev/null || :
    printf '%s=%s\n' "$1" "$value"
}

# names_in FOLDER...: the entries of these folders, blank separated.
names_in() {
    set +f
    for folder in "$@"; do
        for entry in "$folder"/*; do
            [ -e "$entry" ] || [ -L "$entry" ] || continue
            printf '%s ' "${entry##*/}"
        done
    done
    set -f
}

partitions_in() {
    set +f
    for entry in "$1"/*/partition; do
        [ -e "$entry" ] || continue
        entry=${entry%/partition}
        printf '%s ' "${entry##*/}"
    done
    set -f
}

disk_values() {
    printf 'node=%s\nsysfs=%s\npath=%s\n' "$1" "${2##*/}" "$2"
    value_of device "$2/dev"
    value_of size "$2/size"
    value_of ro "$2/ro"
    value_of removable "$2/removable"
    value_of partition "$2/partition"
    value_of transport "$2/device/transport"
    value_of dm-uuid "$2/dm/uuid"
    printf 'partitions=%s\n' "$(partitions_in "$2")"
    printf 'slaves=%s\n' "$(names_in "$2/slaves")"
    disk_holders=$(names_in "$2/holders")
    for part in $(partitions_in "$2"); do
        disk_holders="$disk_holders$(names_in "$2/$part/holders")"
        printf 'partition-device='
        cat "$2/$part/dev"
    done
    printf 'holders=%s\n' "$disk_holders"
}

device_nodes() {
    set +f
    for node in /dev/* /dev/cciss/*; do
        [ -b "$node" ] || continue
        [ -L "$node" ] && continue
        printf '%s\n' "$node"
    done
    set -f
}

# survey_disk NUMBER NODE: only what may be a candidate at all is opened and read.
survey_disk() {
    sysfs=$(sysfs_of "$2")
    [ -e "$sysfs/size" ] || return 0
    frame "disk.$1.sysfs" disk_values "$2" "$sysfs"
    [ -e "$sysfs/partition" ] && return 0
    case "${sysfs##*/} ${2##*/}" in
        ram* | sr* | fd* | zram* | scini* | *' scini'*) return 0 ;;
    esac
    sectors=0
    IFS= read -r sectors <"$sysfs/size" || :
    [ "$sectors" -gt 0 ] || return 0
    frame "disk.$1.udev" bounded udevadm info --query=property --name="$2"
    frame "disk.$1.blkid" bounded blkid -p -o export "$2"
    blank=no
    [ "$frame_status" = 2 ] && blank=yes
    frame "disk.$1.open" opens_exclusively "$2"
    if [ "$frame_status" = 0 ] && [ "$blank" = yes ]; then
        frame "disk.$1.zero" looks_zero "$2" $((sectors * 512))
    fi
}

frame os-release cat /etc/os-release
frame uname uname -rm
frame boot-id cat /proc/sys/kernel/random/boot_id
frame machine-id machine_id
frame init cat /proc/1/comm
frame init-version bounded initctl version
# shellcheck disable=SC2016  # dpkg's own placeholders
frame packages-deb dpkg-query -W -f '${Package} ${Status} ${Version}\n' \
    emc-scaleio-sds emc-scaleio-sdc rexray dvdcli libaio1 libaio1t64 numactl openssl curl
frame packages-rpm rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\n' \
    EMC-ScaleIO-sds EMC-ScaleIO-sdc rexray dvdcli libaio numactl openssl curl
for tool in rexray dvdcli; do
    frame "binary.$tool" sha256sum "/usr/bin/$tool"
    frame "unpacked.$tool" cat "$STATE_DIR/binaries/$tool"
done
for service in sds scini rexray; do
    frame "service.$service" service_state "$service"
done
frame guid bounded "$DRV_CFG" --query_guid
frame mdms bounded "$DRV_CFG" --query_mdms
frame drv-cfg-file cat "$DRV_CFG_FILE"
frame module cat /sys/module/scini/initstate
frame agent-flags bounded curl --silent --fail --max-time 10 "http://${MESOS_AGENT_ENDPOINT:-127.0.0.1:5051}/flags"
frame public-key cat "$STATE_DIR/host_key.pub"
frame openssl openssl version
frame receipt receipts
frame rexray-config sha256sum /etc/rexray/config.yml
# A task under filesystem/linux has mounts of its own: the host's are those of process 1.
frame mountinfo cat /proc/1/mountinfo /proc/self/mountinfo
frame swaps cat /proc/swaps
frame deny cat "$DENY_FILE"
frame links stable_links
number=0
for node in $(device_nodes); do
    survey_disk "$number" "$node"
    number=$((number + 1))
done
EXTRA=",\"frames\":$FRAMES"
finish 0 surveyed
