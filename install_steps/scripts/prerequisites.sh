# shellcheck shell=sh
# parts: _packages _services _fetch _leftovers
# Kernel first, then packages, then the key that secrets are sealed for.
begin_step prerequisites lock
clear_leftovers
find_platform
allow KERNEL_MODE 'a-z' "${KERNEL_MODE:=require}"
allow SUPPORTED_KERNELS 'A-Za-z0-9._+* -' "${SUPPORTED_KERNELS:=}"
allow DEPENDENCIES '0-9' "${DEPENDENCIES:=0}"
CODE=0

install_kernel() {
    case $FAMILY in
        deb) apt_install "linux-image-$1" || return 1 ;;
        rpm) rpm_install "kernel-$1" || return 1 ;;
    esac
    [ -e "/boot/vmlinuz-$1" ]
}

# A dpkg that was cut short keeps apt-get from beginning, and leaves packages without what their
# scripts make. Nothing is removed to mend that.
finish_interrupted() {
    APT_MEND=
    interrupted=$(dpkg --audit && find /var/lib/dpkg/updates -type f -name '[0-9]*') || interrupted=unknown
    [ -n "$interrupted" ] || return 0
    # Its own step brings it to its end, with a permit: that restarts it.
    if service_active sds && [ -n "$(half_installed "$(package_name sds)")" ]; then return 0; fi
    say "an earlier run of dpkg was cut short: it is brought to its end"
    APT_MEND=--fix-broken
    changing env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 dpkg --force-confold --configure -a ||
        say "dpkg could not bring all of it to its end: apt-get goes on with the rest"
}

# What somebody installs by hand before the next run is theirs.
no_archive() {
    record_brought
    finish 75 download "$1"
}

# apt-get update ends well with old lists, or none, when an archive does not answer.
apt_install() {
    managed apt-get -o DPkg::Lock::Timeout=60 update || no_archive "apt-get update failed: see above"
    apt_lists=new
    if grep -q -e 'Failed to fetch' "$WORK/log"; then apt_lists=old; fi
    apt_going "$@"
    # shellcheck disable=SC2086  # options
    changing env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -o DPkg::Lock::Timeout=60 install -y \
        --no-install-recommends --no-remove -o Dpkg::Options::=--force-confold $APT_MEND "$@" && return 0
    if [ "$apt_lists" = old ] || grep -q -e 'Failed to fetch' "$WORK/log"; then
        CHANGED=$BEFORE
        no_archive "an archive of this host's distribution does not answer: see apt-get's messages above"
    fi
    return 1
}

# What others need comes as well. Without its answer, what is asked for by name is all that is known.
apt_going() {
    # shellcheck disable=SC2086  # options
    run apt-get -s install --no-install-recommends --no-remove $APT_MEND "$@" 2>/dev/null |
        sed -n 's/^Inst \([^ :]*\).*/\1/p' >"$WORK/going" || :
    going_in "$WORK/going"
}

# From the table that dnf and yum show before they would ask, on standard input.
rpm_going() {
    sed -n 's/^ \([A-Za-z0-9][^ ]*\).*/\1/p' >"$WORK/going"
    going_in "$WORK/going"
}

rpm_install() {
    if command -v dnf >/dev/null; then
        { run dnf --setopt=exit_on_lock=True --assumeno install "$@" 2>/dev/null || :; } | rpm_going
        changing dnf --setopt=exit_on_lock=True -y install "$@" && return 0
    else
        { run yum --setopt=exit_on_lock=1 --assumeno install "$@" 2>/dev/null || :; } | rpm_going
        changing yum --setopt=exit_on_lock=1 -y install "$@" && return 0
    fi
    if grep -q -i -e 'failed to download' -e 'could not retrieve' -e 'cannot retrieve' \
        -e 'valid baseurl' "$WORK/log"; then
        CHANGED=$BEFORE
        no_archive "a repository of this host's distribution does not answer: see yum's messages above"
    fi
    return 1
}

