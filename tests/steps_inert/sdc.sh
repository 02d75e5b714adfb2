# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the step: same name, exit codes and result line.
STEP=sdc
require PACKAGE_VERSION
require MDM_IP
mark "$PACKAGE_VERSION $MDM_IP"
EXTRA=",\"guid\":\"$(guid_of "$SCALEIO_HOST")\""
finish 0 holds
