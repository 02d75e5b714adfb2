# shellcheck shell=sh
# parts: _packages _fetch _install _services _arming _agent_watch
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
        *) cat "/etc/init/$AGENT_UNIT.conf" "/etc/init.d/$AGENT_UNIT" >"$WORK/unit" 2>/dev/null || : ;;
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

# A guard of an earlier run, which no restart was armed for, would judge what is written now.
stop_guard() {
    receipt_is_open agent-restart || disarm "$GUARD"
}

# Whoever watches ends by itself, and takes the guard along: only one that nobody runs is left.
remove_idle_guard() {
    if is_armed "$WAIT" || is_armed "$GUARD" || is_armed "$ARMED"; then return 0; fi
    if [ -e "$BACKUP/changes" ]; then mv -f "$BACKUP/changes" "$BACKUP/changes.done"; fi
    leave_boot "$GUARD"
    rm -f "/etc/init/$WAIT.conf"
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
    # The agent starts with the new settings after a reboot, too: the guard then judges them.
    at_boot "$GUARD" "$STATE_DIR/bin/agent-watch" boot
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
if receipt_is_open agent-restart && { is_armed "$ARMED" || is_armed "$GUARD"; }; then
    finish 75 armed-already "a restart of the agent is under way, and may undo what is written now: it is tried again"
fi
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
