# shellcheck shell=sh
# A component's package, as the catalog says it: which version may stand here, how it is put in,
# and what is left to undo it.

# replacing COMPONENT: asked before a package that is there is replaced; a step may say no.
replacing() {
    :
}

# now_replacing COMPONENT: asked once more, when the package is here and is replaced next.
now_replacing() {
    :
}

# is_damaged NAME: see _damage, for packages whose services run all the time.
is_damaged() {
    return 1
}

# open_archive COMPONENT: INSTALL_FILE becomes the package in an archive; see _archive.
open_archive() {
    finish 78 package-kind "the catalog's file for $1 is an archive: a package is expected"
}

# ensure_package COMPONENT: ACTION says what was done: none, install, upgrade, downgrade, repair.
ensure_package() {
    require PACKAGE_VERSION 'A-Za-z0-9.:+~_-'
    require PACKAGE_URL '][A-Za-z0-9._:/?#@!$&()*+,;=%~-'
    require PACKAGE_SHA256 '0-9a-f'
    require PACKAGE_SIZE '0-9'
    allow PACKAGE_MEMBER 'A-Za-z0-9._/+~-' "${PACKAGE_MEMBER:=}"
    await_package_manager
    database_answers
    ensure_name=$(package_name "$1")
    choose_action "$1"
    case $ACTION in
        none)
            forget_package # a run that was killed when it had installed it
            return 0
            ;;
        *) replacing "$1" ;;
    esac
    fetch_package
    now_replacing "$1"
    install_package "$1"
    ensure_now=$(installed_version "$ensure_name")
    same_version "$ensure_now" "$PACKAGE_VERSION" || finish 65 version \
        "the catalog calls it $1 $PACKAGE_VERSION, but '$ensure_now' is installed now: correct the catalog"
    forget_package
    did "$ACTION of $1: ${ensure_have:-none} -> $ensure_now"
}

# The version that is there, and what may become of it. Nobody's version is replaced unasked.
choose_action() {
    ACTION=none
    ensure_have=$(installed_version "$ensure_name")
    ensure_half=$(half_installed "$ensure_name" | tail -n 1)
    [ -z "$ensure_half" ] || ensure_have=$ensure_half
    if [ -z "$ensure_have" ]; then
        foreign_program "$1"
        ACTION=install
    elif same_version "$ensure_have" "$PACKAGE_VERSION"; then
        if [ -n "$ensure_half" ]; then
            say "the installation of $1 $ensure_have was cut short: it is made again"
            ACTION=repair
        elif is_damaged "$ensure_name"; then
            say "files of $1 $ensure_have are missing or damaged, so it is installed again: $(head -n 3 "$WORK/damage.new" | tr -s ' \n' ' ')"
            ACTION=repair
        fi
    else
        choose_order=$(version_order "$ensure_have" "$PACKAGE_VERSION")
        case $choose_order in
            -1) may_change "$1" upgrade "${PACKAGE_UPGRADE:-no}" ;;
            1) may_change "$1" downgrade "${PACKAGE_DOWNGRADE:-no}" ;;
            *) ;; # another way to write the same
        esac
    fi
}

# may_change COMPONENT upgrade|downgrade yes|no
may_change() {
    [ "$3" = yes ] || finish 78 other-version \
        "$1 $ensure_have is installed, the catalog says $PACKAGE_VERSION: say \"$2\": true there to have it replaced, correct the version, or set the component to adopt"
    ! is_held "$ensure_name" || finish 78 held \
        "$1 $ensure_have is on hold in this host's package database: end the hold to have it replaced"
    ACTION=$2
}

# A program that neither a package nor we have brought is somebody's own.
foreign_program() {
    case $1 in
        rexray | dvdcli) ;;
        *) return 0 ;;
    esac
    [ -s "/usr/bin/$1" ] || return 0
    ! is_ours "/usr/bin/$1" || return 0 # a run that was killed has recorded the next one already
    # rpm lays the files first, and has written down nothing when it is killed then.
    if [ "$FAMILY" = rpm ] && is_recorded "$ensure_name"; then return 0; fi
    [ "${PACKAGE_UPGRADE:-no}" = yes ] || finish 78 other-version \
        "/usr/bin/$1 is of no package and not as we left it, so its version is unknown: remove it, or say \"upgrade\": true in the catalog to have it replaced"
}

