# shellcheck shell=sh
# Mesos' own docker/volume isolator. A wrong flag keeps the agent from starting, so everything is
# checked before anything is written, the way back is stored first, and from the first file on a
# program on this host watches the agent, whatever becomes of this task, the scheduler or the boot.
begin_step isolator lock
find_platform
require MESOS_AGENT_ENDPOINT 'A-Za-z0-9.:[]-'
require ISOLATION_FROM 'A-Za-z0-9_/,-'
require ISOLATION_TO 'A-Za-z0-9_/,-'
require CHECKPOINT_DIR 'A-Za-z0-9_./-'
# Only a watcher asks the master, and one that does not know it takes a silent one for granted.
allow MASTER_ENDPOINT 'A-Za-z0-9.:[]-' "${MASTER_ENDPOINT:=}"
BACKUP=$STATE_DIR/backup/agent
GUARD=scaleio-framework-agent-watch
WAIT=scaleio-framework-agent-wait
ARMED=scaleio-framework-agent-restart

flags_now() {
    agent_get /flags >"$WORK/flags" || finish 78 flags \
        "the agent's /flags cannot be read at $MESOS_AGENT_ENDPOINT: allow it, or set the isolation by hand"
    grep -q -e '"launcher":"linux"' "$WORK/flags" || finish 78 launcher \
        "the agent's launcher is not linux, and filesystem/linux needs it: start the agent with --launcher=linux"
    if grep -qF "\"isolation\":\"$ISOLATION_TO\"" "$WORK/flags"; then
        EFFECTIVE=yes
    elif grep -qF "\"isolation\":\"$ISOLATION_FROM\"" "$WORK/flags"; then
        EFFECTIVE=no
    else
        finish 75 flags-changed "the agent's isolation changed since it was surveyed: it is tried again"
    fi
}

# dvdcli has to be found by the agent, whose PATH is not ours.
check_dvdcli() {
    agent_unit
    pid=$(agent_pid)
    if [ -z "$pid" ] || [ ! -r "/proc/$pid/environ" ]; then
        finish 78 agent-process "the process of service $AGENT_UNIT cannot be found"
    fi
    agent_path=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^PATH=//p' | head -n 1)
    [ -n "$agent_path" ] || agent_path=/bin:/usr/bin
    found=$(run env -i PATH="$agent_path" /bin/sh -c 'command -v dvdcli') || found=
    [ -n "$found" ] || finish 78 dvdcli-path \
        "dvdcli is not on the agent's PATH ($agent_path): the agent would not start"
    run timeout 20 env -i PATH="$agent_path" dvdcli --help >/dev/null 2>&1 || finish 78 dvdcli \
        "dvdcli does not run with the agent's PATH"
}

# How the agent gets its flags decides where ours go.
find_style() {
    case $INIT in
        systemd) systemctl cat "$AGENT_UNIT.service" >"$WORK/unit" 2>/dev/null || : ;;
        *) cat "/etc/init/$AGENT_UNIT.conf" >"$WORK/unit" 2>/dev/null || : ;;
    esac
    tr '\0' '\n' <"/proc/$pid/cmdline" >"$WORK/cmdline"
    if grep -q -e 'mesos-init-wrapper' "$WORK/unit"; then
        STYLE=files
        FLAG_DIR=/etc/mesos-slave
        grep -q -e 'mesos-init-wrapper agent' "$WORK/unit" && FLAG_DIR=/etc/mesos-agent
        [ -d "$FLAG_DIR" ] || finish 78 agent-style "the agent is started by mesos-init-wrapper, but $FLAG_DIR is missing"
        return 0
    fi
    grep -q -e '^--isolation' -e '^--docker_volume_checkpoint_dir' "$WORK/cmdline" && finish 78 agent-style \
        "the agent's isolation stands on its command line: set --isolation=$ISOLATION_TO --docker_volume_checkpoint_dir=$CHECKPOINT_DIR there, and restart it"
    [ "$INIT" = systemd ] || finish 78 agent-style \
        "it is not known where this agent's flags are kept: set --isolation=$ISOLATION_TO --docker_volume_checkpoint_dir=$CHECKPOINT_DIR, and restart it"
    # The drop-in's variable must be the one that counts: an environment file would win over it.
    run_as=$(tr '\0' '\n' <"/proc/$pid/environ" | grep -e '^MESOS_ISOLATION=' || :)
    [ -z "$run_as" ] || [ -e "/etc/systemd/system/$AGENT_UNIT.service.d/50-scaleio-framework.conf" ] ||
        finish 78 agent-style "the agent's isolation comes from MESOS_ISOLATION in its environment: set it to $ISOLATION_TO there, and restart it"
    STYLE=drop-in
}

