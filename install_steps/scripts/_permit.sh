# shellcheck shell=sh
# The scheduler's word, asked for in the very moment that it is needed: silence means no.

# permit_settings: what the step was told of it.
permit_settings() {
    require PERMIT_URL 'A-Za-z0-9._:/?=&%~[]-'
    allow PERMIT_CA 'A-Za-z0-9+/=' "${PERMIT_CA:=}"
    case $PERMIT_URL in
        https://* | http://*) ;;
        *) finish 78 setting "variable PERMIT_URL is no http or https URL" ;;
    esac
    command -v curl >/dev/null || finish 78 curl "curl is missing: the prerequisites step brings it"
}

# write_permit FOLDER: settings of curl and, if there is one, an authority, both in $WORK; FOLDER is
# where the authority will be read. The permit's address is the permit: it stands in a file, not in
# an argument list.
write_permit() {
    (
        umask 077
        printf 'url = "%s"\n' "$PERMIT_URL" >"$WORK/permit.conf"
        if [ -n "$PERMIT_CA" ]; then
            printf '%s' "$PERMIT_CA" | base64 -d >"$WORK/permit.ca"
            printf 'cacert = "%s"\n' "$1/permit.ca" >>"$WORK/permit.conf"
        fi
    )
}

# is_permitted: ANSWER is what the scheduler said.
is_permitted() {
    write_permit "$WORK"
    ANSWER=$(run curl -q --noproxy '*' --config "$WORK/permit.conf" --silent --output /dev/null \
        --write-out '%{http_code}' --proto '=http,https' --connect-timeout 5 --max-time 15 \
        2>/dev/null) || ANSWER=silence
    [ "$ANSWER" = 200 ]
}
