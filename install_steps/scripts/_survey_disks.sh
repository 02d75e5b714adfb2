# shellcheck shell=sh
# Every block device in frames of its own; only what may be a candidate at all is read.
# links_in FOLDER...: "LINK NODE" of every link.
links_in() {
    set +f
    for link in "$@"; do
        [ -L "$link" ] || continue
        printf '%s %s\n' "$link" "$(readlink -f "$link")"
    done
    set -f
}

stable_links() {
    set +f
    links_in /dev/disk/by-id/* /dev/disk/by-path/*
}

content_links() {
    set +f
    links_in /dev/disk/by-uuid/* /dev/disk/by-label/* /dev/disk/by-partuuid/* \
        /dev/disk/by-partlabel/*
}

# "NAME UUID" of every disk of a mounted btrfs: mountinfo names one of them only.
btrfs_disks() {
    set +f
    for entry in /sys/fs/btrfs/*/devices/*; do
        [ -e "$entry" ] || continue
        entry_folder=${entry%/devices/*}
        printf '%s %s\n' "${entry##*/}" "${entry_folder##*/}"
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
    value_of dm-name "$2/dm/name"
    value_of backing "$2/loop/backing_file"
    value_of rotational "$2/queue/rotational"
    value_of logical "$2/queue/logical_block_size"
    value_of physical "$2/queue/physical_block_size"
    value_of model "$2/device/model"
    value_of serial "$2/device/serial"
    value_of wwid "$2/wwid"
    value_of device-wwid "$2/device/wwid"
    [ ! -d "$2/bcache" ] || printf 'bcache=registered\n'
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
    if [ -e "$sysfs/partition" ]; then
        frame "disk.$1.udev" bounded udevadm info --query=property --name="$2"
        return 0
    fi
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
    frame "disk.$1.wipefs" bounded wipefs -p "$2"
    frame "disk.$1.open" opens_exclusively "$2"
    if [ "$frame_status" = 0 ] && [ "$blank" = yes ]; then
        frame "disk.$1.zero" looks_zero "$2" $((sectors * 512))
    fi
}

# Who has a disk open is asked before and after all else: who only looks is gone by then.
survey_disks() {
    frame links stable_links
    frame aliases content_links
    frame btrfs btrfs_disks
    frame config device_lines
    frame opened open_blocks
    number=0
    for node in $(device_nodes); do
        survey_disk "$number" "$node"
        number=$((number + 1))
    done
    frame opened-again open_blocks
}