# is_one_of WORD WORDS: with commas between them.
is_one_of() {
    case ,$2, in
        *",$1,"*) return 0 ;;
    esac
    return 1
}

# want SOURCE TARGET: what is to be written, and what it takes to undo that. The state to go back to
# is the one before our first write, also when an earlier run was cut short; a digest of the list is
# of any text of ours that may stand there: this run's, and those of runs before it.
want() {
    want_hash=$(digest "$1")
    want_old=$(grep -F -e " $2 " "$BACKUP/changes" 2>/dev/null) || want_old=
    want_name=$(printf '%s' "$2" | tr '/' '_')
    # shellcheck disable=SC2086  # words are meant; no path of ours has a blank
    set -- "$1" "$2" $want_old
    if [ -e "$2" ] && is_one_of "$(digest "$2")" "${4:-none}"; then
        if is_one_of "$want_hash" "$4"; then want_hash=$4; else want_hash=$want_hash,$4; fi
        want_entry="$3 $want_hash $2 $6 $7 $8"
    elif [ -e "$2" ]; then
        install_file 0600 "$2" "$BACKUP/$want_name"
        want_entry="present $want_hash $2 $want_name $(stat -c '%a %u:%g' "$2")"
    else
        want_entry="absent $want_hash $2 $want_name - -"
    fi
    printf '%s\n' "$want_entry" >>"$WORK/changes"
    printf '%s %s\n' "$1" "$2" >>"$WORK/wanted"
}

want_files() {
    printf '%s\n' "$ISOLATION_TO" >"$WORK/isolation"
    printf '%s\n' "$CHECKPOINT_DIR" >"$WORK/checkpoint"
    if [ -s "$FLAG_DIR/isolation" ] && ! cmp -s "$WORK/isolation" "$FLAG_DIR/isolation"; then
        standing=$(tr -d ' \n' <"$FLAG_DIR/isolation")
        [ "$standing" = "$ISOLATION_FROM" ] || finish 78 edited \
            "$FLAG_DIR/isolation says $standing, but the agent runs with $ISOLATION_FROM: restart the agent, or correct the file"
    fi
    want "$WORK/isolation" "$FLAG_DIR/isolation"
    want "$WORK/checkpoint" "$FLAG_DIR/docker_volume_checkpoint_dir"
}

want_drop_in() {
    printf '[Service]\nEnvironment=MESOS_ISOLATION=%s\nEnvironment=MESOS_DOCKER_VOLUME_CHECKPOINT_DIR=%s\n' \
        "$ISOLATION_TO" "$CHECKPOINT_DIR" >"$WORK/drop-in"
    want "$WORK/drop-in" "/etc/systemd/system/$AGENT_UNIT.service.d/50-scaleio-framework.conf"
}

write_wanted() {
    while read -r source target; do
        if ! cmp -s "$source" "$target"; then
            CHANGED=true
            mkdir -p "${target%/*}"
            install_file 0644 "$source" "$target"
        fi
    done <"$WORK/wanted"
    if [ "$STYLE" = drop-in ]; then run systemctl daemon-reload; fi
}

# ---------------------------------------------------------------- the watch over new settings

# It judges by what it sees on this host only, goes back once at most, and says how it ended.
#   restart  the armed restart of agent-restart.sh: restarts the agent, and judges
#   boot     the guard: the agent has started with the new settings, whoever rebooted the host
#   wait     from the first file on: judges as soon as the agent is another process
#   undo     puts the files back, and leaves the agent alone
watcher() {
    printf '#!/bin/sh\n'
    printf "UNIT='%s'\nAGENT='%s'\nMASTER='%s'\nISOLATION='%s'\nINIT='%s'\nPATIENCE_S=300\nGUARD='%s'\nWAIT='%s'\nWAS='%s'\n" \
        "$AGENT_UNIT" "$MESOS_AGENT_ENDPOINT" "$MASTER_ENDPOINT" "$ISOLATION_TO" "$INIT" "$GUARD" "$WAIT" "$pid"
    cat <<'WATCH'
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE_DIR=/var/lib/scaleio-framework
BACKUP=$STATE_DIR/backup/agent
RECEIPT=$STATE_DIR/receipt.d/agent-restart.json
DEATHS=3
GRACE_S=90
BOOT_S=60  # until init has started everything
STAYS_S=30 # in which an agent with its old settings has to run for STEADY_S
STEADY_S=10
AGAIN_S=30
SAYS=20
if [ -r "$STATE_DIR/bin/agent-watch.more" ]; then . "$STATE_DIR/bin/agent-watch.more"; fi

restart() {
    case $INIT in
        systemd)
            systemctl reset-failed "$UNIT.service" || : # a start limit that was hit would refuse
            systemctl restart "$UNIT.service" || :
            ;;
        *) initctl restart "$UNIT" || initctl start "$UNIT" || : ;;
    esac
}

