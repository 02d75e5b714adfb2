# shellcheck shell=sh
# Arms a restart of the Mesos agent with a watcher that outlives this task, judges by what it sees
# on this host only, goes back once at most, and says in its receipt how it ended.
begin_step agent-restart lock
can_arm
require MESOS_AGENT_ENDPOINT 'A-Za-z0-9.:[]-'
require ISOLATION_TO 'A-Za-z0-9_/,-'
require MASTER_ENDPOINT 'A-Za-z0-9.:[]-'
allow DELAY_S '0-9' "${DELAY_S:=20}"
allow WATCH_S '0-9' "${WATCH_S:=300}"
agent_unit
GUARD=scaleio-framework-agent-watch
if receipt_is_open agent-restart && { is_armed scaleio-framework-agent-restart || is_armed "$GUARD"; }; then
    finish 75 armed-already "a restart of the agent is already under way: it is tried again"
fi
agent_get /flags >"$WORK/flags" || finish 78 flags \
    "the agent's /flags cannot be read at $MESOS_AGENT_ENDPOINT, so a restart could not be judged: restart it by hand"
if grep -qF "\"isolation\":\"$ISOLATION_TO\"" "$WORK/flags"; then
    finish 0 holds
fi

watcher() {
    printf '#!/bin/sh\n'
    printf "UNIT='%s'\nAGENT='%s'\nMASTER='%s'\nISOLATION='%s'\nINIT='%s'\nPATIENCE_S=%s\nGUARD='%s'\n" \
        "$AGENT_UNIT" "$MESOS_AGENT_ENDPOINT" "$MASTER_ENDPOINT" "$ISOLATION_TO" "$INIT" "$WATCH_S" \
        "$GUARD"
    cat <<'WATCH'
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE_DIR=/var/lib/scaleio-framework
BACKUP=$STATE_DIR/backup/agent
DEATHS=3
GRACE_S=90

restart() {
    case $INIT in
        systemd) systemctl restart "$UNIT.service" ;;
        *) initctl restart "$UNIT" || initctl start "$UNIT" ;;
    esac
}

main_pid() {
    case $INIT in
        systemd) systemctl show --property=MainPID "$UNIT.service" | sed -n 's/^MainPID=//p' ;;
        *) initctl status "$UNIT" | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
    esac
}

given_up() {
    case $INIT in
        systemd) systemctl is-failed --quiet "$UNIT.service" ;;
        *) initctl status "$UNIT" | grep -q 'stop/waiting' ;;
    esac
}

get() {
    curl --silent --fail --max-time 5 "http://$AGENT$1" 2>/dev/null | tr -d '\134'
}

shows_value() {
    get /flags | grep -qF "\"isolation\":\"$ISOLATION\""
}

# Mesos' metric of that name says that the agent has recovered, and knows of a leading master.
registered() {
    get /metrics/snapshot | grep -q -e '"slave/registered":1'
}

master_answers() {
    curl --silent --output /dev/null --max-time 5 "http://$MASTER/health" 2>/dev/null
}

end() {
    "$STATE_DIR/bin/receipt" agent-restart "$1" ",\"reason\":\"$2\""
    rm -f "/etc/init/$GUARD.conf"
    [ "$INIT" = systemd ] && systemctl disable --quiet "$GUARD.service"
    rm -f "/etc/systemd/system/$GUARD.service"
    exit 0
}

# Only files that still are as we wrote them are put back.
go_back() {
    while read -r was hash path name; do
        now=$(sha256sum "$path" 2>/dev/null)
        [ "${now%% *}" = "$hash" ] || continue
        if [ "$was" = present ]; then
            temp=$(mktemp "${path%/*}/.scaleio.XXXXXXXX")
            dd if="$BACKUP/$name" of="$temp" conv=fsync status=none
            chmod 0644 "$temp"
            mv -f "$temp" "$path"
        else
            rm -f "$path"
        fi
    done <"$BACKUP/changes"
    [ "$INIT" = systemd ] && systemctl daemon-reload
    restart
    end rolled-back "$1"
}

if [ "${1:-}" = boot ]; then
    "$STATE_DIR/bin/receipt" agent-restart open
else
    restart
fi
seen=$(main_pid)
deaths=0
good=none
waited=0
while [ "$waited" -lt "$PATIENCE_S" ]; do
    sleep 1
    waited=$((waited + 1))
    now=$(main_pid)
    if [ "$now" != "$seen" ]; then
        case $seen in
            '' | 0) ;;
            *) deaths=$((deaths + 1)) ;;
        esac
        seen=$now
    fi
    if [ "$deaths" -ge "$DEATHS" ] || given_up; then go_back crashes; fi
    [ $((waited % 5)) = 0 ] || continue
    if shows_value && registered; then
        if [ "$good" = "$seen" ]; then end kept registered; fi
        good=$seen # one that dies soon is another process at the next look
    else
        good=none
    fi
done
shows_value || go_back no-value
# A master that has just come back answers before it leads, and before the agent has found it.
waited=0
while ! registered; do
    master_answers || end kept master-silent
    [ "$waited" -lt "$GRACE_S" ] || go_back not-registered
    sleep 5
    waited=$((waited + 5))
done
end kept registered
WATCH
}

# A reboot ends the watch, and the agent then starts with the new settings: the guard goes on.
guard_boot() {
    case $INIT in
        systemd)
            printf '[Unit]\nDescription=Watch over new settings of the Mesos agent\n\n[Service]\nExecStart=/bin/sh %s boot\n\n[Install]\nWantedBy=multi-user.target\n' \
                "$STATE_DIR/bin/agent-watch" >"$WORK/guard"
            install_file 0644 "$WORK/guard" "/etc/systemd/system/$GUARD.service"
            run systemctl enable --quiet "$GUARD.service" >&2
            ;;
        *)
            printf 'start on runlevel [2345]\nexec /bin/sh %s boot\n' "$STATE_DIR/bin/agent-watch" >"$WORK/guard"
            install_file 0644 "$WORK/guard" "/etc/init/$GUARD.conf"
            ;;
    esac
}

[ -s "$STATE_DIR/backup/agent/changes" ] || finish 78 no-way-back \
    "there is no record of what was changed, so there would be no way back: run the isolator step first"
watcher >"$WORK/agent-watch"
install_receipt_tool
install_file 0700 "$WORK/agent-watch" "$STATE_DIR/bin/agent-watch"
CHANGED=true
guard_boot
receipt agent-restart open
arm scaleio-framework-agent-restart "$DELAY_S" "$STATE_DIR/bin/agent-watch" || {
    receipt agent-restart rolled-back ',"reason":"not-armed"'
    run systemctl disable --quiet "$GUARD.service" >/dev/null 2>&1 || :
    rm -f "/etc/systemd/system/$GUARD.service" "/etc/init/$GUARD.conf"
    finish 1 arm "the init system did not take the restart unit: see its message above"
}
finish 0 armed
