# shellcheck shell=sh
# Services, the Mesos agent among them, and what the init system runs later by itself.
service_active() {
    case $INIT in
        systemd) systemctl is-active --quiet "$1.service" ;;
        upstart)
            initctl status "$1" 2>/dev/null | grep -q 'start/running' ||
                { [ -x "/etc/init.d/$1" ] && run service "$1" status >/dev/null 2>&1; }
            ;;
        *) [ -x "/etc/init.d/$1" ] && run service "$1" status >/dev/null 2>&1 ;;
    esac
}

service_known() {
    case $INIT in
        systemd) [ "$(systemctl show --property=LoadState "$1.service")" = LoadState=loaded ] ;;
        *) [ -e "/etc/init/$1.conf" ] || [ -e "/etc/init.d/$1" ] ;;
    esac
}

# service_pid NAME: empty where the init system does not tell it.
service_pid() {
    case $INIT in
        systemd) systemctl show --property=MainPID "$1.service" | sed -n 's/^MainPID=//p' ;;
        *) initctl status "$1" 2>/dev/null | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
    esac
}

# service_start NAME: another value after each start of the service.
service_start() {
    case $INIT in
        systemd) systemctl show --property=ActiveEnterTimestampMonotonic "$1.service" ;;
        *) service_pid "$1" ;;
    esac
}

# A service that dies at once, and is started again and again, is active for moments, too.
service_stays() {
    service_active "$1" || return 1
    stays_start=$(service_start "$1")
    sleep 2
    service_active "$1" && [ "$(service_start "$1")" = "$stays_start" ]
}

# service_do ACTION NAME
service_do() {
    case $INIT in
        systemd) run systemctl "$1" "$2.service" >&2 ;;
        *) run service "$2" "$1" >&2 ;;
    esac
}

# start_service NAME [HINT]
start_service() {
    service_active "$1" && return 0
    allow SERVICE_WAIT_S '0-9' "${SERVICE_WAIT_S:=60}"
    CHANGED=true
    service_do start "$1" || :
    wait_for "$SERVICE_WAIT_S" service_stays "$1" || finish 1 service \
        "service $1 does not run $SERVICE_WAIT_S s after it was started: see its log on the host${2:-}"
}

agent_unit() {
    if [ -n "${AGENT_UNIT:-}" ]; then
        allow AGENT_UNIT 'A-Za-z0-9_.@-' "$AGENT_UNIT"
        service_known "$AGENT_UNIT" ||
            finish 78 agent-unit "there is no service $AGENT_UNIT here: correct -agent.unit"
        return 0
    fi
    for AGENT_UNIT in mesos-slave mesos-agent; do
        if service_active "$AGENT_UNIT"; then return 0; fi
    done
    finish 78 agent-unit "no service mesos-slave or mesos-agent runs here: name it with -agent.unit"
}

agent_pid() {
    service_pid "$AGENT_UNIT"
}

# agent_get PATH: the agent's own word, with JSON's escaped slashes made plain.
agent_get() {
    run curl --silent --fail --max-time 10 "http://$MESOS_AGENT_ENDPOINT$1" >"$WORK/answer" 2>/dev/null ||
        return 1
    tr -d '\134' <"$WORK/answer"
}

# arm UNIT DELAY_S PROGRAM: init runs the program later, outside of this task's process tree.
arm() {
    case $INIT in
        systemd)
            run systemctl stop "$1.timer" "$1.service" >/dev/null 2>&1 || :
            run systemctl reset-failed "$1.service" >/dev/null 2>&1 || :
            run systemd-run --unit="$1" --on-active="$2" --timer-property=AccuracySec=100ms \
                /bin/sh "$3" >&2
            ;;
        upstart)
            run initctl stop "$1" >/dev/null 2>&1 || :
            printf 'task\nscript\n    sleep %s\n    exec /bin/sh %s\nend script\n' "$2" "$3" >"$WORK/job"
            install_file 0644 "$WORK/job" "/etc/init/$1.conf"
            run initctl reload-configuration
            run initctl start --no-wait "$1" >&2
            ;;
        *) return 1 ;;
    esac
}

# A watcher that was killed leaves its receipt open: only one that still is there counts.
is_armed() {
    case $INIT in
        systemd)
            run systemctl is-active --quiet "$1.timer" || run systemctl is-active --quiet "$1.service"
            ;;
        upstart) run initctl status "$1" 2>/dev/null | grep -q 'start/' ;;
        *) return 1 ;;
    esac
}
can_arm() {
    [ "$INIT" != sysvinit ] ||
        finish 78 init "sysvinit has no way to run something after this task: do it by hand"
}
