# shellcheck shell=sh
# parts: _services
# Arms a reboot. The host asks for its permit later, by itself, and silence means no.
begin_step reboot lock
can_arm
require PERMIT_URL 'A-Za-z0-9._:/?=&%~[]-'
allow PERMIT_CA 'A-Za-z0-9+/=' "${PERMIT_CA:=}"
allow DELAY_S '0-9' "${DELAY_S:=30}"
case $PERMIT_URL in
    https://* | http://*) ;;
    *) finish 78 setting "variable PERMIT_URL is no http or https URL" ;;
esac
command -v curl >/dev/null || finish 78 curl "curl is missing: the prerequisites step brings it"

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
code=$(curl --config "$STATE_DIR/permit.conf" --silent --output /dev/null --write-out '%{http_code}' \
    --proto '=http,https' --connect-timeout 5 --max-time 15 2>/dev/null) || code=000
if [ "$code" != 200 ]; then
    disarm rolled-back refused
    exit 0
fi
disarm kept permitted
sync
case $INIT in
    systemd) systemctl reboot ;;
    *) shutdown -r now ;;
esac
ASK
}

# The permit's address is the permit: it stands in a file, not in an argument list.
(
    umask 077
    printf 'url = "%s"\n' "$PERMIT_URL" >"$WORK/permit.conf"
    if [ -n "$PERMIT_CA" ]; then
        printf '%s' "$PERMIT_CA" | base64 -d >"$WORK/permit.ca"
        printf 'cacert = "%s"\n' "$STATE_DIR/permit.ca" >>"$WORK/permit.conf"
    fi
)
CHANGED=true
[ -z "$PERMIT_CA" ] || install_file 0600 "$WORK/permit.ca" "$STATE_DIR/permit.ca"
install_file 0600 "$WORK/permit.conf" "$STATE_DIR/permit.conf"
install_receipt_tool
asker >"$WORK/reboot-ask"
install_file 0700 "$WORK/reboot-ask" "$STATE_DIR/bin/reboot-ask"
receipt reboot open
arm scaleio-framework-reboot "$DELAY_S" "$STATE_DIR/bin/reboot-ask" || {
    receipt reboot rolled-back ',"reason":"not-armed"'
    finish 1 arm "the init system did not take the reboot unit: see its message above"
}
finish 0 armed
