# shellcheck shell=sh
# parts: _services
# Health check of the keeper: exit 0 is healthy.
begin_step keeper_health

module_loaded() {
    grep -q -x -e live /sys/module/scini/initstate 2>/dev/null
}

if [ "${PROVIDES_SDS:-no}" = yes ]; then
    service_active sds || finish 1 sds "service sds does not run"
fi
if [ "${WATCH_SDC:-yes}" = yes ]; then
    module_loaded || finish 1 module "kernel module scini is not loaded"
fi
if [ "${WATCH_REXRAY:-yes}" = yes ]; then
    service_active rexray || finish 1 rexray "service rexray does not run"
fi
finish 0 healthy
