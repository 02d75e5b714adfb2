# shellcheck shell=sh
# Services of the host, the Mesos agent among them, by whatever init system.
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

# service_pid NAME: empty where nobody tells it.
service_pid() {
    case $INIT in
        systemd) systemctl show --property=MainPID "$1.service" | sed -n 's/^MainPID=//p' ;;
        *)
            if [ -e "/etc/init/$1.conf" ]; then
                initctl status "$1" 2>/dev/null | sed -n 's/.*process \([0-9][0-9]*\).*/\1/p' | head -n 1
            else
                script_pid "$1"
            fi
            ;;
    esac
}

# script_pid NAME: of a service that a script of init.d starts: by its pid file, else by its name.
script_pid() {
    for script_file in "/var/run/$1.pid" "/var/run/$1/$1.pid"; do
        script_found=
        IFS=' ' read -r script_found script_more 2>/dev/null <"$script_file" || :
        case $script_found in
            '' | *[!0-9]*) ;;
            *)
                if [ -d "/proc/$script_found" ]; then
                    printf '%s\n' "$script_found"
                    return 0
                fi
                ;;
        esac
    done
    pgrep -o -x "$1" 2>/dev/null || :
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
        *) outside_of_task service "$2" "$1" >&2 ;;
    esac
}

# What a script of init.d starts is a child of this task, and Mesos kills every process of the task's
# cgroups when the task is over. Systemd, and upstart for its own jobs, start services by themselves.
outside_of_task() {
    (
        leave_cgroups
        run "$@"
    )
}

# The shell that calls this moves to the root of each hierarchy, and its children with it.
leave_cgroups() {
    while IFS=: read -r leave_number leave_names leave_path; do
        if [ -z "$leave_names" ] || [ "$leave_path" = / ]; then continue; fi
        leave_root=$(cgroup_root "${leave_names%%,*}")
        [ -n "$leave_root" ] || continue
        { echo 0 >"$leave_root/cgroup.procs"; } 2>/dev/null ||
            say "this task cannot leave its cgroup $leave_number:$leave_names"
    done </proc/self/cgroup
}

# cgroup_root CONTROLLER: where its hierarchy is mounted.
cgroup_root() {
    while read -r root_device root_path root_kind root_options root_rest; do
        case $root_kind:,$root_options, in
            cgroup:*",$1,"*)
                printf '%s\n' "$root_path"
                return 0
                ;;
        esac
    done </proc/mounts
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
        # A script of init.d need not know the word status.
        if [ "$INIT" != systemd ] && service_known "$AGENT_UNIT" && [ -n "$(agent_pid)" ]; then return 0; fi
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
