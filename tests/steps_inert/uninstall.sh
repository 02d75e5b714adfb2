# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=uninstall
require LEFT_CLUSTER
mark "$LEFT_CLUSTER"
EXTRA=',"kept":0'
finish 0 removed
