# shellcheck shell=sh
# shellcheck disable=SC2034,SC2317,SC2153  # the step that follows reads these, and calls some of them
# Prelude of every step: the step's own text follows it in one command task.
# Exit codes: 0 holds, 20 after a reboot, 21 after an agent restart, 75 try again,
# 65 wrong data, 78 cannot work here. Sentences for people go to stderr.
set -euf
LC_ALL=C
HOME=/root
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL HOME PATH
umask 022

STATE_DIR=/var/lib/scaleio-framework
DRV_CFG=/opt/emc/scaleio/sdc/bin/drv_cfg
DRV_CFG_FILE=/bin/emc/scaleio/drv_cfg.txt
HOST_KEY=$STATE_DIR/host_key.pem

STEP=unknown
CHANGED=false
EXTRA=
WORK=
RESULT_SAID=no
REASON=unexpected
LOCKED=no
NO_ROOM=     # what a program said of a lack of room
WRITING=/etc # the folder that was written to last
ROOM_MIN=256 # KB, or inodes: less than that is full, whatever root may still write

say() {
    printf '%s: %s\n' "$STEP" "$1" >&2
}

result_line() {
    REASON=$1
    printf '@result {"step":"%s","changed":%s,"reason":"%s"%s}\n' "$STEP" "$CHANGED" "$1" "$EXTRA"
    RESULT_SAID=yes
}

# finish CODE REASON [SENTENCE]: never from a subshell, which alone would end. What fails on a full
# host is tried again: it needs nobody but who makes room. Steps without the lock write nothing.
finish() {
    [ -z "${3:-}" ] || say "$3"
    case $LOCKED:$1:$2 in
        yes:1:* | yes:65:archive | yes:65:sealed | yes:75:download)
            finish_full=${NO_ROOM:-$(full_place)}
            if [ -n "$finish_full" ]; then
                say "$finish_full: make room, it is tried again"
                set -- 75 space
            fi
            ;;
    esac
    result_line "$2"
    exit "$1"
}

# full_place: a sentence about a file system that steps write to, if one of them is full.
full_place() {
    for full_unit in KB:-k inodes:-i; do
        timeout 10 df -P "${full_unit#*:}" "$STATE_DIR" "${WORK:-${MESOS_SANDBOX:-/tmp}}" "$WRITING" \
            / /usr /opt /var /var/cache/apt /boot 2>/dev/null |
            sed -n "s|^.* \([0-9][0-9]*\)  *[0-9][0-9]*%  *\(/.*\)\$|\1 ${full_unit%%:*} \2|p"
    done | while read -r full_free full_of full_at; do
        if [ "$full_free" -lt "$ROOM_MIN" ]; then
            printf 'the file system %s is full (%s %s free, at least %s are needed)' \
                "$full_at" "$full_free" "$full_of" "$ROOM_MIN"
            break
        fi
    done
}

# The host's own log tells what was done to it, and when, also to those who have no sandbox left.
host_log() {
    logger -t scaleio-framework -p daemon.info "$1" 2>/dev/null </dev/null || :
}

# did TEXT: one line for each file, package and service that was touched; never a secret.
did() {
    say "$1"
    host_log "step $STEP: $1"
}

on_exit() {
    on_exit_status=$?
    set +e # a full sandbox, which takes no line, must not change how it ends
    if [ "$RESULT_SAID" = no ]; then
        on_exit_full=
        case $on_exit_status in
            130 | 143) ;;
            *) on_exit_full=$(full_place) ;;
        esac
        if [ -n "$on_exit_full" ]; then
            say "$on_exit_full: make room, it is tried again"
            on_exit_status=75
            result_line space
        else
            result_line unexpected
        fi
    fi
    [ -z "$WORK" ] || rm -rf "$WORK"
    [ "$LOCKED" = no ] ||
        host_log "step $STEP ended: status $on_exit_status, changed $CHANGED, $REASON"
    exit "$on_exit_status"
}

# begin_step NAME [lock]
begin_step() {
    STEP=$1
    trap on_exit EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    begin_comm=
    IFS= read -r begin_comm </proc/1/comm || :
    case $begin_comm in
        systemd) INIT=systemd ;;
        init)
            INIT=sysvinit
            if initctl version 2>/dev/null | grep -q upstart; then INIT=upstart; fi
            ;;
        *)
            finish 78 no-init \
                "process 1 is '$begin_comm', no init system: run the step on a host, not in a container"
            ;;
    esac
    [ "$(id -u)" = 0 ] || finish 78 not-root "the task runs as $(id -un): set -user to root"
    WORK=$(mktemp -d "${MESOS_SANDBOX:-/tmp}/step.XXXXXXXX")
    if [ "${2:-}" = lock ]; then take_lock; fi
}

