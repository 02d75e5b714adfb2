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
DENY_FILE=/etc/scaleio-framework/devices.deny
HOST_KEY=$STATE_DIR/host_key.pem
EDGE_BYTES=16777216
SAMPLE_BYTES=4096
SAMPLES=256

STEP=unknown
CHANGED=false
EXTRA=
WORK=
RESULT_SAID=no
REASON=unexpected
LOCKED=no

say() {
    printf '%s: %s\n' "$STEP" "$1" >&2
}

result_line() {
    RESULT_SAID=yes
    REASON=$1
    printf '@result {"step":"%s","changed":%s,"reason":"%s"%s}\n' "$STEP" "$CHANGED" "$1" "$EXTRA"
}

# finish CODE REASON [SENTENCE]: never from a subshell, which alone would end.
finish() {
    [ -z "${3:-}" ] || say "$3"
    result_line "$2"
    exit "$1"
}

# The host's own log tells what was done to it, and when, also to those who have no sandbox left.
host_log() {
    logger -t scaleio-framework -p daemon.info "$1" 2>/dev/null </dev/null || :
}

on_exit() {
    on_exit_status=$?
    [ -z "$WORK" ] || rm -rf "$WORK"
    [ "$RESULT_SAID" = yes ] || result_line unexpected
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

# install_file MODE SOURCE TARGET: whole or not at all, also after a power cut.
install_file() {
    install_temp=$(mktemp "${3%/*}/.scaleio.XXXXXXXX") || return 1
    # Joined, because `set -e` sleeps within a condition.
    { dd if="$2" of="$install_temp" conv=fsync bs=65536 status=none && chmod "$1" "$install_temp" &&
        mv -f "$install_temp" "$3"; } || {
        rm -f "$install_temp"
        return 1
    }
}

digest() {
    digest_line=$(sha256sum "$1")
    printf '%s' "${digest_line%% *}"
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
temp=$(mktemp "$state_dir/receipt.d/.temp.XXXXXXXX")
printf '{"step":"%s","state":"%s","boot_id":"%s"%s}\n' "$1" "$2" "$boot_id" "${3:-}" |
    dd of="$temp" conv=fsync status=none
mv -f "$temp" "$state_dir/receipt.d/$1.json"
temp=$(mktemp "$state_dir/.temp.XXXXXXXX")
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

# ---------------------------------------------------------------- platform and packages

# The family follows os-release: a host may have both dpkg and rpm.
find_platform() {
    [ -r /etc/os-release ] || finish 78 platform "/etc/os-release is missing: unknown platform"
    # shellcheck disable=SC1091
    OS_ID=$(. /etc/os-release && printf '%s' "${ID:-}")
    # shellcheck disable=SC1091
    OS_LIKE=$(. /etc/os-release && printf '%s' "${ID_LIKE:-}")
    case " $OS_ID $OS_LIKE " in
        *' debian '* | *' ubuntu '*) FAMILY=deb ;;
        *' rhel '* | *' centos '* | *' fedora '*) FAMILY=rpm ;;
        *) finish 78 platform "platform '$OS_ID' is not supported: Debian, Ubuntu, CentOS and RHEL are" ;;
    esac
}

package_name() {
    case $FAMILY:$1 in
        deb:sds | deb:sdc) printf 'emc-scaleio-%s' "$1" ;;
        rpm:sds | rpm:sdc) printf 'EMC-ScaleIO-%s' "$1" ;;
        *) printf '%s' "$1" ;;
    esac
}

# What the package database says, else what we unpacked ourselves and is still unchanged.
installed_version() {
    case $FAMILY in
        deb)
            installed_out=$(dpkg-query -W -f '${Status} ${Version}\n' "$1" 2>/dev/null |
                sed -n 's/^[a-z]* ok installed //p')
            ;;
        rpm)
            installed_out=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null) || installed_out=
            ;;
    esac
    if [ -z "$installed_out" ] && [ -r "$STATE_DIR/binaries/$1" ] && [ -x "/usr/bin/$1" ]; then
        read -r installed_said installed_hash <"$STATE_DIR/binaries/$1" || :
        if [ "$(digest "/usr/bin/$1")" = "$installed_hash" ]; then installed_out=$installed_said; fi
    fi
    printf '%s\n' "$installed_out" | tail -n 1
}

# same_version INSTALLED WANTED: an rpm's release carries the platform behind the build number.
same_version() {
    [ "$1" = "$2" ] && return 0
    case $1 in
        "$2".* | "$2"-*) return 0 ;;
    esac
    return 1
}

# A package manager's run; a lock that stays held is a reason to come back, not a failure.
managed() {
    managed_status=0
    run "$@" >"$WORK/log" 2>&1 || managed_status=$?
    cat "$WORK/log" >&2
    [ "$managed_status" = 0 ] && return 0
    if grep -q -i -e 'could not get lock' -e 'locked by another process' \
        -e 'create transaction lock' -e 'existing lock' "$WORK/log"; then
        finish 75 package-lock "another program holds the package database: it is tried again"
    fi
    return 1
}

