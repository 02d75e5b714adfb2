# shellcheck shell=sh
# shellcheck disable=SC2034,SC2317  # the step that follows reads these, and calls some of them
# Prelude of the inert steps: they touch their own sandbox only, and pretend the rest.
# What a step has done stands as done-STEP in its sandbox; the survey looks into its siblings.
set -eu
LC_ALL=C
export LC_ALL
SANDBOX=$(cd "${MESOS_SANDBOX:-.}" && pwd -P)
SCALEIO_HOST=${SCALEIO_HOST:-agent0.test}
STEP=unknown
CHANGED=false
EXTRA=

# When this task began and ended, in nanoseconds, for whoever asks later what ran when. The health
# check of a task runs in the task's own sandbox, perhaps at the same moment, and is no task.
(
    set -C
    printf '%s begin\n' "$(date +%s%N)" >"$SANDBOX/done-times"
) 2>/dev/null || :

# finish CODE REASON [SENTENCE]
finish() {
    [ "$STEP" = keeper_health ] || printf '%s end %s\n' "$(date +%s%N)" "$1" >>"$SANDBOX/done-times"
    [ -z "${3:-}" ] || printf '%s: %s\n' "$STEP" "$3" >&2
    printf '@result {"step":"%s","changed":%s,"reason":"%s"%s}\n' "$STEP" "$CHANGED" "$2" "$EXTRA"
    exit "$1"
}

# require NAME
require() {
    eval "require_value=\${$1:-}"
    [ -n "$require_value" ] || finish 78 setting "variable $1 is missing: the scheduler has to give it"
}

# mark VALUE: the step is done; a later survey of this agent reads the value.
mark() {
    [ -n "$(marker "$STEP")" ] || CHANGED=true
    printf '%s\n' "$1" >"$SANDBOX/done-$STEP"
}

# marker STEP: the path of one mark of this framework on this agent, or nothing.
marker() {
    for mark_path in "$SANDBOX"/done-"$1" "$SANDBOX"/../../../*/runs/*/done-"$1"; do
        if [ -e "$mark_path" ]; then
            printf '%s' "$mark_path"
            return 0
        fi
    done
}

# marked STEP OTHERWISE: the value of the newest mark.
marked() {
    marked_at=
    for mark_path in "$SANDBOX"/../../../*/runs/*/done-"$1"; do
        [ -e "$mark_path" ] || continue
        if [ -z "$marked_at" ] || [ -n "$(find "$mark_path" -newer "$marked_at")" ]; then
            marked_at=$mark_path
        fi
    done
    if [ -n "$marked_at" ]; then cat "$marked_at"; else printf '%s\n' "$2"; fi
}

hash_of() {
    printf '%s' "$1" | sha256sum | cut -c 1-64
}

# guid_of TEXT: as an upper-case UUID.
guid_of() {
    hash_of "$1" | cut -c 1-32 | tr 'a-f' 'A-F' |
        sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)\(.\{12\}\)$/\1-\2-\3-\4-\5/'
}
