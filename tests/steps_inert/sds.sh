# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=sds
require PACKAGE_VERSION
mark "$PACKAGE_VERSION"
finish 0 holds
