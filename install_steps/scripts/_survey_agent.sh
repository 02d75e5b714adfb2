# shellcheck shell=sh
# The Mesos agent: what it tells, how it was started, and what its flags come from.
AGENTS_MAX=4

agent_pids() {
    set +f
    for process in /proc/[0-9]*; do
        comm=
        { IFS= read -r comm <"$process/comm"; } 2>/dev/null || : # it may be gone
        case $comm in
            mesos-slave | mesos-agent | lt-mesos-slave | lt-mesos-agent)
                printf '%s\n' "${process#/proc/}"
                ;;
        esac
    done
    set -f
}

# process PID: names of flags and variables only, because their values may be secrets.
process() {
    printf 'pid=%s\nexe=%s\n' "$1" "$(readlink "/proc/$1/exe")"
    printf 'root=%s\n' "$(stat -L -c '%d:%i' "/proc/$1/root")"
    tr '\0' '\n' <"/proc/$1/cmdline" | sed -n 's/^--\([a-z_-]*\).*/flag=\1/p'
    tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^\(MESOS_[A-Z0-9_]*\)=.*/variable=\1/p'
    sed 's/^/cgroup=/' "/proc/$1/cgroup"
    echo .
}

# Names only here, too.
flag_files() {
    for flag_folder in /etc/mesos /etc/mesos-slave /etc/mesos-agent; do
        [ ! -d "$flag_folder" ] || bounded find "$flag_folder" -type f
    done
    for flag_file in /etc/default/mesos /etc/default/mesos-slave /etc/default/mesos-agent \
        /etc/sysconfig/mesos /etc/sysconfig/mesos-slave /etc/sysconfig/mesos-agent; do
        [ -r "$flag_file" ] || continue
        sed -n "s|^ *\(export  *\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)=.*|$flag_file \2|p" "$flag_file"
    done
    echo .
}

agent_says() {
    bounded curl --silent --fail --max-time 10 \
        "http://${MESOS_AGENT_ENDPOINT:-127.0.0.1:5051}$1"
}

survey_agent() {
    frame agent-flags agent_says /flags
    frame agent-version agent_says /version
    frame agent-files flag_files
    frame process.init process 1
    frame process.self process self
    agents_left=$AGENTS_MAX
    for pid in $(agent_pids); do
        [ "$agents_left" -gt 0 ] || break
        agents_left=$((agents_left - 1))
        frame "process.agent$agents_left" process "$pid"
    done
}
