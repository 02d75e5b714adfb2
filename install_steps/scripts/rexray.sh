# shellcheck shell=sh
# parts: _packages _fetch _install _damage _services _boot
# The volume driver: package, configuration with the opened secret, boot order, service.
begin_step rexray lock
find_platform
CONFIG=/etc/rexray/config.yml
CONFIG_NEW=/etc/rexray/.config.yml.scaleio-framework
HEAD='# Written by scaleio-framework: changes are replaced.'
QUOTABLE='A-Za-z0-9 ._:/@+=,~%?&()[]{}!#$^*;<>|_'"'"'-'
require GATEWAY_ENDPOINT 'A-Za-z0-9.:/[]_-'
require GATEWAY_INSECURE 'a-z'
require GATEWAY_USER "$QUOTABLE"
require PROTECTION_DOMAIN "$QUOTABLE"
require STORAGE_POOL "$QUOTABLE"
require CONFIG_DIGEST '0-9a-f'
require SEALED_PASSWORD 'A-Za-z0-9+/='
allow SEALED_DIGEST 'a-z0-9' "${SEALED_DIGEST:=sha256}"
allow SYSTEM_ID '0-9a-fA-F' "${SYSTEM_ID:=}"
allow SYSTEM_NAME "$QUOTABLE" "${SYSTEM_NAME:=}"
allow THIN_OR_THICK 'A-Za-z' "${THIN_OR_THICK:=ThinProvisioned}"
[ -n "$SYSTEM_ID$SYSTEM_NAME" ] || finish 78 setting "SYSTEM_ID or SYSTEM_NAME has to be given"

quoted() {
    printf "'"
    printf '%s' "$1" | sed "s/'/''/g"
    printf "'"
}

# The plain text exists in this shell and in the 0600 file, never in an argument list.
open_secret() {
    printf '%s' "$SEALED_PASSWORD" | base64 -d >"$WORK/sealed" || return 1
    set -- -pkeyopt rsa_padding_mode:oaep
    case $SEALED_DIGEST in
        sha256) set -- "$@" -pkeyopt rsa_oaep_md:sha256 ;;
        sha1) ;;
        *) return 1 ;;
    esac
    openssl pkeyutl -decrypt -inkey "$HOST_KEY" "$@" -in "$WORK/sealed" 2>/dev/null
}

module() {
    printf '    %s:\n      type: docker\n      host: unix:///run/docker/plugins/%s.sock\n' "$1" "$2"
    printf '      libstorage:\n        service: scaleio\n'
}

configuration() {
    printf '%s\n' "$HEAD"
    printf 'rexray:\n  logLevel: warn\n  modules:\n'
    module default-docker docker
    module mesos mesos
    printf '        integration:\n          volume:\n            operations:\n'
    printf '              unmount:\n                ignoreUsedCount: true\n'
    module rexray rexray
    printf 'libstorage:\n  service: scaleio\n  integration:\n    volume:\n      operations:\n'
    printf '        mount:\n          preempt: true\n'
    printf 'scaleio:\n  endpoint: %s\n' "$(quoted "$GATEWAY_ENDPOINT")"
    printf '  insecure: %s\n  thinOrThick: %s\n' "$GATEWAY_INSECURE" "$THIN_OR_THICK"
    printf '  userName: %s\n  password: ' "$(quoted "$GATEWAY_USER")"
    quoted "$password"
    printf '\n'
    if [ -n "$SYSTEM_ID" ]; then
        printf '  systemID: %s\n' "$(quoted "$SYSTEM_ID")"
    else
        printf '  systemName: %s\n' "$(quoted "$SYSTEM_NAME")"
    fi
    printf '  protectionDomainName: %s\n' "$(quoted "$PROTECTION_DOMAIN")"
    printf '  storagePoolName: %s\n' "$(quoted "$STORAGE_POOL")"
}

# said KEY: what the file says of the cluster; its endpoint without user, scheme and path.
said() {
    sed -n -e "s/^  *$1:  *//Ip" "$CONFIG" |
        sed -e "s/^[\"']//" -e "s/[\"' ]*\$//" -e 's,^https*://,,' -e 's,/.*$,,' -e 's/^.*@//' | head -n 1
}

same_words() {
    [ "$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')" = "$(printf '%s' "$2" | tr '[:upper:]' '[:lower:]')" ]
}

# The system's id decides, else its name, else the Gateway: one system may have several of those.
points_to_ours() {
    ours_gateway=$(printf '%s' "$GATEWAY_ENDPOINT" | sed -e 's,^https*://,,' -e 's,/.*$,,')
    for pair in "systemID $SYSTEM_ID" "systemName $SYSTEM_NAME" "endpoint $ours_gateway"; do
        said_there=$(said "${pair%% *}")
        if [ -n "$said_there" ] && [ -n "${pair#* }" ]; then
            same_words "$said_there" "${pair#* }"
            return
        fi
    done
    return 1
}

# A configuration that somebody wrote for another cluster, or another driver, is theirs. One that
# holds nothing, as after a power cut, is nobody's.
check_config() {
    if ! grep -q -e '^ *[A-Za-z]' "$CONFIG" 2>/dev/null || config_was_ours || is_ours "$CONFIG" ||
        grep -q -x -F -e "$HEAD" "$CONFIG" || points_to_ours; then
        return 0
    fi
    finish 78 other-config \
        "$CONFIG is not ours and points to another cluster ('$(said systemID)' '$(said systemName)' at '$(said endpoint)'): move it away, or set the component to adopt or ignore; nothing was changed"
}