take_lock() {
    mkdir -p "$STATE_DIR"
    chmod 0700 "$STATE_DIR"
    exec 9>"$STATE_DIR/lock"
    flock -n 9 || finish 75 locked "another step holds $STATE_DIR/lock: it is tried again"
    LOCKED=yes
    host_log "step $STEP began: task ${MESOS_EXECUTOR_ID:-unknown}"
}

# Daemons that a package starts must not inherit the lock.
run() {
    "$@" 9>&- </dev/null
}

# require NAME CHARACTERS: CHARACTERS is what a value may be made of, as in a bracket expression.
require() {
    eval "require_value=\${$1:-}"
    [ -n "$require_value" ] || finish 78 setting "variable $1 is missing: the scheduler has to give it"
    allow "$1" "$2" "$require_value"
}

allow() {
    allow_rest=$(printf '%s' "$3" | tr -d "$2" && printf .) # a line break must not get lost
    [ "$allow_rest" = . ] || finish 78 setting "variable $1 has characters that are not allowed"
}

# wait_for SECONDS COMMAND...
wait_for() {
    wait_left=$1
    shift
    until "$@"; do
        [ "$wait_left" -gt 0 ] || return 1
        wait_left=$((wait_left - 1))
        sleep 1
    done
}

# install_file MODE SOURCE TARGET: whole or not at all, also after a power cut. MODE `kept` is the
# mode and owner of the file that stands there.
install_file() {
    WRITING=${3%/*}
    install_temp=$(mktemp "$WRITING/.scaleio.XXXXXXXX") || return 1
    # Joined, because `set -e` sleeps within a condition.
    { dd if="$2" of="$install_temp" conv=fsync bs=65536 status=none &&
        file_rights "$1" "$install_temp" "$3" && replace_file "$install_temp" "$3"; } || {
        rm -f "$install_temp"
        return 1
    }
}

# file_rights MODE FILE TARGET: those that the target is to have.
file_rights() {
    if [ "$1" = kept ]; then
        chown --reference="$3" "$2" && chmod --reference="$3" "$2"
    else
        chmod "$1" "$2"
    fi || return 1
    # Without SELinux neither works, and neither is needed.
    if [ -e "$3" ]; then
        chcon --reference="$3" "$2" 2>/dev/null || :
    fi
}

# replace_file NEW TARGET: the name, too, is on the disk afterwards. An older `sync` takes no
# folder and writes back everything instead.
replace_file() {
    replace_fresh=yes
    [ ! -e "$2" ] || replace_fresh=no
    mv -f "$1" "$2" || return 1
    [ "$replace_fresh" = no ] || restorecon "$2" 2>/dev/null || :
    sync "${2%/*}" 2>/dev/null || :
}

digest() {
    digest_line=$(sha256sum "$1")
    printf '%s' "${digest_line%% *}"
}

# ---------------------------------------------------------------- the way back

# One line for each file outside of the state folder that we write: path, mode, owner, SHA-256 of
# ours, and the file in backup/ that holds the first state, or the word absent. While a file is
# being replaced, the digests of the old and the new text of ours stand there with a comma.
TAB=$(printf '\t')

# save_first_state PATH [SHA-256...]: before our first write of it, and never again. The digests
# are those of any text of ours that may stand there from now on.
save_first_state() {
    first_path=$1
    shift
    first_ours=$(printf '%s' "${*:--}" | tr ' ' ',')
    mkdir -p "$STATE_DIR/backup/files"
    chmod 0700 "$STATE_DIR/backup" "$STATE_DIR/backup/files"
    first_line=$(first_state "$first_path")
    if [ -n "$first_line" ]; then
        first_line=$(printf '%s' "$first_line" | cut -f 2,3,5)
    elif [ -e "$first_path" ]; then
        first_name=files/$(printf '%s' "${first_path#/}" | tr '/' '_')
        install_file 0600 "$first_path" "$STATE_DIR/backup/$first_name" || return 1
        first_line=$(stat -c "%a$TAB%u:%g" "$first_path")$TAB$first_name
    else
        first_line=-$TAB-${TAB}absent
    fi
    {
        other_first_states "$first_path"
        printf '%s\t%s\t%s\t%s\n' "$first_path" "${first_line%"$TAB"*}" "$first_ours" \
            "${first_line##*"$TAB"}"
    } >"$STATE_DIR/backup/.scaleio.manifest"
    install_file 0600 "$STATE_DIR/backup/.scaleio.manifest" "$STATE_DIR/backup/manifest" || return 1
    rm -f "$STATE_DIR/backup/.scaleio.manifest"
}

# first_state PATH: its line; nothing when we never wrote it. A line that a power cut has damaged
# is no line.
first_state() {
    grep -e "^/.*$TAB.*$TAB.*$TAB.*$TAB." "$STATE_DIR/backup/manifest" 2>/dev/null | while IFS=$TAB read -r state_path state_rest; do
        if [ "$state_path" = "$1" ]; then printf '%s\t%s\n' "$state_path" "$state_rest"; fi
    done | tail -n 1
}

other_first_states() {
    grep -e . "$STATE_DIR/backup/manifest" 2>/dev/null | while IFS=$TAB read -r state_path state_rest; do
        [ "$state_path" = "$1" ] || printf '%s\t%s\n' "$state_path" "$state_rest"
    done
}

# is_ours PATH: what stands there is a text that we wrote, unchanged.
is_ours() {
    [ -e "$1" ] || return 1
    ours_known=$(first_state "$1" | cut -f 4)
    ours_there=$(digest "$1")
    case ,$ours_known, in
        *",$ours_there,"*) return 0 ;;
    esac
    return 1
}

# installed_file MODE SOURCE TARGET: as install_file, with the way back, for every file of the host.
installed_file() {
    installed_new=$(digest "$2")
    if is_ours "$3"; then
        save_first_state "$3" "$installed_new" "$(digest "$3")"
    else
        save_first_state "$3" "$installed_new"
    fi || return 1
    install_file "$1" "$2" "$3" || return 1
    save_first_state "$3" "$installed_new" || return 1
    did "wrote $3"
}

# ---------------------------------------------------------------- receipts

# One program writes receipts, because detached units outlive this text.
install_receipt_tool() {
    mkdir -p "$STATE_DIR/bin" "$STATE_DIR/receipt.d"
    chmod 0700 "$STATE_DIR/bin" "$STATE_DIR/receipt.d"
    cat >"$WORK/receipt" <<'TOOL'
#!/bin/sh
# receipt STEP STATE [MORE]: MORE is further JSON members, with a leading comma.
set -eu
umask 077
state_dir=/var/lib/scaleio-framework
boot_id=
IFS= read -r boot_id </proc/sys/kernel/random/boot_id || :
exec 8>"$state_dir/receipt.lock" # a detached watcher may write its own at the same time
flock 8
# One that a power cut has damaged would make the whole list unreadable.
for entry in "$state_dir"/receipt.d/*.json; do
    [ ! -e "$entry" ] || grep -q -x '{"step":".*","state":".*}' "$entry" || mv -f "$entry" "$entry.damaged"
done
temp=
trap 'rm -f "$temp"' EXIT
temp=$(mktemp "$state_dir/receipt.d/.scaleio.XXXXXXXX")
printf '{"step":"%s","state":"%s","boot_id":"%s"%s}\n' "$1" "$2" "$boot_id" "${3:-}" |
    dd of="$temp" conv=fsync status=none
mv -f "$temp" "$state_dir/receipt.d/$1.json"
temp=$(mktemp "$state_dir/.scaleio.XXXXXXXX")
{
    printf '{"version":1,"entries":['
    comma=
    for entry in "$state_dir"/receipt.d/*.json; do
        printf '%s\n' "$comma"
        cat "$entry"
        comma=,
    done
    printf ']}\n'
} | dd of="$temp" conv=fsync status=none
mv -f "$temp" "$state_dir/receipt.json"
TOOL
    install_file 0700 "$WORK/receipt" "$STATE_DIR/bin/receipt"
}

receipt() {
    install_receipt_tool
    "$STATE_DIR/bin/receipt" "$@"
}

receipt_is_open() {
    grep -q '"state":"open"' "$STATE_DIR/receipt.d/$1.json" 2>/dev/null &&
        grep -qF "$(cat /proc/sys/kernel/random/boot_id)" "$STATE_DIR/receipt.d/$1.json"
}
