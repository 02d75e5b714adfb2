# shellcheck shell=sh
# parts: _packages _services _arming
# The way back: the Mesos agent's settings first, because the agent needs dvdcli until it has been
# restarted with the old ones; then services, packages and files; what we know last of all. What was
# there before us stays, and so does every file that somebody has changed since.
begin_step uninstall lock
find_platform
allow LEFT_CLUSTER 'a-z' "${LEFT_CLUSTER:=}"
allow ISOLATION_TO 'A-Za-z0-9_/,-' "${ISOLATION_TO:=}"
allow CHECKPOINT_DIR 'A-Za-z0-9_./-' "${CHECKPOINT_DIR:=}"
BACKUP=$STATE_DIR/backup/agent
GUARD=scaleio-framework-agent-watch
ARMED=scaleio-framework-agent-restart
KEPT=0

keep() {
    KEPT=$((KEPT + 1))
    say "kept: $1"
}

check_cluster() {
    [ "$LEFT_CLUSTER" = yes ] || finish 78 in-cluster \
        "this host still belongs to the storage cluster: the scheduler removes its SDS and SDC first"
    volumes=$(find /dev -name 'scini?*' ! -type d)
    if [ -z "$volumes" ] && grep -q -x -e live /sys/module/scini/initstate 2>/dev/null; then
        volumes=$(run timeout 30 "$DRV_CFG" --query_vols 2>/dev/null) || finish 75 volumes-unknown \
            "the SDC runs, and does not tell whether volumes are mapped to this host: it is tried again"
        volumes=$(printf '%s\n' "$volumes" | grep -e 'VOL-ID') || :
    fi
    [ -z "$volumes" ] || finish 78 mapped \
        "volumes are mapped to this host: move the applications that use them, and unmap them"
}

# ---------------------------------------------------------------- the Mesos agent's settings

check_restart() {
    if receipt_is_open agent-restart && { is_armed "$ARMED" || is_armed "$GUARD"; }; then
        finish 75 restarting "a restart of the Mesos agent is under way: it is tried again"
    fi
    if [ -e "$BACKUP/put-back" ] && [ ! -e "$BACKUP/changes" ] &&
        grep -q '"state":"rolled-back"' "$STATE_DIR/receipt.d/agent-restart.json" 2>/dev/null; then
        mv -f "$BACKUP/undone" "$BACKUP/changes.done" # so that a retry begins anew
        rm -f "$BACKUP/put-back"
        finish 78 agent-old-settings \
            "the Mesos agent did not come back with its old settings, and runs with ours: read its log, mend the cause, then retry"
    fi
}

# The list's line, as words: present|absent, digests of ours, path, name in backup, mode, owner.
is_as_we_wrote() {
    [ -e "$2" ] || return 1
    wrote_now=$(digest "$2")
    printf ',%s,' "$1" | grep -q -F -e ",$wrote_now,"
}

# The same list the other way round: should the agent not come up, its watcher puts ours back. A
# file that is to be gone has no digest, which the watcher finds between two commas.
reverse_list() {
    : >"$WORK/changes"
    : >"$WORK/undo"
    while read -r was hash path name rights owner; do
        if ! is_as_we_wrote "$hash" "$path"; then
            if [ -e "$path" ] && ! cmp -s "$BACKUP/$name" "$path"; then keep "$path was changed since"; fi
            continue
        fi
        install_file 0600 "$path" "$BACKUP/ours-$name"
        back=absent,,absent
        if [ "$was" = present ]; then back=$(digest "$BACKUP/$name"); fi
        printf 'present %s %s ours-%s %s\n' "$back" "$path" "$name" "$(stat -c '%a %u:%g' "$path")" \
            >>"$WORK/changes"
        printf '%s %s %s %s %s\n' "$was" "$path" "$name" "$rights" "$owner" >>"$WORK/undo"
    done <"$1"
}

