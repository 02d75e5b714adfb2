# shellcheck shell=sh
# A step of the operator's own. It runs once; its receipt holds the digest of the text that ran.
begin_step extra
require EXTRA_NAME 'a-z0-9-'
require EXTRA_DIGEST '0-9a-f'
STEP=$EXTRA_NAME
take_lock
EXTRA_FILE=$STATE_DIR/extra/$EXTRA_NAME
mkdir -p "$STATE_DIR/extra"
chmod 0700 "$STATE_DIR/extra"
#@script
chmod 0700 "$EXTRA_FILE"
[ "$(digest "$EXTRA_FILE")" = "$EXTRA_DIGEST" ] ||
    finish 1 script "$EXTRA_FILE could not be written: is the disk full?"
CHANGED=true
extra_first=
IFS= read -r extra_first <"$EXTRA_FILE" || :
extra_status=0
case $extra_first in
    '#!'*) run "$EXTRA_FILE" >&2 || extra_status=$? ;;
    *) run /bin/sh "$EXTRA_FILE" >&2 || extra_status=$? ;;
esac
case $extra_status in
    0 | 20 | 21) receipt "$EXTRA_NAME" kept ",\"digest\":\"$EXTRA_DIGEST\"" ;;
esac
finish "$extra_status" operators
