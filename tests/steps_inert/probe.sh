# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=probe
require VOLUME_PATH
finish 0 seen
