# shellcheck shell=sh
# What runs later by itself, outside of this task: Mesos kills every process of a task's cgroups
# when the task is over. Systemd and upstart start it themselves; elsewhere cron does.
CRON_DIR=/etc/cron.d

# arm UNIT DELAY_S PROGRAM: once, in this boot.
arm() {
    disarm "$1"
    case $INIT in
        systemd) arm_timer "$1" "$2" "$3" ;;
        upstart) # which forks the job itself: initctl only sends it a message
            printf 'task\nscript\n    sleep %s\n    exec /bin/sh %s\nend script\n' "$2" "$3" >"$WORK/job" &&
                install_file 0644 "$WORK/job" "/etc/init/$1.conf" &&
                run initctl reload-configuration &&
                run initctl start --no-wait "$1" >&2
            ;;
        *) arm_cron "$1" "$2" "$3" ;;
    esac
}

arm_timer() {
    if run systemd-run --unit="$1" --on-active="$2" --timer-property=AccuracySec=100ms \
        /bin/sh "$3" >&2; then
        return 0
    fi
    say "systemd-run does not work here, so $1 is armed by unit files"
    disarm "$1"
    printf '[Service]\nExecStart=/bin/sh %s\n' "$3" >"$WORK/service" &&
        printf '[Timer]\nOnActiveSec=%s\nAccuracySec=100ms\n' "$2" >"$WORK/timer" &&
        mkdir -p /run/systemd/system &&
        install_file 0644 "$WORK/service" "/run/systemd/system/$1.service" &&
        install_file 0644 "$WORK/timer" "/run/systemd/system/$1.timer" &&
        run systemctl daemon-reload &&
        run systemctl start "$1.timer" >&2
}

# An entry of every minute that takes itself away: whoever removes it runs, once. The delay counts
# by the time since the boot, which no wall clock moves.
arm_cron() {
    cron_runs || return 1
    IFS=' .' read -r cron_up cron_rest </proc/uptime || return 1
    {
        printf '#!/bin/sh\n'
        printf "UNIT='%s'\nPROGRAM='%s'\nBOOT_ID='%s'\nNOT_BEFORE=%s\n" \
            "$1" "$3" "$(cat /proc/sys/kernel/random/boot_id)" "$((cron_up + $2))"
        cat <<'CRON'
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE_DIR=/var/lib/scaleio-framework
rm "/etc/cron.d/$UNIT" 2>/dev/null </dev/null || exit 0
now=
IFS= read -r now </proc/sys/kernel/random/boot_id || :
[ "$now" = "$BOOT_ID" ] || exit 0
printf '%s\n' "$$" >"$STATE_DIR/$UNIT.pid" || :
while IFS=' .' read -r up rest </proc/uptime && [ "$up" -lt "$NOT_BEFORE" ]; do
    sleep 1
done
exec /bin/sh "$PROGRAM"
CRON
    } >"$WORK/cron-run" || return 1
    printf '* * * * * root exec /bin/sh %s >/dev/null 2>&1\n' "$STATE_DIR/bin/$1.cron" >"$WORK/entry" &&
        install_file 0700 "$WORK/cron-run" "$STATE_DIR/bin/$1.cron" &&
        install_file 0644 "$WORK/entry" "$CRON_DIR/$1"
}

# One that reads /etc/cron.d: Busybox' does not.
cron_runs() {
    [ -d "$CRON_DIR" ] || return 1
    cron_pid=$(pgrep -o -x 'crond?' 2>/dev/null) || return 1
    case $(readlink -f "/proc/$cron_pid/exe") in
        *busybox*) return 1 ;;
    esac
}

# cron_job_pid UNIT: of its program that cron has started and that still runs.
cron_job_pid() {
    cron_pid=
    read -r cron_pid 2>/dev/null <"$STATE_DIR/$1.pid" || :
    case $cron_pid in
        '' | *[!0-9]*) return 1 ;;
    esac
    # After a boot the number may be another's.
    tr '\0' ' ' 2>/dev/null <"/proc/$cron_pid/cmdline" | grep -qF "$STATE_DIR/bin/" || return 1
    printf '%s\n' "$cron_pid"
}

# A watcher that was killed leaves its receipt open: only one that still is there counts. A timer
# of an old systemd stays active when it has elapsed.
is_armed() {
    case $INIT in
        systemd)
            case $(systemctl show --property=SubState "$1.timer") in
                SubState=waiting | SubState=running) return 0 ;;
            esac
            run systemctl is-active --quiet "$1.service"
            ;;
        upstart) run initctl status "$1" 2>/dev/null | grep -q 'start/' ;;
        *)
            grep -q '^[*]' "$CRON_DIR/$1" 2>/dev/null && return 0
            cron_job_pid "$1" >/dev/null && return 0
            sleep 1 # between entry and pid
            cron_job_pid "$1" >/dev/null
            ;;
    esac
}

# disarm UNIT: it does not run any more, and will not.
disarm() {
    case $INIT in
        systemd)
            run systemctl stop "$1.timer" "$1.service" >/dev/null 2>&1 || :
            if [ -e "/run/systemd/system/$1.timer" ]; then
                rm -f "/run/systemd/system/$1.timer" "/run/systemd/system/$1.service"
                run systemctl daemon-reload || :
            fi
            run systemctl reset-failed "$1.service" >/dev/null 2>&1 || :
            ;;
        upstart) run initctl stop "$1" >/dev/null 2>&1 || : ;;
        *)
            if grep -q '^[*]' "$CRON_DIR/$1" 2>/dev/null; then rm -f "$CRON_DIR/$1"; fi
            if disarm_pid=$(cron_job_pid "$1"); then kill "$disarm_pid" 2>/dev/null || :; fi
            ;;
    esac
}

can_arm() {
    [ "$INIT" != sysvinit ] || cron_runs || finish 78 init \
        "this host has neither systemd nor upstart, and no cron that reads $CRON_DIR runs: install one, or do it by hand"
}

# at_boot UNIT PROGRAM WORD: at each boot from now on, until leave_boot.
at_boot() {
    case $INIT in
        systemd)
            printf '[Unit]\nDescription=Watch over new settings of the Mesos agent\n\n[Service]\nExecStart=/bin/sh %s %s\n\n[Install]\nWantedBy=multi-user.target\n' \
                "$2" "$3" >"$WORK/boot"
            install_file 0644 "$WORK/boot" "/etc/systemd/system/$1.service"
            run systemctl enable --quiet "$1.service" >&2
            ;;
        upstart)
            printf 'start on runlevel [2345]\nexec /bin/sh %s %s\n' "$2" "$3" >"$WORK/boot"
            install_file 0644 "$WORK/boot" "/etc/init/$1.conf"
            ;;
        *)
            printf '@reboot root echo $$ >%s; exec /bin/sh %s %s >/dev/null 2>&1\n' \
                "$STATE_DIR/$1.pid" "$2" "$3" >"$WORK/boot"
            install_file 0644 "$WORK/boot" "$CRON_DIR/$1"
            ;;
    esac
}

leave_boot() {
    if [ "$INIT" = systemd ]; then run systemctl disable --quiet "$1.service" >/dev/null 2>&1 || :; fi
    rm -f "/etc/systemd/system/$1.service" "/etc/init/$1.conf" "$CRON_DIR/$1"
}
