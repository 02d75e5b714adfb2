# shellcheck shell=sh
# What killed steps have left half made. For steps that hold the host's lock: nobody else writes
# then but a watcher of the Mesos agent, and one that loses its file this way writes it again.
clear_leftovers() {
    find "$STATE_DIR" /etc /usr/bin -name '.scaleio.????????' -type f -exec rm -f {} + || :
    case ${MESOS_SANDBOX:-} in
        */executors/*)
            find "${MESOS_SANDBOX%/executors/*}" -name 'step.????????' ! -path "$WORK" \
                -prune -exec rm -r -f {} + || :
            ;;
    esac
}
