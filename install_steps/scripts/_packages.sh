# shellcheck shell=sh
# The platform, its package manager, and what is installed of a component.
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

# What the package database says, a line for each version: of a package that is whole, and, from
# half_installed, of one whose installation was cut short.
whole_versions() {
    case $FAMILY in
        deb)
            dpkg-query -W -f '${Status} ${Version}\n' "$1" 2>/dev/null |
                sed -n -e 's/^[a-z]* ok installed //p' -e 's/^[a-z]* ok triggers-[a-z]* //p'
            ;;
        rpm)
            # That a package is not there rpm says on stdout, too.
            if whole_lines=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null); then
                printf '%s\n' "$whole_lines"
            fi
            ;;
    esac
}

# rpm leaves the old version beside the new one when it is killed in between.
half_installed() {
    case $FAMILY in
        deb)
            dpkg-query -W -f '${Status} ${Version}\n' "$1" 2>/dev/null |
                sed -n 's/^[a-z]* [a-z]* \(unpacked\|half-[a-z]*\) //p'
            ;;
        rpm)
            half_lines=$(whole_versions "$1")
            [ "$(printf '%s\n' "$half_lines" | wc -l)" -lt 2 ] || printf '%s\n' "$half_lines"
            ;;
    esac
}

# The package database's word, else what we unpacked ourselves and is still unchanged.
installed_version() {
    installed_out=$(whole_versions "$1")
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

# version_order A B: prints -1, 0 or 1, as the package manager orders them.
version_order() {
    case $FAMILY in
        deb)
            if dpkg --compare-versions "$1" lt "$2"; then
                echo -1
            elif dpkg --compare-versions "$1" gt "$2"; then
                echo 1
            else
                echo 0
            fi
            ;;
        rpm)
            order_found=$(rpm_order "${1%%-*}" "${2%%-*}")
            case $order_found:$1:$2 in
                0:*-*:*-*) rpm_order "${1#*-}" "${2#*-}" ;;
                *) echo "$order_found" ;;
            esac
            ;;
    esac
}

# rpm_order A B: rpm itself tells it to other programs only. Runs of digits and of letters are
# compared in turn; `sort -V` orders letters and what separates them in another way.
rpm_order() {
    order_a=$1 order_b=$2 order_found=0
    while :; do
        order_a=${order_a#"${order_a%%[A-Za-z0-9~]*}"}
        order_b=${order_b#"${order_b%%[A-Za-z0-9~]*}"}
        case $order_a/$order_b in
            *[A-Za-z0-9~]*) ;;
            *) break ;;
        esac
        order_x=$(order_run "$order_a") order_y=$(order_run "$order_b")
        order_a=${order_a#"$order_x"} order_b=${order_b#"$order_y"}
        order_found=$(order_runs "$order_x" "$order_y")
        [ "$order_found" = 0 ] || break
    done
    echo "$order_found"
}

order_run() {
    case $1 in
        '~'*) printf '~' ;;
        [0-9]*) printf '%s' "${1%%[!0-9]*}" ;;
        *) printf '%s' "${1%%[!A-Za-z]*}" ;;
    esac
}

# A tilde is older than the end, the end older than letters, letters older than digits.
order_rank() {
    case $1 in
        '~') echo 0 ;;
        '') echo 1 ;;
        [0-9]*) echo 3 ;;
        *) echo 2 ;;
    esac
}

order_runs() {
    if [ "$(order_rank "$1")" != "$(order_rank "$2")" ]; then
        if [ "$(order_rank "$1")" -lt "$(order_rank "$2")" ]; then echo -1; else echo 1; fi
        return 0
    fi
    order_l=$1 order_r=$2
    case $1 in
        [0-9]*)
            order_l=${1#"${1%%[!0]*}"} order_r=${2#"${2%%[!0]*}"}
            if [ "${#order_l}" -lt "${#order_r}" ]; then
                echo -1
                return 0
            elif [ "${#order_l}" -gt "${#order_r}" ]; then
                echo 1
                return 0
            fi
            ;;
    esac
    if [ "$order_l" = "$order_r" ]; then
        echo 0
    elif [ "$(printf '%s\n%s\n' "$order_l" "$order_r" | sort | head -n 1)" = "$order_l" ]; then
        echo -1
    else
        echo 1
    fi
}

