# shellcheck shell=sh
# The program that watches new settings of the Mesos agent. It is left on the host.

# It judges by what it sees on this host only, goes back once at most, and says how it ended.
#   restart  the armed restart of agent-restart.sh: restarts the agent, and judges
#   boot     the guard: the agent has started with the new settings, whoever rebooted the host
#   wait     from the first file on: judges as soon as the agent is another process
#   undo     puts the files back, and leaves the agent alone
watcher() {
    printf '#!/bin/sh\n'
    printf "UNIT='%s'\nAGENT='%s'\nMASTER='%s'\nISOLATION='%s'\nINIT='%s'\nPATIENCE_S=300\nGUARD='%s'\nWAIT='%s'\nWAS='%s'\n" \
        "$AGENT_UNIT" "$MESOS_AGENT_ENDPOINT" "$MASTER_ENDPOINT" "$ISOLATION_TO" "$INIT" "$GUARD" "$WAIT" "$pid"
    # An init.d script starts the agent also under upstart, where there is no job of its name.
    if [ "$INIT" = upstart ] && [ ! -e "/etc/init/$AGENT_UNIT.conf" ]; then
        printf "STARTS='script'\n"
    else
        printf "STARTS='%s'\n" "$INIT"
    fi
    cat <<'WATCH'
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE_DIR=/var/lib/scaleio-framework
BACKUP=$STATE_DIR/backup/agent
RECEIPT=$STATE_DIR/receipt.d/agent-restart.json
DEATHS=3
GRACE_S=90
BOOT_S=60  # until init has started everything
START_S=15 # until an agent that we have started ourselves runs: masters give it 75 s in all
STAYS_S=30 # in which an agent with its old settings has to run for STEADY_S
STEADY_S=10
AGAIN_S=30
SAYS=20
ENDS_S=30 # in which an agent that was told to stop is gone
RUN_DIR=/var/run
if [ -r "$STATE_DIR/bin/agent-watch.more" ]; then . "$STATE_DIR/bin/agent-watch.more"; fi

restart() {
    case $STARTS in
        systemd)
            systemctl reset-failed "$UNIT.service" || : # a start limit that was hit would refuse
            systemctl restart "$UNIT.service" || :
            ;;
        upstart) initctl restart "$UNIT" || initctl start "$UNIT" || : ;;
        *)
            # The usual script does not wait for the end, and starts nothing before it.
            service "$UNIT" stop </dev/null >/dev/null 2>&1 || :
            ending=$ENDS_S
            until [ -z "$(main_pid)" ] || [ "$ending" = 0 ]; do
                sleep 1
                ending=$((ending - 1))
            done
            service "$UNIT" start </dev/null >/dev/null 2>&1 || :
            ;;
    esac
}

main_pid() {
    case $STARTS in
        systemd) systemctl show --property=MainPID "$UNIT.service" | sed -n 's/^MainPID=//p' ;;
        upstart) initctl status "$UNIT" | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
        *) script_pid ;;
    esac
}

# By the pid file of the script of init.d, else by the name.
script_pid() {
    for file in "$RUN_DIR/$UNIT.pid" "$RUN_DIR/$UNIT/$UNIT.pid"; do
        found=
        IFS=' ' read -r found rest 2>/dev/null <"$file" || :
        case $found in
            '' | *[!0-9]*) ;;
            *)
                if [ -d "/proc/$found" ]; then
                    echo "$found"
                    return
                fi
                ;;
        esac
    done
    pgrep -o -x "$UNIT" || :
}

# Upstart says of a service that it has not started yet what it says of one that it gave up, and
# nobody starts what a script of init.d has started again.
given_up() {
    case $STARTS in
        systemd) systemctl is-failed --quiet "$UNIT.service" ;;
        *)
            { [ "$ran" = yes ] || [ "$waited" -ge "$BOOT_S" ]; } || return 1
            if [ "$STARTS" = upstart ]; then
                initctl status "$UNIT" | grep -q 'stop/waiting'
            else
                [ -z "$(main_pid)" ]
            fi
            ;;
    esac
}

get() {
    curl --silent --fail --max-time 5 "http://$AGENT$1" 2>/dev/null | tr -d '\134'
}

shows_value() {
    get /flags | grep -qF "\"isolation\":\"$ISOLATION\""
}

# Mesos' metric of that name only says that the agent has recovered, and knows of a leading master.
registered() {
    get /metrics/snapshot | grep -q -e '"slave/registered":1' && ! refused
}

# The master's list of agents can be read, and this one does not stand there as one that it takes.
refused() {
    [ -n "$MASTER" ] || return 1
    id=$(get /state | sed -n 's/.*"id":"\([^"]*\)","pid":"slave(.*/\1/p' | head -n 1)
    [ -n "$id" ] || return 1
    listed=$(curl --silent --fail --max-time 5 "http://$MASTER/slaves?slave_id=$id" 2>/dev/null |
        tr -d '\134' | head -c 1000000)
    case $listed in
        *'"pid":"slave('*'"pid":"slave('*) return 1 ;; # an old master lists them all
        *'"active":true'* | *'"deactivated":true'*) return 1 ;;
        '{'*'"slaves":['*) return 0 ;;
    esac
    return 1
}

master_answers() {
    [ -n "$MASTER" ] &&
        curl --silent --output /dev/null --max-time 5 "http://$MASTER/health" 2>/dev/null
}

# One that dies at once, and is started again and again, runs for moments, too.
stays() {
    steady=0
    last=none
    left=$STAYS_S
    while [ "$steady" -lt "$STEADY_S" ]; do
        [ "$left" -gt 0 ] || return 1
        sleep 1
        left=$((left - 1))
        now=$(main_pid)
        case $now in
            '' | 0) steady=0 ;;
            "$last") steady=$((steady + 1)) ;;
            *) steady=0 ;;
        esac
        last=$now
    done
}

