# shellcheck shell=sh
# Downloads: nothing is used before its size and SHA-256 are the catalog's.
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