# ---------------------------------------------------------------- runs of a package manager

# A step may be killed while its package manager works on: its process is known by number and
# start, and whoever comes next waits for its end.
package_manager_gone() {
    [ -s "$STATE_DIR/package.run" ] || return 0
    read -r gone_pid gone_start <"$STATE_DIR/package.run" || return 0
    case $gone_pid in
        '' | *[!0-9]*) return 0 ;;
    esac
    [ "$(cut -d ' ' -f 22 "/proc/$gone_pid/stat" 2>/dev/null)" != "$gone_start" ]
}

# A broken package database knows of no package, and would have everything installed again.
database_answers() {
    # shellcheck disable=SC2016  # dpkg's own placeholders
    case $FAMILY in
        deb) dpkg-query -W -f '${Package}\n' >"$WORK/known" 2>"$WORK/database" || : ;;
        rpm) rpm -qa --qf '%{NAME}\n' >"$WORK/known" 2>"$WORK/database" || : ;;
    esac
    if [ ! -s "$WORK/known" ] || grep -q -i -e '^error:' -e 'dpkg-query: error' "$WORK/database"; then
        cat "$WORK/database" >&2
        finish 1 package-database \
            "the package database does not tell what is installed: mend it (rpm --rebuilddb, or /var/lib/dpkg/status from its backup)"
    fi
}

await_package_manager() {
    allow PACKAGE_WAIT_S '0-9' "${PACKAGE_WAIT_S:=60}"
    wait_for "$PACKAGE_WAIT_S" package_manager_gone || finish 75 package-running \
        "process $gone_pid, which an earlier step started, still installs packages: it is tried again"
}

# In a subshell, whose process becomes the package manager. Without systemd, the services that a
# package's own scripts start are its children, and have to outlive this task.
as_package_manager() {
    [ "$INIT" = systemd ] || leave_cgroups
    read -r as_stat </proc/self/stat
    printf '%s %s\n' "${as_stat%% *}" "$(printf '%s' "$as_stat" | cut -d ' ' -f 22)" >"$STATE_DIR/package.run"
    exec "$@" 9>&- </dev/null
}

# A package manager's run; a lock that stays held is a reason to come back, not a failure.
managed() {
    await_package_manager
    NO_ROOM=
    managed_status=0
    (as_package_manager "$@") >"$WORK/log" 2>&1 || managed_status=$?
    cat "$WORK/log" >&2
    [ "$managed_status" = 0 ] && return 0
    if grep -q -i -e 'could not get lock' -e 'already locked by' -e 'locked by another process' \
        -e 'create transaction lock' -e 'existing lock' "$WORK/log"; then
        rm -f "$STATE_DIR/backup/packages.before" "$STATE_DIR/backup/packages.going" # it has brought nothing
        finish 75 package-lock "another program holds the package database: it is tried again"
    fi
    managed_room=$(grep -i -e 'no space left on device' -e 'enough free space' -e 'more space needed' \
        -e ' needs .* on the .* filesystem' "$WORK/log" | head -n 1)
    [ -z "$managed_room" ] || NO_ROOM="the package manager found no room ($managed_room)"
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

# record_package NAME VERSION: one that was not there before us, and may go with us.
record_package() {
    if grep -q -x -F -e "$1$TAB$2" "$STATE_DIR/backup/packages" 2>/dev/null; then return 0; fi
    backup_folder
    case $1 in
        emc-scaleio-sd[cs] | EMC-ScaleIO-sd[cs]) note_absent "/opt/emc/scaleio/${1##*-}" ;;
    esac
    {
        grep -e . "$STATE_DIR/backup/packages" 2>/dev/null | while IFS=$TAB read -r record_name record_version; do
            [ "$record_name" = "$1" ] || printf '%s\t%s\n' "$record_name" "$record_version"
        done
        printf '%s\t%s\n' "$1" "$2"
    } >"$WORK/recorded"
    cmp -s "$WORK/recorded" "$STATE_DIR/backup/packages" ||
        install_file 0600 "$WORK/recorded" "$STATE_DIR/backup/packages"
}

