# shellcheck shell=sh
# The vendor's newer archives: a package in a tar, or a .siob with the tool that takes it out.
# PACKAGE_MEMBER names the one where there are several.
open_archive() {
    unpacked=$FETCH_CACHE/unpacked
    rm -rf "$unpacked"
    room_to_unpack "$PACKAGE_FILE" "$FETCH_CACHE" 2 # a .siob is in there, and its package comes beside it
    mkdir "$unpacked"
    run tar -x -f "$PACKAGE_FILE" -C "$unpacked" >&2 ||
        finish 65 archive "the archive for $1 cannot be unpacked"
    if [ -n "$PACKAGE_MEMBER" ]; then
        INSTALL_FILE=$unpacked/$PACKAGE_MEMBER
        [ -f "$INSTALL_FILE" ] || finish 65 archive "the archive for $1 holds no file $PACKAGE_MEMBER"
    else
        only_file "$1" "*.$FAMILY" || only_file "$1" '*.siob' || finish 65 archive \
            "the archive for $1 holds neither a .$FAMILY nor a .siob file"
    fi
    case $FAMILY:$INSTALL_FILE in
        deb:*.siob) package_in_siob "$1" ;;
        *:*.siob) finish 78 package-kind "a .siob file for $1 is known to hold packages of Ubuntu only" ;;
    esac
}

package_in_siob() {
    siob_tool=$(find "$unpacked" -type f -name siob_extract | head -n 1)
    [ -n "$siob_tool" ] || finish 65 archive "the archive for $1 holds no siob_extract for its .siob file"
    chmod 0700 "$siob_tool"
    (cd "${INSTALL_FILE%/*}" && run "$siob_tool" "$INSTALL_FILE" >&2) ||
        finish 1 archive "siob_extract could not take the package out of ${INSTALL_FILE##*/}: see its message above"
    only_file "$1" '*.deb' || finish 65 archive "siob_extract ran, but no .deb file is there"
}

# only_file COMPONENT PATTERN: INSTALL_FILE is the one that fits.
only_file() {
    find "$unpacked" -type f -name "$2" >"$WORK/found"
    [ "$(wc -l <"$WORK/found" | tr -d ' ')" -le 1 ] || finish 78 member \
        "the archive for $1 holds several files $2: name one in the catalog's member"
    INSTALL_FILE=$(cat "$WORK/found")
    [ -n "$INSTALL_FILE" ]
}
