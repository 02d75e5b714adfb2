# shellcheck shell=sh
# parts: _packages _fetch _install _damage _archive _services _boot _permit
# The storage server. It gets its domain, pool and devices through the Gateway, not from here.
begin_step sds lock
find_platform

# Its package restarts it, and a fault unit is down for that moment: the scheduler says when.
replacing() {
    service_active sds || return 0
    [ -n "${PERMIT_URL:-}" ] || finish 75 no-permit \
        "$ACTION of sds $ensure_have would restart the running SDS, and the scheduler gave no permit for it: it is tried again"
    permit_settings
}

now_replacing() {
    service_active sds || return 0
    is_permitted || finish 75 no-permit \
        "the scheduler does not permit now that the running SDS is restarted (its answer: $ANSWER): it is tried again"
}

not_masked sds
ensure_package sds
boot_starts sds
start_service sds
remember_package sds
receipt sds kept ",\"version\":\"$PACKAGE_VERSION\""
finish 0 holds
