# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=claim
[ -n "${DEVICES:-}${DEVICES_DECLARED:-}${DEVICES_OVERWRITE:-}" ] || finish 78 setting "no device is named"
# shellcheck disable=SC2086  # lists of names
set -- ${DEVICES:-} ${DEVICES_DECLARED:-} ${DEVICES_OVERWRITE:-}
EXTRA=",\"devices\":$#"
finish 0 empty
