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
