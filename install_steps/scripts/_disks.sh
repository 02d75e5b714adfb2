# shellcheck shell=sh
# What is read of a disk.
DENY_FILE=/etc/scaleio-framework/devices.deny
EDGE_BYTES=16777216
SAMPLE_BYTES=4096
SAMPLES=256

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
