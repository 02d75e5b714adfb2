# shellcheck shell=sh
# A component's package, as the catalog says it.

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
