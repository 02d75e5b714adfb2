# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=rexray
require PACKAGE_VERSION
require CONFIG_DIGEST
require SEALED_PASSWORD
mark "$PACKAGE_VERSION $CONFIG_DIGEST"
finish 0 holds