# A package manager's run that may leave a change even when it fails; a held lock left none, and
# BEFORE tells what was changed before, for those who know that this run left none either.
changing() {
    BEFORE=$CHANGED
    changing_status=0
    managed "$@" || changing_status=$?
    CHANGED=true
    return "$changing_status"
}

fetch_package() {
    fetch_path=${PACKAGE_URL%%[?#]*}
    PACKAGE_FILE=$WORK/${fetch_path##*/}
    case $PACKAGE_URL in
        https://*) fetch_proto='=https' ;;
        http://*)
            [ "${PACKAGE_ALLOW_HTTP:-no}" = yes ] ||
                finish 78 url "the catalog's URL is plain http: use https, or set allow_http there"
            fetch_proto='=http,https'
            ;;
        *) finish 78 url "the catalog's URL has an unknown scheme: https is expected" ;;
    esac
    command -v curl >/dev/null || finish 78 curl "curl is missing: the prerequisites step brings it"
    fetch_status=0
    run curl --fail --silent --show-error --location --proto "$fetch_proto" \
        --proto-redir "$fetch_proto" --connect-timeout 20 --max-time 1200 \
        --max-filesize "$PACKAGE_SIZE" --output "$PACKAGE_FILE" "$PACKAGE_URL" >&2 || fetch_status=$?
    [ "$fetch_status" != 63 ] ||
        finish 65 size "${fetch_path##*/} is larger than the $PACKAGE_SIZE bytes that the catalog says"
    [ "$fetch_status" = 0 ] ||
        finish 75 download "download of ${fetch_path##*/} failed: see curl's message above"
    fetch_size=$(wc -c <"$PACKAGE_FILE" | tr -d ' ')
    [ "$fetch_size" = "$PACKAGE_SIZE" ] ||
        finish 65 size "${fetch_path##*/} has $fetch_size bytes, the catalog says $PACKAGE_SIZE"
    [ "$(digest "$PACKAGE_FILE")" = "$PACKAGE_SHA256" ] ||
        finish 65 checksum "${fetch_path##*/} does not have the SHA-256 that the catalog says"
}

# install_package COMPONENT: the package's own scripts read the task's environment (MDM_IP).
install_package() {
    case $FAMILY:$PACKAGE_FILE in
        deb:*.deb)
            changing env DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install "$PACKAGE_FILE" ||
                finish 1 package "dpkg could not install $1: see its messages above"
            ;;
        rpm:*.rpm)
            changing rpm --upgrade "$PACKAGE_FILE" ||
                finish 1 package "rpm could not install $1: see its messages above"
            ;;
        *:*.tar.gz | *:*.tgz) install_binary "$1" ;;
        *) finish 78 package-kind "the catalog's file for $1 does not fit this platform ($FAMILY)" ;;
    esac
}

install_binary() {
    case $1 in
        rexray | dvdcli) ;;
        *) finish 78 package-kind "the catalog's file for $1 is an archive: a package is expected" ;;
    esac
    mkdir "$WORK/unpacked"
    run tar -x -z -f "$PACKAGE_FILE" -C "$WORK/unpacked" >&2 ||
        finish 65 archive "the archive for $1 cannot be unpacked"
    binary_file=$(find "$WORK/unpacked" -type f -name "$1" | head -n 1)
    [ -n "$binary_file" ] || finish 65 archive "the archive for $1 holds no file called $1"
    CHANGED=true
    install_file 0755 "$binary_file" "/usr/bin/$1"
    mkdir -p "$STATE_DIR/binaries"
    printf '%s %s\n' "$PACKAGE_VERSION" "$(digest "/usr/bin/$1")" >"$WORK/binary"
    install_file 0600 "$WORK/binary" "$STATE_DIR/binaries/$1"
}

# ensure_package COMPONENT: another version is the operator's matter, never ours to replace.
ensure_package() {
    require PACKAGE_VERSION 'A-Za-z0-9.:+~_-'
    require PACKAGE_URL 'A-Za-z0-9._:/?#@!$&()*+,;=%~-'
    require PACKAGE_SHA256 '0-9a-f'
    require PACKAGE_SIZE '0-9'
    ensure_name=$(package_name "$1")
    ensure_have=$(installed_version "$ensure_name")
    if [ -n "$ensure_have" ]; then
        same_version "$ensure_have" "$PACKAGE_VERSION" ||
            finish 78 other-version \
                "$1 $ensure_have is installed, the catalog says $PACKAGE_VERSION: upgrade it with the vendor's tools, or set the component to adopt"
        return 0
    fi
    fetch_package
    install_package "$1"
    ensure_have=$(installed_version "$ensure_name")
    same_version "$ensure_have" "$PACKAGE_VERSION" ||
        finish 65 version "the catalog calls it $1 $PACKAGE_VERSION, but '$ensure_have' is installed now: correct the catalog"
}