is_held() {
    [ "$FAMILY" = deb ] || return 1
    # shellcheck disable=SC2016  # dpkg's own placeholder
    dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q '^hold '
}

# ---------------------------------------------------------------- ways to install

# install_package COMPONENT: the package's own scripts read the task's environment (MDM_IP).
install_package() {
    INSTALL_FILE=$PACKAGE_FILE
    case $1:$PACKAGE_FILE in
        rexray:*.tar.gz | rexray:*.tgz | dvdcli:*.tar.gz | dvdcli:*.tgz)
            install_binary "$1"
            return 0
            ;;
        sds:*.tar | sds:*.tar.gz | sds:*.tgz | sdc:*.tar | sdc:*.tar.gz | sdc:*.tgz) open_archive "$1" ;;
    esac
    case $FAMILY:$INSTALL_FILE in
        deb:*.deb)
            check_file "$1" "$(dpkg-deb --field "$INSTALL_FILE" Package 2>/dev/null)" \
                "$(dpkg-deb --field "$INSTALL_FILE" Version 2>/dev/null)"
            [ "$ACTION" != install ] || record_package "$ensure_name" "$PACKAGE_VERSION"
            changing env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 dpkg --force-confold --force-downgrade \
                --install "$INSTALL_FILE" ||
                finish 1 package "dpkg could not install $1: see its messages above"
            ;;
        rpm:*.rpm)
            check_file "$1" "$(rpm -q -p --qf '%{NAME}' "$INSTALL_FILE" 2>/dev/null)" \
                "$(rpm -q -p --qf '%{VERSION}-%{RELEASE}' "$INSTALL_FILE" 2>/dev/null)"
            [ "$ACTION" != install ] || record_package "$ensure_name" "$PACKAGE_VERSION"
            install_rpm || finish 1 package "rpm could not install $1: see its messages above"
            ;;
        *) finish 78 package-kind "the catalog's file for $1 does not fit this platform ($FAMILY)" ;;
    esac
    rm -rf "$FETCH_CACHE/unpacked"
}

install_rpm() {
    case $ACTION in
        downgrade) changing rpm --upgrade --oldpackage "$INSTALL_FILE" ;;
        repair) changing rpm --upgrade --replacepkgs "$INSTALL_FILE" ;;
        *) changing rpm --upgrade "$INSTALL_FILE" ;;
    esac
}

# check_file COMPONENT NAME VERSION: what the file is, before it is let in.
check_file() {
    if [ "$2" != "$ensure_name" ] || ! same_version "$3" "$PACKAGE_VERSION"; then
        finish 65 version \
            "the catalog calls it $1 $PACKAGE_VERSION, but the file holds '$2' '$3': correct the catalog"
    fi
}

# The record comes first: a program without one would count as somebody else's after a power cut.
install_binary() {
    room_to_unpack "$PACKAGE_FILE" "$WORK" 1
    mkdir "$WORK/unpacked"
    run tar -x -z -f "$PACKAGE_FILE" -C "$WORK/unpacked" >&2 ||
        finish 65 archive "the archive for $1 cannot be unpacked"
    binary_file=$(find "$WORK/unpacked" -type f -name "$1" | head -n 1)
    [ -n "$binary_file" ] || finish 65 archive "the archive for $1 holds no file called $1"
    CHANGED=true
    mkdir -p "$STATE_DIR/binaries"
    printf '%s %s\n' "$PACKAGE_VERSION" "$(digest "$binary_file")" >"$WORK/binary"
    install_file 0600 "$WORK/binary" "$STATE_DIR/binaries/$1"
    installed_file 0755 "$binary_file" "/usr/bin/$1"
}
