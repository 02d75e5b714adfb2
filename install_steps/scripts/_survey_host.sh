# shellcheck shell=sh
# The host itself: its release, clock, packages, services and room. Nothing is taken or started.
# A frame that is made here ends with a line `.`: without it, it is not whole.
SERVICES='sds scini rexray lia mdm scaleio-gateway docker mesos-slave mesos-agent'
LOCK_FILES='/var/lib/dpkg/lock /var/lib/dpkg/lock-frontend /var/lib/apt/lists/lock
/var/cache/apt/archives/lock /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock'
PID_FILES='/var/run/yum.pid /var/cache/dnf/metadata_lock.pid /var/cache/dnf/download_lock.pid
/var/lib/dnf/rpmdb_lock.pid'

# Old releases have no os-release, or one that says little.
release_files() {
    for release_file in system centos redhat lsb; do
        [ -r "/etc/$release_file-release" ] || continue
        sed "s/^/$release_file-release=/" "/etc/$release_file-release"
    done
    [ -r /etc/debian_version ] && sed 's/^/debian_version=/' /etc/debian_version
    echo .
}

package_tools() {
    for tool in apt-get dpkg dnf yum rpm; do
        command -v "$tool" || :
    done
}

# line_of FILE: its first line, or nothing where it cannot be read.
line_of() {
    line=
    { IFS= read -r line <"$1"; } 2>/dev/null || :
    printf '%s' "$line"
}

# Who holds the package database, by the kernel's list: to ask for a lock would be to take it.
package_locks() {
    for lock_file in $LOCK_FILES; do
        [ -e "$lock_file" ] || continue
        stat -c 'file=%n %d %i' "$lock_file" || return 1
    done
    sed 's/^/lock=/' /proc/locks || return 1
    while read -r _ _ _ lock_mode lock_pid _; do
        [ "$lock_mode" = WRITE ] || continue
        [ "$lock_pid" != -1 ] || continue # of an open file, which no process may have to itself
        printf 'holder=%s %s\n' "$lock_pid" "$(line_of "/proc/$lock_pid/comm")"
    done </proc/locks
    for pid_file in $PID_FILES; do
        [ -s "$pid_file" ] || continue
        pid=$(line_of "$pid_file")
        printf 'pid=%s %s %s\n' "$pid_file" "$pid" "$(line_of "/proc/${pid:-none}/comm")"
    done
    echo .
}

# What an interrupted dpkg has left: packages that are half done, and notes of its last run.
dpkg_repair() {
    command -v dpkg >/dev/null || return 127
    repair_status=0
    bounded dpkg --audit || repair_status=$?
    printf 'audit=%s\n' "$repair_status"
    bounded find /var/lib/dpkg/updates -type f || return 1
    echo .
}

# One call for all of them: a call for each takes as long as the rest of the survey.
units() {
    set --
    for unit in $SERVICES; do
        set -- "$@" "$unit.service"
    done
    bounded systemctl show \
        --property=Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,FragmentPath "$@"
}

# How upstart and SysV know services, and which of them they start at boot.
job_files() {
    set +f
    for job in $SERVICES; do
        for job_file in "/etc/init/$job.conf" "/etc/init/$job.override" "/etc/init.d/$job" \
            /etc/rc[2-5].d/S[0-9][0-9]"$job"; do
            [ -e "$job_file" ] || continue
            printf 'file=%s\n' "$job_file"
            case $job_file in
                /etc/init/*) grep -e '^start on' -e '^manual' "$job_file" || : ;;
            esac
        done
    done
    set -f
    echo .
}

# room FOLDER: of the nearest one above it where it is not there.
room() {
    room_at=$1
    until [ -e "$room_at" ]; do
        room_at=${room_at%/*}
        room_at=${room_at:-/}
    done
    bounded df -P -k "$room_at"
    bounded df -P -i "$room_at"
}

survey_time() {
    frame uptime cat /proc/uptime
    frame timedatectl timeout 5 timedatectl
    frame chronyc timeout 5 chronyc -n tracking
    frame ntpq timeout 5 ntpq -n -p
}

survey_services() {
    [ "$INIT" != systemd ] || frame units units
    frame job-files job_files
    for service in $SERVICES; do
        case $INIT:$service in
            systemd:* | *:sds | *:scini | *:rexray) ;;
            *) frame "service.$service" service_state "$service" ;;
        esac
    done
}

survey_rooms() {
    frame space.root room /
    frame space.opt room /opt
    frame space.var room /var
    frame space.boot room /boot
    frame space.tmp room /tmp
    frame space.state room "$STATE_DIR"
    frame space.sandbox room "${MESOS_SANDBOX:-/tmp}"
}
