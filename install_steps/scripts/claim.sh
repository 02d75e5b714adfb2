# shellcheck shell=sh
# parts: _disks _leftovers
# The last look before the Gateway is told to take disks. Changes nothing.
begin_step claim lock
clear_leftovers
PATHS='A-Za-z0-9_./:+=,@%#! -'
allow DEVICES "$PATHS" "${DEVICES:=}"
allow DEVICES_DECLARED "$PATHS" "${DEVICES_DECLARED:=}"
allow DEVICES_OVERWRITE "$PATHS" "${DEVICES_OVERWRITE:=}"
[ -n "$DEVICES$DEVICES_DECLARED$DEVICES_OVERWRITE" ] || finish 78 setting "no device is named"
COUNT=0

refuse() {
    finish 65 not-empty "$1: $2; nothing was given to ScaleIO"
}

# partitions_like NAME: how the name of a partition of it goes on, as a pattern.
partitions_like() {
    case $1 in
        /dev/disk/*) part_ending='-part[0-9]' ;;
        *[0-9]) part_ending='p[0-9]' ;;
        *) part_ending='[0-9]' ;;
    esac
}

# numbers_of: MAJOR:MINOR of the disk in $sysfs and of its partitions.
numbers_of() {
    set +f
    for part in "$sysfs" "$sysfs"/*/partition; do
        [ -e "$part" ] || continue
        cat "${part%/partition}/dev"
    done
    set -f
}

names_of() {
    printf '%s\n%s\n' "$1" "$node"
    set +f
    for name in /dev/disk/by-id/* /dev/disk/by-path/*; do
        if [ "$(readlink -f "$name")" = "$node" ]; then printf '%s\n' "$name"; fi
    done
    set -f
}

# mounted_at: where the disk or a part of it is mounted. The host's mounts are those of process 1.
mounted_at() {
    for number in $(numbers_of); do
        cat /proc/1/mountinfo /proc/self/mountinfo | while read -r _ _ mount_number _ mount_at _; do
            if [ "$mount_number" = "$number" ]; then printf '%s\n' "$mount_at"; fi
        done
    done
    set +f
    for member in /sys/fs/btrfs/*/devices/"${sysfs##*/}" /sys/fs/btrfs/*/devices/"${sysfs##*/}"[p0-9]*; do
        if [ -e "$member" ]; then printf 'a btrfs of several disks\n'; fi
    done
    set -f
}

# stands_on: every device that stands on the disk, or has it for its backing file.
stands_on() {
    set +f
    for holder in "$sysfs"/holders/* "$sysfs"/*/holders/* "$sysfs"/bcache; do
        if [ -e "$holder" ] || [ -L "$holder" ]; then printf '%s\n' "${holder##*/}"; fi
    done
    for backing in /sys/block/loop*/loop/backing_file; do
        [ -e "$backing" ] || continue
        case $(cat "$backing") in
            "$node" | "$node"$part_ending*) backing=${backing%/loop/backing_file} && printf '%s\n' "${backing##*/}" ;;
        esac
    done
    set -f
}

