# shellcheck shell=sh
# parts: _leftovers
# Sees the probe volume that was mapped to this host, and reads from it.
begin_step probe lock
clear_leftovers
require VOLUME_PATH 'A-Za-z0-9_./-'
allow PROBE_WAIT_S '0-9' "${PROBE_WAIT_S:=60}"
case $VOLUME_PATH in
    /dev/disk/by-id/emc-vol-*) ;;
    *) finish 78 setting "variable VOLUME_PATH does not name a ScaleIO volume" ;;
esac
[ -x "$DRV_CFG" ] || finish 78 drv-cfg "$DRV_CFG is missing: the sdc step brings it"

volume_seen() {
    run timeout 30 "$DRV_CFG" --rescan >/dev/null 2>&1 || :
    [ -b "$VOLUME_PATH" ]
}

wait_for "$PROBE_WAIT_S" volume_seen || finish 1 not-seen \
    "the volume is mapped, but does not appear as $VOLUME_PATH: is this host's way to the SDSs open (port 7072)?"
run timeout 60 dd if="$VOLUME_PATH" of=/dev/null bs=4096 count=1 iflag=direct status=none ||
    finish 1 not-readable "the volume appeared, but cannot be read: is this host's way to the SDSs open (port 7072)?"
finish 0 seen
