# shellcheck shell=sh
# parts: _arming _permit
# Arms a reboot. The host asks for its permit later, by itself, and silence means no.
begin_step reboot lock
can_arm
allow DELAY_S '0-9' "${DELAY_S:=30}"
permit_settings

asker() {
    printf '#!/bin/sh\n'
    printf "INIT='%s'\nBOOT_ID='%s'\n" "$INIT" "$(cat /proc/sys/kernel/random/boot_id)"
    cat <<'ASK'
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE_DIR=/var/lib/scaleio-framework

disarm() {
    rm -f "$STATE_DIR/permit.conf" "$STATE_DIR/permit.ca" /etc/init/scaleio-framework-reboot.conf
    "$STATE_DIR/bin/receipt" reboot "$1" ",\"reason\":\"$2\""
}

now=
IFS= read -r now </proc/sys/kernel/random/boot_id || :
if [ "$now" != "$BOOT_ID" ]; then
    disarm rolled-back other-boot
    exit 0
fi
# Before the question: what the answer rests on is seconds old.
timeout 60 sync || {
    disarm rolled-back sync
    exit 0
}
code=$(curl -q --noproxy '*' --config "$STATE_DIR/permit.conf" --silent --output /dev/null --write-out '%{http_code}' \
    --proto '=http,https' --connect-timeout 5 --max-time 15 2>/dev/null) || code=000
if [ "$code" != 200 ]; then
    disarm rolled-back refused
    exit 0
fi
disarm kept permitted
case $INIT in
    systemd) systemctl reboot ;;
    *) shutdown -r now ;;
esac
ASK
}

write_permit "$STATE_DIR"
CHANGED=true
[ -z "$PERMIT_CA" ] || install_file 0600 "$WORK/permit.ca" "$STATE_DIR/permit.ca"
install_file 0600 "$WORK/permit.conf" "$STATE_DIR/permit.conf"
install_receipt_tool
asker >"$WORK/reboot-ask"
install_file 0700 "$WORK/reboot-ask" "$STATE_DIR/bin/reboot-ask"
receipt reboot open
arm scaleio-framework-reboot "$DELAY_S" "$STATE_DIR/bin/reboot-ask" || {
    receipt reboot rolled-back ',"reason":"not-armed"'
    finish 1 arm "the reboot could not be armed: see its message above"
}
finish 0 armed
