# shellcheck shell=sh
# Mesos' own docker/volume isolator. A wrong flag keeps the agent from starting, so everything is
# checked before anything is written, and the way back is kept.
begin_step isolator lock
find_platform
require MESOS_AGENT_ENDPOINT 'A-Za-z0-9.:[]-'
require ISOLATION_FROM 'A-Za-z0-9_/,-'
require ISOLATION_TO 'A-Za-z0-9_/,-'
require CHECKPOINT_DIR 'A-Za-z0-9_./-'
BACKUP=$STATE_DIR/backup/agent

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

# put_file SOURCE TARGET: the first state of a file is what we go back to.
put_file() {
    cmp -s "$1" "$2" && return 0
    mkdir -p "${2%/*}" "$BACKUP"
    chmod 0700 "$STATE_DIR/backup" "$BACKUP"
    put_name=$(printf '%s' "$2" | tr '/' '_')
    if [ -e "$2" ]; then
        install_file 0600 "$2" "$BACKUP/$put_name"
        put_was=present
    else
        put_was=absent
    fi
    CHANGED=true
    install_file 0644 "$1" "$2"
    printf '%s %s %s %s\n' "$put_was" "$(digest "$2")" "$2" "$put_name" >>"$WORK/changes"
}

write_files() {
    printf '%s\n' "$ISOLATION_TO" >"$WORK/isolation"
    printf '%s\n' "$CHECKPOINT_DIR" >"$WORK/checkpoint"
    if [ -s "$FLAG_DIR/isolation" ] && ! cmp -s "$WORK/isolation" "$FLAG_DIR/isolation"; then
        standing=$(tr -d ' \n' <"$FLAG_DIR/isolation")
        [ "$standing" = "$ISOLATION_FROM" ] || finish 78 edited \
            "$FLAG_DIR/isolation says $standing, but the agent runs with $ISOLATION_FROM: restart the agent, or correct the file"
    fi
    put_file "$WORK/isolation" "$FLAG_DIR/isolation"
    put_file "$WORK/checkpoint" "$FLAG_DIR/docker_volume_checkpoint_dir"
}

write_drop_in() {
    printf '[Service]\nEnvironment=MESOS_ISOLATION=%s\nEnvironment=MESOS_DOCKER_VOLUME_CHECKPOINT_DIR=%s\n' \
        "$ISOLATION_TO" "$CHECKPOINT_DIR" >"$WORK/drop-in"
    put_file "$WORK/drop-in" "/etc/systemd/system/$AGENT_UNIT.service.d/50-scaleio-framework.conf"
    run systemctl daemon-reload
}

flags_now
ensure_package dvdcli
check_dvdcli
if [ "$EFFECTIVE" = yes ]; then
    receipt isolator kept
    finish 0 holds
fi
find_style
mkdir -p "$CHECKPOINT_DIR"
: >"$WORK/changes"
case $STYLE in
    files) write_files ;;
    drop-in) write_drop_in ;;
esac
if [ -s "$WORK/changes" ]; then
    install_file 0600 "$WORK/changes" "$BACKUP/changes"
    receipt isolator kept ",\"style\":\"$STYLE\""
fi
finish 21 agent-restart "the agent's configuration is written and holds after a restart of $AGENT_UNIT"