say_receipt() {
    "$STATE_DIR/bin/receipt" agent-restart "$1" ",\"reason\":\"$2\""
}

is_open() {
    grep -q '"state":"open"' "$RECEIPT" 2>/dev/null
}

leave() {
    mv -f "$BACKUP/changes" "$BACKUP/changes.done" 2>/dev/null || :
    rm -f "/etc/init/$GUARD.conf" "/etc/init/$WAIT.conf" "/etc/cron.d/$GUARD" "/etc/cron.d/$WAIT"
    rm -f /etc/init/scaleio-framework-agent-restart.conf # cron's entry removes itself
    if [ "$INIT" = systemd ]; then systemctl disable --quiet "$GUARD.service" || :; fi
    rm -f "/etc/systemd/system/$GUARD.service"
    exit 0
}

# The other watchers go: one of them judges.
stop_others() {
    case $INIT in
        systemd)
            for unit in "$WAIT.timer" "$WAIT.service" "$GUARD.service"; do
                systemctl stop "$unit" 2>/dev/null || :
            done
            ;;
        upstart)
            initctl stop "$WAIT" 2>/dev/null || :
            initctl stop "$GUARD" 2>/dev/null || :
            ;;
        *)
            rm -f "/etc/cron.d/$WAIT"
            for unit in "$WAIT" "$GUARD"; do
                other=
                read -r other 2>/dev/null <"$STATE_DIR/$unit.pid" || continue
                # After a boot the number may be another's.
                if tr '\0' ' ' 2>/dev/null <"/proc/$other/cmdline" | grep -qF "$STATE_DIR/bin/"; then
                    kill "$other" || :
                fi
            done
            ;;
    esac
}

# end STATE REASON. A good setting that no restart was armed for needs no words.
end() {
    if [ "$1" = rolled-back ] || [ -e "$RECEIPT" ]; then
        said=0
        until say_receipt "$1" "$2"; do
            said=$((said + 1))
            [ "$said" -lt "$SAYS" ] || exit 1 # the guard stays, and looks after the next boot
            sleep "$AGAIN_S"
        done
    fi
    leave
}

# What a file of the list is like: before, ours, foreign (somebody has changed it since).
state_of() {
    if [ "$was" = absent ] && [ ! -e "$path" ]; then
        state=before
    elif [ "$was" = present ] && cmp -s "$BACKUP/$name" "$path"; then
        state=before
    else
        now=$(sha256sum "$path" 2>/dev/null) || now=
        state=foreign
        case ,$hash, in
            *",${now%% *},"*) state=ours ;;
        esac
    fi
}

anything_written() {
    [ -e "$BACKUP/changes" ] || return 1
    while read -r was hash path name rights owner; do
        state_of
        [ "$state" = before ] || return 0
    done <"$BACKUP/changes"
    return 1
}

# Whole or not at all: a full disk leaves the file as it is.
put_back() {
    if [ "$was" = absent ]; then
        rm -f "$path"
        return
    fi
    temp=$(mktemp "${path%/*}/.scaleio.XXXXXXXX") || return 1
    { dd if="$BACKUP/$name" of="$temp" conv=fsync bs=65536 status=none && chown "$owner" "$temp" &&
        chmod "$rights" "$temp" && mv -f "$temp" "$path"; } || {
        rm -f "$temp"
        return 1
    }
}

# Only files that still are as we wrote them are put back.
put_all_back() {
    foreign=no
    failed=no
    [ -e "$BACKUP/changes" ] || return 0
    while read -r was hash path name rights owner; do
        state_of
        case $state in
            ours) if put_back; then put=yes; else failed=yes; fi ;;
            foreign) foreign=yes ;;
        esac
    done <"$BACKUP/changes"
    [ "$failed" = no ]
}

go_back() {
    put=no
    until put_all_back; do
        say_receipt open "$1+not-restored" || :
        sleep "$AGAIN_S"
    done
    sync
    reason=$1
    if [ "$foreign" = yes ]; then reason=$reason+partly; fi
    if [ "$INIT" = systemd ]; then systemctl daemon-reload || :; fi
    if [ "$how" != undo ] && { [ "$put" = yes ] || ! stays; }; then
        restart
        stays || reason=$reason+agent-down
    fi
    end rolled-back "$reason"
}

count_deaths() {
    now=$(main_pid)
    if [ "$now" != "$seen" ]; then
        case $seen in
            '' | 0) ;;
            *) deaths=$((deaths + 1)) ;;
        esac
        seen=$now
    fi
    case $now in
        '' | 0) ;;
        *) ran=yes ;;
    esac
}

judge() {
    deaths=0
    good=none
    ran=no
    waited=0
    while [ "$waited" -lt "$PATIENCE_S" ]; do
        sleep 1
        waited=$((waited + 1))
        count_deaths
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
}

how=${1:-restart}
case $how in
    undo) go_back not-armed ;;
    boot)
        if anything_written; then
            if is_open; then say_receipt open boot || :; fi
        elif is_open; then
            end rolled-back interrupted
        else
            leave
        fi
        seen=$(main_pid)
        ;;
    wait)
        seen=$WAS # the process that has the old settings; it may be gone before this begins
        while [ "$(main_pid)" = "$seen" ] && ! shows_value; do
            [ -e "$BACKUP/changes" ] || exit 0
            sleep 5
        done
        ;;
    *)
        stop_others
        BOOT_S=$START_S
        restart
        seen=$(main_pid)
        ;;
esac
judge
WATCH
}
