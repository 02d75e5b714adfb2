# shellcheck shell=sh
# parts: _services _arming
# Arms a restart of the Mesos agent. The program that the isolator step left does it, outlives this
# task, and judges the new settings.
begin_step agent-restart lock
can_arm
require MESOS_AGENT_ENDPOINT 'A-Za-z0-9.:[]-'
require ISOLATION_TO 'A-Za-z0-9_/,-'
require MASTER_ENDPOINT 'A-Za-z0-9.:[]-'
allow DELAY_S '0-9' "${DELAY_S:=20}"
allow WATCH_S '0-9' "${WATCH_S:=300}"
agent_unit
GUARD=scaleio-framework-agent-watch
ARMED=scaleio-framework-agent-restart
WATCH=$STATE_DIR/bin/agent-watch
if receipt_is_open agent-restart && { is_armed "$ARMED" || is_armed "$GUARD"; }; then
    finish 75 armed-already "a restart of the agent is already under way: it is tried again"
fi

# An agent that is slow or just starting is no reason to give up; one that refuses is.
flags_status=0
run curl --silent --fail --max-time 10 "http://$MESOS_AGENT_ENDPOINT/flags" >"$WORK/answer" 2>/dev/null ||
    flags_status=$?
case $flags_status in
    0) ;;
    7 | 28 | 52 | 56) finish 75 flags "the agent at $MESOS_AGENT_ENDPOINT does not answer: it is tried again" ;;
    *) finish 78 flags \
        "the agent's /flags cannot be read at $MESOS_AGENT_ENDPOINT, so a restart could not be judged: restart it by hand" ;;
esac
tr -d '\134' <"$WORK/answer" >"$WORK/flags"
if grep -qF "\"isolation\":\"$ISOLATION_TO\"" "$WORK/flags"; then
    [ "${RESTART_ANYWAY:-no}" = yes ] || finish 0 holds
    # Nothing of ours is to be undone: the same program looks whether the agent comes back.
    [ -s "$WATCH" ] || finish 78 no-watch \
        "a step of the operator's asks for a restart of the agent, and nothing here could watch it before the isolator step has run: restart it by hand"
elif [ ! -s "$STATE_DIR/backup/agent/changes" ] || [ ! -s "$WATCH" ]; then
    finish 78 no-way-back \
        "there is no record of what was changed, so there would be no way back: run the isolator step first"
fi
printf "MASTER='%s'\nISOLATION='%s'\nPATIENCE_S=%s\n" "$MASTER_ENDPOINT" "$ISOLATION_TO" "$WATCH_S" \
    >"$WORK/more"
install_file 0600 "$WORK/more" "$WATCH.more"
# shellcheck disable=SC2034  # read by finish
CHANGED=true
receipt agent-restart open
arm "$ARMED" "$DELAY_S" "$WATCH" || {
    run /bin/sh "$WATCH" undo >&2 || :
    finish 1 arm "the restart could not be armed: see its message above"
}
finish 0 armed