put_agent_back() {
    while read -r was path name rights owner; do
        CHANGED=true
        if [ "$was" = present ]; then
            install_file "$rights" "$BACKUP/$name" "$path"
            chown "$owner" "$path"
        else
            rm -f "$path"
            case $path in
                *.service.d/*) rmdir "${path%/*}" 2>/dev/null || : ;;
            esac
        fi
        did "put back $path"
    done <"$WORK/undo"
    if [ "$INIT" = systemd ]; then run systemctl daemon-reload; fi
}

settings_hold() {
    [ -n "${MESOS_AGENT_ENDPOINT:-}" ] || return 1
    agent_get /flags | grep -qF "\"isolation\":\"$ISOLATION_TO\""
}

# The list of what the isolator step wrote: judged, or not yet.
agent_list() {
    for list in undone changes changes.done; do
        if [ -s "$BACKUP/$list" ]; then
            printf '%s' "$BACKUP/$list"
            return 0
        fi
    done
}

restore_agent() {
    if [ -e "$BACKUP/put-back" ] && [ ! -e "$BACKUP/changes" ]; then return 0; fi
    list=$(agent_list)
    [ -n "$list" ] || return 0
    reverse_list "$list"
    if [ ! -s "$WORK/undo" ]; then
        if [ ! -e "$BACKUP/put-back" ] || settings_hold; then return 0; fi
    fi
    [ -n "$ISOLATION_TO" ] || finish 78 isolation-unknown \
        "the scheduler does not know what this Mesos agent's isolation was before: set it by hand, restart the agent, and remove $BACKUP"
    can_arm
    if [ ! -e "$BACKUP/put-back" ]; then
        # Who waits for our settings would put them back.
        for unit in scaleio-framework-agent-wait "$GUARD"; do
            disarm "$unit"
            leave_boot "$unit"
        done
        install_file 0600 "$list" "$BACKUP/undone"
        install_file 0600 "$WORK/changes" "$BACKUP/changes"
        : >"$BACKUP/put-back"
        run sync
    fi
    put_agent_back
    finish 21 agent-restart "the Mesos agent's old settings hold after a restart of it"
}

# ---------------------------------------------------------------- services and packages

stop_ours() {
    for name in rexray scini sds; do
        case $name in
            scini) package=$(package_name sdc) ;;
            *) package=$(package_name "$name") ;;
        esac
        is_recorded "$package" || [ -e "$STATE_DIR/binaries/$name" ] ||
            is_noted "/etc/systemd/system/$name.service" || is_noted "/etc/init.d/$name" || continue
        service_known "$name" || continue
        if service_active "$name"; then
            CHANGED=true
            service_do stop "$name" || :
            did "stopped service $name"
        fi
    done
}

# The last that came goes first; what another of them needs is tried again after that one, and
# whatever somebody else's package needs stays.
remove_packages() {
    database_answers
    record_brought killed
    [ -s "$STATE_DIR/backup/packages" ] || return 0
    sed -n '1!G;h;$p' "$STATE_DIR/backup/packages" | cut -f 1 >"$WORK/packages"
    removed=yes
    while [ "$removed" = yes ]; do
        removed=no
        : >"$WORK/needed"
        while IFS= read -r name; do
            if [ -n "$(installed_version "$name")$(half_installed "$name")" ]; then remove_package "$name"; fi
        done <"$WORK/packages"
        mv -f "$WORK/needed" "$WORK/packages"
    done
    while IFS= read -r name; do
        keep "package $name, which others need"
    done <"$WORK/packages"
}

remove_package() {
    [ "$1" != gpg-pubkey ] || return 0 # rpm's own list of keys
    # The package's own guard against an accident.
    case $FAMILY in
        deb) changing env I_AM_SURE=1 NEEDRESTART_SUSPEND=1 dpkg --purge "$1" ;;
        rpm) changing env I_AM_SURE=1 rpm --erase "$1" ;;
    esac || {
        if grep -q -i -e 'dependency problems' -e 'is needed by' "$WORK/log"; then
            CHANGED=$BEFORE
            printf '%s\n' "$1" >>"$WORK/needed"
            return 0
        fi
        finish 1 package "package $1 could not be removed: see the messages above"
    }
    removed=yes
    did "removed package $1"
}

# ---------------------------------------------------------------- files

# rexray made its unit itself, when it was installed or we told it to; by somebody else's hand it
# was there before us, and stays.
forget_rexray() {
    if is_noted /etc/systemd/system/rexray.service && [ "$INIT" = systemd ]; then
        run systemctl disable --quiet rexray.service >/dev/null 2>&1 || :
    fi
    if is_noted /etc/init.d/rexray && [ -e /etc/init.d/rexray ]; then
        rm -f /etc/init.d/rexray
        run update-rc.d -f rexray remove >&2 || :
    fi
    for path in /etc/systemd/system/rexray.service \
        /etc/systemd/system/multi-user.target.wants/rexray.service \
        /etc/systemd/system/docker.service.wants/rexray.service /etc/rexray/rexray.env; do
        is_noted "$path" || continue
        if [ -e "$path" ] || [ -L "$path" ]; then
            CHANGED=true
            rm -f "$path"
            did "removed $path"
        fi
        case $path in
            *.wants/* | /etc/rexray/*) rmdir "${path%/*}" 2>/dev/null || : ;;
        esac
    done
}

# What the programs wrote beside the files of their package, which does not know of it: the driver
# its list of managers, both their logs and settings.
forget_components() {
    for name in sds sdc; do
        package=$(package_name "$name")
        if ! is_recorded "$package" || [ -n "$(installed_version "$package")" ]; then continue; fi
        if [ "$name" = sdc ]; then
            rm -f "$DRV_CFG_FILE"
            rmdir "${DRV_CFG_FILE%/*}" /bin/emc 2>/dev/null || :
        fi
        if is_noted "/opt/emc/scaleio/$name"; then rm -rf "/opt/emc/scaleio/$name"; fi
    done
    rmdir /opt/emc/scaleio /opt/emc/ 2>/dev/null || :
}

restore_files() {
    [ -s "$STATE_DIR/backup/manifest" ] || return 0
    while IFS=$TAB read -r path mode owner _ first; do
        [ -e "$path" ] || continue
        if ! is_ours "$path"; then
            keep "$path was changed since"
            continue
        fi
        CHANGED=true
        if [ "$first" = absent ]; then
            rm -f "$path"
            case $path in
                *.service.d/* | /etc/rexray/*) rmdir "${path%/*}" 2>/dev/null || : ;;
            esac
            did "removed $path"
        else
            install_file "$mode" "$STATE_DIR/backup/$first" "$path"
            chown "$owner" "$path"
            did "put back $path"
        fi
    done <"$STATE_DIR/backup/manifest"
}

remove_units() {
    for unit in agent-watch agent-wait agent-restart reboot; do
        name=scaleio-framework-$unit
        disarm "$name"
        leave_boot "$name"
    done
    case $INIT in
        systemd) run systemctl daemon-reload ;;
        upstart) run initctl reload-configuration ;;
    esac
}

await_package_manager
check_cluster
check_restart
restore_agent
stop_ours
remove_packages
forget_rexray
forget_components
restore_files
remove_units
[ -z "$CHECKPOINT_DIR" ] || rmdir "$CHECKPOINT_DIR" 2>/dev/null || :
EXTRA=",\"kept\":$KEPT"
[ -z "$(find "$STATE_DIR" -type f ! -name lock | head -n 1)" ] || CHANGED=true
did "nothing of ours is left but what was named"
# The lock in it is held until this process ends. What a kill leaves, the next run removes.
rm -rf "$STATE_DIR"
finish 0 removed