kernel_supported() {
    kernel_now=$(uname -r)
    for kernel_pattern in ${SUPPORTED_KERNELS:-}; do
        # shellcheck disable=SC2254  # patterns are meant
        case $kernel_now in
            $kernel_pattern) return 0 ;;
        esac
    done
    return 1
}

# ---------------------------------------------------------------- services

service_active() {
    case $INIT in
        systemd) systemctl is-active --quiet "$1.service" ;;
        upstart)
            initctl status "$1" 2>/dev/null | grep -q 'start/running' ||
                { [ -x "/etc/init.d/$1" ] && run service "$1" status >/dev/null 2>&1; }
            ;;
        *) [ -x "/etc/init.d/$1" ] && run service "$1" status >/dev/null 2>&1 ;;
    esac
}

service_known() {
    case $INIT in
        systemd) [ "$(systemctl show --property=LoadState "$1.service")" = LoadState=loaded ] ;;
        *) [ -e "/etc/init/$1.conf" ] || [ -e "/etc/init.d/$1" ] ;;
    esac
}

# service_pid NAME: empty where the init system does not tell it.
service_pid() {
    case $INIT in
        systemd) systemctl show --property=MainPID "$1.service" | sed -n 's/^MainPID=//p' ;;
        *) initctl status "$1" 2>/dev/null | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
    esac
}

# service_start NAME: another value after each start of the service.
service_start() {
    case $INIT in
        systemd) systemctl show --property=ActiveEnterTimestampMonotonic "$1.service" ;;
        *) service_pid "$1" ;;
    esac
}

# A service that dies at once, and is started again and again, is active for moments, too.
service_stays() {
    service_active "$1" || return 1
    stays_start=$(service_start "$1")
    sleep 2
    service_active "$1" && [ "$(service_start "$1")" = "$stays_start" ]
}

# service_do ACTION NAME
service_do() {
    case $INIT in
        systemd) run systemctl "$1" "$2.service" >&2 ;;
        *) run service "$2" "$1" >&2 ;;
    esac
}

# start_service NAME [HINT]
start_service() {
    service_active "$1" && return 0
    allow SERVICE_WAIT_S '0-9' "${SERVICE_WAIT_S:=60}"
    CHANGED=true
    service_do start "$1" || :
    wait_for "$SERVICE_WAIT_S" service_stays "$1" || finish 1 service \
        "service $1 does not run $SERVICE_WAIT_S s after it was started: see its log on the host${2:-}"
}

agent_unit() {
    if [ -n "${AGENT_UNIT:-}" ]; then
        allow AGENT_UNIT 'A-Za-z0-9_.@-' "$AGENT_UNIT"
        service_known "$AGENT_UNIT" ||
            finish 78 agent-unit "there is no service $AGENT_UNIT here: correct -agent.unit"
        return 0
    fi
    for AGENT_UNIT in mesos-slave mesos-agent; do
        if service_active "$AGENT_UNIT"; then return 0; fi
    done
    finish 78 agent-unit "no service mesos-slave or mesos-agent runs here: name it with -agent.unit"
}

agent_pid() {
    service_pid "$AGENT_UNIT"
}

# agent_get PATH: the agent's own word, with JSON's escaped slashes made plain.
agent_get() {
    run curl --silent --fail --max-time 10 "http://$MESOS_AGENT_ENDPOINT$1" >"$WORK/answer" 2>/dev/null ||
        return 1
    tr -d '\134' <"$WORK/answer"
}

# arm UNIT DELAY_S PROGRAM: init runs the program later, outside of this task's process tree.
arm() {
    case $INIT in
        systemd)
            run systemctl stop "$1.timer" "$1.service" >/dev/null 2>&1 || :
            run systemctl reset-failed "$1.service" >/dev/null 2>&1 || :
            run systemd-run --unit="$1" --on-active="$2" --timer-property=AccuracySec=100ms \
                /bin/sh "$3" >&2
            ;;
        upstart)
            run initctl stop "$1" >/dev/null 2>&1 || :
            printf 'task\nscript\n    sleep %s\n    exec /bin/sh %s\nend script\n' "$2" "$3" >"$WORK/job"
            install_file 0644 "$WORK/job" "/etc/init/$1.conf"
            run initctl reload-configuration
            run initctl start --no-wait "$1" >&2
            ;;
        *) return 1 ;;
    esac
}

# A watcher that was killed leaves its receipt open: only one that still is there counts.
is_armed() {
    case $INIT in
        systemd)
            run systemctl is-active --quiet "$1.timer" || run systemctl is-active --quiet "$1.service"
            ;;
        upstart) run initctl status "$1" 2>/dev/null | grep -q 'start/' ;;
        *) return 1 ;;
    esac
}
can_arm() {
    [ "$INIT" != sysvinit ] ||
        finish 78 init "sysvinit has no way to run something after this task: do it by hand"
}

# ---------------------------------------------------------------- disks

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
