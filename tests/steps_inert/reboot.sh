# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=reboot
require PERMIT_URL
mark armed
finish 0 armed
