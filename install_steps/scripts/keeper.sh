# shellcheck shell=sh
# Stands in Mesos' books for what SDS and SDC use, and is watched by the health check.
begin_step keeper
result_line keeping
rm -rf "$WORK"
trap - EXIT TERM INT
exec sleep infinity