denied() {
    [ -r "$DENY_FILE" ] || return 1
    while IFS= read -r entry || [ -n "$entry" ]; do
        entry=${entry%%#*}
        entry=$(printf '%s' "$entry" | tr -d ' \t\r')
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

# configured PATH: the first line that names it. What LVM's filters say is the survey's to judge.
configured() {
    device_lines >"$WORK/lines" 2>/dev/null || {
        echo 'the configuration cannot be read'
        return 0
    }
    grep -v -e '^[^:]*:[[:blank:]]*[#;]' -e '^/etc/lvm/lvm[a-z]*\.conf:' "$WORK/lines" >"$WORK/config" || :
    for name in $(names_of "$1"); do
        partitions_like "$name"
        grep -F -e "$name" "$WORK/config" | while IFS= read -r line; do
            case "$line " in
                *"$name"[!A-Za-z0-9_.:-]* | *"$name"$part_ending*) printf '%s\n' "$line" ;;
            esac
        done
    done
}

# opened_by: the first process that has the disk or a part of it open.
opened_by() {
    open_blocks >"$WORK/open-now" || {
        echo 'nobody could look'
        return 0
    }
    for number in $(numbers_of); do
        number=$(printf '%x:%x' "${number%:*}" "${number#*:}")
        while read -r open_number open_process open_name; do
            if [ "$open_number" = "$number" ]; then printf '%s (process %s)\n' "$open_name" "$open_process"; fi
        done <"$WORK/open-now"
    done
}

nobody_has_it_open() {
    [ -z "$(opened_by)" ]
}

# refuse_if PATH WHAT EVIDENCE: only if there is any.
refuse_if() {
    [ -z "$3" ] || refuse "$1" "$2: $(printf '%s\n' "$3" | head -n 1 | cut -c 1-160)"
}

# stands_free PATH: what no naming by an operator can lift, in the order of the scheduler's rules.
stands_free() {
    node=$(readlink -f "$1")
    [ -b "$node" ] || refuse "$1" "it is no block device now"
    sysfs=$(sysfs_of "$node")
    [ -e "$sysfs/partition" ] && refuse "$1" "it is a partition"
    case "${sysfs##*/} ${node##*/}" in
        dm-* | md* | scini* | *' scini'* | sr* | fd* | ram* | zram* | nbd* | rbd* | drbd* | bcache* | zd* | pmem*)
            refuse "$1" "it is no whole local disk: ${sysfs##*/}"
            ;;
    esac
    partitions_like "$node"
    while read -r swap _; do
        case $swap in "$node" | "$node"$part_ending*) refuse "$1" "it carries swap: $swap" ;; esac
    done </proc/swaps
    refuse_if "$1" "it, or a part of it, is mounted" "$(mounted_at)"
    refuse_if "$1" "another block device stands on it" "$(stands_on)"
    if timeout 30 udevadm info --query=property --name="$node" </dev/null 2>/dev/null | grep -q -x DM_MULTIPATH_DEVICE_PATH=1; then
        refuse "$1" "multipathd has claimed it as a path of a volume"
    fi
    if denied "$1" "$node"; then refuse "$1" "it stands in $DENY_FILE"; fi
    refuse_if "$1" "a file of the host's configuration names it" "$(configured "$1")"
    [ "$(cat "$sysfs/size")" -gt 0 ] || refuse "$1" "it has no size"
    [ "$(cat "$sysfs/ro")" = 0 ] || refuse "$1" "it is read-only"
    wait_for 3 nobody_has_it_open || refuse_if "$1" "a process has it open" "$(opened_by)"
    opens_exclusively "$node" || refuse "$1" "it cannot be opened alone: something uses it"
    COUNT=$((COUNT + 1))
}

# signs: "TYPE at OFFSET" of each line of wipefs; old ones have a head line.
signs() {
    while IFS= read -r sign; do
        case $sign in
            '' | '#'*) ;;
            *) printf '%s at %s\n' "${sign##*,}" "${sign%%,*}" ;;
        esac
    done
}

stands_unsigned() {
    set +f
    for part in "$sysfs"/*/partition; do
        [ ! -e "$part" ] || refuse "$1" "it has partitions"
    done
    set -f
    blkid_status=0
    found=$(blkid -p -o export "$node" 2>/dev/null | tr '\n' ' ') || :
    blkid -p "$node" >/dev/null 2>&1 || blkid_status=$?
    signatures=$(wipefs -p "$node" 2>/dev/null) || refuse "$1" "wipefs cannot tell what it carries"
    refuse_if "$1" "it carries a signature" "$(printf '%s\n' "$signatures" | signs)"
    [ "$blkid_status" = 2 ] ||
        refuse "$1" "blkid finds a signature, or cannot tell (status $blkid_status): $found"
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