# The newest kernel is what a boot loader takes by default; we do not touch its configuration.
newest_kernel() {
    set +f
    for image in /boot/vmlinuz-* "/boot/vmlinuz-$1"; do
        [ "$image" = '/boot/vmlinuz-*' ] || printf '%s\n' "${image#/boot/vmlinuz-}"
    done | sort -V | tail -n 1
    set -f
}

want_kernel() {
    kernel_wanted=
    for candidate in $SUPPORTED_KERNELS; do
        case $candidate in
            *'*'*) ;;
            *)
                kernel_wanted=$candidate
                break
                ;;
        esac
    done
    [ -n "$kernel_wanted" ] || finish 78 kernel-pattern \
        "the catalog names only kernel patterns ($SUPPORTED_KERNELS): name one exact kernel to install"
    [ "$(newest_kernel "$kernel_wanted")" = "$kernel_wanted" ] || finish 78 kernel-order \
        "a newer kernel than $kernel_wanted is installed and would be booted: make $kernel_wanted the default and reboot"
    if [ -e "/boot/vmlinuz-$kernel_wanted" ]; then
        if [ -e "$STATE_DIR/kernel-boot-id" ] &&
            ! cmp -s "$STATE_DIR/kernel-boot-id" /proc/sys/kernel/random/boot_id; then
            finish 78 kernel-not-booted \
                "kernel $kernel_wanted is installed, but $(uname -r) was booted: correct the boot loader"
        fi
    else
        install_kernel "$kernel_wanted" || finish 1 kernel-install \
            "kernel $kernel_wanted could not be installed: see the messages above"
    fi
    cat /proc/sys/kernel/random/boot_id >"$WORK/boot-id"
    install_file 0600 "$WORK/boot-id" "$STATE_DIR/kernel-boot-id"
    CODE=20
}

check_kernel() {
    [ -n "$SUPPORTED_KERNELS" ] || return 0
    kernel_supported && return 0
    case $KERNEL_MODE in
        install) want_kernel ;;
        require)
            finish 78 kernel \
                "kernel $(uname -r) is not one that this SDC supports ($SUPPORTED_KERNELS): boot one of those, or use -kernel=install"
            ;;
        *) finish 78 setting "variable KERNEL_MODE is '$KERNEL_MODE': require or install is expected" ;;
    esac
}

missing_packages() {
    for name in "$@"; do
        [ -n "$(installed_version "$name")" ] || printf '%s ' "$name"
    done
}

# dependency NUMBER: the catalog's line as words, for `set --`.
dependency() {
    dependency_line=
    eval "dependency_line=\${DEPENDENCY_$1:-}"
    allow "DEPENDENCY_$1" '][A-Za-z0-9._:/?#@!$&()*+,;=%~ -' "$dependency_line"
}

dependency_named() {
    dependency_number=0
    while [ "$dependency_number" -lt "$DEPENDENCIES" ]; do
        dependency_number=$((dependency_number + 1))
        dependency "$dependency_number"
        [ "${dependency_line%% *}" != "$1" ] || return 0
    done
    return 1
}

# NAME SHA256 SIZE ALLOW_HTTP URL...
fetch_dependency() {
    PACKAGE_SHA256=$2 PACKAGE_SIZE=$3 PACKAGE_ALLOW_HTTP=$4 PACKAGE_URL=$5
    shift 5
    PACKAGE_MIRRORS=$*
    fetch_package
}

# Distribution packages that the catalog brings, for hosts that reach no archive. Together, because
# they need each other; what is there in whatever version stays.
install_dependencies() {
    FETCH_SEVERAL=yes
    dependency_files=
    : >"$WORK/files.going"
    dependency_number=0
    while [ "$dependency_number" -lt "$DEPENDENCIES" ]; do
        dependency_number=$((dependency_number + 1))
        dependency "$dependency_number"
        [ -z "$(installed_version "${dependency_line%% *}")" ] || continue
        # shellcheck disable=SC2086  # words are meant
        fetch_dependency $dependency_line
        dependency_files="$dependency_files $PACKAGE_FILE"
        printf '%s\n' "${dependency_line%% *}" >>"$WORK/files.going"
    done
    [ -n "$dependency_files" ] || return 0
    bringing install_files || finish 1 package \
        "the catalog's dependency files could not be installed: see the messages above"
    # shellcheck disable=SC2086  # a list of files
    rm -f $dependency_files
}

