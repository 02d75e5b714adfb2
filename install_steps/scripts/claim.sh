# shellcheck shell=sh
# parts: _disks
# The last look before the Gateway is told to take disks. Changes nothing.
begin_step claim lock
PATHS='A-Za-z0-9_./:+=,@%#! -'
allow DEVICES "$PATHS" "${DEVICES:=}"
allow DEVICES_DECLARED "$PATHS" "${DEVICES_DECLARED:=}"
allow DEVICES_OVERWRITE "$PATHS" "${DEVICES_OVERWRITE:=}"
[ -n "$DEVICES$DEVICES_DECLARED$DEVICES_OVERWRITE" ] || finish 78 setting "no device is named"
COUNT=0

refuse() {
    finish 65 not-empty "$1: $2; nothing was given to ScaleIO"
}

in_mounts() {
    cat /proc/1/mountinfo /proc/self/mountinfo | cut -d ' ' -f 3 | grep -q -x -F -e "$1"
}

denied() {
    [ -r "$DENY_FILE" ] || return 1
    while IFS= read -r entry || [ -n "$entry" ]; do
        entry=${entry%%#*}
        entry=$(printf '%s' "$entry" | tr -d ' \t')
        [ -n "$entry" ] || continue
        set +f
        for denied_path in $entry; do # an entry may be a pattern
            if [ "$denied_path" = "$1" ] || [ "$(readlink -f "$denied_path")" = "$2" ]; then
                return 0
            fi
        done
        set -f
    done <"$DENY_FILE"
    return 1
}

# stands_free PATH: what no naming by an operator can lift.
stands_free() {
    node=$(readlink -f "$1")
    [ -b "$node" ] || refuse "$1" "it is no block device now"
    sysfs=$(sysfs_of "$node")
    [ -e "$sysfs/partition" ] && refuse "$1" "it is a partition"
    case "${sysfs##*/} ${node##*/}" in
        dm-* | md* | scini* | *' scini'* | sr* | ram* | zram* | nbd*) refuse "$1" "it is no whole local disk" ;;
    esac
    set +f
    for holder in "$sysfs"/holders/* "$sysfs"/*/holders/*; do
        if [ -e "$holder" ] || [ -L "$holder" ]; then refuse "$1" "${holder##*/} stands on it"; fi
    done
    for part in "$sysfs" "$sysfs"/*/partition; do
        [ -e "$part" ] || continue
        if in_mounts "$(cat "${part%/partition}/dev")"; then refuse "$1" "it, or a part of it, is mounted"; fi
    done
    set -f
    if cut -d ' ' -f 1 /proc/swaps | grep -q -e "^${node}[p0-9]*\$"; then refuse "$1" "it carries swap"; fi
    if denied "$1" "$node"; then refuse "$1" "it stands in $DENY_FILE"; fi
    opens_exclusively "$node" || refuse "$1" "it cannot be opened alone: something uses it"
    [ "$(cat "$sysfs/ro")" = 0 ] || refuse "$1" "it is read-only"
    COUNT=$((COUNT + 1))
}

stands_unsigned() {
    set +f
    for part in "$sysfs"/*/partition; do
        [ ! -e "$part" ] || refuse "$1" "it has partitions"
    done
    set -f
    blkid_status=0
    blkid -p "$node" >/dev/null 2>&1 || blkid_status=$?
    [ "$blkid_status" = 2 ] || refuse "$1" "blkid finds a signature, or cannot tell (status $blkid_status)"
}

for device in $DEVICES_OVERWRITE; do
    stands_free "$device"
done
for device in $DEVICES_DECLARED; do
    stands_free "$device"
    stands_unsigned "$device"
done
for device in $DEVICES; do
    stands_free "$device"
    stands_unsigned "$device"
    looks_zero "$node" $(($(cat "$sysfs/size") * 512)) || refuse "$device" "it holds data: not all samples are zero"
done
EXTRA=",\"devices\":$COUNT"
finish 0 empty
