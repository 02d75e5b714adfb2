# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=isolator
require PACKAGE_VERSION
require ISOLATION_TO
mark "$PACKAGE_VERSION $ISOLATION_TO"
finish 0 holds
