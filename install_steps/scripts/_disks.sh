# shellcheck shell=sh
# What is read of a disk.
DENY_FILE=/etc/scaleio-framework/devices.deny
EDGE_BYTES=16777216
SAMPLE_BYTES=4096
SAMPLES=256
exec 6</dev/zero # what open_blocks has to find: so it knows that it can see

# The kernel refuses this while anything stands on the disk or on a part of it; nothing is written.
opens_exclusively() {
    if command -v perl >/dev/null; then
        run perl -e 'sysopen(my $disk, $ARGV[0], 128) or exit 1' "$1"
    elif command -v python3 >/dev/null; then
        run python3 -c 'import os, sys; os.open(sys.argv[1], 128)' "$1" 2>/dev/null
    elif command -v python >/dev/null; then
        run python -c 'import os, sys; os.open(sys.argv[1], 128)' "$1" 2>/dev/null
    elif [ -x /usr/libexec/platform-python ]; then
        run /usr/libexec/platform-python -c 'import os, sys; os.open(sys.argv[1], 128)' "$1" 2>/dev/null
    else
        return 127
    fi
}

# zero_at DISK OFFSET LENGTH: a read that fails or ends early counts as data.
zero_at() {
    run cmp -s -n "$3" -i "$2:0" "$1" /dev/zero
}

# looks_zero DISK SIZE: first and last 16 MiB, and samples between them.
looks_zero() {
    if [ "$2" -le $((2 * EDGE_BYTES + SAMPLES * SAMPLE_BYTES)) ]; then
        [ "$2" -gt 0 ] && zero_at "$1" 0 "$2"
        return
    fi
    zero_at "$1" 0 "$EDGE_BYTES" || return 1
    zero_at "$1" $(($2 - EDGE_BYTES)) "$EDGE_BYTES" || return 1
    looks_stride=$((($2 - 2 * EDGE_BYTES) / (SAMPLES + 1) / SAMPLE_BYTES * SAMPLE_BYTES))
    looks_at=$EDGE_BYTES
    looks_left=$SAMPLES
    while [ "$looks_left" -gt 0 ]; do
        looks_at=$((looks_at + looks_stride))
        zero_at "$1" "$looks_at" "$SAMPLE_BYTES" || return 1
        looks_left=$((looks_left - 1))
    done
}

# sysfs_of NODE: the kernel's own folder of a block device, whatever the node is called.
sysfs_of() {
    sysfs_numbers=$(stat -c '%t %T' "$1")
    readlink -f "/sys/dev/block/$((0x${sysfs_numbers% *})):$((0x${sysfs_numbers#* }))"
}

# open_blocks: "MAJOR:MINOR PROCESS COMMAND" (numbers in hex) of each open block device, whatever
# its node is called in the namespace of that process. Fails if it could not look everywhere.
open_blocks() {
    blocks_status=0
    set +f
    timeout 20 find /proc/[0-9]*/fd -maxdepth 1 -lname '/dev/*' \
        -exec stat -L -c '%t:%T %F %n' {} + >"$WORK/open" 2>/dev/null </dev/null || blocks_status=$?
    set -f
    # 1: a process ended meanwhile, which is no reason to doubt the rest.
    [ "$blocks_status" -le 1 ] || return "$blocks_status"
    grep -q -F "/proc/$$/fd/6" "$WORK/open" || return 126
    while read -r blocks_device blocks_kind blocks_rest; do
        [ "$blocks_kind" = block ] || continue
        blocks_process=${blocks_rest#*/proc/}
        blocks_process=${blocks_process%%/*}
        blocks_name=
        IFS= read -r blocks_name 2>/dev/null <"/proc/$blocks_process/comm" || :
        printf '%s %s %s\n' "$blocks_device" "$blocks_process" "$blocks_name"
    done <"$WORK/open"
}

# device_lines: FILE:LINE of every line that may name a device, from files that give disks a use.
device_lines() {
    set +f
    for lines_file in /etc/fstab /etc/crypttab /etc/lvm/lvm.conf /etc/lvm/lvmlocal.conf \
        /etc/lvm/devices/* /etc/mdadm.conf /etc/mdadm/mdadm.conf /etc/drbd.conf /etc/drbd.d/* \
        /etc/docker/daemon.json /etc/sysconfig/docker-storage* /etc/sysconfig/rawdevices \
        /etc/sysconfig/oracleasm* /etc/ceph/*.conf /etc/tgt/*.conf /etc/tgt/conf.d/* \
        /etc/target/saveconfig.json /etc/nbd-server/config /etc/libvirt/qemu/*.xml \
        /etc/xen/*.cfg /etc/sysconfig/sbd /etc/default/sbd \
        /etc/systemd/system/*.mount /etc/systemd/system/*.swap; do
        [ -f "$lines_file" ] || continue
        lines_status=0
        grep -H -e /dev/ -e UUID= -e LABEL= -e IDNAME= -e DEVS= "$lines_file" || lines_status=$?
        [ "$lines_status" -le 1 ] || return "$lines_status"
    done
    set -f
}