config_is_ours() {
    [ -r "$CONFIG" ] && [ -r "$STATE_DIR/receipt.d/rexray.json" ] &&
        grep -qF "\"config\":\"$CONFIG_DIGEST\"" "$STATE_DIR/receipt.d/rexray.json" &&
        grep -qF "\"sha256\":\"$(digest "$CONFIG")\"" "$STATE_DIR/receipt.d/rexray.json" &&
        [ "$(stat -c '%a %u' "$CONFIG")" = '600 0' ]
}

# The whole file that we wrote last, whatever we want of it now.
config_was_ours() {
    grep -qF "\"sha256\":\"$(digest "$CONFIG")\"" "$STATE_DIR/receipt.d/rexray.json" 2>/dev/null
}

write_config() {
    [ -s "$HOST_KEY" ] || finish 78 key "$HOST_KEY is missing: the prerequisites step makes it"
    password=$(open_secret) || finish 65 sealed "the sealed secret does not open with this host's key"
    [ -n "$password" ] || finish 65 sealed "the sealed secret is empty"
    mkdir -p /etc/rexray
    ours=
    if [ -e "$CONFIG" ] && config_was_ours; then
        ours=",\"sha256\":\"$(digest "$CONFIG")\""
    fi
    receipt rexray open "$ours" # nothing is touched on a host that could not keep a receipt
    CHANGED=true
    WRITING=/etc/rexray
    # Never in the sandbox: the Mesos agent shows its files to anybody who asks.
    (
        umask 077
        rm -f "$CONFIG_NEW"
        configuration | dd of="$CONFIG_NEW" conv=fsync status=none
    ) || {
        rm -f "$CONFIG_NEW"
        finish 1 config "$CONFIG could not be written: see the message above"
    }
    password=
    config_new=$(digest "$CONFIG_NEW")
    if [ -n "$ours" ]; then
        save_first_state "$CONFIG" "$config_new" "$(digest "$CONFIG")"
    else
        save_first_state "$CONFIG" "$config_new"
    fi
    file_rights 0600 "$CONFIG_NEW" "$CONFIG"
    replace_file "$CONFIG_NEW" "$CONFIG"
    save_first_state "$CONFIG" "$config_new"
    did "wrote $CONFIG"
    # The old service must not count as one that has read the new file.
    service_do stop rexray || :
    receipt rexray kept \
        ",\"config\":\"$CONFIG_DIGEST\",\"sha256\":\"$(digest "$CONFIG")\",\"version\":\"$PACKAGE_VERSION\""
}

# REX-Ray asks the driver for its GUID when it starts, so scini has to be first at boot.
boot_order_systemd() {
    drop_in=/etc/systemd/system/rexray.service.d/50-scaleio-framework.conf
    {
        printf '[Unit]\nWants=scini.service\nAfter=scini.service\n'
        printf '[Service]\nRestart=on-failure\nRestartSec=10\n' # a Gateway that is away when it starts
    } >"$WORK/drop-in"
    if ! cmp -s "$WORK/drop-in" "$drop_in"; then
        CHANGED=true
        mkdir -p "${drop_in%/*}"
        installed_file 0644 "$WORK/drop-in" "$drop_in"
        run systemctl daemon-reload
    fi
    # Its own installation section names docker.service, which need not be here.
    if [ ! -e /etc/systemd/system/multi-user.target.wants/rexray.service ]; then
        CHANGED=true
        run systemctl add-wants multi-user.target rexray.service >&2
        did "enabled service rexray at boot"
    fi
}

boot_order_script() {
    init_script=/etc/init.d/rexray
    [ -e "$init_script" ] || return 0
    grep -q '^# Required-Start:.*scini' "$init_script" && return 0
    CHANGED=true
    sed 's/^\(# Required-Start:.*\)$/\1 scini/' "$init_script" >"$WORK/init-script"
    installed_file kept "$WORK/init-script" "$init_script"
    run update-rc.d -f rexray remove >&2
    run update-rc.d rexray defaults 98 02 >&2
}

check_config
not_masked rexray
# What its own installation makes.
note_absent /etc/systemd/system/rexray.service /etc/init.d/rexray /etc/rexray/rexray.env \
    /etc/systemd/system/multi-user.target.wants/rexray.service \
    /etc/systemd/system/docker.service.wants/rexray.service
ensure_package rexray
# A new program serves from its next start on; what is mounted stays mounted meanwhile.
if [ "$ACTION" != none ] && service_active rexray; then service_do stop rexray || :; fi
if ! service_known rexray; then
    CHANGED=true
    run /usr/bin/rexray install >&2 || finish 1 service "rexray could not register its service"
    did "registered service rexray"
fi
case $INIT in
    systemd) boot_order_systemd ;;
    *) boot_order_script ;;
esac
if ! config_is_ours; then write_config; fi
start_service rexray "; the Gateway may be out of its reach"
wait_for "${SERVICE_WAIT_S:=60}" test -S /run/docker/plugins/rexray.sock || finish 1 socket \
    "rexray runs, but offers no socket in /run/docker/plugins: see its log; the Gateway may be out of its reach"
remember_package rexray
finish 0 holds