backup_folder() {
    mkdir -p "$STATE_DIR/backup"
    chmod 0700 "$STATE_DIR/backup"
}

# bringing COMMAND...: whatever packages it brings are recorded, those that others need too. The
# list of before outlives a kill.
bringing() {
    record_brought killed || return 1
    present_packages "$WORK/packages.before"
    backup_folder
    install_file 0600 "$WORK/packages.before" "$STATE_DIR/backup/packages.before" || return 1
    bringing_status=0
    "$@" || bringing_status=$?
    record_brought || return 1
    return "$bringing_status"
}

# going_in FILE: the names that the run which comes next means to bring. Of a run that nobody
# records, as that of a kernel, none is kept.
going_in() {
    [ -e "$STATE_DIR/backup/packages.before" ] || return 0
    install_file 0600 "$1" "$STATE_DIR/backup/packages.going"
}

# record_brought [killed]: after a run that was killed somebody else may have installed more, so only
# what it meant to bring, or what we ask for by name, is ours then.
record_brought() {
    [ -s "$STATE_DIR/backup/packages.before" ] || return 0
    present_packages "$WORK/packages.now"
    grep -v -x -F -f "$STATE_DIR/backup/packages.before" "$WORK/packages.now" >"$WORK/brought" || :
    while IFS= read -r brought_name; do
        case ${1:-ended}:$brought_name in
            ended:* | killed:libaio* | killed:numactl | killed:openssl | killed:curl) ;;
            killed:ca-certificates | killed:linux-image-* | killed:kernel-*) ;;
            *) grep -q -x -F -e "$brought_name" "$STATE_DIR/backup/packages.going" 2>/dev/null || continue ;;
        esac
        brought_version=$(installed_version "$brought_name")
        [ -n "$brought_version" ] || brought_version=$(half_installed "$brought_name" | tail -n 1)
        record_package "$brought_name" "${brought_version:-unknown}" || return 1 # the list of before stays
    done <"$WORK/brought"
    rm -f "$STATE_DIR/backup/packages.before" "$STATE_DIR/backup/packages.going"
}

# present_packages FILE: names alone; a half installed package counts, one of which only settings
# are left does not. Half a list would make the other half ours.
present_packages() {
    # shellcheck disable=SC2016  # dpkg's own placeholders
    case $FAMILY in
        deb) dpkg-query -W -f '${Status} ${Package}\n' >"$WORK/present" ;;
        rpm) rpm -qa --qf 'install ok installed %{NAME}\n' >"$WORK/present" ;;
    esac || finish 1 package "the package database does not tell what is installed"
    sed -e '/ gpg-pubkey$/d' -e '/ ok not-installed /d' -e '/ ok config-files /d' -e 's/.* //' "$WORK/present" >"$1"
    [ -s "$1" ] || finish 1 package "the package database is empty"
}

# note_absent PATH...: those that are not there now; what a package or program that we put in makes
# there goes with us.
note_absent() {
    backup_folder
    for absent_path in "$@"; do
        if [ -e "$absent_path" ] || [ -L "$absent_path" ] || is_noted "$absent_path"; then continue; fi
        {
            grep -e . "$STATE_DIR/backup/made" 2>/dev/null || :
            printf '%s\n' "$absent_path"
        } >"$WORK/made"
        install_file 0600 "$WORK/made" "$STATE_DIR/backup/made"
    done
}

is_noted() {
    grep -q -x -F -e "$1" "$STATE_DIR/backup/made" 2>/dev/null
}

is_recorded() {
    cut -f 1 "$STATE_DIR/backup/packages" 2>/dev/null | grep -q -x -F -e "$1"
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