install_files() {
    going_in "$WORK/files.going" || return 1
    # shellcheck disable=SC2086  # a list of files
    case $FAMILY in
        deb) changing env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 dpkg --force-confold --install $dependency_files ;;
        rpm) changing rpm --upgrade $dependency_files ;;
    esac
}

# bring_missing NAME...: `missing` is what the distribution's archive has to bring after that.
bring_missing() {
    missing=$(missing_packages "$@")
    if [ -n "$missing" ] && [ "$DEPENDENCIES" -gt 0 ]; then
        install_dependencies
        missing=$(missing_packages "$@")
    fi
}

check_packages() {
    case $FAMILY in
        deb)
            aio=libaio1
            if [ -n "$(installed_version libaio1t64)" ] || dependency_named libaio1t64 ||
                apt-cache show libaio1t64 2>/dev/null | grep -q '^Package:'; then
                aio=libaio1t64
            fi
            bring_missing "$aio" numactl openssl curl ca-certificates
            # shellcheck disable=SC2086  # a list of names
            [ -z "$missing" ] || bringing apt_install $missing || finish 1 package "apt-get could not install: $missing"
            ;;
        rpm)
            curl=curl # the small one has what we use, and does not give way to the other
            [ -z "$(installed_version curl-minimal)" ] || curl='curl-minimal'
            bring_missing libaio numactl openssl "$curl" ca-certificates
            # shellcheck disable=SC2086  # a list of names
            [ -z "$missing" ] || bringing rpm_install $missing || finish 1 package "yum could not install: $missing"
            aio=libaio
            ;;
    esac
    still=$(missing_packages "$aio" numactl openssl "${curl:-curl}" ca-certificates)
    [ -z "$still" ] || finish 1 package "still not installed: $still"
}

check_key() {
    rm -f "$STATE_DIR/.host_key.new" # of a run that was killed: nobody has seen its public half
    if [ -s "$HOST_KEY" ] &&
        openssl pkey -in "$HOST_KEY" -pubout -out "$WORK/host_key.pub" 2>/dev/null; then
        chmod 0600 "$HOST_KEY"
        cmp -s "$WORK/host_key.pub" "$STATE_DIR/host_key.pub" && return 0
        CHANGED=true
        install_file 0644 "$WORK/host_key.pub" "$STATE_DIR/host_key.pub"
        return 0
    fi
    # A key that cannot be read is evidence: the scheduler has pinned its public half.
    [ ! -s "$HOST_KEY" ] || finish 78 key "$HOST_KEY is damaged: remove it on the host if you agree to a new one"
    CHANGED=true
    # Never in the sandbox: the Mesos agent shows its files to anybody who asks.
    key_new=$STATE_DIR/.host_key.new
    (
        umask 077
        rm -f "$key_new"
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$key_new" 2>/dev/null
    ) || {
        rm -f "$key_new"
        finish 1 key "openssl could not make a key pair in $STATE_DIR"
    }
    openssl pkey -in "$key_new" -pubout -out "$WORK/host_key.pub"
    install_file 0600 "$key_new" "$HOST_KEY"
    rm -f "$key_new"
    install_file 0644 "$WORK/host_key.pub" "$STATE_DIR/host_key.pub"
}

record_brought killed
if [ "$FAMILY" = deb ]; then finish_interrupted; fi
check_kernel
check_packages
check_key
receipt prerequisites kept
if [ "$CODE" = 20 ]; then
    finish 20 reboot "kernel $kernel_wanted is installed and runs after a reboot"
fi
finish 0 holds