main_pid() {
    case $INIT in
        systemd) systemctl show --property=MainPID "$UNIT.service" | sed -n 's/^MainPID=//p' ;;
        *) initctl status "$UNIT" | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
    esac
}

# Upstart says of a service that it has not started yet what it says of one that it gave up.
given_up() {
    case $INIT in
        systemd) systemctl is-failed --quiet "$UNIT.service" ;;
        *)
            { [ "$ran" = yes ] || [ "$waited" -ge "$BOOT_S" ]; } &&
                initctl status "$UNIT" | grep -q 'stop/waiting'
            ;;
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
    rm -f "/etc/init/$GUARD.conf" "/etc/init/$WAIT.conf"
    if [ "$INIT" = systemd ]; then systemctl disable --quiet "$GUARD.service" || :; fi
    rm -f "/etc/systemd/system/$GUARD.service"
    exit 0
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
        case $INIT in
            systemd)
                for unit in "$WAIT.timer" "$WAIT.service" "$GUARD.service"; do
                    systemctl stop "$unit" 2>/dev/null || :
                done
                ;;
            *)
                initctl stop "$WAIT" 2>/dev/null || :
                initctl stop "$GUARD" 2>/dev/null || :
                ;;
        esac
        restart
        seen=$(main_pid)
        ;;
esac
judge
WATCH
}

# The agent starts with the new settings after a reboot, too: the guard then judges them.
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

# A guard of an earlier run, which no restart was armed for, would judge what is written now.
stop_guard() {
    if receipt_is_open agent-restart; then return 0; fi
    case $INIT in
        systemd) run systemctl stop "$GUARD.service" >/dev/null 2>&1 || : ;;
        *) run initctl stop "$GUARD" >/dev/null 2>&1 || : ;;
    esac
}

# Whoever watches ends by itself, and takes the guard along: only one that nobody runs is left.
remove_idle_guard() {
    if is_armed "$WAIT" || is_armed "$GUARD" || is_armed "$ARMED"; then return 0; fi
    if [ -e "$BACKUP/changes" ]; then mv -f "$BACKUP/changes" "$BACKUP/changes.done"; fi
    if [ "$INIT" = systemd ]; then run systemctl disable --quiet "$GUARD.service" >/dev/null 2>&1 || :; fi
    rm -f "/etc/systemd/system/$GUARD.service" "/etc/init/$GUARD.conf" "/etc/init/$WAIT.conf"
}

# All of this is on the disk before the first file is replaced.
prepare_way_back() {
    stop_guard
    watcher >"$WORK/agent-watch"
    printf '#!/bin/sh\nexec /bin/sh %s wait\n' "$STATE_DIR/bin/agent-watch" >"$WORK/agent-wait"
    install_receipt_tool
    rm -f "$STATE_DIR/bin/agent-watch.more"
    install_file 0700 "$WORK/agent-watch" "$STATE_DIR/bin/agent-watch"
    install_file 0700 "$WORK/agent-wait" "$STATE_DIR/bin/agent-wait"
    install_file 0600 "$WORK/changes" "$BACKUP/changes"
    guard_boot
    arm "$WAIT" 1 "$STATE_DIR/bin/agent-wait" ||
        finish 1 arm "the init system did not take the unit that watches the agent: see its message above"
    run sync
}

flags_now
ensure_package dvdcli
check_dvdcli
if [ "$EFFECTIVE" = yes ]; then
    remove_idle_guard
    receipt isolator kept
    finish 0 holds
fi
can_arm
find_style
mkdir -p "$CHECKPOINT_DIR" "$BACKUP"
chmod 0700 "$STATE_DIR/backup" "$BACKUP"
case $STYLE in
    files) want_files ;;
    drop-in) want_drop_in ;;
esac
prepare_way_back
write_wanted
receipt isolator kept ",\"style\":\"$STYLE\""
finish 21 agent-restart "the agent's configuration is written and holds after a restart of $AGENT_UNIT"
