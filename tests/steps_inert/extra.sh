# shellcheck shell=sh
# Inert twin of the step: same exit codes and result line; the operator's text is not run.
EXTRA_FILE=$SANDBOX/extra-text
#@script
require EXTRA_NAME
require EXTRA_DIGEST
STEP=$EXTRA_NAME
mark "$EXTRA_DIGEST"
finish 0 operators
